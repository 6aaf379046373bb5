"""What a warning about a suspected race says, and whom of many instances it is about."""

from pathlib import Path

import pytest

from orchestrator.hazards import Hazard, Search, hazards
from orchestrator.hazards.binding import MAX_INSTANCES
from orchestrator.plan.templates import compiled, parse
from tests.builder import Builder
from tests.test_hazards import SAVE, UP, plan

MEMO = "M = {}\n\n\ndef f(key):\n    if key not in M:\n        M[key] = len(key)\n"
LOCKED = (
    "import threading\n\nL = {'a': threading.Lock()}\nN = 0\n\n\n"
    "def f(key):\n    global N\n    with L[key]:\n        N += 1\n"
)


def _why(root: Path, text: str, *names: str) -> str:
    (found,) = hazards(plan(root, text, *(names or ("a", "b"))))
    return found.why


def test_where_the_look_was(tmp_path: Path) -> None:
    """Who acts on an earlier look is told where that was."""
    text = "N = []\n\n\ndef f(x):\n    if x not in N:\n        N.append(x)\n"
    said = "`N.append(x)` acts on an earlier look in line 5: both may find the same, and both act"
    assert said == _why(tmp_path, text)


def test_a_look_in_another_file(tmp_path: Path) -> None:
    """The look of a caller is named with its file."""
    (tmp_path / "n.py").write_text("N = []\n\n\ndef add(x):\n    N.append(x)\n")
    text = "import n\n\n\ndef f(x):\n    if x not in n.N:\n        n.add(x)\n"
    assert "`N.append(x)` acts on an earlier look in m.py:5" in _why(tmp_path, text)


def test_a_look_in_the_same_line(tmp_path: Path) -> None:
    """A look in the line itself needs no place."""
    text = "N = 0\n\n\ndef f():\n    global N\n    N = N + 1\n"
    assert "`N = N + 1` writes what it has made from an earlier look: a change" in _why(
        tmp_path, text
    )


def test_a_line_that_both_run(tmp_path: Path) -> None:
    """One line that both run stands there once."""
    text = "N = 0\n\n\ndef f(x):\n    global N\n    N = x\n"
    assert _why(tmp_path, text) == "each time `N = x` sets it: which one is last is up to chance"


def test_who_reads_it(tmp_path: Path) -> None:
    """Who reads what the other has set is named."""
    text = "N = 0\n\n\ndef f(x):\n    global N\n    N = x\n    print(N)\n"
    assert _why(tmp_path, text) == (
        "each time `N = x` sets it: `print(N)` may find what the other has set"
    )


def test_who_holds_no_lock_is_blamed(tmp_path: Path) -> None:
    """Of two places the one without a lock is shown."""
    text = (
        "import threading\n\nL = threading.Lock()\nN = 0\n\n\ndef f():\n    global N\n"
        "    with L:\n        N += 1\n\n\ndef g():\n    global N\n    N += 2\n"
    )
    case = plan(tmp_path, text, "a", "b")
    case.tasks["b"].function = "m:g"
    assert {h.why.partition(" reads")[0] for h in hazards(case)} == {"`N += 2`"}


def test_a_folder(tmp_path: Path) -> None:
    """What is made or removed as a folder is called one."""
    text = "import shutil\n\n\ndef f():\n    shutil.rmtree('out')\n"
    (found,) = hazards(plan(tmp_path, text, "a", "b"))
    assert found.resource == "`out`, a folder"
    assert found.why == "one makes or removes the folder while the other is in it"


def _instances(root: Path, text: str, items: object, args: object) -> list[Hazard]:
    case = plan(root, text, "a")
    case.tasks["a"].items = items  # type: ignore[assignment]
    case.tasks["a"].args = compiled(args)
    return hazards(case)


