"""Queues between tasks of every mode: all items, once each, in bounded memory."""

import json
from pathlib import Path

import pytest

from tests.builder import FUNCTION_MODES, Builder

MODES = (*FUNCTION_MODES, "subprocess")
MODULE = """
import json, os, sys, time
from orchestrator import task

def numbers(count, first=0):
    for i in range(first, first + count):
        yield {"i": i}
    return {"published": count}

def add(items):
    count = total = 0
    for item in items:
        count += 1
        total += item["i"]
    return [count, total]

def double(items):
    for item in items:
        yield {"i": 2 * item["i"]}

def kinds(items):
    return [[type(item).__name__, item] for item in items]

def main():
    if sys.argv[1] == "numbers":
        for item in numbers(int(sys.argv[2])):
            print(json.dumps(item))
    else:
        found = add(map(json.loads, sys.stdin))
        with open(os.environ["ORCH_OUTPUT"], "w") as file:
            json.dump(found, file)

if __name__ == "__main__":
    main()
"""


def target(mode: str, does: str, *args: int) -> str:
    """Return the keys of a task that publishes numbers, or adds them up."""
    listed = json.dumps([*args])
    if mode == "subprocess":
        return f"mode: subprocess, program: m.py, args: {json.dumps([does, *map(str, args)])}"
    return f"mode: {mode}, function: 'm:{does}', args: {listed}"


@pytest.mark.parametrize("consumers", [1, 2])
@pytest.mark.parametrize("publishers", [1, 3])
@pytest.mark.parametrize("consumer", MODES)
@pytest.mark.parametrize("publisher", MODES)
def test_every_pairing(
    job: Builder, publisher: str, consumer: str, publishers: int, consumers: int
) -> None:
    """Functions and programs, one and several, hand on every item once."""
    count = 2000
    job.module(MODULE)
    job.tasks(
        f"""
        give: {{{target(publisher, "numbers", count)}, publish: q, replicas: {publishers}}}
        take: {{{target(consumer, "add")}, consume: q, replicas: {consumers}}}
        """,
        head="queues: {q: {maxsize: 50}}",
    )
    done = job.run("--json")
    assert done.code == 0, done.err
    taken = done.tasks["take"]["output"]
    assert sum(part[0] for part in taken) == publishers * count
    assert sum(part[1] for part in taken) == publishers * sum(range(count))
    queue = done.document["queues"]["q"]
    assert (queue["items_in"], queue["items_out"]) == (publishers * count, publishers * count)
    assert 0 < queue["depth_max"] <= 50


@pytest.mark.parametrize("middle", MODES)
@pytest.mark.parametrize("maxsize", [1, 7, 1000])
def test_three_stages(job: Builder, middle: str, maxsize: int) -> None:
    """What a stage makes of each item reaches the next, whatever the queues hold."""
    count = 3000
    job.module(MODULE)
    stage = f"mode: {middle}, function: 'm:double'"
    if middle == "subprocess":
        job.file(
            "double.awk",
            r"""{ match($0, /[0-9]+/); i = substr($0, RSTART, RLENGTH)
            print "{\"i\":" 2 * i "}" }""",
        )
        stage = "mode: subprocess, command: [awk, -f, double.awk]"
    job.tasks(
        f"""
        give: {{mode: thread, function: "m:numbers", args: [{count}], publish: a}}
        twice: {{{stage}, consume: a, publish: b}}
        take: {{mode: thread, function: "m:add", consume: b}}
        """,
        head=f"queues: {{a: {{maxsize: {maxsize}}}, b: {{maxsize: {maxsize}}}}}",
    )
    done = job.run("--json")
    assert done.code == 0, done.err
    assert done.tasks["take"]["output"] == [count, 2 * sum(range(count))]
    assert done.tasks["give"]["output"] == {"published": count}
    assert done.document["queues"]["b"]["depth_max"] <= maxsize


