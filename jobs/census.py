"""A census of Python modules: the functions of ``configs/census.yaml``."""

import json
import os
from pathlib import Path
from typing import Any

from orchestrator import task


def find_modules(source: str, folder: str, shards: int, without: str) -> list[str]:
    """List every ``*.py`` below *source*, dealt to *shards* files in *folder*; return their paths.

    Folders named *without* are passed over. Large files are dealt first, so that each shard holds
    about the same number of bytes.
    """
    sized: list[tuple[int, str]] = []
    for place, folders, names in os.walk(source):
        folders[:] = [name for name in folders if name != without]
        for name in names:
            if name.endswith(".py"):
                path = os.path.join(place, name)
                sized.append((os.path.getsize(path), path))
    sized.sort(reverse=True)
    print(f"{len(sized)} modules below {source}")
    lists = []
    for shard in range(shards):
        path = Path(folder, f"shard-{shard}.txt")
        path.write_text("".join(f"{name}\n" for _, name in sized[shard::shards]))
        lists.append(str(path))
    task.log.info("modules found", modules=len(sized), shards=shards)
    return lists


def total(facts: list[str]) -> dict[str, Any]:
    """Add up the facts in the files *facts*, of which each line is the JSON of one module."""
    names = ("modules", "lines", "functions", "classes", "documented", "unreadable")
    sums = dict.fromkeys(names, 0)
    for index, name in enumerate(facts):
        with open(name, encoding="utf-8") as file:
            for line in file:
                fact = json.loads(line)
                sums["modules"] += 1
                if fact["error"] is not None:
                    sums["unreadable"] += 1
                    continue
                for key in ("lines", "functions", "classes", "documented"):
                    sums[key] += fact[key]
        task.progress(index + 1, len(facts))
    print(f"{sums['modules']} modules, {sums['lines']} lines")
    return sums
