"""``orch schema``: the JSON Schema of a job file."""

import json

from orchestrator.cli.console import emit


def schema() -> None:
    """Print the JSON Schema of a job file, for editors."""
    from orchestrator.spec.models import json_schema  # noqa: PLC0415 - only here

    emit(json.dumps(json_schema(), indent=2) + "\n")
