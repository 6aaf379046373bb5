"""Write the report of the census: a Markdown table of the largest modules."""

import argparse
import json
import sys
from pathlib import Path


def share(part: int, whole: int) -> str:
    """Return *part* of *whole* in percent."""
    return f"{part / whole:.0%}" if whole else "-"


def table(facts: list[dict]) -> str:
    """Return the table of modules."""
    lines = [
        "| module | lines | functions | classes | docstrings |",
        "| :-- | --: | --: | --: | --: |",
    ]
    for fact in facts:
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
    parser.add_argument("--totals", required=True, help="what the total task found, as JSON")
    parser.add_argument("--source", required=True)
    parser.add_argument("--without", default="", help="the folders that were passed over")
    options = parser.parse_args()
    totals = json.loads(options.totals)
    largest = totals["largest"]
    documented = share(totals["documented"], totals["documentable"])
    text = f"""# Python's standard library, measured

- modules: {totals["modules"]} ({totals["unreadable"]} are not meant to be parsed, and cannot)
- lines: {totals["lines"]:,}
- functions: {totals["functions"]:,}
- classes: {totals["classes"]:,}
- with a docstring: {documented} of modules, classes and functions

## The {len(largest)} largest modules

{table(largest)}

The modules are those that this command counts:

    find {options.source} -name '*.py' -not -path '*/{options.without}/*' | wc -l
"""
    options.report.write_text(text, encoding="utf-8")
    print(f"{totals['modules']} modules, report: {options.report.absolute()}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