@pytest.mark.parametrize("consumer", FUNCTION_MODES)
@pytest.mark.parametrize("publisher", FUNCTION_MODES)
def test_items_are_json(job: Builder, publisher: str, consumer: str) -> None:
    """An item is what JSON makes of it, the same in every mode."""
    job.module(
        MODULE
        + """
def odd():
    yield (1, (2,))
    yield None
    yield 2**70
    yield {"a": [1.5, "é\\u2028", True]}
    yield ""
"""
    )
    job.tasks(
        f"""
        give: {{mode: {publisher}, function: "m:odd", publish: q}}
        take: {{mode: {consumer}, function: "m:kinds", consume: q}}
        """,
        head="queues: {q: {}}",
    )
    assert job.run("--json").tasks["take"]["output"] == [
        ["list", [1, [2]]],
        ["NoneType", None],
        ["int", 2**70],
        ["dict", {"a": [1.5, "é\u2028", True]}],
        ["str", ""],
    ]


@pytest.mark.parametrize("mode", FUNCTION_MODES)
@pytest.mark.parametrize(
    ("value", "form", "message"),
    [
        ("{1, 2}", "json", "the item is not JSON: `set` has no JSON"),
        ("float('nan')", "json", "the item is not JSON: NaN or infinity has no JSON"),
        ("{1: 2}", "json", "the item is not JSON: the key `1` is not text"),
        ("'x' * 2**21", "json", "the item is 2097154 bytes of JSON, expected at most 1048576"),
        ("3", "text", "the item is a `int`, expected text (format: text)"),
        ("'a\\nb'", "text", "the item holds a newline, and is a line (format: text)"),
    ],
)
def test_no_item(job: Builder, mode: str, value: str, form: str, message: str) -> None:
    """What cannot be an item fails who publishes it, in the same words in every mode."""
    job.module(MODULE + f"\ndef bad():\n    yield {value}\n")
    job.tasks(
        f"""
        give: {{mode: {mode}, function: "m:bad", publish: q}}
        take: {{mode: thread, function: "m:kinds", consume: q}}
        """,
        head=f"queues: {{q: {{format: {form}}}}}",
    )
    done = job.run("--json")
    assert done.code == 1
    error = done.tasks["give"]["error"]
    assert (error["type"], error["message"]) == ("OutputError", message)
    assert done.tasks["take"]["state"] == "cancelled"


def test_line_that_is_not_json(job: Builder) -> None:
    """A program that publishes something else fails, and the line is named."""
    job.module(MODULE)
    job.tasks(
        """
        give: {mode: subprocess, command: [printf, '1\\n2\\nhello\\n'], publish: q}
        take: {mode: thread, function: "m:kinds", consume: q}
        """,
        head="queues: {q: {}}",
    )
    done = job.run("--json")
    assert done.tasks["give"]["error"]["message"] == "line 3 of stdout is not JSON (format: text?)"
    assert done.tasks["take"]["outcome"] == "stopped"


def test_line_that_is_nested_too_deep(job: Builder) -> None:
    """What no function could read fails its publisher, not who would read it."""
    job.module("def take(items):\n    return len(list(items))\n")
    job.module("print('[' * 1000 + ']' * 1000)", "deep")
    job.tasks(
        """
        give: {mode: subprocess, program: deep.py, publish: q}
        take: {mode: thread, function: "m:take", consume: q}
        """,
        head="queues: {q: {}}",
    )
    done = job.run("--json")
    try:
        json.loads("[" * 1000 + "]" * 1000)
    except RecursionError:
        message = "line 1 of stdout is nested too deep"
        assert done.tasks["give"]["error"]["message"] == message
    else:  # Python 3.14 can read it
        assert done.code == 0


def test_program_that_goes_on_after_a_bad_line_is_ended(job: Builder) -> None:
    """It gets TERM, and the failure is the line."""
    job.module(MODULE)
    job.tasks(
        """
        give: {mode: subprocess, shell: true, command: "echo hello; sleep 1000", publish: q}
        take: {mode: thread, function: "m:kinds", consume: q}
        """,
        head="queues: {q: {}}",
    )
    done = job.run("--json")
    assert done.tasks["give"]["error"]["message"] == "line 1 of stdout is not JSON (format: text?)"


