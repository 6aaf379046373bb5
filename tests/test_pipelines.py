"""Pipelines come to an end: whoever fails, is killed, is slow, leaves early, or says nothing."""

import json
import signal
from typing import Any

import pytest

from tests.builder import FUNCTION_MODES, Builder, Result

MODULE = """
import os, signal, sys, time
from orchestrator import task

def numbers():
    i = 0
    while True:
        yield i
        i += 1

def same(items):
    yield from items

def count(items):
    return sum(1 for _ in items)

def first(items):
    return next(items)

def some(items, number):
    return [next(items) for _ in range(number)]
"""
# What each stage does when nothing is wrong with it: no end comes of itself.
SOUND = {
    "source": 'mode: subprocess, command: ["yes", "1"], publish: a',
    "middle": "mode: subprocess, command: [sed, -u, ''], consume: a, publish: b",
    "sink": "mode: subprocess, command: [wc, -l], consume: b",
}
JOINED = {"source": "publish: a", "middle": "consume: a, publish: b", "sink": "consume: b"}
READS = {"source": "echo 1", "middle": "read x; echo 1", "sink": "read x"}


def faulty(stage: str, fault: str) -> str:
    """Return the keys of the task that is wrong."""
    script = {
        "fails": "exit 7",
        "is killed": "kill -9 $$",
        "times out": "sleep 1000",
        "exits early": "exit 0",
        "hangs after closing stdout": "exec >&-; sleep 1000",
    }[fault]
    time_limit = "" if fault in ("fails", "is killed", "exits early") else ", timeout: 0.5s"
    shell = json.dumps(f"{READS[stage]}; {script}")
    return f"mode: subprocess, shell: true, command: {shell}, {JOINED[stage]}{time_limit}"


CAUSES = {
    "fails": ("ExitStatus", "exit status 7"),
    "is killed": ("Signal", "killed by SIGKILL, not by orch; out of memory?"),
    "times out": ("Timeout", "timed out after 0.5 s"),
    "hangs after closing stdout": ("Timeout", "timed out after 0.5 s"),
}


@pytest.mark.parametrize("plain", [True, False], ids=["pipes", "queues"])
@pytest.mark.parametrize("fault", [*CAUSES, "exits early"])
@pytest.mark.parametrize("stage", ["source", "middle", "sink"])
def test_a_stage(job: Builder, stage: str, fault: str, plain: bool) -> None:
    """Its failure ends the others, and is the one that is named; leaving early is none."""
    tasks = {**SOUND, stage: faulty(stage, fault)}
    lines = [f"{name}: {{{keys}}}" for name, keys in tasks.items()]
    bound = "" if plain else "maxsize: 10"
    job.tasks(
        "\n".join(lines),
        head=f"queues: {{a: {{{bound}}}, b: {{{bound}}}}}\nlimits: {{processes: 3}}\ngrace: 1s",
    )
    done = job.run("--json")
    states = {name: task["state"] for name, task in done.tasks.items()}
    if fault == "exits early":
        assert (done.code, set(states.values())) == (0, {"succeeded"}), done.err
        return
    assert done.code == 1
    error = done.tasks[stage]["error"]
    assert (error["type"], error["message"]) == CAUSES[fault]
    assert [name for name, state in states.items() if state == "failed"] == [stage]
    assert f"orch: task `{stage}` failed" in done.err
    assert done.err.count("orch: task ") == 1
    others = [name for name in states if name != stage and states[name] != "succeeded"]
    for name in others:
        message = f"stopped with its pipeline: task `{stage}` failed"
        assert done.tasks[name]["error"]["message"] == message


FUNCTIONS = {
    "source": 'function: "m:numbers", publish: a',
    "middle": 'function: "m:same", consume: a, publish: b',
    "sink": 'function: "m:count", consume: b',
}
WRONG = """
def wrong(items=iter(())):
    for _ in range(3):
        x = next(items, 0)
        {publish}
    {fault}
"""


