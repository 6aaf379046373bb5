"""What processes do to a run: how they start, how they are ended, what they inherit, how many."""

import os
import shutil
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from orchestrator.events import Ended, Started
from orchestrator.plan.model import Plan, PlanTask
from orchestrator.procfs import children
from orchestrator.scheduler import Scheduler
from tests.builder import Builder
from tests.faults.test_no_orphans import comes_to

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="needs /proc")

MODES = {
    "subprocess": "mode: subprocess, program: p.py",
    "process": "mode: process, function: 'm:f'",
}
HELD = """
import os
def f():
    print(os.getpid(), file=open("ready", "w"))
    os.read(os.open("never", os.O_RDONLY), 1)
"""


def _held(job: Builder, mode: str, keys: str = "") -> None:
    """Write a job of one task that says its pid and then waits for ever."""
    job.module(HELD)
    job.file("p.py", "import sys\nsys.path.insert(0, '.')\nimport m\nm.f()")
    job.gate("never")
    job.tasks(f"a: {{{MODES[mode]}{keys}}}")


# 8: clocks

JUMPS = """
#define _GNU_SOURCE
#include <dlfcn.h>
#include <sys/time.h>
#include <time.h>
static int calls;
static time_t jump(void) { return (calls++ % 3 - 1) * 86400L * 365; }
int clock_gettime(clockid_t clock, struct timespec *now) {
    static int (*real)(clockid_t, struct timespec *);
    if (!real) real = dlsym(RTLD_NEXT, "clock_gettime");
    int done = real(clock, now);
    if (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE) now->tv_sec += jump();
    return done;
}
int gettimeofday(struct timeval *now, void *zone) {
    struct timespec precise;
    clock_gettime(CLOCK_REALTIME, &precise);
    now->tv_sec = precise.tv_sec, now->tv_usec = precise.tv_nsec / 1000;
    return 0;
}
time_t time(time_t *into) {
    struct timespec precise;
    clock_gettime(CLOCK_REALTIME, &precise);
    if (into) *into = precise.tv_sec;
    return precise.tv_sec;
}
"""


@pytest.fixture
def jumping(job: Builder) -> Builder:
    """Give a builder in whose processes the wall clock is a year off at each look at it."""
    if shutil.which("cc") is None:
        pytest.skip("needs a C compiler")
    job.file("jumps.c", JUMPS)
    assert job.shell("cc -shared -fPIC -o jumps.so jumps.c -ldl").code == 0
    job.env["LD_PRELOAD"] = str(job.root / "jumps.so")
    done = job.shell(f"{sys.executable} -c 'import time; a = time.time(); print(time.time() - a)'")
    assert abs(float(done.out)) > 1e6
    return job


@pytest.mark.promise(8)
def test_wall_clock_that_jumps(jumping: Builder) -> None:
    """Time limits, delays and durations are right while the wall clock leaps about by years."""
    jumping.module("import time\ndef f(): time.sleep(0.3)")
    jumping.tasks("""
        limit: {mode: subprocess, command: [sleep, '60'], timeout: 0.5}
        tries: {mode: subprocess, command: ['false'], retry: {attempts: 3, delay: 0.2}}
        quick: {mode: thread, function: "m:f", timeout: 20}
        process: {mode: process, function: "m:f", timeout: 20}
    """, "timeout: 25")  # fmt: skip
    done = jumping.run("--json")
    tasks = done.tasks
    assert done.code == 1
    assert [task["outcome"] for task in tasks.values()] == ["timed_out", "failed", "ok", "ok"]
    assert 0.5 <= tasks["limit"]["duration_s"] < 10
    assert 0.3 <= tasks["quick"]["duration_s"] < 10
    assert 0.4 <= done.document["duration_s"] < 25