def test_text(job: Builder) -> None:
    """Plain lines pass byte for byte, through functions too; the last needs no newline."""
    data = b"first\r\n\n\xff\xfe\n{not json\nlast"
    (job.root / "data").write_bytes(data)
    job.module("def same(lines):\n    yield from lines\n")
    job.tasks(
        """
        give: {mode: subprocess, command: [cat, data], publish: a}
        pass: {mode: thread, function: "m:same", consume: a, publish: b}
        again: {mode: process, function: "m:same", consume: b, publish: c}
        take: {mode: subprocess, command: [tee, copy], consume: c}
        """,
        head="queues: {a: {format: text}, b: {format: text}, c: {format: text}}",
    )
    assert job.run().code == 0
    assert (job.root / "copy").read_bytes() == data + b"\n"


def test_program_keeps_its_stderr_as_its_log(job: Builder) -> None:
    """Only stdout is the queue's."""
    job.tasks(
        """
        give: {mode: subprocess, shell: true, command: "echo 1; echo said >&2", publish: q}
        take: {mode: subprocess, command: [cat], consume: q, output: json}
        """,
        head="queues: {q: {maxsize: 5}}",
    )
    done = job.run("--json")
    assert done.tasks["take"]["output"] == 1
    assert done.tasks["give"]["stdout"] is None
    assert Path(done.tasks["give"]["stderr"]).read_text() == "said\n"


def test_plain_pipe(job: Builder) -> None:
    """Between two programs that nobody has to look at the queue is a pipe, and counts nothing."""
    job.tasks(
        """
        give: {mode: subprocess, command: [seq, "100000"], publish: q}
        take: {mode: subprocess, command: [wc, -l], consume: q, output: json}
        """,
        head="queues: {q: {}}",
    )
    done = job.run("--json")
    assert done.tasks["take"]["output"] == 100_000
    queue = done.document["queues"]["q"]
    assert queue["direct"] is True
    counted = ("items_in", "items_out", "depth_max", "publishers_blocked_s", "consumers_starved_s")
    assert [queue[key] for key in counted] == [None] * 5


def test_slow_consumer_holds_up_its_publisher(job: Builder) -> None:
    """No more is published than the queue holds, until the consumer goes on."""
    gate = job.gate("gate")
    job.module(
        """
        published = []

        def give():
            for i in range(100):
                published.append(i)
                yield i

        def take(items, gate):
            found = [next(items)]
            with open(gate, "rb") as file:
                file.read(1)
            found.append(len(published))
            return [*found, sum(1 for _ in items)]

        def full(gate):
            import time
            while len(published) < 12:
                time.sleep(0.001)
            time.sleep(0.1)  # for more than there may be
            with open(gate, "wb") as file:
                file.write(b"x")
        """
    )
    job.tasks(
        f"""
        give: {{mode: thread, function: "m:give", publish: q}}
        take: {{mode: thread, function: "m:take", args: ["{gate.path}"], consume: q}}
        full: {{mode: thread, function: "m:full", args: ["{gate.path}"]}}
        """,
        head="queues: {q: {maxsize: 10}}",
    )
    # one was handed out, ten are in the queue, one is in hand
    assert job.run("--json").tasks["take"]["output"] == [0, 12, 99]


def test_max_bytes(job: Builder) -> None:
    """A queue is bounded in bytes too; an item that is larger passes alone."""
    job.module(
        """
        def give():
            for i in range(20):
                yield "x" * 100
            yield "y" * 5000

        def take(items):
            return [len(item) for item in items]
        """
    )
    job.tasks(
        """
        give: {mode: thread, function: "m:give", publish: q}
        take: {mode: thread, function: "m:take", consume: q}
        """,
        head="queues: {q: {max_bytes: 310}}",
    )
    done = job.run("--json")
    assert done.tasks["take"]["output"] == [100] * 20 + [5000]
    assert done.document["queues"]["q"]["depth_max"] <= 3