def run_functions(job: Builder, stage: str, mode: str, fault: str, extra: str = "") -> Result:
    """Run three functions, one of which goes wrong after three items."""
    publish = "pass" if stage == "sink" else "yield x"
    job.module(MODULE + WRONG.format(publish=publish, fault=fault))
    tasks = {**FUNCTIONS}
    tasks[stage] = tasks[stage].replace(tasks[stage].split('"')[1], "m:wrong") + extra
    modes = dict.fromkeys(tasks, "thread") | {stage: mode}
    lines = [f"{name}: {{mode: {modes[name]}, {keys}}}" for name, keys in tasks.items()]
    job.tasks("\n".join(lines), head="queues: {a: {maxsize: 5}, b: {maxsize: 5}}\ngrace: 0.3s")
    return job.run("--json")


@pytest.mark.parametrize("mode", FUNCTION_MODES)
@pytest.mark.parametrize("stage", ["source", "middle", "sink"])
def test_a_function_that_raises(job: Builder, stage: str, mode: str) -> None:
    """Its exception is the cause; the others are stopped."""
    done = run_functions(job, stage, mode, "raise LookupError('no such luck')")
    assert done.code == 1
    failed = [name for name, task in done.tasks.items() if task["state"] == "failed"]
    assert failed == [stage]
    assert done.tasks[stage]["error"]["type"] == "LookupError"


@pytest.mark.parametrize("mode", FUNCTION_MODES)
@pytest.mark.parametrize("stage", ["source", "middle", "sink"])
def test_a_function_that_hangs(job: Builder, stage: str, mode: str) -> None:
    """Its timeout is the cause; a thread that does not look up is given up."""
    fault = "\n    while not os.path.exists('stop'): time.sleep(0.01)"
    done = run_functions(job, stage, mode, fault, ", timeout: 0.3s")
    assert done.code == 1
    assert done.tasks[stage]["outcome"] == "timed_out"
    others = {task["state"] for name, task in done.tasks.items() if name != stage}
    assert others <= {"cancelled", "succeeded"}


@pytest.mark.parametrize("mode", FUNCTION_MODES)
@pytest.mark.parametrize("stage", ["middle", "sink"])
def test_a_function_that_leaves_early(job: Builder, stage: str, mode: str) -> None:
    """It has what it wanted: those before it are closed, those after it come to the end."""
    done = run_functions(job, stage, mode, "pass")
    assert done.code == 0, done.err
    assert {task["state"] for task in done.tasks.values()} == {"succeeded"}


@pytest.mark.parametrize("mode", FUNCTION_MODES)
def test_a_publisher_whose_stream_cannot_be_flushed(job: Builder, mode: str) -> None:
    """Whatever its stream raises at the end, all that it has published arrives, and it ends."""
    job.module(
        MODULE
        + """
class Odd:
    def write(self, text): pass
    def flush(self): raise TypeError("never flushed")

def gives():
    sys.stdout = Odd()
    yield from range(100)
"""
    )
    job.tasks(
        f"""
        give: {{mode: {mode}, function: "m:gives", publish: q, timeout: 10s}}
        take: {{mode: process, function: "m:count", consume: q}}
        """,
        head="queues: {q: }",
    )
    done = job.run("--json")
    assert done.code == 0, done.err
    assert done.tasks["take"]["output"] == 100


@pytest.mark.parametrize("mode", FUNCTION_MODES)
def test_generator_is_closed(job: Builder, mode: str) -> None:
    """Who publishes gets ``GeneratorExit`` where it yields, and where it waits for items."""
    job.module(
        MODULE
        + """
def tidy(items):
    try:
        yield next(items)
        for item in items:
            pass  # all the rest is waited for in vain
    finally:
        open("closed", "w").close()

def slowly(gate):
    yield 1
    with open(gate, "rb") as file:
        file.read(1)
    yield 2
"""
    )
    gate = job.gate("gate")
    job.tasks(
        f"""
        source: {{mode: thread, function: "m:slowly", args: ["{gate.path}"], publish: a}}
        middle: {{mode: {mode}, function: "m:tidy", consume: a, publish: b}}
        sink: {{mode: thread, function: "m:first", consume: b}}
        """,
        head="queues: {a: {}, b: {}}",
    )
    running = job.start()
    running.wait_for("ended", task="middle", outcome="ok")
    assert (job.root / "closed").exists()
    gate.open()
    assert running.finish().code == 0


