"""``resources``: named semaphores, the same for threads, processes and programs."""

import pytest

from tests.builder import Builder, Result

MODULE = """
    import os, time

    def work(name, seconds=0.05):
        with open("book", "a") as file:
            file.write(f"+{name}\\n")
        time.sleep(seconds)
        with open("book", "a") as file:
            file.write(f"-{name}\\n")

    def fails(name):
        work(name)
        raise ValueError
"""


@pytest.fixture
def funcs(job: Builder) -> Builder:
    """Return a builder whose functions and programs keep a book of who is at work."""
    job.module(MODULE)
    job.file("work.py", "import sys, m\nm.work(*sys.argv[1:])\n")
    return job


def _most(job: Builder) -> int:
    """Return how many were at work at once."""
    at_work = most = 0
    for line in (job.root / "book").read_text().splitlines():
        at_work += 1 if line.startswith("+") else -1
        most = max(most, at_work)
    return most


HEAD = "limits: {threads: 8, processes: 8}\nresources: {db: 2, lock: 1}\n"


def _run(job: Builder, tasks: str, *options: str, head: str = HEAD) -> Result:
    job.tasks(tasks, head)
    return job.run(*options)


def test_a_lock_across_modes(funcs: Builder) -> None:
    """Whatever the mode, one at a time has it."""
    done = _run(
        funcs,
        """
        a: {mode: thread, function: 'm:work', foreach: [1, 2], args: [a], resources: {lock: 1}}
        b: {mode: process, function: 'm:work', args: [b], resources: {lock: 1}}
        c: {mode: subprocess, program: work.py, foreach: [1, 2], args: [c], resources: {lock: 1}}
        """,
    )
    assert done.code == 0
    assert _most(funcs) == 1


def test_two_of_five(funcs: Builder) -> None:
    """As many run at once as there is of a resource."""
    assert _run(
        funcs,
        "a: {mode: thread, function: 'm:work', foreach: [1, 2, 3, 4, 5], args: [a], "
        "resources: {db: 1}}",
    ).code == 0  # fmt: skip
    assert _most(funcs) == 2


def test_all_or_none(funcs: Builder) -> None:
    """Who asks for two in either order does not lock the other up."""
    tasks = "\n".join(
        f"t{i}: {{mode: thread, function: 'm:work', args: [t, 0.002], "
        f"resources: {{{'lock: 1, db: 2' if i % 2 else 'db: 2, lock: 1'}}}}}"
        for i in range(20)
    )
    assert _run(funcs, tasks).code == 0
    assert _most(funcs) == 1


@pytest.mark.parametrize(
    "first",
    [
        "mode: thread, function: 'm:fails', args: [a], retry: {attempts: 2, delay: 0}",
        "mode: subprocess, command: [no-such-program]",
        "mode: subprocess, command: [sleep, '60'], timeout: 0.1, grace: 0.1",
        "mode: process, function: 'os:abort'",
    ],
)
def test_given_back_however_it_ends(funcs: Builder, first: str) -> None:
    """A failure, a program that is not there, a time limit, a crash: the next one gets it."""
    done = _run(
        funcs,
        f"""
        a: {{{first}, resources: {{lock: 1}}, priority: 1}}
        b: {{mode: thread, function: 'm:work', args: [b], resources: {{lock: 1}}}}
        """,
        "--json",
    )
    assert [task["state"] for task in done.tasks.values()] == ["failed", "succeeded"]


def test_large_requests_are_not_starved(funcs: Builder) -> None:
    """Small requests that rank behind a large one do not pass it, for as long as it waits."""
    tasks = """
        first: {mode: thread, function: 'm:work', args: [first, 0.1], resources: {db: 1},
                priority: 9}
        large: {mode: thread, function: 'm:work', args: [large], resources: {db: 2}, priority: 5}
        small: {mode: thread, function: 'm:work', args: [small], foreach: [1, 2, 3],
                resources: {db: 1}}
    """  # fmt: skip
    assert _run(funcs, tasks).code == 0
    begun = [line for line in (funcs.root / "book").read_text().splitlines() if line[0] == "+"]
    assert begun[:2] == ["+first", "+large"]


def test_large_requests_are_not_starved_by_two_sorts_of_others(funcs: Builder) -> None:
    """Nor where some that ask for nothing take its slots, and some in another pool its resource."""
    done = _run(
        funcs,
        """
        first: {mode: subprocess, command: [sleep, '0.05']}
        large: {mode: thread, function: 'm:work', args: [large], needs: [first],
                resources: {db: 2}, priority: 9}
        fill: {mode: thread, function: 'm:work', args: [fill, 0.13], foreach: [1, 2, 3, 4, 5, 6, 7]}
        small: {mode: subprocess, program: work.py, args: [small], resources: {db: 1},
                foreach: [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20]}
        """,
        head="limits: {threads: 1, processes: 2}\nresources: {db: 2}\n",
    )  # fmt: skip
    assert done.code == 0
    begun = [line for line in (funcs.root / "book").read_text().splitlines() if line[0] == "+"]
    behind = begun[begun.index("+large") :]
    assert behind.count("+small") > 5
    assert behind.count("+fill") > 3


def test_plan_shows_them(funcs: Builder) -> None:
    """What there is, and who takes what."""
    funcs.tasks("a: {mode: thread, function: 'm:work', args: [a], resources: {db: 2}}", HEAD)
    shown = funcs.orch("plan", "job.yaml")
    assert "resources: db 2, lock 1" in shown.out
    assert "[takes db 2]" in shown.out
    document = funcs.orch("plan", "job.yaml", "--json").document
    assert document["resources"] == {"db": 2, "lock": 1}
    assert document["tasks"]["a"]["resources"] == {"db": 2}


