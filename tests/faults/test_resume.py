"""``orch resume`` finishes a run that failed, was stopped, or was cut off: nothing runs twice."""

import json
import os
import random
import signal
import sqlite3
import threading
from collections import Counter
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from orchestrator.events import Ended, Resumed, Started
from orchestrator.journal import Record
from tests.builder import FUNCTION_MODES, Builder, Result
from tests.faults.test_no_orphans import ends

KILLS = int(os.environ.get("ORCH_TEST_KILLS", "50"))
LINES = 20
MODULE = """
import os, sys, time

def work(name, *needs):
    for number in range(20):
        print(name, number)
        with open(f"{name}.lines", "a") as file:
            print(name, number, file=file)
    time.sleep(0.01)
    with open("done", "a") as file:
        print(name, file=file)
    return [name, *needs]

def numbers(count):
    yield from range(count)

def total(items):
    return sum(items)
"""
PROGRAM = """
import json, os, sys
sys.path.insert(0, ".")
from m import work
json.dump(work(*sys.argv[1:]), open(os.environ["ORCH_OUTPUT"], "w"))
"""


def _thirty(job: Builder) -> None:
    """Write a job of thirty tasks in every mode, some of them needing others; a pipeline too."""
    job.module(MODULE)
    job.file("p.py", PROGRAM)
    lines = []
    for number in range(24):
        name = f"t{number}"
        needs = [f"t{number - step}" for step in (3, 5) if number - step >= 0 and number % 2]
        args = json.dumps([name, *(f"{{{{ tasks.{need}.output[0] }}}}" for need in needs)])
        target = ('function: "m:work"', 'function: "m:work"', "program: p.py")[number % 3]
        mode = ("thread", "process", "subprocess")[number % 3]
        lines.append(f"{name}: {{mode: {mode}, {target}, args: {args}}}")
    lines += [
        'each: {mode: thread, function: "m:work", foreach: [a, b, c], args: ["each-{{ item }}"]}',
        'give: {mode: thread, function: "m:numbers", args: [500], publish: q, needs: [t7]}',
        "pass: {mode: subprocess, command: [cat], consume: q, publish: r, replicas: 2}",
        'take: {mode: process, function: "m:total", consume: r}',
        (
            'late: {mode: thread, function: "m:work", needs: [t23], '
            'args: ["late", "{{ tasks.take.output }}", "{{ tasks.each.output }}"]}'
        ),
    ]
    job.tasks("\n".join(lines), head="limits: {processes: 4}\nqueues: {q: {maxsize: 50}, r: {}}")


def _outcomes(result: Result) -> dict[str, tuple[str, object]]:
    return {name: (task["state"], task["output"]) for name, task in result.tasks.items()}


def _has_begun(run: Path) -> bool:
    """Tell whether orch had come to make the journal; nothing is started before."""
    path = run / "journal.db"
    if not path.exists():
        return False
    with closing(sqlite3.connect(path)) as journal:
        return bool(journal.execute("PRAGMA user_version").fetchone()[0])


def _succeeded(run: Path) -> set[str]:
    return {e.task for e in Record(run).events() if isinstance(e, Ended) and e.outcome == "ok"}


@pytest.mark.promise(1, 2, 9, 24)
def test_killed_at_random_moments(
    job: Builder, tmp_path: Path, faults: Callable[[int, int], None]
) -> None:
    """SIGKILL at random moments: nothing finished runs again, the end is that of a whole run."""
    _thirty(job)
    whole = job.run("--json")
    assert whole.code == 0
    expected, duration_s = _outcomes(whole), whole.document["duration_s"] + 0.3
    seed = random.SystemRandom().randrange(10**6)
    rng = random.Random(seed)
    survived = 0
    for number in range(KILLS):
        for path in [*tmp_path.glob("*.lines"), tmp_path / "done"]:
            path.unlink(missing_ok=True)
        before = set(job.runs())
        running = job.start_orch("run", "job.yaml", "-q")
        timer = threading.Timer(rng.uniform(0, duration_s), running.signal, [signal.SIGKILL])
        timer.start()
        code = running.finish().code
        timer.cancel()
        assert job.left_over() == [], f"seed {seed}, kill {number}"
        new = [run for run in job.runs() if run not in before and _has_begun(run)]
        if new and code == -signal.SIGKILL:
            _check_resumed(job, new[0], expected, f"seed {seed}, kill {number}")
        survived += 1
    faults(KILLS, survived)