def test_drain(job: Builder) -> None:
    """With ``drain`` who publishes goes on, and is told nothing."""
    job.tasks(
        """
        give: {mode: subprocess, shell: true, command: "seq 100000; echo done >&2", publish: q}
        take: {mode: subprocess, command: [head, "-1"], consume: q}
        """,
        head="queues: {q: {on_consumer_exit: drain}}",
    )
    done = job.run("--json")
    assert done.code == 0
    assert job.written("give.1.err") == "done\n"


@pytest.mark.parametrize(
    "keys", ['mode: subprocess, command: [head, "-1"]', 'mode: thread, function: "m:first"']
)
def test_fail(job: Builder, keys: str) -> None:
    """With ``fail`` a consumer that leaves early has failed."""
    job.module(MODULE)
    job.tasks(
        f"""
        give: {{mode: thread, function: "m:numbers", publish: q}}
        take: {{{keys}, consume: q}}
        """,
        head="queues: {q: {on_consumer_exit: fail}}",
    )
    done = job.run("--json")
    assert done.code == 1
    assert done.tasks["take"]["error"] == {
        "type": "EarlyExit",
        "message": "it ended before queue `q` did (on_consumer_exit: fail)",
        "traceback": None,
    }
    assert done.tasks["give"]["state"] == "cancelled"


def test_publisher_that_does_not_notice(job: Builder) -> None:
    """Who publishes nothing more after it was closed is ended when its grace is over."""
    job.tasks(
        """
        give: {mode: subprocess, shell: true, command: "seq 10; sleep 1000", publish: q}
        take: {mode: subprocess, command: [head, "-1"], consume: q}
        """,
        head="queues: {q: {}}\ngrace: 0.3s",
    )
    done = job.run("--json")
    assert (done.code, done.tasks["give"]["outcome"]) == (0, "ok")


def test_consumer_that_closes_its_stdin(job: Builder) -> None:
    """A program that reads no more, and goes on, holds nobody up."""
    gate = job.gate("gate")
    job.module(MODULE)
    job.tasks(
        f"""
        give: {{mode: thread, function: "m:numbers", publish: q}}
        take: {{mode: subprocess, shell: true, command: "exec <&-; read x < {gate.path}",
                consume: q}}
        """,
        head="queues: {q: {}}",
    )
    running = job.start()
    running.wait_for("ended", task="give", outcome="ok")
    gate.open()
    assert running.finish().code == 0


def test_child_of_a_function_holds_no_pipe_open(job: Builder) -> None:
    """A process that a function forks, and that outlives it, keeps no consumer from its end."""
    gate = job.gate("gate")
    job.module(
        MODULE
        + f"""
def forks():
    yield 1
    if os.fork() == 0:
        open("{gate.path}", "rb").read(1)
        os._exit(0)
"""
    )
    job.tasks(
        """
        give: {mode: thread, function: "m:forks", publish: q}
        take: {mode: subprocess, command: [cat], consume: q, output: json}
        """,
        head="queues: {q: {}}",
    )
    running = job.start()
    assert running.wait_for("ended", task="take")["output"] == 1
    gate.open()
    assert running.finish().code == 0


def test_allowed_failure_is_an_end(job: Builder) -> None:
    """What may fail does not end its pipeline: the others see the end of its items."""
    job.module(MODULE)
    job.tasks(
        """
        give: {mode: subprocess, shell: true, command: "seq 5; exit 3", publish: q,
               allow_failure: true}
        take: {mode: thread, function: "m:count", consume: q}
        """,
        head="queues: {q: {}}",
    )
    done = job.run("--json")
    assert (done.code, done.tasks["take"]["output"]) == (0, 5)


def test_one_replica_fails(job: Builder) -> None:
    """The pipeline ends at once, although the other replica goes on."""
    job.module(
        MODULE
        + """
def either(items):
    for item in items:
        if task.name == "take.1":
            raise ValueError(item)
"""
    )
    job.tasks(
        """
        give: {mode: thread, function: "m:numbers", publish: q}
        take: {mode: thread, function: "m:either", consume: q, replicas: 2}
        """,
        head="queues: {q: {}}",
    )
    done = job.run("--json")
    instances = done.tasks["take"]["instances"]
    assert [one["state"] for one in instances.values()] == ["cancelled", "failed"]
    said = "stopped with its pipeline: task `take.1` failed"
    assert done.tasks["give"]["error"]["message"] == said