@pytest.mark.parametrize(
    ("resources", "said"),
    [
        ("{lokc: 1}", "unknown resource `lokc`; did you mean `lock`?"),
        ("{db: 3}", "found 3, and there is only 2"),
        ("{db: 0}", "`0` is too small, expected at least 1"),
        ("[db]", "expected a mapping"),
    ],
)
def test_mistakes(funcs: Builder, resources: str, said: str) -> None:
    """What can never be had is said before anything runs."""
    done = _run(
        funcs, f"a: {{mode: thread, function: 'm:work', args: [a], resources: {resources}}}"
    )
    assert done.code == 3
    assert said in done.err


ITEMS = "a: {mode: subprocess, command: [seq, '6'], publish: q, resources: {lock: 1}}\n"
QUEUE = f"queues: {{q: {{format: text}}}}\n{HEAD}"


def test_items_of_a_queue(funcs: Builder) -> None:
    """Of those who take items from a queue as many are at work as there is of a resource."""
    work = "foreach: {queue: q}, mode: thread, function: 'm:work', args: [b]"
    assert _run(funcs, f"{ITEMS}b: {{{work}, resources: {{db: 1}}}}", head=QUEUE).code == 0
    assert _most(funcs) == 2


def _started(job: Builder, tasks: str, head: str) -> list[str]:
    """Run the job and return what was started, in order."""
    done = _run(job, tasks, "--events", head=head)
    assert done.code == 0
    return [event["task"] for event in done.events if event["event"] == "started"]


def test_a_pipeline_waits_for_all_of_it(funcs: Builder) -> None:
    """It begins when all members can have what they ask for; until then it holds nothing.

    Who ranks behind it does not get what it waits for.
    """
    funcs.gate("go")
    tasks = f"""
        wait: {{mode: subprocess, shell: true, command: 'read x < go', priority: 9,
               resources: {{db: 1}}}}
        {ITEMS}
        b: {{mode: subprocess, command: [cat], consume: q, replicas: 2, resources: {{db: 1}}}}
        ahead: {{mode: subprocess, shell: true, command: 'echo > go', resources: {{lock: 1}},
                priority: 5}}
        behind: {{mode: subprocess, command: ['true'], resources: {{db: 1}}}}
    """
    assert _started(funcs, tasks, QUEUE) == ["wait", "ahead", "a", "b.0", "b.1", "behind"]


def test_a_retry_keeps_what_its_pipeline_has(funcs: Builder) -> None:
    """Between two tries nobody else gets it: the others of the pipeline wait for the second one."""
    tasks = f"""
        {ITEMS}
        b: {{mode: subprocess, shell: true, command: 'mkdir once && exit 1; cat', consume: q,
            retry: {{attempts: 2, delay: 0.2}}, resources: {{db: 2}}}}
        other: {{mode: subprocess, command: ['true'], resources: {{db: 1}}, priority: -1}}
    """
    head = QUEUE.replace("{format: text}", "{format: text, delivery: at_least_once}")
    assert _started(funcs, tasks, head) == ["a", "b", "b", "other"]


def test_what_a_pipeline_waits_for_keeps_no_slots(funcs: Builder) -> None:
    """While it lacks a resource, others that ask for nothing start on the slots that are free."""
    funcs.gate("go")
    tasks = f"""
        wait: {{mode: subprocess, shell: true, command: 'read x < go', resources: {{lock: 1}}}}
        {ITEMS}
        b: {{mode: subprocess, command: [cat], consume: q}}
        free: {{mode: subprocess, shell: true, command: 'echo > go'}}
    """
    assert _started(funcs, tasks, QUEUE) == ["wait", "free", "a", "b"]


def test_items_wait_for_what_comes_back(funcs: Builder) -> None:
    """Where a stuck thread has one, and a task that will end the other, an item is not given up."""
    funcs.gate("go")
    funcs.module("""
        import time
        def once(item):
            if item == 1:
                time.sleep(60)
    """, "stuck")  # fmt: skip
    tasks = """
        a: {mode: subprocess, command: [seq, '3'], publish: q}
        b: {mode: thread, function: 'stuck:once', foreach: {queue: q}, args: ['{{ item }}'],
            timeout: 0.2, grace: 0.1, resources: {db: 1}}
        other: {mode: subprocess, shell: true, command: 'read x < go', priority: 1,
                resources: {db: 1}}
        later: {mode: subprocess, shell: true, command: 'sleep 1.5; echo > go'}
    """
    head = f"grace: 0.2\n{QUEUE.replace('text', 'json')}"
    done = _run(funcs, tasks, "--events", head=head)
    ends = {event["task"]: event["outcome"] for event in done.events if event["event"] == "ended"}
    assert [ends[f"b.{i}"] for i in range(3)] == ["timed_out", "ok", "ok"]


def test_a_pipeline_that_could_never_begin(funcs: Builder) -> None:
    """Where the members together ask for more than there is, that is said, with its place."""
    cat = "mode: subprocess, command: [cat], consume: q, replicas: 3"
    done = _run(funcs, f"{ITEMS}b: {{{cat}, resources: {{db: 1}}}}", head=QUEUE)
    assert done.code == 3
    assert "resources.db: `2` is too small: the pipeline of `a` and `b` needs 3 at once" in done.err
