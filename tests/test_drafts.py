"""Drafts that are kept: an unchanged job file is not read again, and nothing wrong is believed."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from orchestrator.drafts import frozen, thawed
from orchestrator.loading import load
from orchestrator.plan.build import build
from orchestrator.plan.draft import Draft
from orchestrator.spec.source import Source
from orchestrator.spec.validate import validated
from tests.builder import Builder, Result

CONFIGS = sorted(Path(__file__).parent.parent.joinpath("configs").glob("*.yaml"))
EVERYTHING = """
    name: everything
    params:
      n: {type: int, default: 3, min: 1}
      day: {type: date, default: "2026-01-31"}
      size: {type: choice, choices: [small, large], default: small}
    env: {A: "{{ params.n }}", B: null}
    limits: {threads: "{{ params.n }}", processes: 2}
    timeout: 1h
    grace: "{{ params.n }}"
    queues:
      q: {maxsize: 7, delivery: at_least_once}
      pipe: {}
    defaults: {retry: 1}
    tasks:
      many:
        {mode: thread, function: m:same, foreach: {a: [1, 2], b: [x]}, args: ["{{ item.a + 1 }}"]}
      late:
        {mode: thread, function: m:same, foreach: "{{ tasks.list.output }}", args: ["{{ item }}"]}
      list:
        mode: process
        function: m:same
        args: [[1, {k: "{{ params.day }}"}]]
        env: {C: "{{ env.PATH }}"}
        timeout: "{{ params.n }}"
      when:
        {mode: subprocess, command: [echo, "{{ tasks.list.output.0 }}"], when: "{{ params.n > 2 }}"}
      give: {mode: thread, function: m:give, publish: q, retry: 0}
      take:
        mode: process
        function: m:take
        consume: q
        replicas: 2
        retry: {attempts: 2, delay: 0s}
      one: {mode: subprocess, command: [echo, a], publish: pipe, retry: 0}
      two: {mode: subprocess, command: [cat], consume: pipe, retry: 0}
      shell:
        {mode: subprocess, shell: true, command: 'echo "$1"', args: ["{{ run.id }}"], needs: [many]}
    """
MODULE = """
    def same(value): return value
    def give(): yield 1
    def take(items): return list(items)
    """


@pytest.fixture(name="simple")
def _simple(job: Builder) -> Builder:
    """Give a job of a function and a program, with a parameter, run once by now."""
    job.module(MODULE)
    job.file("p.py", "import sys; print(sys.argv[1])")
    job.file("vars.env", "V=there\n")
    job.write("""
        params: {word: {type: str, default: "{{ env.WORD }}"}}
        env_file: vars.env
        tasks:
          a: {mode: thread, function: m:same, args: ["{{ params.word }} {{ env.V }}"]}
          b: {mode: subprocess, program: p.py, args: ["{{ tasks.a.output }}"], output: stdout}
    """)  # fmt: skip
    job.env["WORD"] = "hello"
    assert _output(job.run("--json")) == "hello there"
    return job


def _output(done: Result) -> str:
    assert done.code == 0, done
    text: str = done.tasks["b"]["output"]
    return text.strip()


def _draft(job: Builder, state: str = ".orch") -> Path:
    (found,) = (job.root / state / "cache").iterdir()
    return found


def _is_believed(job: Builder) -> bool:
    """Run the job, and tell whether its draft stood in for reading: then it is not made anew."""
    before = os.stat(_draft(job)).st_ino
    assert job.run("-q").code == 0
    return os.stat(_draft(job)).st_ino == before


def test_an_unchanged_job_is_not_read_again(simple: Builder) -> None:
    """What counts is what stands in the file, not when it was written."""
    assert _is_believed(simple)
    os.utime(simple.root / "job.yaml")
    assert _is_believed(simple)
    assert _output(simple.run("--json")) == "hello there"
    assert (_draft(simple).stat().st_mode & 0o777) == 0o600


def test_what_comes_from_outside_is_filled_in_each_time(simple: Builder) -> None:
    """Parameters, the environment and its file are no part of a draft."""
    assert _output(simple.run("--json", "-p", "word=other")) == "other there"
    assert _output(simple.run("--json", WORD="again")) == "again there"
    simple.file("vars.env", "V=here\n")
    assert _output(simple.run("--json")) == "hello here"
    assert "missing parameter" not in simple.run("--json").err
    assert simple.run("-p", "wrong=1").code == 2


def test_a_change_of_the_file_is_seen(simple: Builder) -> None:
    """One byte is enough."""
    text = (simple.root / "job.yaml").read_text()
    simple.file("job.yaml", text.replace("{{ env.V }}", "{{ env.V }}!"))
    assert _output(simple.run("--json")) == "hello there!"
    simple.file("job.yaml", text + "\nwrong: key\n")
    done = simple.run()
    assert done.code == 3
    assert "wrong: unknown key" in done.err


DAMAGE: dict[str, Callable[[bytes], bytes]] = {
    "empty": lambda _: b"",
    "cut in the key": lambda data: data[:10],
    "cut in the checksum": lambda data: data[:40],
    "no content": lambda data: data[:64],
    "half": lambda data: data[: len(data) // 2],
    "a byte less": lambda data: data[:-1],
    "a byte more": lambda data: data + b"x",
    "another key": lambda data: bytes([data[0] ^ 1]) + data[1:],
    "another checksum": lambda data: data[:33] + bytes([data[33] ^ 1]) + data[34:],
    "a bit in the middle": lambda data: data[:200] + bytes([data[200] ^ 4]) + data[201:],
    "the last bit": lambda data: data[:-1] + bytes([data[-1] ^ 1]),
    "nonsense": lambda data: os.urandom(len(data)),
}


@pytest.mark.parametrize("how", DAMAGE)
def test_damage_is_never_believed(simple: Builder, how: str) -> None:
    """The job runs as if there were no draft, and there is a good one afterwards."""
    path = _draft(simple)
    path.write_bytes(DAMAGE[how](path.read_bytes()))
    assert not _is_believed(simple)
    assert _is_believed(simple)


def test_a_draft_of_another_orch(simple: Builder) -> None:
    """Other code, other drafts."""
    package = simple.root / "copy" / "orchestrator"
    source = Path(load.__code__.co_filename).parent
    for path in source.rglob("*.py"):
        copy = package / path.relative_to(source)
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_bytes(path.read_bytes())
    before = _draft(simple).read_bytes()
    assert simple.run("-q", PYTHONPATH=str(package.parent)).code == 0
    assert _draft(simple).read_bytes() != before


def test_no_draft_that_others_could_have_written(simple: Builder) -> None:
    """Who can write to the directory could crash orch with what stands in it."""
    folder = _draft(simple).parent
    folder.chmod(0o770)
    before = _draft(simple).stat().st_ino
    assert simple.run("-q").code == 0
    assert _draft(simple).stat().st_ino == before  # nor is one written there
    folder.chmod(0o700)
    path = _draft(simple)
    path.rename(simple.root / "moved")
    path.symlink_to(simple.root / "moved")
    assert simple.run("-q").code == 0
    assert not path.is_symlink()  # it was replaced, not followed


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("m.py", "def other(): pass", "has no `same`"),
        ("m.py", "def same(): pass", "takes 0"),
        ("m.py", "def same(:", "invalid syntax"),
        ("p.py", None, "no such program"),
        ("vars.env", None, "vars.env"),
    ],
)
def test_what_lies_outside_is_looked_at_each_time(
    simple: Builder, name: str, text: str | None, said: str
) -> None:
    """It is told with its place in the file, as if nothing had been kept."""
    if text is None:
        (simple.root / name).unlink()
    else:
        simple.file(name, text)
    done = simple.run()
    assert done.code == 3
    assert said in done.err
    assert "job.yaml:" in done.err


def test_another_module_of_that_name(simple: Builder) -> None:
    """What stands in for the module that was looked at is looked at itself."""
    simple.file("m/__init__.py", "def other(): pass")
    done = simple.run()
    assert (done.code, "has no `same`" in done.err) == (3, True)


def test_a_module_of_python_s_own_that_is_no_longer_alone(job: Builder) -> None:
    """What has no source file is looked at again once something in the job has its name."""
    job.tasks("a: {mode: thread, function: 'time:monotonic'}")
    assert job.run("-q").code == 0
    assert _is_believed(job)
    job.file("time.py", "")
    done = job.run()
    assert (done.code, "rename yours" in done.err) == (3, True)


def test_functions_are_looked_into_again_once_they_changed(simple: Builder) -> None:
    """And what was found is kept with the draft."""
    simple.file("m.py", MODULE + "\n    # changed\n")
    assert not _is_believed(simple)
    assert _is_believed(simple)


def test_jobs_with_secrets_have_no_draft(job: Builder) -> None:
    """Their values must not stand in the file: that is looked at each time."""
    job.tasks("a: {mode: subprocess, command: ['true']}", "secrets: [TOKEN]")
    assert job.run("-q", TOKEN="long enough").code == 0
    assert not (job.root / ".orch" / "cache").exists()


def test_a_job_on_stdin_has_no_draft(job: Builder) -> None:
    """Nobody knows whether it comes again."""
    text = "tasks: {a: {mode: subprocess, command: ['true']}}"
    assert job.orch("run", "-", "-q", stdin=text).code == 0
    assert not (job.root / ".orch" / "cache").exists()


@pytest.mark.parametrize(
    "root", ["inner", '"inner"', "inner  # there", "'./inner'", "inner/../inner", "~/inner"]
)
def test_a_root_elsewhere(job: Builder, root: str) -> None:
    """The draft is kept where the runs are."""
    (job.root / "inner").mkdir()
    job.write(f"root: {root}\ntasks: {{a: {{mode: subprocess, command: [pwd], output: stdout}}}}")
    for _ in range(2):
        done = job.run("--json", HOME=str(job.root))
        assert done.code == 0
        assert done.tasks["a"]["output"].strip() == str(job.root / "inner")
    path = _draft(job, "inner/.orch")
    before = path.stat().st_ino
    assert job.run("-q", HOME=str(job.root)).code == 0
    assert path.stat().st_ino == before


def test_a_root_that_is_not_at_the_start_of_a_line(job: Builder) -> None:
    """Nobody knows where to look for its draft without reading it: it is read each time."""
    (job.root / "inner").mkdir()
    job.write("{root: inner, tasks: {a: {mode: subprocess, command: [pwd], output: stdout}}}")
    for _ in range(2):
        assert job.run("--json").tasks["a"]["output"].strip() == str(job.root / "inner")
    assert not list(job.root.glob("**/cache"))


def test_two_jobs_of_one_name(job: Builder) -> None:
    """Drafts of files in different places are not mixed up."""
    for folder in ("one", "two"):
        job.file(f"{folder}/job.yaml", f"root: ..\ntasks: {{{folder}: {{mode: subprocess, "
                                       "command: ['true']}}")  # fmt: skip
    for _ in range(2):
        for folder in ("one", "two"):
            done = job.orch("run", f"{folder}/job.yaml", "--json")
            assert list(done.tasks) == [folder]


def test_state_directory_elsewhere(job: Builder) -> None:
    """With ``--state-dir`` the draft is there, too."""
    job.tasks("a: {mode: subprocess, command: ['true']}")
    assert job.run("-q", "--state-dir", "state").code == 0
    assert _draft(job, "state").is_file()
    assert not (job.root / ".orch").exists()


def _plain(draft: Draft) -> list[object]:
    plan = draft.plan
    tasks = [{name: repr(value) for name, value in vars(task).items()}
             for task in plan.tasks.values()]  # fmt: skip
    rest = {key: value for key, value in vars(plan).items() if key != "tasks"}
    return [tasks, rest, {key: value for key, value in vars(draft).items() if key != "plan"}]


def test_thawed_as_it_was_frozen(job: Builder) -> None:
    """Nothing of a draft is lost or changed, templates included."""
    job.module(MODULE)
    job.write(EVERYTHING)
    _same_when_thawed(job.root / "job.yaml")


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_thawed_samples(path: Path) -> None:
    """Those of the sample jobs, too."""
    _same_when_thawed(path)


def _same_when_thawed(path: Path) -> None:
    spec, broken, problems = validated(Source(str(path), path.read_bytes()))
    assert spec is not None
    assert not problems
    draft, wrong = build(spec, "/", "job", broken)
    assert not wrong
    data = frozen(draft)
    assert data is not None
    assert _plain(thawed(data)) == _plain(draft)


def test_a_kept_job_does_the_same(job: Builder) -> None:
    """From its draft a job of many kinds of tasks runs as from its file."""
    job.module(MODULE)
    job.write(EVERYTHING)
    first = job.run("--json")
    assert first.code == 0, first
    fresh, kept = first.tasks, job.run("--json").tasks
    for tasks in (fresh, kept):
        tasks["take"]["output"].sort()  # either replica may have had the element
        del tasks["shell"]["output"]  # has the run's own name
    assert {name: task.get("output") for name, task in fresh.items()} == {
        name: task.get("output") for name, task in kept.items()
    }
    assert [task["state"] for task in fresh.values()] == [task["state"] for task in kept.values()]
