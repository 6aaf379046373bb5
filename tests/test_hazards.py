"""Suspected races between tasks on threads: a known set of seeded races and of harmless code."""

import json
import re
from pathlib import Path

import pytest

from orchestrator.hazards import Hazard, Place, Search, effects_of, hazards, sources
from orchestrator.hazards.overlap import MAX_STEPS
from orchestrator.hazards.values import Nested
from orchestrator.plan.model import Pipeline, Plan, PlanTask
from orchestrator.plan.templates import Template, compiled, parse
from tests.builder import Builder

CASES = Path(__file__).parent / "hazards"
MARK = "# here"


def cases(kind: str) -> list[Path]:
    """Return the files of one kind; those that begin with ``_`` belong to another."""
    return sorted(p for p in (CASES / kind).glob("*.py") if not p.name.startswith("_"))


def _header(path: Path, key: str) -> str:
    found = re.search(rf"^# {key}: (.*)$", path.read_text(), re.MULTILINE)
    return found[1] if found else ""


def plan_of(path: Path) -> Plan:
    """Return the plan that the comments at the head of a case state."""
    tasks = _tasks_of(path)
    for name, other in re.findall(r"(\w+)->(\w+)", _header(path, "queue")):
        tasks[name].publish = tasks[other].consume = "q"
    capacities = {}
    for name, capacity, users in re.findall(r"(\w+)=(\d+) of (\w+)", _header(path, "resources")):
        capacities[name] = int(capacity)
        for user in tasks if users == "all" else [users]:
            tasks[user].resources = {name: 1}  # type: ignore[attr-defined]
    plan = Plan("case", str(path.parent), tasks, threads=int(_header(path, "threads") or 8))
    plan.resources = capacities  # type: ignore[attr-defined]
    return plan


def _tasks_of(path: Path) -> dict[str, PlanTask]:
    tasks = {}
    for order, (name, function) in enumerate(re.findall(r"(\w+)=([\w.]+)", _header(path, "tasks"))):
        reference = f"{path.stem}:{function}"
        tasks[name] = PlanTask(name=name, order=order, mode="thread", function=reference)
    for name, need in re.findall(r"(\w+)->(\w+)", _header(path, "needs")):
        tasks[name].needs = (*tasks[name].needs, need)
    for name, args in re.findall(r"(\w+)=(\[.*?\])", _header(path, "args")):
        tasks[name].args = compiled(json.loads(args))
    for name, items in re.findall(r"(\w+)=(\[.*?\])", _header(path, "items")):
        tasks[name].items = json.loads(items)
    for key in ("mode", "run_when"):
        for name, word in re.findall(r"(\w+)=(\w+)", _header(path, key.replace("_", " "))):
            setattr(tasks[name], key, word)
    for name in _header(path, "never").split():
        tasks[name].when = False
    for name, kwargs in re.findall(r"(\w+)=(\{.*?\})", _header(path, "kwargs")):
        tasks[name].kwargs = json.loads(kwargs)
    for name in _header(path, "many").split():
        tasks[name].replicas = 2
    return tasks


def _marked(path: Path) -> set[tuple[str, int]]:
    files = [path, *path.parent.glob(f"_{path.stem}_*.py")]
    return {
        (file.name, number)
        for file in files
        for number, line in enumerate(file.read_text().split("\n"), 1)
        if MARK in line
    }


def _places(hazard: Hazard) -> set[tuple[str, int]]:
    return {(place.file, place.line) for place in hazard.places}


# What is known not to be found, and to be told without reason.
MISSES = [
    "hidden_in_exec",  # code in a text is not read
    "name_made_at_run_time",  # nor are names that only exist while it runs
]
FALSE_ALARMS: list[str] = []


def _found(path: Path) -> bool:
    return any(_places(hazard) == _marked(path) for hazard in hazards(plan_of(path)))


def test_seeded_races_are_found() -> None:
    """Both lines of at least 95 % of the known races are named; which are not is known."""
    races = cases("races")
    assert [path.stem for path in races if not _found(path)] == MISSES
    assert len(races) >= 160
    assert len(MISSES) <= 0.05 * len(races)


