"""The benchmarks, by name; each returns its rows."""

import importlib.util
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import median

from tests.benchmarks import held, others, peers
from tests.benchmarks.measuring import Lab, Measure, Row, per_task_us

_HEAD = "defaults: {mode: thread, function: noop_tasks:noop}\ntasks:\n"
_JSON = ("--log-format", "json")


def _one(lab: Lab) -> Path:
    """Write the module, and return the job of one task."""
    lab.write("noop_tasks.py", peers.NOOP)
    job = lab.write("one.yaml", _HEAD + "  one: {}\n")
    lab.orch(job)  # the byte code is made, and the files are in memory
    return job


def _instances(count: int, what: str) -> str:
    numbers = ", ".join(map(str, range(count)))
    return f"tasks:\n  all:\n    {what}\n    foreach: {{i: [{numbers}]}}\n"


def _alone(count: int) -> Iterator[str]:
    yield _HEAD
    for i in range(count):
        yield f"  t{i}: {{}}\n"


def _chain(count: int) -> Iterator[str]:
    yield _HEAD + "  t0: {}\n"
    for i in range(1, count):
        yield f"  t{i}: {{needs: [t{i - 1}]}}\n"


def _layers(count: int) -> Iterator[str]:
    """Ten wide; each needs all of the layer before."""
    yield _HEAD
    for i in range(count):
        first = i - i % 10 - 10
        needs = ", ".join(f"t{n}" for n in range(first, first + 10)) if first >= 0 else ""
        yield f"  t{i}: {{needs: [{needs}]}}\n"


def _into_one(count: int) -> Iterator[str]:
    yield from _alone(count)
    yield f"  last: {{needs: [{', '.join(f't{i}' for i in range(count))}]}}\n"


def _written_out(count: int) -> Iterator[str]:
    """Tasks as people write them: several keys, a parameter, one in four without needs."""
    yield "params:\n  folder: {type: str, default: data}\ntasks:\n"
    for i in range(count):
        yield (
            f"  load_{i}:\n    mode: subprocess\n"
            f'    command: [/bin/true, --number, "{i}", "--to={{{{ params.folder }}}}/part-{i}"]\n'
            f'    env: {{PART: "{i}", LEVEL: info}}\n'
            "    retry: {attempts: 3, delay: 2s, backoff: 2.0}\n"
            "    timeout: 10m\n"
        )
        if i % 4:
            yield f"    needs: [load_{i - 1}]\n"


def _spent(lab: Lab, job: Path, *options: str) -> Measure:
    return lambda: lab.orch(job, *options).seconds


def _kept(lab: Lab, job: Path) -> Measure:
    """Measure a job that has been run before: its draft is kept, and so are no runs."""

    def measure() -> float:
        lab.orch(job, "-q", keep=True)
        return lab.orch(job, "-q").seconds

    return measure


def _other(lab: Lab, other: others.Other, path: str, count: int) -> Measure:
    """Measure another tool that runs ``/bin/true`` *count* times."""
    folder = lab.root / f"{other.name}{count}"
    folder.mkdir()
    for name, text in other.files(count).items():
        (folder / name).write_text(text)
    return lambda: lab.spent(path, *other.args, folder=folder).seconds


def _peer(lab: Lab, program: Path, count: int) -> Measure:
    lab.python(program, 0)
    return lambda: lab.python(program, count).seconds