@pytest.mark.parametrize("mode", [*FUNCTION_MODES, "subprocess"])
def test_signal(job: Builder, mode: str) -> None:
    """Ctrl-C ends a pipeline as it ends other tasks: nobody takes it for the end of the items."""
    job.module(
        MODULE
        + """
def total(items):
    for item in items:
        pass
    open("complete", "w").close()
"""
    )
    sink = f'mode: {mode}, function: "m:total"'
    if mode == "subprocess":
        sink = "mode: subprocess, command: [sh, -c, 'cat > /dev/null; touch complete']"
    job.tasks(
        f"""
        give: {{mode: thread, function: "m:numbers", publish: q}}
        take: {{{sink}, consume: q}}
        """,
        head="queues: {q: {maxsize: 10}}",
    )
    running = job.start()
    running.wait_for("started", task="take")
    running.signal(signal.SIGINT)
    assert running.finish().code == -signal.SIGINT
    assert not (job.root / "complete").exists()


# Starting


def test_members_start_together(job: Builder) -> None:
    """A pipeline waits for slots for all of it; who comes later in the file waits behind it."""
    gate = job.gate("gate")
    job.tasks(
        f"""
        hold: {{mode: subprocess, shell: true, command: "read x < {gate.path}"}}
        give: {{mode: subprocess, command: [seq, "3"], publish: q}}
        take: {{mode: subprocess, command: [wc, -l], consume: q}}
        late: {{mode: subprocess, command: ["true"]}}
        """,
        head="queues: {q: {}}\nlimits: {processes: 2}",
    )
    running = job.start()
    running.wait_for("started", task="hold")
    gate.open()
    done = running.finish()
    order = [event["task"] for event in done.events if event["event"] == "started"]
    assert order == ["hold", "give", "take", "late"]


@pytest.mark.parametrize(
    ("keys", "state", "code"),
    [("when: false", "skipped", 0), ("needs: [bad]", "skipped", 1)],
)
def test_all_or_none(job: Builder, keys: str, state: str, code: int) -> None:
    """Where one member cannot run, none does."""
    job.tasks(
        f"""
        bad: {{mode: subprocess, command: ["false"], allow_failure: {str(not code).lower()}}}
        give: {{mode: subprocess, command: [seq, "3"], publish: q}}
        take: {{mode: subprocess, command: [wc, -l], consume: q, {keys}}}
        after: {{mode: subprocess, command: ["true"], needs: [give]}}
        """,
        head="queues: {q: {}}",
    )
    done = job.run("--json")
    assert done.code == code
    assert [done.tasks[name]["state"] for name in ("give", "take", "after")] == [state] * 3


def test_limits_grow(job: Builder) -> None:
    """Limits that are not written are as large as the largest pipeline needs."""
    stages = [
        f"s{i}: {{mode: subprocess, command: [cat], consume: q{i - 1}, publish: q{i}}}"
        for i in range(1, 12)
    ]
    first = 's0: {mode: subprocess, command: [seq, "1000"], publish: q0}'
    last = "end: {mode: subprocess, command: [wc, -l], consume: q11, output: json}"
    queues = ", ".join(f"q{i}: {{}}" for i in range(12))
    job.tasks("\n".join([first, *stages, last]), head=f"queues: {{{queues}}}")
    assert job.run("--json").tasks["end"]["output"] == 1000


# Retries


FLAKY = """
def flaky(items, marks):
    for item in items:
        with open(marks, "a") as file:
            file.write(f"{item}\\n")
        if item == 5 and open(marks).read().split().count("5") < 3:
            raise ValueError(item)

def worse(items, marks):
    for item in items:
        with open(marks, "a") as file:
            file.write(f"{item}\\n")
        if item in (3, 5):
            raise ValueError(item)

def up_to(count):
    yield from range(count)
"""


def marks(job: Builder) -> list[int]:
    """Return the items that were taken, in order."""
    return [int(line) for line in (job.root / "marks").read_text().split()]


