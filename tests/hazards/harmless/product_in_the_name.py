# tasks: plot=plot
# items: plot=[{"year": 2024, "kind": "bar"}, {"year": 2024, "kind": "line"}, {"year": 2025, "kind": "bar"}]
# args: plot=["plots/{{ item.year }}-{{ item.kind }}.svg"]
from pathlib import Path


def plot(path):
    Path(path).write_text("<svg/>")