def wide(lab: Lab) -> list[Row]:
    """10,000 independent no-ops on threads."""
    count = 10_000
    one = _one(lab)
    each = lab.write("each.yaml", _instances(count, "mode: thread\n    function: noop_tasks:noop"))
    written = lab.write("written.yaml", _alone(count))
    pool = lab.write("pool.py", peers.POOL_WIDE)
    load = lab.write("load.py", peers.LOAD)
    found = lab.rounds(5, {
        "one, -q": _spent(lab, one, "-q"),
        "one, log": _spent(lab, one, *_JSON),
        "each, -q": _spent(lab, each, "-q"),
        "each, log": _spent(lab, each, *_JSON),
        "written, -q": _spent(lab, written, "-q"),
        "written, log": _spent(lab, written, *_JSON),
        "pool": _peer(lab, pool, count),
        "pool, empty": _peer(lab, pool, 0),
        "load": lambda: lab.answers(load, written)[0],
    })  # fmt: skip
    ledger = lab.write("ledger.py", peers.LEDGER)
    meter_us = [lab.answers(ledger)[0] for _ in range(3)]
    over = "ThreadPoolExecutor(2)"
    theirs = per_task_us(found, "pool", "pool, empty", count)
    rows = [Row("wide: of that the ledger", "", meter_us, goal=5)]
    for name, text in (("each", "foreach over 10,000"), ("written", "10,000 in the file")):
        for how in ("-q", "log"):
            ours = per_task_us(found, f"{name}, {how}", f"one, {how}", count)
            shown = "a JSON log line each" if how == "log" else how
            goal = 2 if how == "log" else 1
            rows.append(Row(f"wide: {text}, {shown}", over, ours, theirs, goal=goal))
    reading = [seconds / count * 1e6 for seconds in found["load"]]
    rows.append(Row("wide: of that reading and checking (in the file)", over, reading, theirs))
    return rows


def chain(lab: Lab) -> list[Row]:
    """2,000 no-ops on threads, each needs the one before."""
    count, many = 2_000, 10_000
    one = _one(lab)
    job = lab.write("chain.yaml", _chain(count))
    load = lab.write("load.py", peers.LOAD)
    callbacks = lab.write("callbacks.py", peers.POOL_CHAIN)
    results = lab.write("results.py", peers.POOL_RESULTS)
    found = lab.rounds(7, {
        "one, -q": _spent(lab, one, "-q"),
        "one, log": _spent(lab, one, *_JSON),
        "chain, -q": _spent(lab, job, "-q"),
        "chain, log": _spent(lab, job, *_JSON),
        "callbacks": _peer(lab, callbacks, many),
        "callbacks, empty": _peer(lab, callbacks, 0),
        "results": _peer(lab, results, many),
        "results, empty": _peer(lab, results, 0),
        "load": lambda: lab.answers(load, job)[0],
    })  # fmt: skip
    quiet = per_task_us(found, "chain, -q", "one, -q", count)
    logged = per_task_us(found, "chain, log", "one, log", count)
    fast = per_task_us(found, "callbacks", "callbacks, empty", many)
    plain = per_task_us(found, "results", "results, empty", many)
    reading = [seconds / count * 1e6 for seconds in found["load"]]
    return [
        Row("chain of 2,000, -q", "pool of 1, by callbacks", quiet, fast, goal=3),
        Row("chain of 2,000, a JSON log line each", "pool of 1, by callbacks", logged, fast),
        Row("chain of 2,000, a JSON log line each", "pool of 2, submit().result()", logged, plain),
        Row("chain: of that reading and checking", "pool of 1, by callbacks", reading, fast),
    ]


def layers(lab: Lab) -> list[Row]:
    """2,000 no-ops on threads in layers of ten."""
    count = 2_000
    one = _one(lab)
    job = lab.write("layers.yaml", _layers(count))
    pool = lab.write("layers.py", peers.POOL_LAYERS)
    found = lab.rounds(7, {
        "one": _spent(lab, one, "-q"),
        "layers": _spent(lab, job, "-q"),
        "pool": _peer(lab, pool, count * 5),
        "pool, empty": _peer(lab, pool, 0),
    })  # fmt: skip
    ours = per_task_us(found, "layers", "one", count)
    theirs = per_task_us(found, "pool", "pool, empty", count * 5)
    return [Row("layers: 200 of 10 each, -q", "ThreadPoolExecutor(2)", ours, theirs, goal=2)]