@pytest.mark.promise(8)
def test_resume_under_a_clock_that_jumps(jumping: Builder) -> None:
    """What is resumed counts on from where it was, whatever the calendar says."""
    jumping.tasks("a: {mode: subprocess, shell: true, command: 'test -e flag'}")
    assert jumping.run().code == 1
    jumping.file("flag", "")
    done = jumping.orch("resume", "--json")
    assert (done.code, done.tasks["a"]["attempts"]) == (0, 2)
    assert 0 <= done.document["duration_s"] < 25


# 9, second line


@pytest.mark.promise(9)
def test_resume_sweeps(job: Builder) -> None:
    """What nobody could end, because all that watch were killed, goes when the run is resumed."""
    ready = job.gate("ready")
    job.tasks("""
        a: {mode: subprocess, shell: true,
            command: "test -e flag && exit; setsid sleep 66 & echo $! > pid; echo > ready; wait"}
    """)
    running = job.start("--no-keeper")
    ready.wait()
    guards = [pid for pid in children(running.pid) if b"procfs" in _cmdline(pid)]
    assert guards
    for pid in guards:
        os.kill(pid, signal.SIGSTOP)  # a guard that does not get to it
    running.signal(signal.SIGKILL)
    running.finish()
    left = int((job.root / "pid").read_text())
    assert comes_to(lambda: b"66" in _cmdline(left))
    job.file("flag", "")
    done = job.orch("resume")
    for pid in guards:
        os.kill(pid, signal.SIGKILL)
    assert done.code == 0
    assert not Path(f"/proc/{left}").exists() or _cmdline(left) == b""


def _cmdline(pid: int) -> bytes:
    return Path(f"/proc/{pid}/cmdline").read_bytes()


# 10, 11, 12: how attempts end


@pytest.mark.promise(10)
@pytest.mark.parametrize("leftovers", ["kill", "warn", "allow"])
def test_held_output_does_not_hold_what_follows(job: Builder, leftovers: str) -> None:
    """While a grandchild has stdout and stderr open the next task has started and ended."""
    job.tasks(f"""
        a: {{mode: subprocess, shell: true, command: "sleep 30 & echo done", output: stdout,
            leftovers: {leftovers}, timeout: 20}}
        b: {{mode: subprocess, command: [echo, "{{{{ tasks.a.output }}}}"], output: stdout}}
    """)
    done = job.run("--json", "--task-output", "live")
    assert (done.code, done.tasks["b"]["output"]) == (0, "done")
    assert done.document["duration_s"] < 10


@pytest.mark.promise(12)
def test_grace(job: Builder) -> None:
    """TERM comes at the limit, KILL a grace later and not before; who listens is not killed."""
    job.tasks("""
        deaf: {mode: subprocess, shell: true, timeout: 0.5, grace: 0.7,
               command: "trap 'echo told' TERM; while :; do sleep 0.05; done"}
        polite: {mode: subprocess, shell: true, timeout: 0.5, grace: 30,
                 command: "trap 'echo bye; exit 0' TERM; sleep 60 & wait"}
        stopped: {mode: subprocess, shell: true, timeout: 0.5, grace: 30,
                  command: "trap 'echo bye; exit 0' TERM; kill -STOP $$; sleep 60 & wait"}
    """, "limits: {processes: 3}")  # fmt: skip
    tasks = job.run("--json").tasks
    assert [task["outcome"] for task in tasks.values()] == ["timed_out"] * 3
    assert [task["signal"] for task in tasks.values()] == [signal.SIGKILL, None, None]
    assert 1.2 <= tasks["deaf"]["duration_s"] < 10
    said = [job.written(f"{name}.1.out").strip() for name in tasks]
    assert said == ["told", "bye", "bye"]