def _check_resumed(
    job: Builder, run: Path, expected: dict[str, tuple[str, object]], said: str
) -> None:
    finished = _succeeded(run)
    done = job.orch("resume", run.name, "--json")
    assert done.code == 0, f"{said}: {done.err}"
    assert _outcomes(done) == expected, said
    record = list(Record(run).events())
    resumed = [place for place, event in enumerate(record) if isinstance(event, Resumed)]
    again = set(record[resumed[-1]].again) if resumed else set()
    started = (
        {e.task for e in record[resumed[-1] :] if isinstance(e, Started)} if resumed else set()
    )
    # what had ended is run again only with the pipeline that it belongs to
    pipeline = {"give", "pass.0", "pass.1", "take"}
    assert not (finished & started) - pipeline, said
    assert pipeline.isdisjoint(finished & started) or pipeline - finished, said
    attempts = [(e.task, e.attempt) for e in record if isinstance(e, Ended)]
    assert [pair for pair, count in Counter(attempts).items() if count > 1] == [], said
    assert not finished & again - pipeline, said
    _check_lines(run, job, said)


def _check_lines(run: Path, job: Builder, said: str) -> None:
    """Look whether every line that a task printed is in a file of one of its attempts."""
    for path in job.root.glob("*.lines"):
        name = path.name.removesuffix(".lines").replace("each-", "each.")
        name = name.replace(".a", ".0").replace(".b", ".1").replace(".c", ".2")
        kept = Counter(
            line for out in run.glob(f"{name}.*.out") for line in out.read_text().splitlines()
        )
        lost = Counter(path.read_text().splitlines()) - kept
        # a thread's last line may be on its way when orch is killed
        assert sum(lost.values()) <= 0, f"{said}: {lost}"


# What is kept


TWICE = """
first: {mode: subprocess, shell: true, command: "echo first >> ran; echo 1", output: json}
second: {mode: subprocess, shell: true, command: "echo second >> ran; test -e flag", needs: [first]}
third:
  mode: subprocess
  command: [sh, -c, 'echo third >> ran; echo {{ tasks.first.output }}']
  needs: [second]
  output: json
"""


def _ran(job: Builder) -> list[str]:
    path = job.root / "ran"
    return path.read_text().split() if path.exists() else []


@pytest.fixture
def failed(job: Builder) -> Builder:
    """Give a job of which the second of three tasks has failed, and would not fail again."""
    job.tasks(TWICE)
    assert job.run().code == 1
    job.file("flag", "")
    job.file("ran", "")
    return job


@pytest.mark.promise(2)
def test_failed(failed: Builder) -> None:
    """After a failure what succeeded is kept, with its output; attempts count on."""
    done = failed.orch("resume", "--json")
    assert done.code == 0
    assert _ran(failed) == ["second", "third"]
    assert [done.tasks[name]["attempts"] for name in ("first", "second", "third")] == [1, 2, 1]
    assert done.tasks["third"]["output"] == 1
    assert done.document["state"] == "succeeded"
    assert (failed.runs()[-1] / "second.2.err").exists()


@pytest.mark.promise(5)
def test_of_a_run_that_succeeded(failed: Builder) -> None:
    """There is nothing left to do: that is said, with exit code 0 and the same document."""
    first = failed.orch("resume", "--json")
    failed.file("ran", "")
    again = failed.orch("resume", "--json")
    assert (again.code, _ran(failed)) == (0, [])
    assert "nothing is left to do" in again.err
    assert again.document == first.document


def test_fails_again_and_again(job: Builder) -> None:
    """Each resume makes new attempts, as many as `retry` allows."""
    job.tasks("a: {mode: subprocess, command: ['false'], retry: {attempts: 2, delay: 0}}")
    for attempts in (2, 4, 6):
        done = job.run("--json") if attempts == 2 else job.orch("resume", "--json")
        assert (done.code, done.tasks["a"]["attempts"]) == (1, attempts)


