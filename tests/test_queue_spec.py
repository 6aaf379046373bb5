"""Queues in a job file: what the plan makes of them. What is refused stands in ``badspecs``."""
# ruff: noqa: SIM300 - expected == actual

import json
from pathlib import Path
from textwrap import dedent, indent

import pytest

from orchestrator.errors import UsageError
from orchestrator.loading import Choices, load
from orchestrator.plan.model import Pipeline, Plan, PlanQueue
from orchestrator.plan.pipelines import start_order
from orchestrator.spec.models import json_schema
from tests.builder import Builder

MODULE = """
def find(source):
    yield source

def total(items, *, start=0):
    return sum(items, start)

async def copy(items):
    for item in items:
        yield item

def listed():
    return [1, 2]

def maybe(items):
    def inner():
        yield 1
    if items:
        return inner()
"""
CENSUS = """
name: census
queues:
  paths: {maxsize: 256}
  facts: {maxsize: 256}
tasks:
  total: {mode: process, function: "work:total", consume: facts}
  find: {mode: thread, function: "work:find", kwargs: {source: x}, publish: paths}
  measure: {mode: subprocess, command: [cat], consume: paths, publish: facts, replicas: 20}
  render: {mode: subprocess, command: [echo, "{{ tasks.total.output }}"]}
"""
PAIR = "a: {publish: q}\nb: {consume: q}\n"


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "work.py").write_text(MODULE)
    monkeypatch.chdir(tmp_path)


def _load(text: str, *, lenient: bool = False, **choices: object) -> Plan:
    data = dedent(text).encode()
    return load("x.yaml", Choices(**choices), data=data, lenient=lenient).plan


def _plan(tasks: str, queues: str = "{q: {}}", head: str = "", **choices: object) -> Plan:
    """Return the plan of *tasks*, which run ``cat`` where they do not say what."""
    head = dedent(head) or "defaults: {mode: subprocess, command: [cat]}"
    return _load(f"queues: {queues}\n{head}\ntasks:\n{indent(dedent(tasks), '  ')}", **choices)


def test_queue_knows_its_ends_and_its_defaults() -> None:
    """A queue of which nothing is said, not even ``{}``, has defaults; ends are in file order."""
    tasks = 'b: {consume: q}\na: {publish: q}\nc: {foreach: {queue: q}, args: ["{{ item }}"]}'
    plan = _plan(tasks, "{q: }")
    assert {"q": PlanQueue("q", publishers=("a",), consumers=("b", "c"))} == plan.queues


def test_queue_takes_what_is_written() -> None:
    """Sizes and the file may hold templates; the file starts at root."""
    plan = _plan(
        "a: {publish: q}\nb: {consume: q}",
        "{q: {maxsize: '{{ params.n }}', max_bytes: 5, format: text, on_consumer_exit: drain,"
        " delivery: at_least_once, dead_letter: '{{ params.f }}.jsonl'}}",
        """
        params: {n: {type: int, default: 7}, f: {default: dead}}
        defaults: {mode: subprocess, command: [cat]}
        """,
    )
    dead = str(Path.cwd() / "dead.jsonl")
    expected = PlanQueue(
        "q", 7, 5, "text", "drain", "at_least_once", dead, ("a",), ("b",), bounded=True
    )
    assert expected == plan.queues["q"]


def test_pipeline_stands_in_the_order_of_flow_with_its_slots() -> None:
    """Tasks that queues join are one pipeline; replicas take a slot each; the rest is outside."""
    plan = _load(CENSUS)
    assert [Pipeline(("find", "measure", "total"), threads=1, processes=21)] == plan.pipelines


def test_members_side_by_side_stand_in_file_order() -> None:
    """First who takes from nobody, then who takes from them; ties are settled by the file."""
    plan = _plan(
        """
        late: {consume: r}
        b2: {consume: q2, publish: r}
        b1: {consume: q1, publish: r}
        a1: {publish: q1}
        a2: {publish: q2}
        alone: {}
        other: {publish: s}
        reader: {consume: s}
        """,
        "{q1: {}, q2: {}, r: {}, s: {}}",
    )
    lines = [line.members for line in plan.pipelines]
    assert [("a1", "a2", "b2", "b1", "late"), ("other", "reader")] == lines


def test_all_instances_of_a_foreach_take_one_slot() -> None:
    """They may follow one another, whether they come from a list or from a queue."""
    plan = _plan(
        """
        a: {publish: q, foreach: [1, 2, 3]}
        b: {foreach: {queue: q}, args: ["{{ item }}"]}
        """
    )
    assert [2] == [line.processes for line in plan.pipelines]


def test_limits_that_are_not_written_grow() -> None:
    """A limit that the file leaves out is at least what the largest pipeline needs."""
    few = _plan(PAIR, head="limits: {processes: 2}\ndefaults: {mode: subprocess, command: [cat]}")
    many = _plan("a: {publish: q, replicas: 150}\nb: {consume: q, replicas: 50}")
    assert (2, 200) == (few.processes, many.processes)