def test_harmless_code_is_left_alone() -> None:
    """Less than 5 % of harmless cases are suspected; which is known."""
    harmless = cases("harmless")
    assert [path.stem for path in harmless if hazards(plan_of(path))] == FALSE_ALARMS
    assert len(harmless) >= 140
    assert len(FALSE_ALARMS) < 0.05 * len(harmless)


def test_a_race_is_told_once() -> None:
    """No known race with one cause is told twice."""
    assert [p.stem for p in cases("races") if len(hazards(plan_of(p))) > 1] == []


def plan(
    root: Path, text: str, *names: str, function: str = "f", threads: int = 8, **fields: object
) -> Plan:
    """Return a plan of tasks called *names* that all run *function* of module ``m``, *text*."""
    (root / "m.py").write_text(text)
    tasks = {
        name: PlanTask(name=name, order=order, mode="thread", function=f"m:{function}", **fields)
        for order, name in enumerate(names)
    }
    return Plan("case", str(root), tasks, threads=threads)


UP = "N = 0\n\n\ndef f(*rest):\n    global N\n    N += 1\n"
SAVE = "def f(path):\n    with open(path, 'w') as stream:\n        stream.write('x')\n"


def test_a_suspect(tmp_path: Path) -> None:
    """It says who, what, where, why and what can be done."""
    (found,) = hazards(plan(tmp_path, UP, "a", "b"))
    assert found == Hazard(
        tasks=("a", "b"),
        resource="`m.N`, a module global",
        places=(Place("m.py", 6), Place("m.py", 6)),
        why="`N += 1` reads, then writes: what the other adds in between is lost",
        ways=(
            "`with` a `threading.Lock` at both places",
            "a lock under `resources:`",
            "`needs:` that puts them in order",
            "`mode: process`",
            "`# orch: shared` on the line, if it is meant",
        ),
    )


def test_one_line(tmp_path: Path) -> None:
    """The text of a suspect is one line."""
    (found,) = hazards(plan(tmp_path, UP, "a", "b"))
    said = "suspect: `a` and `b` may run at the same time, and both touch `m.N`: m.py:6"
    assert found.text() == said


def test_a_task_beside_itself(tmp_path: Path) -> None:
    """Instances of one task race with each other, and the text says so."""
    (found,) = hazards(plan(tmp_path, UP, "a", replicas=3))
    assert found.tasks == ("a", "a")
    assert found.text() == "suspect: `a` may run beside itself, and touches `m.N`: m.py:6"


@pytest.mark.parametrize(
    ("fields", "count"),
    [
        ({}, 0),
        ({"replicas": 1}, 0),
        ({"replicas": 2}, 1),
        ({"items": [1]}, 0),
        ({"items": [1, 2]}, 1),
        ({"foreach": Template("x", ("x",))}, 1),
        ({"source": "q"}, 1),
        ({"replicas": 2, "skip": "left out"}, 0),
        ({"replicas": 2, "mode": "process"}, 0),
    ],
)
def test_when_a_task_runs_beside_itself(
    tmp_path: Path, fields: dict[str, object], count: int
) -> None:
    """It does where it has several instances, or nobody knows how many."""
    case = plan(tmp_path, UP, "a")
    for name, value in fields.items():
        setattr(case.tasks["a"], name, value)
    assert len(hazards(case)) == count


@pytest.mark.parametrize(("capacity", "count"), [(1, 0), (3, 0), (4, 1)])
def test_resources(tmp_path: Path, capacity: int, count: int) -> None:
    """Two tasks overlap if what both take of a resource is there."""
    case = plan(tmp_path, UP, "a", "b")
    case.resources = {"memory": capacity}  # type: ignore[attr-defined]
    for task in case.tasks.values():
        task.resources = {"memory": 2}  # type: ignore[attr-defined]
    assert len(hazards(case)) == count


def test_a_pipeline_waits_together(tmp_path: Path) -> None:
    """What one member of a pipeline waits for has ended before any of them starts."""
    case = plan(tmp_path, UP, "before", "source")
    (tmp_path / "o.py").write_text("def sink(items):\n    return list(items)\n")
    case.tasks["sink"] = PlanTask(
        name="sink", order=2, mode="thread", function="o:sink", consume="q", needs=("before",)
    )
    assert len(hazards(case)) == 1
    case.tasks["source"].publish = "q"
    case.pipelines = [Pipeline(("source", "sink"), 2, 0)]
    assert hazards(case) == []