@pytest.mark.promise(2)
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_stopped(job: Builder, number: int) -> None:
    """After a signal too: what was under way is tried again, and what waited is run."""
    gate = job.gate("gate")
    job.tasks("""
        a: {mode: subprocess, command: ["true"]}
        b: {mode: subprocess, shell: true, needs: [a],
            command: "echo > gate; test -e flag || sleep 60"}
        c: {mode: subprocess, command: ["true"], needs: [b]}
    """)
    running = job.start()
    gate.wait()
    running.signal(number)
    assert running.finish().code == -number
    shown = job.orch("show", "--json")
    assert shown.document["state"] == ("interrupted" if number == signal.SIGKILL else "cancelled")
    job.file("flag", "")
    done = job.orch("resume", "--events", "--log-format", "json")
    assert done.code == 0
    assert [e["task"] for e in done.events if e["event"] == "started"] == ["b", "c"]
    resumed = next(e for e in done.events if e["event"] == "resumed")
    assert (resumed["session"], "b" in resumed["again"], resumed["changed"]) == (2, True, [])
    if number == signal.SIGKILL:
        lost = [line for line in done.log if line["event"] == "task lost"]
        assert [(line["task"], line["attempt"]) for line in lost] == [("b", 1)]


def test_run_when_is_decided_again(job: Builder) -> None:
    """What ran because of a failure does not count any more where the failure is gone."""
    job.tasks("""
        a: {mode: subprocess, shell: true, command: "test -e flag"}
        on_failure: {mode: subprocess, shell: true, command: "echo f >> ran", needs: [a],
                     run_when: failed}
        always: {mode: subprocess, shell: true, command: "echo a >> ran", needs: [a],
                 run_when: always}
        then: {mode: subprocess, shell: true, command: "echo t >> ran", needs: [a]}
    """)
    assert job.run().code == 1
    assert sorted(_ran(job)) == ["a", "f"]
    job.file("flag", "")
    job.file("ran", "")
    done = job.orch("resume", "--json")
    assert done.code == 0
    assert sorted(_ran(job)) == ["a", "t"]
    assert done.tasks["on_failure"]["state"] == "skipped"


def test_allowed_failure_is_settled(job: Builder) -> None:
    """A failure that is allowed counts as success here too; and so does a false condition."""
    job.tasks("""
        allowed: {mode: subprocess, shell: true, command: "echo a >> ran; false",
                  allow_failure: true}
        off: {mode: subprocess, command: ["true"], when: "{{ 1 > 2 }}"}
        b: {mode: subprocess, shell: true, command: "echo b >> ran", needs: [allowed]}
        c: {mode: subprocess, shell: true, command: "test -e flag"}
    """)
    assert job.run().code == 1
    job.file("flag", "")
    done = job.orch("resume", "--json")
    assert done.code == 0
    assert _ran(job) == ["a", "b"]
    states = [done.tasks[name]["state"] for name in ("allowed", "off", "b", "c")]
    assert states == ["failed", "skipped", "succeeded", "succeeded"]


@pytest.mark.parametrize("items", ["[x, y, z]", '"{{ tasks.list.output }}"'])
def test_instances_are_kept_one_by_one(job: Builder, items: str) -> None:
    """Of a ``foreach`` only the instances that failed run again."""
    job.tasks(f"""
        list: {{mode: subprocess, shell: true, output: json,
               command: "echo '[\\"x\\", \\"y\\", \\"z\\"]'"}}
        each:
          mode: subprocess
          foreach: {items}
          command:
            - sh
            - -c
            - 'echo "$0" >> ran; echo "$0"; test "$0" != y || test -e flag'
            - "{{{{ item }}}}"
          output: stdout
        after: {{mode: subprocess, command: [echo, "{{{{ tasks.each.output }}}}"], output: json}}
    """)
    assert job.run().code == 1
    job.file("flag", "")
    job.file("ran", "")
    done = job.orch("resume", "--json")
    assert (done.code, _ran(job)) == (0, ["y"])
    assert done.tasks["after"]["output"] == ["x", "y", "z"]
    instances = done.tasks["each"]["instances"]
    assert [one["attempts"] for one in instances.values()] == [1, 2, 1]


