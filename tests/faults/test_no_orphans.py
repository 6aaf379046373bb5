"""No process outlives its run, whoever of keeper, watchdog and orch is killed."""

import os
import select
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from orchestrator.procfs import children, environment, has_ended, processes
from tests.builder import Background, Builder

pytestmark = [
    pytest.mark.promise(9),
    pytest.mark.skipif(sys.platform != "linux", reason="needs /proc"),
]

# What people start and forget: a child, one in a session of its own, one that ignores TERM, a
# daemon, daemons with an empty environment. Each is known by the number of seconds that it sleeps.
SLEEPS = ("1000", "1001", "1002", "1003", "1004", "1005")
BROOD = """
sleep {0} &
setsid sleep {1} &
(trap '' TERM HUP INT; sleep {2}) &
( (setsid sleep {3} &) & )
( setsid env -i sleep {4} & )
( trap '' TERM; setsid env -i sleep {5} & )
"""
MARKED = 4  # the first ones have the environment of their attempt
WITHIN_S = 1.0


class Brood:
    """The processes of one test, told from those of others by the length of their sleep."""

    def __init__(self, job: Builder) -> None:
        base = os.getpid() * 10
        self.sleeps = [str(base + number) for number in range(len(SLEEPS))]
        job.file("brood.sh", BROOD.format(*self.sleeps) + 'printf x > ready\neval "$1"\n')
        self.ready = job.gate("ready")

    def alive(self, sleeps: Sequence[str] = ()) -> list[int]:
        """Return those that are there; with *sleeps* only these."""
        wanted = sleeps or self.sleeps
        return [pid for pid in processes() if _is_one(pid, wanted) and not has_ended(pid)]

    def left(self) -> list[int]:
        """Return those that do not end within a second, and kill them."""
        stubborn = [pid for pid in self.alive() if not ends(pid)]
        for pid in stubborn:
            os.kill(pid, signal.SIGKILL)
        return stubborn


def _is_one(pid: int, sleeps: Sequence[str]) -> bool:
    try:
        argv = Path(f"/proc/{pid}/cmdline").read_bytes().decode().split("\0")
    except OSError:
        return False
    return len(argv) > 2 and argv[-2] in sleeps and argv[-3].endswith("sleep")


def ends(pid: int) -> bool:
    """Wait for the end of *pid*; tell whether it came within a second."""
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    try:
        return bool(select.select([descriptor], [], [], WITHIN_S)[0])
    finally:
        os.close(descriptor)


def comes_to(condition: Callable[[], bool]) -> bool:
    """Look until *condition* holds: nobody tells of the state of a process that is not a child."""
    for _ in range(500):
        if condition():
            return True
        select.select([], [], [], 0.01)
    return False


@pytest.fixture
def brood(job: Builder) -> Iterator[Brood]:
    """Give a program that starts them; none is left, whatever the test finds."""
    found = Brood(job)
    yield found
    for pid in found.alive():
        os.kill(pid, signal.SIGKILL)


def family(running: Background) -> dict[str, int]:
    """Return the ids of keeper, watchdog and orch."""
    (watchdog,) = children(running.pid)
    orch = next(pid for pid in children(watchdog) if b"orchestrator" in _cmdline(pid))
    return {"keeper": running.pid, "watchdog": watchdog, "orch": orch}


def _cmdline(pid: int) -> bytes:
    return Path(f"/proc/{pid}/cmdline").read_bytes()


@pytest.mark.parametrize("killed", ["orch", "keeper", "watchdog", "keeper+orch", "watchdog+orch"])
def test_killed(job: Builder, brood: Brood, killed: str) -> None:
    """``kill -9`` leaves nothing: no child, no daemon, none without an environment."""
    job.tasks("a: {mode: subprocess, command: [sh, brood.sh, wait]}")
    running = job.start()
    brood.ready.wait()
    pids = family(running)
    assert comes_to(lambda: len(SLEEPS) == len(brood.alive()))
    for name in killed.split("+"):
        os.kill(pids[name], signal.SIGKILL)
    assert brood.left() == []
    assert all(ends(pid) for pid in pids.values())
    done = running.finish()
    assert done.code == -signal.SIGKILL
    assert "ended by SIGKILL in the middle of its run" in done.err
    assert "next: orch resume" in done.err


def test_keeper_and_watchdog_killed(job: Builder) -> None:
    """orch, left alone, ends itself and what it can find, and records no end of a task."""
    gate = job.gate("ready")
    job.tasks("a: {mode: subprocess, shell: true, command: 'setsid sleep 77 & echo > ready; wait'}")
    running = job.start()
    gate.wait()
    pids = family(running)
    for name in ("keeper", "watchdog"):
        os.kill(pids[name], signal.SIGKILL)
    assert ends(pids["orch"])
    assert [event["event"] for event in running.finish().events] == ["started"]
    assert job.left_over() == []


def test_killed_by_name(job: Builder, brood: Brood) -> None:
    """The watchdog bears another name, so that ``pkill -9 -f orch`` does not hit it."""
    job.tasks("a: {mode: subprocess, command: [sh, brood.sh, wait]}")
    running = job.start()
    brood.ready.wait()
    pids = family(running)
    assert b"orch" not in _cmdline(pids["watchdog"])
    assert f"watchdog of pid {running.pid}".encode() in _cmdline(pids["watchdog"])
    for name in ("keeper", "orch"):
        os.kill(pids[name], signal.SIGKILL)
    assert brood.left() == []


ENDS: dict[str, tuple[str, str, Callable[[Background], None] | None, int]] = {
    "success": ("true", "", None, 0),
    "failure": ("exit 3", "", None, 1),
    "timeout": ("wait", "timeout: 0.5, grace: 0.2", None, 1),
    "ctrl_c": ("wait", "grace: 0.2", lambda r: r.signal(signal.SIGINT), -signal.SIGINT),
}