def scale(lab: Lab) -> list[Row]:
    """Large plans by small ones: time a task, and memory."""
    one = _one(lab)
    shapes: dict[str, tuple[Callable[[int], Iterator[str]], int, int]] = {
        "wide": (_alone, 1_000, 100_000),
        "layers": (_layers, 1_000, 100_000),
        "all into one": (_into_one, 1_000, 100_000),
        "chain": (_chain, 1_000, 100_000),
    }
    peaks: dict[str, list[float]] = {}

    def measured(name: str, job: Path, count: int, times: int) -> Measure:
        """Measure seconds a task, each run less a run of one task just before it."""

        def measure() -> float:
            found = []
            for _ in range(times):
                base = lab.orch(one, "-q").seconds
                spent = lab.orch(job, "-q")
                peaks.setdefault(name, []).append(spent.peak_mib)
                found.append((spent.seconds - base) / count)
            return median(found)

        return measure

    cases: dict[str, Measure] = {}

    for name, (write, *counts) in shapes.items():
        # half of a short one is its start, which differs from run to run
        for count, times in zip(counts, (15, 1), strict=True):
            label = f"{name} {count}"
            job = lab.write(f"{name[:5]}{count}.yaml", write(count))
            cases[label] = measured(label, job, count, times)
    found = lab.rounds(2, cases)
    rows = []
    for name, (_, small, large) in shapes.items():
        ours, theirs = (
            [seconds * 1e6 for seconds in found[f"{name} {count}"]] for count in (large, small)
        )
        rows.append(Row(f"scale: {name}, {large:,}", f"the same with {small:,}", ours, theirs,
                        goal=1.2))  # fmt: skip
        rows.append(Row(f"scale: peak memory, {name}, {large:,}", "", peaks[f"{name} {large}"],
                        unit="MiB", goal=400 * 1e6 / 2**20))  # fmt: skip
    return rows


def reading(lab: Lab) -> list[Row]:
    """Read and check tasks as people write them."""
    rows: list[Row] = []
    # a file may have 16 MiB, which 100,000 of these would be more than
    for count, rounds, goal in ((10_000, 5, 0.5), (60_000, 1, 0.3)):
        rows += _reading(lab, count, rounds, goal)
    return rows


def _reading(lab: Lab, count: int, rounds: int, goal: float) -> list[Row]:
    job = lab.write("large.yaml", _written_out(count))
    programs = {
        name: lab.write(f"{name}.py", text)
        for name, text in (("source", peers.SOURCE), ("load", peers.LOAD), ("csafe", peers.YAML))
    }

    def answer(program: Path) -> Measure:
        return lambda: lab.answers(program, job)[0] / count * 1e6

    found = lab.rounds(rounds, {name: answer(program) for name, program in programs.items()})
    size = f"{job.stat().st_size / 1e6:.1f} MB"
    over = "yaml.CSafeLoader alone"
    return [
        Row(
            f"reading: {count:,} tasks, {size}, Source only", over, found["source"], found["csafe"]
        ),
        Row(
            f"reading: {count:,} tasks, load(), all checked",
            over,
            found["load"],
            found["csafe"],
            goal=goal,
        ),
    ]


def launch(lab: Lab) -> list[Row]:
    """1,000 x /bin/true, two at a time."""
    count = 1_000
    one = lab.write("one.yaml", "tasks: {one: {mode: subprocess, command: [/bin/true]}}\n")
    lab.orch(one)
    what = "mode: subprocess\n    command: [/bin/true]"
    limits = "limits: {processes: 2}\n"
    job = lab.write("programs.yaml", limits + _instances(count, what))
    xargs = lab.write("xargs.sh", f"seq {count} | xargs -P2 -n1 /bin/true\n")
    cases = {
        "one": _spent(lab, one, "-q"),
        "orch": _spent(lab, job, "-q"),
        "xargs": lambda: lab.spent("/bin/sh", str(xargs)).seconds,
    }
    spawn = _compiled(lab)
    if spawn is not None:
        cases["C"] = lambda: lab.spent(spawn, str(count)).seconds
        cases["C, files"] = lambda: _with_files(lab, spawn, count)
    for other, path in others.installed():
        cases[other.name] = _other(lab, other, path, count)
    found = lab.rounds(5, cases)
    whole, per_task = found["orch"], per_task_us(found, "orch", "one", count)
    name = "launch: 1,000 x /bin/true, whole process"
    rows = []
    if spawn is not None:
        rows = [
            Row(name, "C, posix_spawn", *_milli(whole, found["C"]), unit="ms"),
            Row(name, "C, two new files each", *_milli(whole, found["C, files"]), unit="ms",
                goal=1.8),
            Row("launch: the same less a run of one", "C, two new files each", per_task,
                [seconds / count * 1e6 for seconds in found["C, files"]]),
        ]  # fmt: skip
    else:
        lab.notes.append("launch: no cc, so no rows against C")
    rows.append(Row(name, "xargs -P2", *_milli(whole, found["xargs"]), unit="ms"))
    for other, _ in others.installed():
        goal = 1 / 6 if other.name == "parallel" else None
        rows.append(Row(name, other.name, *_milli(whole, found[other.name]), unit="ms", goal=goal))
    return rows