def test_pipeline_runs_again_as_one(job: Builder) -> None:
    """What queues join is kept together, or not at all."""
    job.module(
        "def total(items):\n    import os\n    n = sum(items)\n    os.stat('flag')\n    return n"
    )
    job.tasks("""
        give: {mode: subprocess, shell: true, command: "echo give >> ran; seq 10", publish: q}
        take: {mode: thread, function: "m:total", consume: q}
        apart: {mode: subprocess, shell: true, command: "echo apart >> ran"}
    """, head="queues: {q: {}}")  # fmt: skip
    assert job.run().code == 1
    job.file("flag", "")
    job.file("ran", "")
    done = job.orch("resume", "--json")
    assert (done.code, _ran(job)) == (0, ["give"])
    assert done.tasks["take"]["output"] == 55
    assert done.document["queues"]["q"]["items_in"] == 10


def test_finished_but_not_recorded(job: Builder) -> None:
    """Where only the end of the run is missing in the record, nothing is run."""
    job.tasks("a: {mode: subprocess, shell: true, command: 'echo a >> ran'}")
    job.run()
    run = job.runs()[-1]
    db = sqlite3.connect(run / "journal.db")
    db.execute("DELETE FROM turns WHERE seq = (SELECT max(seq) FROM turns)")
    db.commit()
    db.close()
    assert job.orch("show", "--json").document["state"] == "interrupted"
    done = job.orch("resume", "--json")
    assert (done.code, _ran(job), done.document["state"]) == (
        0,
        ["a"] * len(_ran(job)),
        "succeeded",
    )


# What has changed


@pytest.mark.promise(5)
@pytest.mark.parametrize(
    ("old", "new", "again"),
    [
        ("echo first >> ran; echo 1", "echo first >> ran;  echo 1", ["first", "second", "third"]),
        ("first: {", "first: {env: {A: b}, ", ["first", "second", "third"]),
        ("first: {", "first: {cwd: sub, ", ["first", "second", "third"]),
        ("first: {", "first: {retry: 3, timeout: 1m, priority: 2, ", ["second", "third"]),
        ("tasks:", "env: {A: b}\ntasks:", ["first", "second", "third"]),
        ("tasks:", "# nothing\ntasks:", ["second", "third"]),
        ("test -e flag", "true && echo new", ["second", "third"]),
    ],
    ids=["command", "env", "cwd", "policy", "job_env", "comment", "what_failed"],
)
def test_changed(failed: Builder, old: str, new: str, again: list[str]) -> None:
    """A task that is not what it was runs again, and what needs it; other changes mean nothing."""
    (failed.root / "sub").mkdir()
    (failed.root / "sub" / "ran").symlink_to("../ran")
    path = failed.root / "job.yaml"
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))
    done = failed.orch("resume", "--log-format", "json")
    assert (done.code, _ran(failed)) == (0, again)
    said = [line for line in done.log if line["event"] == "tasks changed and run again"]
    assert bool(said) == ("first" in again or "new" in new)


@pytest.mark.promise(5)
@pytest.mark.parametrize("kind", ["function", "program", "command"])
def test_changed_code(job: Builder, kind: str) -> None:
    """A change in the file of the function, or the program, counts as one of the task."""
    name = {"function": "m.py", "program": "p.py", "command": "p.sh"}[kind]
    text = {"function": "def f(): open('ran', 'a').write('ran ')\n",
            "program": "open('ran', 'a').write('ran ')\n",
            "command": "#!/bin/sh\nprintf 'ran ' >> ran\n"}[kind]  # fmt: skip
    job.file(name, text, mode=0o755)
    target = {"function": 'mode: process, function: "m:f"',
              "program": "mode: subprocess, program: p.py",
              "command": "mode: subprocess, command: [./p.sh]"}[kind]  # fmt: skip
    job.tasks(f"a: {{{target}}}\nb: {{mode: subprocess, command: [test, -e, flag]}}")
    assert job.run().code == 1
    assert (job.orch("resume").code, _ran(job)) == (1, ["ran"])
    job.file(name, text + "# changed\n", mode=0o755)
    assert (job.orch("resume").code, _ran(job)) == (1, ["ran", "ran"])


@pytest.mark.promise(5)
def test_strict(failed: Builder) -> None:
    """With ``--strict`` a change is an error, and nothing is started."""
    path = failed.root / "job.yaml"
    path.write_text(path.read_text().replace("echo 1", "echo 2"))
    done = failed.orch("resume", "--strict")
    assert (done.code, _ran(failed)) == (3, [])
    assert "not what it was when the run began: `first`" in done.err
    assert failed.orch("show", "--json").document["state"] == "failed"