@pytest.mark.promise(11)
def test_group_is_killed_before_its_leader_is_reaped(job: Builder) -> None:
    """The zombie pins the id of the group: the kernel's record shows kill, then wait."""
    if shutil.which("strace") is None:
        pytest.skip("needs strace")
    job.tasks("a: {mode: subprocess, shell: true, command: 'sleep 60 & echo $$ > pid'}")
    running = job.start(before='set -- strace -f -qq -o trace -e trace=kill,wait4,waitid "$@"')
    assert running.finish().code == 0
    pid = (job.root / "pid").read_text().strip()
    calls = (job.root / "trace").read_text().splitlines()
    killed = next(n for n, line in enumerate(calls) if f"kill(-{pid}, SIGKILL" in line)
    reaped = next(
        n for n, line in enumerate(calls) if f"wait4({pid}, " in line and "WNOHANG" not in line
    )
    assert killed < reaped


# 13, 15: how they fail


@pytest.mark.promise(13)
def test_launch_failures_are_outcomes(job: Builder, faults: Callable[[int, int], None]) -> None:
    """Whatever keeps a program from starting is told apart, with a shell's exit status."""
    job.file("not_for_us", "#!/bin/sh\n", mode=0o644)
    job.file("no_format", "what is this\n", mode=0o755)
    job.file("bad_first_line", "#!/no/such/interpreter\n", mode=0o755)
    job.module("def nul(): return 'a\\0b'\ndef long(): return 'x' * 200_000")
    cases = {
        "missing": ("mode: subprocess, command: [/no/such/program]", 127, "no such file"),
        "not_in_path": ("mode: subprocess, command: [no-such-program-at-all]", 127, "no such file"),
        "gone": ("mode: subprocess, command: ['true'], cwd: gone", 126, "working directory"),
        "forbidden": ("mode: subprocess, command: [./not_for_us]", 126, "permission denied"),
        "a_folder": ("mode: subprocess, command: [/tmp]", 126, "permission denied"),
        "format": ("mode: subprocess, command: [./no_format]", 126, "exec format"),
        "first_line": ("mode: subprocess, command: [./bad_first_line]", 127, "interpreter"),
        "nul": ("mode: subprocess, command: [echo, '{{ tasks.n.output }}']", 126, "NUL"),
        "long": ("mode: subprocess, command: [echo, '{{ tasks.l.output }}']", 126, "too long"),
    }
    (job.root / "gone").mkdir()
    job.tasks(
        "n: {mode: thread, function: 'm:nul'}\nl: {mode: thread, function: 'm:long'}\n"
        "rm: {mode: subprocess, command: [rmdir, gone]}\n"
        + "".join(f"{name}: {{{keys}, needs: [rm]}}\n" for name, (keys, _, _) in cases.items())
        + "after: {mode: subprocess, command: ['true'], needs: [rm]}\n"
    )
    done = job.run("--json")
    assert done.code == 1
    wrong = {}
    for name, (_, status, said) in cases.items():
        task = done.tasks[name]
        error = task["error"]
        if (task["outcome"], task["exit_status"]) != ("launch_failed", status) or (
            said.casefold() not in error["message"].casefold()
        ):
            wrong[name] = (task["outcome"], task["exit_status"], error)
    faults(len(cases), len(cases) - len(wrong))
    assert wrong == {}
    assert done.tasks["after"]["state"] == "succeeded"


@pytest.mark.promise(15)
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(
    ("number", "said"),
    [
        (signal.SIGKILL, "killed by SIGKILL, not by orch; out of memory?"),
        (signal.SIGTERM, "killed by SIGTERM"),
        (signal.SIGSEGV, "killed by SIGSEGV"),
    ],
)
def test_killed_from_elsewhere(job: Builder, mode: str, number: int, said: str) -> None:
    """A signal that orch did not send is named; a SIGKILL makes one think of memory."""
    ready = job.gate("ready")
    _held(job, mode)
    running = job.start()
    os.kill(int(ready.read_until(b"\n")), number)
    ended = running.wait_for("ended")
    assert ended["error"]["message"].startswith(said)
    assert running.finish().code == 1


