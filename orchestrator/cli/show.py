"""``orch show [RUN]``: how a run went, or goes."""

from typing import Any

from orchestrator.cli import given, options
from orchestrator.cli.console import emit, emit_json, table
from orchestrator.plan.templates import as_text
from orchestrator.report.bottleneck import in_words
from orchestrator.report.document import View
from orchestrator.spec.durations import show as show_duration
from orchestrator.spec.words import printable

_MAX_OUTPUT = 60
_WORTH_SHOWING_S = 0.001


def show(
    run: options.RunName = None, as_json: options.AsJson = False, state_dir: options.StateDir = None
) -> None:
    """Show how RUN went: each task's state, attempts, duration and output."""
    view = View.of(given.run_folder(run, state_dir))
    document = view.document()
    if as_json:
        emit_json(document)
        return
    took = document["duration_s"]
    parts = [f"{document['job']} {document['run']}: {document['state']}"]
    if took is not None:
        parts.append(f" in {show_duration(took)}, exit code {document['exit_code']}")
    rows = [["TASK", "MODE", "STATE", "TRIES", "WAITED", "TOOK", "CPU", "MEMORY", ""]]
    for name, task in document["tasks"].items():
        rows.append(_row(name, task, view.lines[name].reason))
        for each, one in task.get("instances", {}).items():
            if one["state"] != "succeeded" and (one["attempts"] or one["state"] != task["state"]):
                rows.append(_row(f"  {each}", one))
    emit("".join(parts) + "\n\n" + table(rows, right=frozenset({3, 4, 5, 6, 7})))
    if document["queues"]:
        emit("\n" + table(_queue_rows(document["queues"]), right=frozenset(range(1, 8))))
    if document["bottleneck"]:
        emit(f"\n{in_words(document['bottleneck'])}\n")
    failed = [name for name, task in document["tasks"].items() if task["error"]]
    failed.sort(key=lambda name: document["tasks"][name]["state"] != "failed")  # not what it ended
    if failed:
        short = document["run"].rpartition("-")[2]
        emit(f"\nnext: orch logs {short} {failed[0]}\n")


def _queue_rows(queues: dict[str, Any]) -> list[list[str]]:
    rows = [["QUEUE", "IN", "OUT", "DEEPEST", "FULL", "EMPTY", "BLOCKED", "STARVED", ""]]
    for name, queue in queues.items():
        joined = f"{' '.join(queue['publishers'])} -> {' '.join(queue['consumers'])}"
        if queue["direct"]:
            rows.append([name, *("-" for _ in range(7)), f"{joined}, a plain pipe"])
            continue
        said = joined
        if queue["dead_letters"]:
            said += f", {queue['dead_letters']} set aside"
        rows.append([
            name, f"{queue['items_in']:,}", f"{queue['items_out']:,}", f"{queue['depth_max']:,}",
            f"{queue['full']:.0%}", f"{queue['empty']:.0%}",
            show_duration(queue["publishers_blocked_s"]),
            show_duration(queue["consumers_starved_s"]), said,
        ])  # fmt: skip
    return rows


def _row(name: str, task: dict[str, Any], reason: str | None = None) -> list[str]:
    took, error = task["duration_s"], task["error"]
    said = reason or ""
    if error is not None:
        said = f"{error['type']}: {error['message']}".partition("\n")[0]
    elif task["outcome"] == "lost":
        said = "lost: orch ended before it did"
    elif task["output"] is not None and "instances" not in task:
        said = f"-> {as_text(task['output'])}"
    elif "instances" in task:
        said = f"{len(task['instances'])} instances"
    said = printable(said)
    if len(said) > _MAX_OUTPUT:
        said = said[: _MAX_OUTPUT - 1] + "…"
    duration = "" if took is None else show_duration(took)
    tries = str(task["attempts"])
    return [name, task["mode"], task["state"], tries, *_cost(task["cost"], duration), said]


def _cost(cost: dict[str, Any] | None, took: str) -> tuple[str, str, str, str]:
    """Return what a task waited for a slot, took, used of a processor, and held at its peak."""
    if cost is None:
        return "", took, "", ""
    waited, cpu, peak = (cost.get(key) for key in ("waited_s", "cpu_s", "peak_memory_bytes"))
    return (
        show_duration(waited) if waited is not None and waited >= _WORTH_SHOWING_S else "",
        took,
        "" if cpu is None else show_duration(cpu),
        "" if peak is None else f"{peak / 2**20:,.0f} MiB",
    )