@pytest.mark.promise(5)
def test_parameters_are_those_of_the_run(job: Builder) -> None:
    """Given ones and defaults alike, whatever the file says by now."""
    text = "params: {{x: {{type: int, default: {0}}}, y: {{type: path, default: {1}}}}}"
    tasks = """
        a: {mode: subprocess, command: [test, -e, flag]}
        b: {mode: subprocess, command: [echo, "{{ params.x }} {{ params.y }}"], needs: [a],
            output: stdout}
    """
    job.tasks(tasks, head=text.format(1, "here"))
    assert job.run("-p", "x=7").code == 1
    job.file("flag", "")
    job.tasks(tasks, head=text.format(2, "there"))
    done = job.orch("resume", "--json")
    assert done.tasks["b"]["output"] == f"7 {job.root}/here"


def test_choices_are_those_of_the_run(job: Builder) -> None:
    """What was left out stays left out."""
    job.tasks("""
        a: {mode: subprocess, command: [test, -e, flag]}
        b: {mode: subprocess, command: ["true"]}
    """)
    assert job.run("--skip", "b").code == 1
    job.file("flag", "")
    done = job.orch("resume", "--json")
    assert (done.code, done.tasks["b"]["state"]) == (0, "skipped")


@pytest.mark.promise(5)
@pytest.mark.parametrize("way", ["gone", "stdin"])
def test_copy_of_the_job_file(failed: Builder, way: str) -> None:
    """The copy in the journal stands in for a file that is gone, and for stdin."""
    path = failed.root / "job.yaml"
    if way == "stdin":
        (failed.root / "flag").unlink()
        assert failed.orch("run", "-", stdin=path.read_text()).code == 1
        failed.file("flag", "")
        failed.file("ran", "")
    path.unlink()
    done = failed.orch("resume", "--json")
    assert (done.code, _ran(failed)) == (0, ["second", "third"])


def test_tasks_come_and_go(failed: Builder) -> None:
    """New tasks run; those that the file no longer has are passed over."""
    failed.tasks("""
        first: {mode: subprocess, shell: true, command: "echo first >> ran; echo 1", output: json}
        new: {mode: subprocess, shell: true, command: "echo new >> ran", needs: [first]}
    """)
    done = failed.orch("resume", "--json")
    assert (done.code, _ran(failed), list(done.tasks)) == (0, ["new"], ["first", "new"])


def test_a_file_that_is_wrong_now(failed: Builder) -> None:
    """Errors are told as by ``orch run``, and nothing is lost."""
    path = failed.root / "job.yaml"
    text = path.read_text()
    path.write_text(text.replace("second:", "second: {mode: tread}\nx:"))
    assert failed.orch("resume").code == 3
    path.write_text(text)
    assert failed.orch("resume").code == 0


# Who may not


@pytest.mark.promise(6)
def test_run_that_is_alive(job: Builder) -> None:
    """A live run is refused with exit code 4, naming the process that the user started."""
    gate = job.gate("gate")
    job.tasks("a: {mode: subprocess, shell: true, command: 'read x < gate'}")
    running = job.start()
    running.wait_for("started")
    refused = job.orch("resume")
    assert refused.code == 4
    assert f"is under way, as process {running.pid}" in refused.err
    gate.open()
    assert running.finish().code == 0


@pytest.mark.promise(6)
def test_lock_is_not_inherited(job: Builder) -> None:
    """A child that a function forks does not keep the run alive, nor do its tasks."""
    gate, hold = job.gate("gate"), job.gate("hold")
    job.module("""
        import os, signal
        def f():
            if os.fork() == 0:
                os.setsid()
                open("gate", "w").write("x")
                os.read(os.open("hold", os.O_RDONLY), 1)
                os._exit(0)
            signal.pause()
    """)
    job.tasks('a: {mode: thread, function: "m:f"}')
    running = job.start("--no-keeper")
    gate.wait()
    running.signal(signal.SIGKILL)
    assert ends(running.pid)
    shown = job.orch("show", "--json").document
    hold.open()  # the child holds the stdout of orch, too
    running.finish()
    assert shown["state"] == "interrupted"


