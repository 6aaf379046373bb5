"""What a run tells: to people, to programs, and afterwards."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from orchestrator.events import Failure

# What orch itself says needs no name before it.
_OWN_TYPES = frozenset(
    {"ExitStatus", "Signal", "Timeout", "Stopped", "LaunchError", "OutputError", "TemplateError"}
)


def in_words(failure: Failure) -> str:
    """Return *failure* for people: the exception's name and its text, or what orch says."""
    if failure.type in _OWN_TYPES:
        return failure.message
    return f"{failure.type}: {failure.message}" if failure.message else failure.type
