# tasks: a=work, b=work
from dataclasses import dataclass, field


@dataclass
class State:
    root: str
    names: list[str] = field(default_factory=list)


STATE = State("/srv")


def work(name):
    if name not in STATE.names:
        STATE.names.append(name)  # here