@pytest.mark.promise(11)
@pytest.mark.parametrize("how", ["success", "failure", "timeout", "ctrl_c"])
@pytest.mark.parametrize("leftovers", ["kill", "allow"])
def test_nothing_is_left_at_the_end(job: Builder, brood: Brood, how: str, leftovers: str) -> None:
    """However a task ends: at the end of the run everything goes, also with ``allow``."""
    command, keys, act, code = ENDS[how]
    keys = f", {keys}" if keys else ""
    job.tasks(
        f"a: {{mode: subprocess, command: [sh, brood.sh, '{command}'], "
        f"leftovers: {leftovers}{keys}}}"
    )
    running = job.start()
    brood.ready.wait()
    if act is not None:
        act(running)
    assert code == running.finish().code
    assert brood.left() == []


@pytest.mark.promise(11)
@pytest.mark.parametrize(("policy", "left"), [("kill", 0), ("warn", MARKED), ("allow", MARKED)])
def test_leftovers_at_the_end_of_an_attempt(
    job: Builder, brood: Brood, policy: str, left: int
) -> None:
    """``kill`` ends them with their attempt; the others stay until the end of the run.

    So may those that cleared their environment and that nobody can tell to be of this attempt.
    """
    gate = job.gate("gate")
    job.tasks(f"""
        a: {{mode: subprocess, command: [sh, brood.sh, 'true'], leftovers: {policy}}}
        b: {{mode: subprocess, shell: true, command: read x < gate, needs: [a]}}
    """)
    running = job.start("--log-format", "json")
    running.wait_for("started", task="b")
    marked = brood.sleeps[:MARKED]
    assert comes_to(lambda: len(brood.alive(marked)) == left)
    gate.open()
    done = running.finish()
    assert brood.left() == []
    said = [line for line in done.log if line["event"] == "processes left behind"]
    assert (policy == "warn") == bool(said)


@pytest.mark.promise(29)
def test_stopped_with_its_shell(job: Builder) -> None:
    """Ctrl-Z stops the tasks too, and CONT lets all of them go on."""
    gate = job.gate("gate")
    job.tasks("a: {mode: subprocess, shell: true, command: 'echo > gate; read x < never'}")
    never = job.gate("never")
    running = job.start()
    gate.wait()
    orch = family(running)["orch"]
    (task,) = children(orch)
    running.signal(signal.SIGTSTP)
    pid, status = os.waitpid(running.pid, os.WUNTRACED)
    assert os.WIFSTOPPED(status)
    assert pid == running.pid
    assert comes_to(lambda: {_state(orch), _state(task)} == {"T"})
    running.signal(signal.SIGCONT)
    assert comes_to(lambda: "T" not in (_state(orch), _state(task)))
    never.open()
    assert running.finish().code == 0


def _state(pid: int) -> str:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]


@pytest.mark.promise(16)
@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, for a pid namespace")
def test_as_pid_1(job: Builder) -> None:
    """As the first process of a container it reaps strangers, and signals end it with 128 + n."""
    gate, reaped = job.gate("gate"), job.gate("reaped")
    job.file(
        "stranger.sh",
        """
        (setsid sh -c 'echo $$ > pid; exec sleep 0.05' &) &
        while ! [ -s pid ]; do :; done
        while [ -e /proc/$(cat pid) ]; do :; done
        echo > reaped
        """,
    )
    job.tasks("""
        a: {mode: subprocess, command: [sh, stranger.sh], leftovers: allow}
        b: {mode: subprocess, shell: true, command: "echo > gate; sleep 60", needs: [a]}
    """)
    running = job.start(before='set -- unshare --pid --fork --mount-proc "$@"')
    reaped.wait()
    gate.wait()
    (first,) = children(running.pid)
    os.kill(first, signal.SIGTERM)
    assert running.finish().code == 128 + signal.SIGTERM


def test_no_keeper_leaves_what_it_says(job: Builder) -> None:
    """``--no-keeper`` forks nothing above orch, and a guard ends what tasks left all the same."""
    gate = job.gate("ready")
    job.tasks("a: {mode: subprocess, shell: true, command: 'setsid sleep 77 & echo > ready; wait'}")
    running = job.start("--no-keeper")
    gate.wait()
    assert b"watchdog" not in b"".join(_cmdline(pid) for pid in children(running.pid))
    running.signal(signal.SIGKILL)
    running.finish()
    assert job.left_over() == []


def test_run_without_processes_starts_none(job: Builder) -> None:
    """Under ``--no-keeper`` a run of threads alone starts no process at all."""
    job.module(
        "import os\ndef f():\n    return open(f'/proc/self/task/{os.getpid()}/children').read()"
    )
    job.tasks('a: {mode: thread, function: "m:f"}')
    done = job.run("--json", "--no-keeper")
    assert done.tasks["a"]["output"] == ""


def test_cookie(job: Builder) -> None:
    """Every process of a run carries its cookie; what runs inside of it names the outer one."""
    job.file("inner.yaml", "tasks: {b: {mode: subprocess, command: [env], output: stdout}}")
    command = [sys.executable, "-P", "-m", "orchestrator", "run", "inner.yaml", "--json"]
    job.tasks(f"a: {{mode: subprocess, command: {command}, output: json}}")
    done = job.run("--json")
    inner = done.tasks["a"]["output"]
    env = dict(
        line.split("=", 1) for line in inner["tasks"]["b"]["output"].splitlines() if "=" in line
    )
    assert (inner["run"], done.document["run"]) == (env["ORCH_RUN_ID"], env["ORCH_PARENT_RUN_IDS"])
    assert not any(done.document["run"].encode() in b"".join(environment(p)) for p in processes())