@pytest.mark.promise(15)
def test_kill_by_orch_says_nothing_of_memory(job: Builder) -> None:
    """Who was killed at the end of a grace was not killed for want of memory."""
    job.tasks("""
        a: {mode: subprocess, shell: true, timeout: 0.3, grace: 0,
            command: "trap '' TERM; sleep 60"}
    """)
    done = job.run("--json")
    assert "memory" not in done.tasks["a"]["error"]["message"]
    assert "memory" not in done.err


# 14: no memory


@pytest.mark.promise(14)
@pytest.mark.parametrize("error", ["ENOMEM", "EAGAIN"])
def test_kernel_that_refuses_processes(job: Builder, error: str) -> None:
    """When the kernel has nothing for a new process, twice, the attempt waits and then runs."""
    if shutil.which("strace") is None:
        pytest.skip("needs strace")
    job.tasks("a: {mode: subprocess, command: [echo, hi], output: stdout}")
    calls = "fork,vfork,?clone3"
    running = job.start(
        "--no-keeper",
        "--log-format",
        "json",
        before=f"set -- strace -f -qq -o trace -e trace={calls} "
        f'-e inject=vfork:error={error}:when=1..2 "$@"',
    )
    done = running.finish()
    if "(INJECTED)" not in (job.root / "trace").read_text():
        pytest.skip("this Python starts processes otherwise")
    assert done.code == 0
    assert done.kinds("a").count("ended") == 1
    assert (
        "postponed" in done.kinds("a") or [e for e in done.events if e["event"] == "retrying"] == []
    )
    (ended,) = (event for event in done.events if event["event"] == "ended")
    assert ended["attempt"] == 1


# 16, 17: what they inherit


STATUS = """
def f():
    lines = dict(line.split(":", 1) for line in open("/proc/self/status"))
    return [int(lines[key], 16) for key in ("SigBlk", "SigIgn")]
"""
LOOKS = "import json, os, m\njson.dump(m.f(), open(os.environ['ORCH_OUTPUT'], 'w'))"


def _inherited(key: str) -> int:
    """Return the mask *key* of this process: some makes ignore signals of glibc's own."""
    lines = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return int(lines[key], 16)


@pytest.mark.promise(17)
@pytest.mark.parametrize("keeper", [(), ("--no-keeper",)], ids=["kept", "not kept"])
def test_no_signal_is_blocked(job: Builder, keeper: tuple[str, ...]) -> None:
    """Neither in programs nor processes nor those of pipelines; the first and later ones alike."""
    job.module(STATUS + "def each(items): yield from (f() for _ in items)")
    job.file("p.py", LOOKS)
    shell = """python3 -c 'import m, json; print(json.dumps(m.f()))'"""
    job.tasks(f"""
        program: {{mode: subprocess, program: p.py, foreach: [1, 2, 3]}}
        process: {{mode: process, function: "m:f", foreach: [1, 2, 3]}}
        shell: {{mode: subprocess, shell: true, command: "{shell}", output: json}}
        give: {{mode: subprocess, shell: true, command: "{shell}", publish: q}}
        take: {{mode: process, function: "m:each", consume: q, publish: r}}
        last: {{mode: subprocess, command: [cat], consume: r}}
    """, "queues: {q: {}, r: {}}\nlimits: {processes: 8}\nenv: {PYTHONPATH: .}")  # fmt: skip
    done = job.run("--json", *keeper)
    assert done.code == 0, done
    masks = [*done.tasks["program"]["output"], *done.tasks["process"]["output"]]
    masks.append(done.tasks["shell"]["output"])
    masks += [list(map(int, line.strip("[]\n").split(","))) for line in [job.written("last.1.out")]]
    own = 1 << (signal.SIGPIPE - 1) | 1 << (signal.SIGXFSZ - 1)  # what Python itself ignores
    own |= _inherited("SigIgn")
    own |= 0b11 << 31  # glibc: `posix_spawn` has its own two, 32 and 33, ignored
    assert [blocked for blocked, _ in masks] == [0] * len(masks)
    assert [ignored & ~own for _, ignored in masks] == [0] * len(masks)


