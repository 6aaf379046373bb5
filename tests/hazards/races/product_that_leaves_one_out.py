# tasks: plot=plot
# items: plot=[{"year": 2024, "kind": "bar"}, {"year": 2024, "kind": "line"}, {"year": 2025, "kind": "bar"}]
# args: plot=["{{ item.year }}", "{{ item.kind }}"]
from pathlib import Path


def plot(year, kind):
    target = Path("plots") / f"{year}.svg"
    target.write_text(f"<svg class='{kind}'/>")  # here