def test_an_arguments_file(tmp_path: Path) -> None:
    """Files are the same however they are named; templates are not known."""
    case = plan(tmp_path, SAVE, "a", "b", "c")
    for name, path in (("a", "out/x"), ("b", f"{tmp_path}/out/../out/x"), ("c", "out/y")):
        case.tasks[name].args = (path,)
    assert [h.tasks for h in hazards(case)] == [("a", "b")]
    case.tasks["b"].args = ()
    case.tasks["b"].kwargs = {"path": "./out/x"}
    assert [h.tasks for h in hazards(case)] == [("a", "b")]
    case.tasks["b"].kwargs = {"path": parse("out/{{ tasks.a.output }}")}
    assert hazards(case) == []


def test_a_folder_of_its_own(tmp_path: Path) -> None:
    """A task with a ``cwd`` has its relative files there."""
    case = plan(tmp_path, SAVE, "a", "b", args=("x",))
    case.tasks["a"].cwd = "one"
    assert hazards(case) == []
    case.tasks["b"].cwd = "one/../one"
    assert [h.resource for h in hazards(case)] == ["`one/x`, a file"]


def test_a_default_that_is_not_used(tmp_path: Path) -> None:
    """A mutable default does not matter where the task gives a value."""
    text = "def f(n, seen=[]):\n    if n not in seen:\n        seen.append(n)\n"
    assert len(hazards(plan(tmp_path, text, "a", "b", args=(1,)))) == 1
    assert hazards(plan(tmp_path, text, "a", "b", args=(1, []))) == []


def test_an_effect(tmp_path: Path) -> None:
    """It says what, how, where, under which locks, and by which calls it was reached."""
    (tmp_path / "m.py").write_text(
        "import threading\nL = threading.Lock()\nN = 0\n\n\n"
        "def up():\n    global N\n    N += 1  # orch: shared\n\n\n"
        "def f():\n    with L:\n        up()\n"
    )
    (found,) = (e for e in effects_of("m:f", str(tmp_path)) if e.resource[-1] == "N")
    assert (found.kind, found.line, found.calls) == ("update", 8, ("up",))
    assert found.locks == {("global", "m", "L")}
    assert found.accepted


@pytest.mark.parametrize(
    ("line", "resource"),
    [
        ("os.chdir(x)", ("process", "cwd")),
        ("os.environ['A'] = x", ("process", "environ")),
        ("os.umask(0)", ("process", "umask")),
        ("signal.signal(2, x)", ("process", "signals")),
        ("random.seed(x)", ("process", "random seed")),
        ("locale.setlocale(0, x)", ("process", "locale")),
        ("sys.stdout = x", ("process", "standard streams")),
        ("warnings.simplefilter('error')", ("process", "warnings filters")),
        ("logging.basicConfig(level=x)", ("process", "logging configuration")),
        ("tempfile.tempdir = x", ("process", "temporary directory")),
        ("sys.path.append(x)", ("process", "sys.path")),
        ("sys.setrecursionlimit(x)", ("process", "recursion limit")),
        ("socket.setdefaulttimeout(x)", ("process", "socket default timeout")),
        ("time.tzset()", ("process", "time zone")),
        ("gc.disable()", ("process", "garbage collector")),
        ("os._exit(x)", ("process", "life")),
        ("multiprocessing.set_start_method(x)", ("process", "start method")),
    ],
)
def test_what_the_process_has_one_of(tmp_path: Path, line: str, resource: tuple[str, ...]) -> None:
    """Calls and assignments that take effect in all threads are known."""
    modules = "gc, locale, logging, multiprocessing, os, random, signal, socket, sys, tempfile"
    (tmp_path / "m.py").write_text(f"import {modules}, time, warnings\n\n\ndef f(x):\n    {line}\n")
    written = {e.resource for e in effects_of("m:f", str(tmp_path)) if e.kind != "read"}
    assert resource in written