def retried(job: Builder, function: str, mode: str, queue: str, retry: str) -> Any:
    """Run a function that consumes ten items, with retries."""
    job.module(MODULE + FLAKY)
    job.tasks(
        f"""
        give: {{mode: thread, function: "m:up_to", args: [10], publish: q}}
        take: {{mode: {mode}, function: "m:{function}", args: [marks], consume: q,
                retry: {{attempts: {retry}, delay: 0}}}}
        """,
        head=f"queues: {{q: {{{queue}, delivery: at_least_once}}}}",
    )
    return job.run("--json")


@pytest.mark.parametrize("mode", FUNCTION_MODES)
@pytest.mark.parametrize("maxsize", [1, 1000])
def test_item_in_hand_is_delivered_again(job: Builder, mode: str, maxsize: int) -> None:
    """A second try of a function begins with the item that the first one failed with."""
    done = retried(job, "flaky", mode, f"maxsize: {maxsize}", "3")
    assert done.code == 0, done.err
    assert done.tasks["take"]["attempts"] == 3
    assert marks(job) == [0, 1, 2, 3, 4, 5, 5, 5, 6, 7, 8, 9]


@pytest.mark.parametrize("mode", FUNCTION_MODES)
def test_retries_come_to_an_end(job: Builder, mode: str) -> None:
    """Without dead letters the last failure ends the pipeline."""
    done = retried(job, "worse", mode, "maxsize: 5", "2")
    assert (done.code, done.tasks["take"]["attempts"]) == (1, 2)
    assert marks(job) == [0, 1, 2, 3, 3]


@pytest.mark.parametrize("mode", FUNCTION_MODES)
def test_dead_letters(job: Builder, mode: str) -> None:
    """An item that fails as often as there are tries is set aside, and the work goes on."""
    done = retried(job, "worse", mode, "maxsize: 5, dead_letter: letters", "2")
    assert done.code == 0, done.err
    assert (job.root / "letters").read_text() == "3\n5\n"
    assert marks(job) == [0, 1, 2, 3, 3, 4, 5, 5, 6, 7, 8, 9]
    queue = done.document["queues"]["q"]
    assert (queue["items_in"], queue["dead_letters"]) == (10, 2)
    assert "item set aside" in done.err


def test_killed_process_had_an_item_in_hand(job: Builder) -> None:
    """Also of a process that was killed orch knows which item it had."""
    job.module(
        MODULE
        + FLAKY
        + """
def dies(items, marks):
    for item in items:
        with open(marks, "a") as file:
            file.write(f"{item}\\n")
        if item == 5 and task.attempt == 1:
            os.kill(os.getpid(), signal.SIGKILL)
"""
    )
    job.tasks(
        """
        give: {mode: thread, function: "m:up_to", args: [10], publish: q}
        take: {mode: process, function: "m:dies", args: [marks], consume: q, retry: 1}
        """,
        head="queues: {q: {delivery: at_least_once}}\ndefaults: {retry: 7}",
    )
    assert job.run().code == 0
    assert marks(job) == [0, 1, 2, 3, 4, 5, 5, 6, 7, 8, 9]


def test_program_gets_all_of_its_items_again(job: Builder) -> None:
    """A program reads ahead: its second try is given all that the first one was."""
    job.tasks(
        """
        give: {mode: subprocess, command: [seq, "5"], publish: q}
        take:
          mode: subprocess
          shell: true
          command: "cat >> copy; echo >> tries; test $(wc -l < tries) = 3"
          consume: q
          retry: {attempts: 3, delay: 0}
        """,
        head="queues: {q: {delivery: at_least_once}}",
    )
    done = job.run("--json")
    assert (done.code, done.tasks["take"]["attempts"]) == (0, 3)
    assert (job.root / "copy").read_text().split() == ["1", "2", "3", "4", "5"] * 3


def test_program_that_stops_reading_is_tried_again(job: Builder) -> None:
    """Its next try is given all, also what came after it had closed its stdin."""
    job.file(
        "take.sh",
        """
        if mkdir tried; then read x; exec <&-; sleep 0.6; exit 1; fi
        exec cat > all
        """,
    )
    job.module(MODULE + FLAKY)
    job.tasks(
        """
        give: {mode: thread, function: "m:up_to", args: [2000], publish: q}
        take: {mode: subprocess, command: [sh, take.sh], consume: q, retry: {attempts: 3, delay: 0}}
        """,
        head="queues: {q: {delivery: at_least_once}}",
    )
    assert job.run().code == 0
    assert (job.root / "all").read_text().split() == [str(i) for i in range(2000)]