def _milli(*columns: list[float]) -> list[list[float]]:
    return [[seconds * 1e3 for seconds in column] for column in columns]


def _compiled(lab: Lab) -> str | None:
    compiler = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
    if compiler is None:
        return None
    source, target = lab.write("spawn.c", peers.SPAWN), lab.root / "spawn"
    subprocess.run([compiler, "-O2", "-o", str(target), str(source)], check=True)
    return str(target)


def follow(lab: Lab) -> list[Row]:
    """200 x /bin/true, one after the other."""
    count = 200
    spawn = _compiled(lab)
    if spawn is None:
        lab.notes.append("follow: no cc, so no row against C")
        return []

    def parts() -> Iterator[str]:
        yield "defaults: {mode: subprocess, command: [/bin/true]}\ntasks:\n  t0: {}\n"
        for i in range(1, count):
            yield f"  t{i}: {{needs: [t{i - 1}]}}\n"

    job = lab.write("follow.yaml", parts())
    found = lab.rounds(7, {
        "orch": _kept(lab, job),
        "C": lambda: _with_files(lab, spawn, count, 1),
    })  # fmt: skip
    name = "launch: a chain of 200 x /bin/true, whole process"
    return [Row(name, "C, two new files each", *_milli(found["orch"], found["C"]), unit="ms",
                goal=2.5)]  # fmt: skip


def _with_files(lab: Lab, spawn: str, count: int, most: int = 2) -> float:
    folder = lab.root / "files"
    folder.mkdir()
    seconds = lab.spent(spawn, str(count), str(folder), str(most)).seconds
    shutil.rmtree(folder)
    return seconds


def warm(lab: Lab) -> list[Row]:
    """Python programs, two at a time: cold and warm, against xargs."""
    rows: list[Row] = []
    for name, text, preload, count, faster, share in (
        ("trivial", peers.TRIVIAL, "", 1000, 5, 0.5),
        ("numpy", peers.NUMPY, "numpy", 200, 30, 0.25),
        ("pandas", peers.PANDAS, "pandas", 200, 40, 0.2),
    ):
        if preload and not _has(preload):
            lab.notes.append(f"warm: no {preload}, so no rows for it")
            continue
        rows += _warm_rows(lab, name, text, preload, count, faster)
        rows.append(_held(lab, name, text, preload, share))
    return rows


def _warm_rows(lab: Lab, name: str, text: str, preload: str, count: int, faster: int) -> list[Row]:
    lab.write(f"uses_{name}.py", text)
    xargs = lab.write(
        f"{name}.sh", f'seq {count} | xargs -P2 -n1 "{sys.executable}" uses_{name}.py >/dev/null\n'
    )
    head = f"limits: {{processes: 2}}\nwarm: {{preload: [{preload}]}}\n"
    cases: dict[str, Measure] = {"xargs": lambda: lab.spent("/bin/sh", str(xargs)).seconds}
    for start in ("cold", "warm"):
        what = f"mode: subprocess\n    program: uses_{name}.py\n    start: {start}"
        job = lab.write(f"{name}_{start}.yaml", head + _instances(count, what))
        cases[start] = _spent(lab, job, "-q")
        cases[start]()
    found = lab.rounds(1 if name == "pandas" else 3, cases)  # a round of that takes two minutes
    title = f"warm: {count} x python, {name}"
    return [
        Row(f"{title}, {start}, whole process", "xargs -P2", *_milli(found[start], found["xargs"]),
            unit="ms", goal=goal)
        for start, goal in (("cold", 1.1), ("warm", 1 / faster))
    ]  # fmt: skip