GARBAGE = [
    "def f(:\n",
    "\0",
    "def f():\n" + "    return " + "(" * 400 + ")" * 400 + "\n",
    "def f():\n    return " + "-" * 5000 + "1\n",
    "def f():\n    return " + "+".join(["x"] * 4000) + "\n",
    "class A(A):\n    def m(self):\n        return super().m()\n\n\nf = A().m\n",
    "X = Y\nY = X\n\n\ndef f():\n    X[Y] += f()()\n",
    "@f\ndef f():\n    return f\n",
    "from m import *\nfrom m import f\n",
    "f = lambda: (yield from f)\n",
    "async def f(*, a=b, **c):\n    async with a as (b, *c), d:\n        del a[b], c.d\n",
    "def f(x):\n    match x:\n        case {'a': [b, *c], **d}:\n            d[b] += c\n",
]


@pytest.mark.parametrize("text", GARBAGE)
def test_what_cannot_be_read_raises_nothing(tmp_path: Path, text: str) -> None:
    """Code that is broken, odd or endless has no effects, or some; there is no error."""
    assert isinstance(hazards(plan(tmp_path, text, "a", "b")), list)
    assert isinstance(effects_of("m:f", str(tmp_path)), tuple)


@pytest.mark.parametrize("reference", ["", ":", "m", "m:", "m:g", "no.such:f", "os:chdir", "m:N.x"])
def test_a_reference_to_nothing(tmp_path: Path, reference: str) -> None:
    """What is not there, or is not the job's own, has no effects."""
    (tmp_path / "m.py").write_text(UP)
    assert effects_of(reference, str(tmp_path)) == ()


def test_installed_packages_are_not_followed(tmp_path: Path) -> None:
    """What stands in site-packages is not the job's own, even below its root."""
    folder = tmp_path / "site-packages"
    folder.mkdir()
    (folder / "p.py").write_text(UP)
    assert effects_of("p:f", str(folder)) != ()
    (tmp_path / "m.py").write_text("import sys\n\n\ndef f():\n    import p\n    p.f()\n")
    assert effects_of("m:f", str(tmp_path)) == ()


@pytest.mark.parametrize("calls", ["", "g{0}(); ", "{1}"])
def test_work_does_not_double_with_inner_functions(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, calls: str
) -> None:
    """Of 40 functions in one, each called and perhaps calling those before, each is hashed once."""
    inner = ""
    for at in range(40):
        before = "; ".join(f"g{n}()" for n in range(at))
        inner += f"    def g{at}():\n        {calls.format(max(0, at - 1), before)}\n"
        inner += f"        global N\n        N += {at}\n    g{at}()\n"
    text = f"N = 0\n\n\ndef h(how):\n{inner}    return g39\n\n\ndef f():\n    h('a')(); h('b')()\n"
    (tmp_path / "m.py").write_text(text)
    compared = 0
    equal = Nested.__eq__

    def counted(self: Nested, other: object) -> bool:
        nonlocal compared
        compared += 1
        return equal(self, other)

    monkeypatch.setattr(Nested, "__eq__", counted)
    lines = {effect.line for effect in effects_of("m:f", str(tmp_path)) if effect.kind == "update"}
    assert len(lines) == 40
    assert compared <= 20_000


def test_a_class_is_looked_through_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """However many attributes of a class of 400 methods are named: once."""
    methods = "".join(
        f"    def m{n}(self):\n        self.a{n} = self.n\n        self.b = self.a{n}\n"
        f"        self.n += 1\n        return self.b\n"
        for n in range(400)
    )
    calls = "".join(f"    X.m{n}()\n" for n in range(400))
    text = f"class A:\n    def __init__(self):\n        self.n = 0\n{methods}\n\nX = A()\n\n\n"
    (tmp_path / "m.py").write_text(f"{text}def f():\n{calls}")
    looked, body = [], sources._body
    monkeypatch.setattr(sources, "_body", lambda kind: looked.append(kind.path) or body(kind))
    found = {e.line for e in effects_of("m:f", str(tmp_path)) if e.kind == "update"}
    assert len(found) == 400
    assert looked == ["A"]