def test_foreach_over_a_queue_has_a_source_and_no_items() -> None:
    """``{queue: NAME}`` is the queue; ``item`` may stand in what the task says, ``when`` too."""
    task = _plan(
        """
        a: {publish: q}
        b: {foreach: {queue: q}, when: "{{ item > 1 }}", env: {I: "{{ item }}"}}
        """
    ).tasks["b"]
    assert ("q", None, None, True) == (task.source, task.foreach, task.items, task.many)


@pytest.mark.parametrize("items", ["[1, 2]", '"{{ range(2) }}"', "[a, q]"])
def test_mapping_with_a_list_named_queue_is_still_a_product(items: str) -> None:
    """Only plain text names a queue."""
    each = f'each: {{foreach: {{queue: {items}}}, args: ["{{{{ item.queue }}}}"]}}'
    task = _plan(f"{PAIR}{each}").tasks["each"]
    assert (2, None) == (task.count, task.source)


def test_one_replica_is_an_instance() -> None:
    """``replicas: 1`` makes instances, none makes none; a template is filled in first."""
    tasks = _plan(
        "a: {publish: q, replicas: 1}\nb: {consume: q}\nc: {consume: q, replicas: '{{ 1 + 1 }}'}"
    ).tasks
    assert [1, None, 2] == [task.replicas for task in tasks.values()]
    assert [True, False, True] == [task.many for task in tasks.values()]


def test_what_defaults_do_not_reach() -> None:
    """No member is retried by default; replicas are for those that queues join; stdout is taken."""
    tasks = _plan(
        """
        plain: {}
        a: {publish: q}
        b: {consume: q}
        c: {foreach: {queue: q}, args: ["{{ item }}"]}
        d: {publish: q, foreach: [1, 2]}
        """,
        head="defaults: {mode: subprocess, command: [cat], retry: 2, replicas: 3, output: json}",
    ).tasks.values()
    assert [3, 1, 1, 1, 1] == [task.retry.attempts for task in tasks]
    assert [None, 3, 3, None, None] == [task.replicas for task in tasks]
    assert ["json", None, "json", "json", None] == [task.output for task in tasks]


def test_retry_of_its_own_counts() -> None:
    """A consumer of a sure queue, and who goes through one with ``foreach``, may be retried."""
    tasks = _plan(
        """
        a: {publish: q}
        b: {consume: q, publish: r, retry: 1}
        c: {foreach: {queue: r}, retry: 2, args: ["{{ item }}"]}
        """,
        "{q: {delivery: at_least_once}, r: {}}",
    ).tasks.values()
    assert [1, 2, 3] == [task.retry.attempts for task in tasks]


@pytest.mark.parametrize(
    ("tasks", "queue", "direct"),
    [
        (PAIR, "", True),
        (PAIR, "format: text", True),
        ("a: {publish: q, retry: '{{ 1 - 1 }}'}\nb: {consume: q}", "", True),
        (PAIR, "maxsize: 1000", False),
        (PAIR, "max_bytes: 9", False),
        (PAIR, "delivery: at_least_once", False),
        (PAIR, "on_consumer_exit: fail", False),
        (f"{PAIR}c: {{consume: q}}", "", False),
        (f"{PAIR}c: {{publish: q}}", "", False),
        ("a: {publish: q, replicas: 1}\nb: {consume: q}", "", False),
        ("a: {publish: q}\nb: {consume: q, foreach: [1]}", "", False),
        ("a: {publish: q}\nb: {foreach: {queue: q}}", "", False),
        ("a: {publish: q}\nb: {foreach: {queue: q}}", "dead_letter: x", False),
        ("a: {publish: q}\nb: {consume: q, mode: thread, function: 'work:total'}", "", False),
        ("a: {publish: q}\nb: {consume: q, retry: '{{ 1 }}'}", "delivery: at_least_once", False),
    ],
)
def test_queue_between_two_programs_is_direct(tasks: str, queue: str, direct: bool) -> None:
    """It is a plain pipe where nothing needs to look at the items, and nobody asked for a size."""
    assert direct == _plan(tasks, f"{{q: {{{queue}}}}}").queues["q"].direct


def test_pipelines_stand_whole_in_the_order_of_starts() -> None:
    """Members start together: what one of them needs comes before all, what needs one after all."""
    plan = _plan("b: {consume: q, needs: [c]}\na: {publish: q}\nafter: {needs: [a]}\nc: {}\n")
    assert ["c", "a", "b", "after"] == start_order(plan)


def test_only_takes_the_whole_pipeline() -> None:
    """``--only`` takes who is joined with what it needs, and what those need."""
    tasks = """
    first: {}
    a: {publish: q, needs: [first]}
    b: {consume: q}
    after: {needs: [b]}
    other: {}
    """
    plan = _plan(tasks, only=["after"])
    assert ["other"] == [name for name, task in plan.tasks.items() if task.skip]