def _held(lab: Lab, name: str, text: str, preload: str, goal: float) -> Row:
    """Return what a live child holds of memory, one of eight, warm by cold."""
    count = 8
    lab.write(f"holds_{name}.py", text + peers.HOLDS)
    held: dict[str, list[float]] = {}
    for start in ("cold", "warm"):
        what = (
            f"mode: subprocess\n    start: {start}\n    program: holds_{name}.py\n"
            f'    args: ["{{{{ item.i }}}}", "{count}"]'
        )
        head = f"limits: {{processes: {count}}}\nwarm: {{preload: [{preload}]}}\n"
        lab.orch(lab.write(f"holds_{start}.yaml", head + _instances(count, what)))
        held[start] = []
        for number in range(count):
            (lab.root / f"begun.{number}").unlink()
            path = lab.root / f"held.{number}"
            held[start].append(int(path.read_text()) / 1024)
            path.unlink()
    over = "of one started cold"
    return Row(f"warm: memory of a live child (PSS), {name}", over, held["warm"], held["cold"],
               unit="MiB", goal=goal)  # fmt: skip


def _has(module: str) -> bool:
    return importlib.util.find_spec(module) is not None


def process(lab: Lab) -> list[Row]:
    """50 no-ops, each in a process of its own."""
    count = 50
    lab.write("noop_tasks.py", peers.NOOP)
    what = "mode: process\n    function: noop_tasks:noop"
    job = lab.write("processes.yaml", "limits: {processes: 2}\n" + _instances(count, what))
    one = lab.write("one.yaml", f"tasks:\n  one:\n    {what}\n")
    lab.orch(one)
    pool = lab.write("pool.py", peers.PROCESS_POOL)
    forks = lab.write("forks.py", peers.FORKS)
    found = lab.rounds(5, {
        "one": _spent(lab, one, "-q"),
        "orch": _spent(lab, job, "-q"),
        "pool": _peer(lab, pool, count),
        "pool, one": _peer(lab, pool, 1),
        "forks": lambda: _forked(lab, forks, count),
        "forks, none": lambda: _forked(lab, forks, 0),
    })  # fmt: skip
    ours = [us / 1e3 for us in per_task_us(found, "orch", "one", count - 1)]
    theirs = [us / 1e3 for us in per_task_us(found, "pool", "pool, one", count - 1)]
    over = "ProcessPoolExecutor(2), 1 task a child"
    bare = [us / 1e3 for us in per_task_us(found, "forks", "forks, none", count)]
    return [
        Row("process: 50 no-ops, less a run of one", "a Python that forks, bare", ours, bare,
            unit="ms", goal=2),
        Row("process: 50 no-ops, less a run of one", over, ours, theirs, unit="ms", goal=0.25),
        Row("process: 50 no-ops, whole process", over, *_milli(found["orch"], found["pool"]),
            unit="ms"),
    ]  # fmt: skip


def _forked(lab: Lab, forks: Path, count: int) -> float:
    folder = lab.root / "forked"
    folder.mkdir()
    seconds = lab.python(forks, count, folder).seconds
    shutil.rmtree(folder)
    return seconds


def work(lab: Lab) -> list[Row]:
    """Compute in two processes, and wait on 64 threads."""
    lab.write("burning.py", peers.BURN)
    limits = "limits: {threads: 64, processes: 2}\n"
    burn = lab.write(
        "burn.yaml", limits + _instances(12, "mode: process\n    function: burning:burn")
    )
    naps = lab.write(
        "naps.yaml", limits + _instances(640, "mode: thread\n    function: burning:nap")
    )
    pool = lab.write("pool.py", peers.BURN_POOL)
    threads = lab.write("naps.py", peers.NAPS)
    found = lab.rounds(5, {
        "burn": _kept(lab, burn),
        "naps": _kept(lab, naps),
        "pool": _peer(lab, pool, 12),
        "threads": _peer(lab, threads, 10),
    })  # fmt: skip
    return [
        Row("work: 12 x pure Python as `process`, whole run", "ProcessPoolExecutor(2)",
            *_milli(found["burn"], found["pool"]), unit="ms", goal=1.05),
        Row("work: 640 x sleep 0.1 s on 64 threads, whole run", "64 bare threads",
            *_milli(found["naps"], found["threads"]), unit="ms", goal=1.1),
    ]  # fmt: skip


