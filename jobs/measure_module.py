"""Measure Python modules: reads a list of paths, writes a line of JSON a module.

A program of its own, so that several of them run at once. It knows nothing of orch. It prints the
name of the file that it wrote.
"""

import argparse
import ast
import json
import os
import sys
import warnings

Documented = ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef


def measure(path: str, source: str) -> dict[str, object]:
    """Return the facts about the module at *path*: lines, functions, classes, docstrings."""
    name = os.path.relpath(path, source)
    fact: dict[str, object] = {"module": name, "error": None}
    try:
        with open(path, "rb") as file:
            text = file.read()
        tree = ast.parse(text, path)
    except (OSError, SyntaxError, ValueError) as error:
        return {**fact, "error": f"{type(error).__name__}: {error}"}
    nodes = list(ast.walk(tree))
    can_have = [node for node in nodes if isinstance(node, Documented)]
    return {
        **fact,
        "lines": text.count(b"\n"),
        "functions": sum(isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef) for n in nodes),
        "classes": sum(isinstance(n, ast.ClassDef) for n in nodes),
        "documentable": len(can_have),
        "documented": sum(ast.get_docstring(node, clean=False) is not None for node in can_have),
    }


def main() -> int:
    """Measure what the list names and print where the facts are."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("list", help="a file of paths, one a line")
    parser.add_argument("facts", help="the file to write")
    parser.add_argument("--source", default="/", help="the directory that names start at")
    options = parser.parse_args()
    warnings.simplefilter("ignore")  # of the modules that are read, not of this one
    with open(options.list) as file:
        paths = file.read().splitlines()
    with open(options.facts, "w", encoding="utf-8") as file:
        file.writelines(json.dumps(measure(path, options.source)) + "\n" for path in paths)
    print(options.facts)
    return 0


if __name__ == "__main__":
    sys.exit(main())
