"""Suspected races between tasks on threads, found by reading the code; nothing is imported."""

from orchestrator.hazards.conflicts import Hazard, Place, Search, hazards
from orchestrator.hazards.effects import Effect, effects_of, starters

__all__ = ["Effect", "Hazard", "Place", "Search", "effects_of", "hazards", "starters"]
