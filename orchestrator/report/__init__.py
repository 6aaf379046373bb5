"""What a run tells: to people, to programs, and afterwards."""