def test_skip_takes_all_of_a_pipeline_or_none() -> None:
    """A member alone cannot be left out; all of them can, and so can one that is out anyway."""
    tasks = f"{PAIR}c: {{consume: q}}\nd: {{}}"
    with pytest.raises(UsageError) as caught:
        _plan(tasks, skip=["b"])
    said = "task `b` cannot be skipped: queues join it with `a` and `c`; skip them too"
    assert said == str(caught.value)
    assert all(_plan(tasks, skip=["a", "b", "c"]).tasks[name].skip for name in "abc")
    assert _plan(tasks, only=["d"], skip=["b"]).tasks["a"].skip == "not asked for (--only)"


def test_file_is_looked_at_without_its_parameters() -> None:
    """Sizes, replicas and limits that a missing parameter fills in are left as they are."""
    plan = _plan(
        "a: {publish: q, replicas: '{{ params.n }}'}\nb: {consume: q}",
        "{q: {maxsize: '{{ params.n }}', dead_letter: '{{ params.f }}', delivery: at_least_once}}",
        """
        params: {n: {type: int}, f: {}}
        limits: {processes: "{{ params.n }}"}
        defaults: {mode: subprocess, command: [cat]}
        """,
        lenient=True,
    )
    assert (1000, None, None) == (
        plan.queues["q"].maxsize, plan.queues["q"].dead_letter, plan.tasks["a"].replicas,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("consumer", "keys"),
    [
        ("total", ""),
        ("total", "kwargs: {start: 2}"),
        ("copy", "publish: r"),
        ("maybe", "publish: r"),
    ],
)
def test_function_gets_the_iterator_first(consumer: str, keys: str) -> None:
    """Functions that take an iterator fit a consumer; what may yield fits a publisher."""
    text = f"""
    queues: {{q: {{}}, r: {{}}}}
    defaults: {{mode: thread}}
    tasks:
      a: {{function: "work:listed", publish: q}}
      b: {{function: "work:{consumer}", consume: q, {keys}}}
      c: {{function: "work:find", args: [1], publish: r}}
      d: {{function: "work:total", consume: r}}
    """
    loaded = load("x.yaml", data=dedent(text).encode())
    assert ([], []) == loaded.checker.deep()


def test_plan_shows_the_way_of_the_items(job: Builder) -> None:
    """``orch plan`` shows who reads and fills what, and stands in the order of flow."""
    job.write(CENSUS)
    shown = job.orch("plan", "job.yaml").out.splitlines()
    assert [
        "  find          thread      work:find  => paths",
        "  measure x 20  subprocess  cat  <= paths  => facts",
        "  total         process     work:total  <= facts",
        "  render        subprocess  echo {{ tasks.total.output }}  <- total",
        "",
        "queues",
        "  paths  at most 256 items  find => measure",
        "  facts  at most 256 items  measure => total",
    ] == shown[3:]


def test_plan_as_json_has_queues_and_pipelines(job: Builder) -> None:
    """``orch plan --json`` says all of it."""
    job.write(CENSUS)
    plan = job.orch("plan", "job.yaml", "--json").document
    assert {
        "maxsize": 256,
        "max_bytes": 67108864,
        "format": "json",
        "on_consumer_exit": "stop",
        "delivery": "at_most_once",
        "dead_letter": None,
        "direct": False,
        "publishers": ["find"],
        "consumers": ["measure"],
    } == plan["queues"]["paths"]
    assert [{"members": ["find", "measure", "total"], "threads": 1, "processes": 21}] == plan[
        "pipelines"
    ]
    keys = ("publish", "consume", "source", "replicas", "instances")
    assert ["facts", "paths", None, 20, 20] == [plan["tasks"]["measure"][key] for key in keys]


@pytest.mark.parametrize(
    ("option", "line"),
    [
        ("--mermaid", '  t1 -.->|"paths"| t2'),
        ("--dot", '  "find" -> "measure" [label="paths", style=dashed];'),
    ],
)
def test_graphs_draw_queues(option: str, line: str, job: Builder) -> None:
    """A queue is a dashed edge with its name, from who fills it to who reads it."""
    job.write(CENSUS)
    assert line in job.orch("plan", "job.yaml", option).out.splitlines()


def test_schema_has_queues() -> None:
    """The JSON Schema knows queues, nothing as one with defaults, and the keys of tasks."""
    schema = json.loads(json.dumps(json_schema()))
    (queue,) = schema["properties"]["queues"]["patternProperties"].values()
    assert [{"$ref": "#/$defs/Queue"}, {"type": "null"}] == queue["anyOf"]
    assert False is schema["$defs"]["Queue"]["additionalProperties"]
    assert {"publish", "consume", "replicas"} <= schema["$defs"]["Task"]["properties"].keys()
    assert "replicas" in schema["$defs"]["TaskKeys"]["properties"]