@pytest.mark.parametrize(
    ("text", "unread"),
    [
        (UP, ()),
        ("def f(:\n", ("m",)),
        ("import n\n\n\ndef f():\n    n.up()\n", ("n",)),
        ("def g():\n    pass\n", ("m:f",)),
        ("def f():\n    return " + "+".join(["x"] * 700) + "\n", ("m:f",)),
        ("from os import chdir as f\n", ()),  # not the job's own
    ],
)
def test_what_was_not_read_is_told(tmp_path: Path, text: str, unread: tuple[str, ...]) -> None:
    """A search without suspects says what it could not look into."""
    (tmp_path / "n.py").write_text("def up(:\n")
    search = Search(plan(tmp_path, text, "a", "b"))
    search.run()
    assert search.unread == unread


def test_what_is_too_much_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """So does one that was cut short by a limit."""
    calls = "".join(f"def f{n}():\n    f{n + 1}()\n\n\n" for n in range(30))
    search = Search(plan(tmp_path, f"{calls}def f30():\n    pass\n", "a", function="f0"))
    search.run()
    assert search.unread == ()  # deep, and yet followed to its end
    monkeypatch.setattr("orchestrator.hazards.effects.MAX_VISITS", 10)
    search.read.clear()
    search.run()
    assert search.unread == ("m:f0",)


def _layers(root: Path, tasks: int) -> Plan:
    """Return a plan of three functions in layers of 100 tasks, each of which needs two before."""
    case = plan(root, UP + "\n\ndef g():\n    return N\n\n\n" + SAVE.replace("f(", "h("))
    for order in range(tasks):
        layer, at = divmod(order, 100)
        needs = (f"t{order - 100}", f"t{layer * 100 - 100 + (at + 1) % 100}") if layer else ()
        name, args = "fgh"[order % 3], (f"out/{order}",) if order % 3 == 2 else ()
        case.tasks[f"t{order}"] = PlanTask(
            name=f"t{order}", order=order, mode="thread", function=f"m:{name}", needs=needs,
            args=args,
        )  # fmt: skip
    return case


def test_work_does_not_grow_with_pairs_of_tasks(tmp_path: Path) -> None:
    """In 20,000 tasks each function is read once, and fewer places are compared than tasks."""
    small, large = Search(_layers(tmp_path, 200)), Search(_layers(tmp_path, 20_000))
    assert [h.places for h in small.run()] == [h.places for h in large.run()]
    assert len(large.read) == 3
    assert large.compared <= 20_000  # each file of its own with itself, and the rest once
    assert large.overlaps.steps <= 20_000


def test_a_long_chain_is_no_race(tmp_path: Path) -> None:
    """20,000 tasks one after another never overlap; that is found out in a bounded search."""
    case = plan(tmp_path, UP, *(f"t{order}" for order in range(20_000)))
    for order in range(1, 20_000):
        case.tasks[f"t{order}"].needs = (f"t{order - 1}",)
    search = Search(case)
    assert search.run() == []
    assert 0 < search.overlaps.steps < MAX_STEPS


def test_check_tells_of_suspects(job: Builder) -> None:
    """``orch check`` warns, with both places and the ways out, and the exit code stays."""
    job.module("TOTAL = 0\ndef add(n):\n    global TOTAL\n    TOTAL += n\n")
    job.tasks("a: {mode: thread, function: 'm:add', args: [1], foreach: {i: [1, 2]}}")
    done = job.orch("check", "job.yaml")
    assert done.code == 0
    assert "suspect: `a` may run beside itself, and touches `m.TOTAL`: m.py:4" in done.err
    assert "# orch: shared" in done.err
    (problem,) = job.orch("check", "job.yaml", "--json").document["problems"]
    assert (problem["severity"], problem["where"]) == ("warning", "tasks.a.function")
    (found,) = job.orch("advise", "job.yaml", "--json").document["hazards"]
    assert (found["tasks"], found["places"]) == (["a", "a"], ["m.py:4", "m.py:4"])


def test_too_many_suspects_are_cut(job: Builder) -> None:
    """Nobody reads hundreds of warnings: the rest is counted."""
    lines = "".join(f"X{n} = 0\ndef f{n}():\n    global X{n}\n    X{n} += 1\n" for n in range(30))
    job.module(lines)
    tasks = "".join(f"t{n}: {{function: 'm:f{n}', foreach: {{i: [1, 2]}}}}\n" for n in range(30))
    job.tasks(tasks, "defaults: {mode: thread}")
    done = job.orch("check", "job.yaml")
    assert "10 more suspects like these are not shown" in done.err