def test_dead_letters_of_a_program(job: Builder) -> None:
    """What a program was given in its last try is kept."""
    job.tasks(
        """
        give: {mode: subprocess, command: [seq, "5"], publish: q}
        take: {mode: subprocess, shell: true, command: "cat; exit 1", consume: q, retry: 1}
        """,
        head="queues: {q: {delivery: at_least_once, dead_letter: letters}}",
    )
    assert job.run().code == 1
    assert (job.root / "letters").read_text().split() == ["1", "2", "3", "4", "5"]


def test_default_retry_does_not_reach_a_pipeline(job: Builder) -> None:
    """A member is not tried again unless it says so itself."""
    job.tasks(
        """
        give: {mode: subprocess, command: ["false"], publish: q}
        take: {mode: subprocess, command: [cat], consume: q}
        """,
        head="queues: {q: {}}\ndefaults: {retry: 3}",
    )
    assert job.run("--json").tasks["give"]["attempts"] == 1


# An attempt an item


def test_an_attempt_an_item(job: Builder) -> None:
    """``foreach: {queue}`` runs the task once for each item as it comes."""
    job.tasks(
        """
        give: {mode: subprocess, command: [seq, "25"], publish: q}
        each: {mode: subprocess, command: [echo, "{{ item }}"], foreach: {queue: q}, output: json}
        after: {mode: subprocess, command: [echo, "{{ tasks.each.output }}"], output: json}
        """,
        head="queues: {q: {maxsize: 3}}",
    )
    done = job.run("--json")
    assert done.code == 0, done.err
    assert done.tasks["each"]["output"] == list(range(1, 26))
    assert done.tasks["after"]["output"] == list(range(1, 26))
    assert done.tasks["each"]["instances"]["each.3"]["output"] == 4
    assert job.written("each.3.1.out") == "4\n"


def test_items_that_fail(job: Builder) -> None:
    """Each item has its own tries; others go on, and the task has failed in the end."""
    job.tasks(
        """
        give: {mode: subprocess, command: [seq, "6"], publish: q}
        each:
          mode: subprocess
          command: [test, "{{ item }}", -ne, "4"]
          foreach: {queue: q}
          retry: {attempts: 2, delay: 0}
        """,
        head="queues: {q: {}}",
    )
    done = job.run("--json")
    assert done.code == 1
    states = [one["state"] for one in done.tasks["each"]["instances"].values()]
    assert states == ["succeeded"] * 3 + ["failed"] + ["succeeded"] * 2
    assert done.tasks["each"]["instances"]["each.3"]["attempts"] == 2


def test_items_that_nobody_needs_are_for_others(job: Builder) -> None:
    """Who is closed gives back the items that it had taken and not begun."""
    job.module(
        MODULE
        + FLAKY
        + """
def echo(item):
    yield item

def collect(items):
    return [time.sleep(0.001) or item for item in items]  # so that the other has its share
"""
    )
    job.tasks(
        """
        give: {mode: thread, function: "m:up_to", args: [400], publish: q}
        each:
          {mode: thread, function: "m:echo", args: ["{{ item }}"], foreach: {queue: q}, publish: r}
        rest: {mode: thread, function: "m:collect", consume: q}
        first: {mode: thread, function: "m:first", consume: r}
        """,
        head="queues: {q: {}, r: {}}",
    )
    done = job.run("--json")
    assert done.code == 0, done.err
    begun = [
        name for name, one in done.tasks["each"]["instances"].items() if one["state"] != "skipped"
    ]
    assert len(done.tasks["rest"]["output"]) + len(begun) == 400


def test_dead_letters_of_items(job: Builder) -> None:
    """With dead letters an item that failed is kept, and the run is a success."""
    job.tasks(
        """
        give: {mode: subprocess, command: [printf, 'a\\n\\xffb\\nc\\n'], publish: q}
        each: {mode: subprocess, command: [test, "{{ item }}", "=", a], foreach: {queue: q}}
        """,
        head="queues: {q: {format: text, dead_letter: letters}}",
    )
    done = job.run("--json")
    assert done.code == 0, done.err
    assert sorted((job.root / "letters").read_bytes().splitlines()) == [b"c", b"\xffb"]