def idle(lab: Lab) -> list[Row]:
    """Sleep: what orch takes meanwhile, keeper and watchdog included."""
    seconds = 60
    job = lab.write("idle.yaml", "limits: {processes: 4}\n" + _instances(
        4, f"mode: subprocess\n    command: [sleep, '{seconds}']"
    ))  # fmt: skip
    cpu_s, held_mib, watched_s = lab.idle(job, seconds)
    return [
        Row(f"idle: {watched_s:.0f} s of sleeping programs, share of a core", "",
            [cpu_s / watched_s * 100], unit="%", goal=0.1),
        Row("idle: memory (PSS), with keeper and watchdog", "", [held_mib], unit="MiB",
            goal=40 * 1e6 / 2**20),
    ]  # fmt: skip


def start(lab: Lab) -> list[Row]:
    """Cold start: a job of one task."""
    thread = _one(lab)
    program = lab.write("program.yaml", "tasks: {one: {mode: subprocess, command: [/bin/true]}}\n")
    looked_up = lab.write("looked_up.yaml", (
        "params: {word: {type: str, default: hello}}\ntasks:\n"
        "  first: {mode: subprocess, command: [/bin/echo, '1'], output: json}\n"
        "  second:\n    mode: subprocess\n"
        "    command: [/bin/true, '{{ params.word }}', '{{ tasks.first.output }}']\n"
    ))  # fmt: skip
    found = lab.rounds(9, {
        "thread": _kept(lab, thread),
        "program": _kept(lab, program),
        "looked up": _kept(lab, looked_up),
        "new": _spent(lab, looked_up, "-q"),
        "version": lambda: lab.spent(sys.executable, "-m", "orchestrator", "--version").seconds,
        "python": lambda: lab.python("pass").seconds,
        **{other.name: _other(lab, other, path, 1) for other, path in others.installed()},
    })  # fmt: skip
    over = "python -c pass"
    bare = found["python"]
    rows = [
        Row(f"start: {name}", over, *_milli(found[key], bare), unit="ms", goal=goal)
        for key, name, goal in (
            ("thread", "one function on a thread", 3), ("program", "one program", 3),
            ("looked up", "two programs, a parameter, an output", 3),
            ("new", "the same, never read before", 15), ("version", "orch --version", None),
        )
    ]  # fmt: skip
    return rows + [
        Row(f"start: {other.name}, one program", over, *_milli(found[other.name], bare), unit="ms")
        for other, _ in others.installed()
    ]


_GIVES = {
    "function": 'mode: thread, function: "flow:give", args: [{count}]',
    "process": 'mode: process, function: "flow:give", args: [{count}]',
    "program": 'mode: subprocess, program: writer.py, args: ["{count}"]',
}
_TAKES = {
    "function": 'mode: thread, function: "flow:take", args: [{count}]',
    "process": 'mode: process, function: "flow:take", args: [{count}]',
    "program": 'mode: subprocess, program: reader.py, args: ["{count}"]',
}


