"""Write the report of the census: a Markdown table of the largest modules."""

import argparse
import json
import sys
from pathlib import Path


def rows(paths: list[str]) -> list[dict]:
    """Return the facts of every module that could be read, the longest first."""
    facts = []
    for path in paths:
        with open(path, encoding="utf-8") as file:
            facts += [json.loads(line) for line in file]
    readable = [fact for fact in facts if fact["error"] is None]
    return sorted(readable, key=lambda fact: (-fact["lines"], fact["module"]))


def share(part: int, whole: int) -> str:
    """Return *part* of *whole* in percent."""
    return f"{part / whole:.0%}" if whole else "-"


def table(facts: list[dict], top: int) -> str:
    """Return the table of the *top* longest modules."""
    lines = [
        "| module | lines | functions | classes | docstrings |",
        "| :-- | --: | --: | --: | --: |",
    ]
    for fact in facts[:top]:
        documented = share(fact["documented"], fact["documentable"])
        lines.append(
            f"| {fact['module']} | {fact['lines']:,} | {fact['functions']:,} "
            f"| {fact['classes']:,} | {documented} |"
        )
    return "\n".join(lines)


def main() -> int:
    """Write the report and say where it is."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("report", type=Path)
    parser.add_argument("--facts", required=True, help="the files of facts, as a JSON list")
    parser.add_argument("--totals", required=True, help="what the total task found, as JSON")
    parser.add_argument("--source", required=True)
    parser.add_argument("--without", default="", help="the folders that were passed over")
    parser.add_argument("--top", type=int, default=20)
    options = parser.parse_args()
    totals = json.loads(options.totals)
    facts = rows(json.loads(options.facts))
    documentable = sum(fact["documentable"] for fact in facts)
    text = f"""# Python's standard library, measured

- modules: {totals["modules"]} ({totals["unreadable"]} are not meant to be parsed, and cannot)
- lines: {totals["lines"]:,}
- functions: {totals["functions"]:,}
- classes: {totals["classes"]:,}
- with a docstring: {share(totals["documented"], documentable)} of modules, classes and functions

## The {min(options.top, len(facts))} largest modules

{table(facts, options.top)}

The modules are those that this command counts:

    find {options.source} -name '*.py' -not -path '*/{options.without}/*' | wc -l
"""
    options.report.write_text(text, encoding="utf-8")
    print(f"{totals['modules']} modules, report: {options.report.absolute()}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
