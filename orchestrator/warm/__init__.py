"""Warm starts: a Python that has imported what tasks need, and forks for each of them."""
