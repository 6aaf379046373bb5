"""Queues between tasks: bounded, lossless, the same for functions and for unmodified programs.

An item is a line: of JSON, or of plain text. ``channel`` holds the lines, ``threads`` are the ends
of a channel for functions on threads, ``pipes`` and ``child`` those for other processes, and
``registry`` is what runners and the loop see of them all.
"""

from __future__ import annotations
