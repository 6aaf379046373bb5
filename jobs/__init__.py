"""The functions and programs that the sample jobs run."""