@pytest.mark.promise(3, 4)
@pytest.mark.parametrize(
    "where", [b"SQLite format 3", b'["started","second"', b'"called_from"', "cut"]
)
def test_damaged_journal(failed: Builder, where: bytes | str) -> None:
    """A journal with bytes turned over, or cut short, is refused, and left as it was."""
    path = failed.runs()[-1] / "journal.db"
    data = bytearray(path.read_bytes())
    if isinstance(where, bytes):
        start = data.index(where)
        data[start : start + 10] = bytes(byte ^ 0xFF for byte in data[start : start + 10])
    else:
        del data[len(data) // 2 :]
    path.write_bytes(data)
    for command in ("resume", "show"):
        done = failed.orch(command)
        assert done.code == 4, (command, done)
        assert "damaged, and left as it is" in done.err
    assert path.read_bytes() == data
    assert _ran(failed) == []


@pytest.mark.promise(20)
@pytest.mark.parametrize("how", ["os._exit(3)", "os.kill(os.getpid(), 11)"])
def test_task_that_ends_orch(job: Builder, how: str) -> None:
    """The journal is whole, the attempt is lost; the second time it takes ``--force``."""
    job.module(f"import os\ndef f():\n    os.path.exists('flag') or {how}")
    job.tasks("""
        a: {mode: thread, function: "m:f", needs: [b]}
        b: {mode: subprocess, shell: true, command: "echo b >> ran"}
        c: {mode: subprocess, shell: true, command: "echo c >> ran", needs: [b, a],
            run_when: always}
    """)
    assert job.run().code in (3, -signal.SIGSEGV)
    again = job.orch("resume", "--log-format", "json")
    assert again.code in (3, -signal.SIGSEGV)
    lost = [json.loads(x) for x in again.err.splitlines() if "task lost" in x]
    assert "orch was ended by" in lost[0]["reason"]
    third = job.orch("resume", "--json")
    assert third.code == 1
    assert third.tasks["a"]["error"]["message"].endswith("start it again with --force")
    assert _ran(job) == ["b", "c"]
    job.file("flag", "")
    done = job.orch("resume", "--force", "--json")
    assert (done.code, done.tasks["a"]["attempts"]) == (0, 3)


@pytest.mark.promise(20)
@pytest.mark.parametrize("mode", [mode for mode in FUNCTION_MODES if mode != "process"])
def test_orch_that_a_task_ends_with_0_did_not_succeed(job: Builder, mode: str) -> None:
    """``os._exit(0)`` in the middle of a run is no success, and a run that is over is one."""
    job.module("import os\ndef f():\n    os.path.exists('flag') or os._exit(0)")
    job.tasks(f"""
        a: {{mode: {mode}, function: "m:f"}}
        b: {{mode: subprocess, command: ['true'], needs: [a]}}
    """)
    done = job.run()
    assert (done.code, job.orch("show", "--json").document["state"]) == (1, "interrupted")
    assert "ended by exit status 0 in the middle of its run" in done.err
    again = job.orch("resume", "--log-format", "json")
    where = "in an interpreter" if mode == "interpreter" else "on a thread"
    lost = [json.loads(x) for x in again.err.splitlines() if "task lost" in x]
    assert (again.code, lost[0]["reason"]) == (
        1, f"orch was ended by exit status 0 while it ran {where}"
    )  # fmt: skip
    job.file("flag", "")
    assert job.orch("resume", "--force").code == 0


@pytest.mark.promise(20)
def test_kill_from_outside_does_not_count(job: Builder) -> None:
    """A SIGKILL, from an administrator or for want of memory, is not the task's doing."""
    gate = job.gate("gate")
    job.module(
        "import os, signal\ndef f():\n"
        "    if not os.path.exists('flag'):\n"
        "        open('gate', 'w').write('x')\n        signal.pause()"
    )
    job.tasks('a: {mode: thread, function: "m:f"}')
    running = job.start()
    for _ in range(3):
        gate.wait()
        running.signal(signal.SIGKILL)
        running.finish()
        running = job.start_orch("resume", "--json")
    gate.wait()
    running.signal(signal.SIGKILL)
    running.finish()
    job.file("flag", "")
    assert job.orch("resume").code == 0
