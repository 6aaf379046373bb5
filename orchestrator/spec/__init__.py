"""What a job file may say: its models, its reader, its problems."""