@pytest.mark.parametrize(
    ("text", "items", "args", "count"),
    [
        (SAVE, ["x", "y"], ["{{ item }}"], 0),
        (SAVE, ["x", "y", "x"], ["{{ item }}"], 1),
        (SAVE, [{"n": 1, "p": "x"}, {"n": 2, "p": "x"}], ["{{ item.p }}"], 1),
        (SAVE, [{"n": 1, "p": "x"}, {"n": 2, "p": "x"}], ["{{ item.p }}{{ item.n }}"], 0),
        (SAVE, ["x", "y"], ["z"], 1),
        (SAVE, ["x", "y"], ["{{ run.id }}/{{ item }}"], 0),  # nobody knows
        (SAVE, [1, 2], ["{{ item.p }}"], 0),  # nor here
        (MEMO, ["x", "y"], ["{{ item }}"], 0),
        (MEMO, [1, 2, 1], ["{{ item }}"], 1),
        (MEMO, ["x", "y"], ["z"], 1),
        (MEMO, [["x"], ["x"]], ["{{ item }}"], 1),
        (LOCKED, ["a", "b"], ["{{ item }}"], 1),
        (LOCKED, ["a", "b"], ["a"], 0),
        (LOCKED, ["a", "a"], ["{{ item }}"], 0),
        (UP, ["a", "b"], ["{{ item }}"], 1),
    ],
)
def test_instances(
    tmp_path: Path, text: str, items: list[object], args: list[object], count: int
) -> None:
    """Instances race where their items lead to the same; a lock is one where its key is."""
    assert len(_instances(tmp_path, text, items, args)) == count


@pytest.mark.parametrize(("text", "count"), [(SAVE, 0), (MEMO, 0), (LOCKED, 1), (UP, 1)])
def test_items_that_a_run_brings(tmp_path: Path, text: str, count: int) -> None:
    """Items that are not known yet are taken to differ."""
    case = plan(tmp_path, text, "a")
    case.tasks["a"].foreach = parse("{{ tasks.b.output }}")
    case.tasks["a"].args = compiled(["{{ item }}"])
    assert len(hazards(case)) == count


def test_the_same_template_is_the_same_key(tmp_path: Path) -> None:
    """Two tasks that are given one output go by one key, whatever it will be."""
    case = plan(tmp_path, MEMO, "a", "b")
    case.tasks["a"].args = case.tasks["b"].args = compiled(["{{ tasks.c.output }}"])
    assert len(hazards(case)) == 1
    case.tasks["b"].args = compiled(["{{ tasks.d.output }}"])
    assert hazards(case) == []


def test_work_is_bounded_with_many_items(tmp_path: Path) -> None:
    """Of 200,000 items the first are looked at; the same lines are told as for few."""
    case = plan(tmp_path, LOCKED, "a")
    case.tasks["a"].args = compiled(["{{ item }}"])
    case.tasks["a"].items = [str(number) for number in range(200_000)]
    search = Search(case)
    assert [place.line for h in search.run() for place in h.places] == [10, 10]
    assert search.compared <= MAX_INSTANCES * 10


def test_what_can_be_done_is_told_once(job: Builder) -> None:
    """The hint stands at the first of several warnings with the same ways out."""
    lines = "".join(f"X{n} = 0\ndef f{n}():\n    global X{n}\n    X{n} += 1\n" for n in range(3))
    job.module(lines)
    tasks = "".join(f"t{n}: {{function: 'm:f{n}', foreach: {{i: [1, 2]}}}}\n" for n in range(3))
    job.tasks(tasks, "defaults: {mode: thread}")
    done = job.orch("check", "job.yaml")
    assert (done.err.count("suspect:"), done.err.count("hint:")) == (3, 1)


ODD = r"""
class C:
    def __init__(self):
        self.c = threading.Condition(self.c)
    def m(self):
        with self.c:
            self.n += 1
X = C()
def f():
    X.m()
---
X = [X, [X]]
def f():
    for x in X:
        x.y.z += 1
---
def f(x):
    return f((x, f"{x}{f}"))
---
class C:
    def __getitem__(self, k):
        self[k] += 1
        return self[k]
X = C()
def f(k):
    X[k] += X[k]
---
class D:
    def __init__(self, g):
        self.g = g
    def __call__(self):
        return D(self.g)
@D
@D
def f():
    return X[f]()
X = {D: D}
---
def __getattr__(name):
    import m
    return m.nothing
def f():
    import m
    m.more()
---
X = {}
X[0] = X.setdefault(1, C())
class C(X[0]):
    x = X
def f():
    C.x[f].y()
---
def f(k, d={"\x01": {}}):
    d["\x01\x02"][k]["\x00"] = open(f"\x01{k}\x02", "w")
"""


@pytest.mark.parametrize("text", ODD.split("---\n"))
def test_what_turns_in_circles_ends(tmp_path: Path, text: str) -> None:
    """Containers, decorators, methods and modules that lead back to themselves are left at that."""
    case = plan(tmp_path, f"import threading\n{text}", "a", "b")
    case.tasks["b"].args = ["\0", "\1"]
    assert isinstance(hazards(case), list)