@pytest.mark.parametrize(("maxsize", "count"), [(1000, 1_000_000), (1, 30_000)])
def test_volume(job: Builder, maxsize: int, count: int) -> None:
    """A million items through all modes: none is lost or changed, and orch does not grow."""
    job.timeout_s = 240.0
    job.module(
        """
        def numbers(count):
            for i in range(count):
                yield {"i": i, "name": f"item {i}"}

        def third(items):
            for item in items:
                item["third"] = item["i"] // 3
                yield item

        def total(items):
            count = checksum = 0
            for item in items:
                i = item["i"]
                expected = {"i": i, "name": f"item {i}", "by": "sed", "third": i // 3}
                count += item == expected
                checksum ^= hash((i, 1))
            return {"count": count, "checksum": checksum, "peak_kib": memory("VmHWM")}

        def memory(what="VmRSS"):
            with open("/proc/self/status") as file:
                return next(int(line.split()[1]) for line in file if line.startswith(what))
        """
    )
    job.file("mark.sed", """s/}$/,"by":"sed"}/""")
    job.tasks(
        f"""
        begin: {{mode: thread, function: "m:memory"}}
        give: {{mode: thread, function: "m:numbers", args: [{count}], needs: [begin], publish: a}}
        mark:
          {{mode: subprocess, command: [sed, -f, mark.sed], consume: a, publish: b, replicas: 2}}
        third: {{mode: process, function: "m:third", consume: b, publish: c}}
        total: {{mode: thread, function: "m:total", consume: c}}
        """,
        head=f"queues: {{{', '.join(f'{q}: {{maxsize: {maxsize}}}' for q in 'abc')}}}",
    )
    done = job.run("--json")
    assert done.code == 0, done.err
    checksum = 0
    for i in range(count):
        checksum ^= hash((i, 1))
    total = done.tasks["total"]["output"]
    assert (total["count"], total["checksum"]) == (count, checksum)
    grown_kib = total["peak_kib"] - done.tasks["begin"]["output"]
    assert grown_kib < 50 * 1024
    for queue in done.document["queues"].values():
        assert (queue["items_in"], queue["items_out"]) == (count, count)
        assert queue["depth_max"] <= maxsize


def test_async_functions(job: Builder) -> None:
    """An async generator publishes, and an async function iterates."""
    job.module(
        """
        async def give():
            for i in range(10):
                yield i

        async def take(items):
            return [item async for item in items]
        """
    )
    job.tasks(
        """
        give: {mode: thread, function: "m:give", publish: q}
        take: {mode: process, function: "m:take", consume: q}
        """,
        head="queues: {q: {}}",
    )
    assert job.run("--json").tasks["take"]["output"] == list(range(10))


def test_what_comes_is_handed_on_at_once(job: Builder) -> None:
    """An item does not wait for the next one, in any mode."""
    job.module(
        """
        def give(gate):
            yield 1
            with open(gate, "rb") as file:  # until the last of the stages has it
                file.read(1)
            yield 2

        def same(items):
            yield from items

        def take(items, gate):
            found = [next(items)]
            with open(gate, "wb") as file:
                file.write(b"x")
            return found + list(items)
        """
    )
    gate = job.gate("gate")
    job.tasks(
        f"""
        give: {{mode: process, function: "m:give", args: ["{gate.path}"], publish: a}}
        one: {{mode: process, function: "m:same", consume: a, publish: b}}
        two: {{mode: subprocess, command: [sed, -u, ""], consume: b, publish: c}}
        take: {{mode: thread, function: "m:take", args: ["{gate.path}"], consume: c}}
        """,
        head="queues: {a: {}, b: {}, c: {}}\nlimits: {processes: 4}",
    )
    assert job.run("--json").tasks["take"]["output"] == [1, 2]


def test_slow_consumers_share_the_work(job: Builder) -> None:
    """Of two slow programs none is given what the other could do."""
    job.module(
        """
        import sys, time

        for line in sys.stdin:
            time.sleep(0.02)  # the work
            print(line.strip(), flush=True)
        """,
        "slow",
    )
    job.module(MODULE)
    job.tasks(
        """
        give: {mode: thread, function: "m:numbers", args: [40], publish: a}
        work: {mode: subprocess, program: slow.py, consume: a, replicas: 2}
        """,
        head="queues: {a: {}}\nlimits: {processes: 2}",
    )
    done = job.run("--json")
    lines = [
        len(Path(one["stdout"]).read_text().splitlines())
        for one in done.tasks["work"]["instances"].values()
    ]
    assert sum(lines) == 40
    assert min(lines) >= 12