@pytest.mark.promise(17)
def test_no_signal_is_blocked_in_orch(job: Builder) -> None:
    """Nor in orch itself, which its tasks get theirs from; a thread could not be asked to end."""
    job.module(STATUS)
    job.tasks('a: {mode: thread, function: "m:f"}')
    blocked, ignored = job.run("--json").tasks["a"]["output"]
    term = 1 << (signal.SIGTERM - 1) | 1 << (signal.SIGINT - 1) | 1 << (signal.SIGHUP - 1)
    assert (blocked, ignored & term) == (0, 0)


@pytest.mark.promise(16)
@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, for a pid namespace")
def test_as_pid_1_children_keep_their_ends(job: Builder) -> None:
    """As the first process of a container orch loses no exit status to the reaping of strangers."""
    job.tasks("""
        a: {mode: subprocess, shell: true, foreach: "{{ range(20) }}", leftovers: allow,
            command: "for i in 1 2 3; do (setsid true &) & done; exit 7", ok_exit_codes: [7]}
    """)
    running = job.start(before='set -- unshare --pid --fork --mount-proc "$@"')
    done = running.finish()
    assert done.code == 0
    ends = [event for event in done.events if event["event"] == "ended" and "." in event["task"]]
    assert [event["exit_status"] for event in ends] == [7] * 20


# 18: very many


def _all(tasks: dict[str, PlanTask], limit: int) -> int:
    """Run *tasks* through the scheduler with a runner that ends each at once; count the calls."""
    scheduler = Scheduler(Plan("many", "/", tasks, threads=limit), "run")
    calls = 0

    def count(*_: Any) -> None:
        nonlocal calls
        calls += 1

    before = sys.getprofile()
    sys.setprofile(count)
    try:
        actions = scheduler.decide(0.0)
        while started := [action for action in actions if isinstance(action, Started)]:
            for action in started:
                scheduler.apply(Ended(action.task, action.attempt, "ok", 0.0))
            actions = scheduler.decide(0.0)
    finally:
        sys.setprofile(before)
    assert scheduler.counts["succeeded"] == len(tasks)
    return calls


def _flat(count: int) -> dict[str, PlanTask]:
    return {f"n{i}": PlanTask(f"n{i}", i, "thread") for i in range(count)}


def _chain(count: int) -> dict[str, PlanTask]:
    tasks = _flat(count)
    for number in range(1, count):
        tasks[f"n{number}"].needs = (f"n{number - 1}",)
    return tasks


def _into_one(count: int) -> dict[str, PlanTask]:
    tasks = _flat(count + 1)
    tasks[f"n{count}"].needs = tuple(f"n{number}" for number in range(count))
    return tasks


@pytest.mark.promise(18)
@pytest.mark.parametrize(
    ("make", "count"),
    [(_flat, 100_000), (_chain, 100_000), (_into_one, 50_000)],
    ids=["flat", "chain", "into one"],
)
def test_very_many(make: Callable[[int], dict[str, PlanTask]], count: int) -> None:
    """All of them run, without recursion, in a number of steps that grows as their number does."""
    few, many = _all(make(count // 10), 8), _all(make(count), 8)
    assert many < 10.5 * few


@pytest.mark.promise(18)
def test_a_long_chain_in_a_file(job: Builder) -> None:
    """A job file with a chain of 20,000 tasks is read, checked, planned and run."""
    lines = ["tasks:"]
    lines += [
        f"  n{i}: {{mode: thread, function: 'm:f', needs: [{f'n{i - 1}' if i else ''}]}}"
        for i in range(20_000)
    ]
    job.write("\n".join(lines))
    job.module("def f(): pass")
    done = job.run("-q", "--json")
    assert (done.code, done.err) == (0, "")
    assert {task["state"] for task in done.tasks.values()} == {"succeeded"}
