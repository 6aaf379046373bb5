"""The progress: what runs now, below the lines of the log on a terminal."""

from __future__ import annotations

from orchestrator.events import Ended, Noted
from orchestrator.report.bottleneck import in_words, of_measured, share
from orchestrator.running import joined
from orchestrator.spec.durations import show
from orchestrator.spec.words import printable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from orchestrator.events import Asked, Measured, Recorded
    from orchestrator.plan.model import Plan
    from orchestrator.report.screen import Screen
    from orchestrator.running import Run

QUIET_S = 1.0
_ROWS = 12
_OFTEN = 0.5


class Progress:
    """Shows how far the run is, once it has lasted a second."""

    tick_s: float | None = 0.2

    def __init__(self, run: Run, screen: Screen) -> None:
        self._run, self._screen = run, screen
        self._notes: dict[str, str] = {}

    def told(self, events: Sequence[Recorded | Noted | Asked]) -> None:
        """Take note of how far tasks say they are."""
        for event in events:
            if isinstance(event, Ended):
                self._notes.pop(event.task, None)
            elif isinstance(event, Noted) and event.kind == "progress":
                self._notes[event.task] = _progress(event.data)

    def tick(self) -> None:
        """Draw."""
        now = self._run.clock.now()
        if now >= QUIET_S and self._run.scheduler.running:
            self._screen.show(self._drawn(now))

    def _drawn(self, now: float) -> Any:
        from rich.table import Table  # noqa: PLC0415
        from rich.text import Text  # noqa: PLC0415

        counts = self._run.scheduler.counts
        finished = sum(counts[s] for s in ("succeeded", "failed", "skipped", "cancelled"))
        waiting = counts["waiting"] + counts["ready"] + counts["backoff"]
        head = Text.assemble(
            (f"{self._run.plan.name}  ", "bold"),
            (f"{finished} finished", "green"),
            " · ",
            (f"{counts['running']} running", "cyan"),
            " · ",
            (f"{waiting} waiting", "dim"),
        )
        if counts["failed"]:
            head.append(" · ").append(f"{counts['failed']} failed", "red")
        head.append(f"   {show(now)}", "dim")
        grid = Table.grid(padding=(0, 2))
        running = list(self._run.scheduler.running.values())
        for node in running[:_ROWS]:
            took, note = show(now - node.started_at), self._notes.get(node.name, "")
            grid.add_row(Text("  ▸", "cyan"), Text(node.name), Text(took, "dim"), Text(note))
        more = len(running) - _ROWS
        if more > 0:
            grid.add_row("", Text(f"and {more} more", "dim"), "", "")
        whole = Table.grid()
        whole.add_row(head)
        whole.add_row(grid)
        queues = self._run.queues
        if queues is not None and (names := queues.in_use()):
            whole.add_row(_drawn_queues(queues.measured(names), self._run.plan))
        return whole


def _drawn_queues(queues: list[Measured], plan: Plan) -> Any:
    """Draw each queue: how full it is, what went in and out, for whom the others wait."""
    from rich.table import Table  # noqa: PLC0415
    from rich.text import Text  # noqa: PLC0415

    grid = Table.grid(padding=(0, 2))
    for queue in queues[:_ROWS]:
        spec = plan.queues[queue.queue]
        depth, most = queue.depth or 0, spec.maxsize
        bar = f"{'━' * round(min(1.0, depth / most) * 10):╌<10}"
        full = share(queue.full_s, queue) or 0.0
        grid.add_row(
            Text("  ═", "magenta"),
            Text(queue.queue),
            Text(f"{bar} {depth:,} of {most:,}"),
            Text(f"{queue.items_in:,} in, {queue.items_out:,} out", "dim"),
            Text(f"full {full:.0%} of the time", "yellow" if full > _OFTEN else "dim"),
        )
    found = of_measured({queue.queue: queue for queue in queues}, joined(plan))
    whole = Table.grid()
    whole.add_row(grid)
    if found is not None:
        whole.add_row(Text(f"  {in_words(found)}", "yellow"))
    return whole


def _progress(data: dict[str, Any]) -> str:
    done, total = data.get("done"), data.get("total")
    if not isinstance(done, int | float):
        return ""
    if not isinstance(total, int | float) or total <= 0:
        return f"{done:g}"
    try:
        share = min(1.0, max(0.0, done / total))
    except OverflowError:
        return ""
    bar = "━" * round(share * 20)
    return printable(f"{bar:╌<20} {share:.0%}  {done:g} of {total:g}")
