"""Modules that the bad specs name."""