def queues(lab: Lab) -> list[Row]:
    """Items a second between two tasks."""
    count = 200_000
    programs = (("flow", peers.FLOW), ("writer", peers.WRITER), ("reader", peers.READER),
                ("queue_", peers.QUEUE), ("mp_queue", peers.MP_QUEUE))  # fmt: skip
    written = {name: lab.write(f"{name}.py", text) for name, text in programs}
    pipe = lab.write(
        "pipe.sh", f'"{sys.executable}" writer.py $1 | "{sys.executable}" reader.py $1\n'
    )
    compared: tuple[tuple[str, str, str, str, float | None], ...] = (
        ("function", "function", "maxsize: 100", "queue", -0.5),
        ("function", "program", "", "mp", -1.5),
        ("function", "process", "", "mp", -1.5),
        ("process", "process", "", "mp", None),
        ("program", "function", "", "mp", None),
        ("program", "program", "maxsize: 1000", "pipe", None),
        ("program", "program", "", "pipe", -0.8),
    )
    cases: dict[str, Measure] = {}
    for give, take, bound, *_ in compared:
        for number in (0, count):
            text = (
                f"queues: {{q: {{{bound}}}}}\nlimits: {{processes: 2}}\ntasks:\n"
                f"  give: {{{_GIVES[give]}, publish: q}}\n  take: {{{_TAKES[take]}, consume: q}}\n"
            ).replace("{count}", str(number))
            label = f"{give} {take} {bound} {number}"
            job = lab.write(f"flow{len(cases)}.yaml", text)
            cases[label] = _spent(lab, job, "-q")
    for number in (0, count):
        cases[f"queue {number}"] = _peer(lab, written["queue_"], number)
        cases[f"mp {number}"] = _peer(lab, written["mp_queue"], number)
        cases[f"pipe {number}"] = lambda n=number: lab.spent("/bin/sh", str(pipe), str(n)).seconds  # type: ignore[misc]
    found = lab.rounds(7, cases)

    def rates(name: str) -> list[float]:
        return [1e6 / us for us in per_task_us(found, f"{name} {count}", f"{name} 0", count)]

    over = {
        "queue": "queue.Queue(100), two threads", "mp": "multiprocessing.Queue(100)",
        "pipe": "the same programs, a bare pipe",
    }  # fmt: skip
    rows = []
    for give, take, bound, peer, goal in compared:
        how = f", {bound}" if bound else ", a plain pipe" if give == take == "program" else ""
        name = f"queues: {give} -> {take}{how}"
        ours = rates(f"{give} {take} {bound}")
        rows.append(Row(name, over[peer], ours, rates(peer), unit="items/s", goal=goal))
    return rows


def advice(lab: Lab) -> list[Row]:
    """Have modes advised for functions of ten kinds, and run them in both for real."""
    lab.write("held.py", Path(held.__file__).read_text())
    names = [name for name in held.NAMES if name != "arrays" or _has("numpy")]
    if len(names) < len(held.NAMES):
        lab.notes.append("advice: no numpy, so no row for it")
    tried = [_advised(lab, name) for name in names]
    count = len(tried)
    faster = sum(is_faster for _, is_faster in tried)
    near = sum(0.75 <= row.ratios[0] <= 1.25 for row, _ in tried)
    return [
        Row(f"advice: {what}", "", [found], unit=f"of {count}", goal=1 - count)
        for what, found in (("the faster mode", faster), ("speed-ups within 25 %", near))
    ] + [row for row, _ in tried]


def _advised(lab: Lab, name: str) -> tuple[Row, bool]:
    """Return what the other mode is worth by what was predicted, and if the faster is advised."""
    jobs = {
        mode: lab.write(f"{name}_{mode}.yaml", (
            f"name: {name}\n" + _instances(2, f"mode: {mode}\n    function: held:{name}")
        ))
        for mode in ("thread", "process")
    }  # fmt: skip
    said = lab.told("advise", str(jobs["thread"]), "--measure", "--yes", "--json")["tasks"]["all"]
    found = lab.rounds(5, {mode: _lasts(lab, job) for mode, job in jobs.items()})
    real = {mode: median(seconds) for mode, seconds in found.items()}
    ours, predicted = ([each["thread"] / each["process"]] for each in (real, said["seconds"]))
    title = f"advice: {name}, as a thread by as a process ({said['advised']} advised)"
    is_faster = real[said["advised"]] <= 1.1 * min(real.values())
    return Row(title, "as predicted", ours, predicted, unit="x"), is_faster


def _lasts(lab: Lab, job: Path) -> Measure:
    """Measure how long a run says that it took."""

    def measure() -> float:
        seconds: float = lab.told("run", str(job), "-q", "--json")["duration_s"]
        return seconds

    return measure


BENCHMARKS: dict[str, Callable[[Lab], list[Row]]] = {
    "start": start,
    "wide": wide,
    "chain": chain,
    "layers": layers,
    "scale": scale,
    "reading": reading,
    "launch": launch,
    "follow": follow,
    "warm": warm,
    "process": process,
    "work": work,
    "advice": advice,
    "idle": idle,
    "queues": queues,
}
