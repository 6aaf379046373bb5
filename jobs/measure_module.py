"""Measure Python modules: reads a line of JSON a module from stdin, writes one to stdout.

A program of its own, so that several of them run at once. It knows nothing of orch:

    echo '{"path": "/usr/lib/python3.11/ast.py", "module": "ast.py"}' | python measure_module.py
"""

import ast
import json
import sys
import warnings

Documented = ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef


def measure(path: str) -> dict[str, object]:
    """Return the facts about the module at *path*: lines, functions, classes, docstrings."""
    try:
        with open(path, "rb") as file:
            text = file.read()
        tree = ast.parse(text, path)
    except (OSError, SyntaxError, ValueError) as error:
        return {"error": f"{type(error).__name__}: {error}"}
    nodes = list(ast.walk(tree))
    can_have = [node for node in nodes if isinstance(node, Documented)]
    return {
        "error": None,
        "lines": text.count(b"\n"),
        "functions": sum(isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef) for n in nodes),
        "classes": sum(isinstance(n, ast.ClassDef) for n in nodes),
        "documentable": len(can_have),
        "documented": sum(ast.get_docstring(node, clean=False) is not None for node in can_have),
    }


def main() -> int:
    """Answer each line with one."""
    warnings.simplefilter("ignore")  # of the modules that are read, not of this one
    for line in sys.stdin:
        module = json.loads(line)
        print(json.dumps({"module": module["module"], **measure(module["path"])}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