@pytest.mark.parametrize("mode", FUNCTION_MODES)
def test_all_consumers_see_the_end(job: Builder, mode: str) -> None:
    """Also those who wait while another takes the last item."""
    job.module(MODULE)
    job.tasks(
        f"""
        give: {{mode: subprocess, shell: true, command: "sleep 0.3; seq 5", publish: q}}
        take: {{mode: {mode}, function: "m:kinds", consume: q, replicas: 3}}
        """,
        head="queues: {q: {maxsize: 1}}",
    )
    done = job.run("--json")
    taken = [item for part in done.tasks["take"]["output"] for _, item in part]
    assert sorted(taken) == [1, 2, 3, 4, 5]


def test_last_items_of_a_process(job: Builder) -> None:
    """A process ends when all that it published is out, however slow that is."""
    job.module(
        """
        import time

        def give():
            yield "first"
            for _ in range(150):
                yield "x" * 200
            time.sleep(0.05)  # what it keeps is being written by now, into a full pipe

        def take(items):
            return sum(time.sleep(0.005) is None for _ in items)  # slower than they come
        """
    )
    job.tasks(
        """
        give: {mode: process, function: "m:give", publish: q}
        take: {mode: thread, function: "m:take", consume: q}
        """,
        head="queues: {q: {maxsize: 2}}",
    )
    assert job.run("--json").tasks["take"]["output"] == 151


def test_program_that_reads_no_more_leaves_the_rest_to_others(job: Builder) -> None:
    """What was not written to it is not lost."""
    job.module(MODULE)
    job.tasks(
        """
        give: {mode: thread, function: "m:numbers", args: [2000], publish: q}
        none: {mode: subprocess, shell: true, command: "exec <&-; sleep 0.5", consume: q}
        take: {mode: thread, function: "m:add", consume: q}
        """,
        head="queues: {q: {maxsize: 5}}",
    )
    taken = job.run("--json").tasks["take"]["output"][0]
    assert taken >= 1999  # one may have been in its pipe when it closed that


def test_no_publisher_left_means_the_end(job: Builder) -> None:
    """A queue ends when all its publishers have, also those that had nothing to say."""
    job.module(MODULE)
    job.tasks(
        """
        none: {mode: subprocess, command: ["true"], publish: q}
        some: {mode: thread, function: "m:numbers", args: [3], publish: q}
        take: {mode: thread, function: "m:add", consume: q}
        """,
        head="queues: {q: {}}",
    )
    assert job.run("--json").tasks["take"]["output"] == [3, 3]


def test_end_is_the_end_of_the_process(job: Builder) -> None:
    """Who closes its stdout and goes on may fail yet: its consumers see no end before it ends."""
    job.module(MODULE)
    job.tasks(
        """
        give:
          mode: subprocess
          shell: true
          command: "echo '{\\"i\\": 1}'; exec >&-; sleep 0.2; exit 3"
          publish: q
        take: {mode: thread, function: "m:add", consume: q}
        """,
        head="queues: {q: {}}",
    )
    done = job.run("--json")
    assert done.tasks["give"]["error"]["message"] == "exit status 3"
    assert done.tasks["take"]["outcome"] == "stopped"


def test_output_left_in_the_pipe_is_read(job: Builder) -> None:
    """A program that writes and ends at once loses nothing, however slow its consumer."""
    job.module(
        """
        import time

        def take(items):
            first = next(items)
            time.sleep(0.2)  # the program has ended by now
            return 1 + sum(1 for _ in items)
        """
    )
    job.tasks(
        """
        give: {mode: subprocess, command: [seq, "10000"], publish: q}
        take: {mode: thread, function: "m:take", consume: q}
        """,
        head="queues: {q: {maxsize: 2}}",
    )
    assert job.run("--json").tasks["take"]["output"] == 10_000


@pytest.mark.promise(10)
def test_grandchild_that_keeps_the_pipe_open(job: Builder) -> None:
    """The queue ends with the process, not at end-of-file."""
    gate = job.gate("gate")
    job.module(MODULE)
    job.file("give.sh", """setsid sh -c "read x < gate" & echo '{"i": 1}'""")
    job.tasks(
        """
        give: {mode: subprocess, command: [sh, give.sh], publish: q}
        take: {mode: thread, function: "m:add", consume: q}
        """,
        head="queues: {q: {}}",
    )
    done = job.run("--json")
    gate.open()
    assert done.tasks["take"]["output"] == [1, 1]
