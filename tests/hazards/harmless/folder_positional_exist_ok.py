# tasks: a=prepare, b=prepare
import os
from pathlib import Path


def prepare(name, again=True):
    os.makedirs("reports", 0o755, True)
    Path("logs").mkdir(0o755, True, True)
    Path("tables").mkdir(exist_ok=again)
    return name
