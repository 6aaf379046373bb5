"""Advice: which mode a task should have, from what it cost."""
