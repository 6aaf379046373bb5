"""The environment as templates see it: without secrets."""

from __future__ import annotations

from orchestrator.errors import TemplateError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping


class Environment(dict[str, str]):
    """Environment variables without those that are *withheld*, each for a reason."""

    def __init__(self, values: Mapping[str, str | None], withheld: Mapping[str, str]) -> None:
        super().__init__(
            (name, value)
            for name, value in values.items()
            if value is not None and name not in withheld
        )
        self.withheld = withheld

    def refuse(self, name: object) -> None:
        """Raise ``TemplateError`` where variable *name* is withheld."""
        if isinstance(name, str) and name in self.withheld:
            raise TemplateError(self.withheld[name])


def secret(name: str, held: str | None = None) -> str:
    """Return why variable *name* is withheld: it is a secret, or has the value of *held* in it."""
    what = "is a secret" if held is None else f"holds the value of secret `{held}`"
    return f"`env.{name}` {what}; a task reads it from its environment"
