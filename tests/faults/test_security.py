"""What a job file, a name, a link or a secret may not do."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.builder import Builder

OK = "mode: subprocess, command: ['true']"
# each would leave the file `evil`, or take all memory, if it meant what it says
HOSTILE = {
    "apply": "tasks: !!python/object/apply:os.system ['touch evil']",
    "apply in a value": (
        "tasks: {a: {mode: thread, function: !!python/object/apply:os.system ['touch evil']}}"
    ),
    "new": "tasks: !!python/object/new:os.system ['touch evil']",
    "name": "tasks: {a: {mode: thread, function: !!python/name:os.system }}",
    "module": "tasks: {a: {mode: thread, function: !!python/module:evil }}",
    "own tag": "tasks: !evil {a: {mode: subprocess, command: ['true']}}",
    "binary": "tasks: {a: {mode: subprocess, command: [!!binary dG91Y2ggZXZpbA==]}}",
    "anchor": "tasks: {a: &x {mode: subprocess, command: ['true']}}",
    "alias": "tasks: {a: &x {mode: subprocess, command: ['true']}, b: *x}",
    "merge": "tasks: {a: {<<: {mode: subprocess}, command: ['true']}}",
    "laughs": "\n".join(
        ["a0: &a0 [ha, ha]", *(f"a{n}: &a{n} [*a{n - 1}, *a{n - 1}]" for n in range(1, 40))]
    ),
    "directive": "%TAG ! tag:yaml.org,2002:python/\n---\ntasks: !object/apply:os.system [x]",
    "brackets": "tasks: " + "[" * 100_000,
    "braces": "tasks: " + "{a: " * 100_000,
    "indentation": "tasks:\n" + "".join(f"{' ' * n}a:\n" for n in range(2000)),
    "power": f"tasks: {{a: {{{OK}, when: '{{{{ 9**(9**(9**9)) > 1 }}}}'}}}}",
    "repetition": f"tasks: {{a: {{{OK}, when: \"{{{{ 'a' * 10**12 > 1 }}}}\"}}}}",
    "range": f"tasks: {{a: {{{OK}, foreach: '{{{{ range(10**12) }}}}'}}}}",
    "classes": (
        "tasks: {a: {mode: subprocess, command: "
        "[echo, '{{ ().__class__.__base__.__subclasses__() }}']}}"
    ),
    "globals": (
        "tasks: {a: {mode: subprocess, command: "
        "[echo, '{{ params.get.__globals__ }}']}}"
    ),
}  # fmt: skip


@pytest.mark.promise(30)
def test_files_that_attack(job: Builder, faults: Callable[[int, int], None]) -> None:
    """Tags, aliases, bombs and templates that reach for Python are refused with a place."""
    wrong = {}
    for name, text in HOSTILE.items():
        job.write(text)
        done = job.shell("ulimit -v 4000000; orch run job.yaml")
        told = "job.yaml:" in done.err and "Traceback" not in done.err
        if done.code != 3 or not told or (job.root / "evil").exists():
            wrong[name] = done
    faults(len(HOSTILE), len(HOSTILE) - len(wrong))
    assert wrong == {}


@pytest.mark.promise(30)
def test_check_and_plan_run_no_task(job: Builder) -> None:
    """Reading a file starts nothing, not even through its templates."""
    job.tasks(f"a: {{{OK.replace('true', 'touch')}, when: '{{{{ 1 > 0 }}}}'}}")
    job.tasks("a: {mode: subprocess, shell: true, command: 'touch evil'}")
    assert (job.orch("check", "job.yaml").code, job.orch("plan", "job.yaml").code) == (0, 0)
    assert not (job.root / "evil").exists()


NAMES = ["../../x", "a/b", "..", ".", "a.b", "a b", "a\\e[31m", "", "-a", "x" * 300, "a\\0b"]


@pytest.mark.promise(31)
def test_names_of_tasks(job: Builder, faults: Callable[[int, int], None]) -> None:
    """A name that could lead out of the run's directory, or pose as an instance, is refused."""
    wrong = []
    for name in NAMES:
        job.tasks(f'"{name}": {{{OK}}}')
        done = job.run()
        if done.code != 3 or job.runs():
            wrong.append((name, done))
    for name in NAMES[:6]:
        job.tasks(
            'a: {mode: subprocess, command: ["true"], publish: q}\n'
            'b: {mode: subprocess, command: ["true"], consume: q}',
            head=f'queues: {{"{name}": {{}}}}\n',
        )
        if job.run().code != 3:
            wrong.append((name, "queue"))
    faults(len(NAMES) + 6, len(NAMES) + 6 - len(wrong))
    assert wrong == []
    assert not job.runs()


@pytest.mark.promise(31)
@pytest.mark.parametrize("name", ["../victim", "../../victim", "/tmp", "..", ".", "*", "last/.."])
def test_names_of_runs(job: Builder, name: str) -> None:
    """No command follows the name of a run out of the directory of runs."""
    job.tasks(f"a: {{{OK}}}")
    job.run()
    run = job.runs()[0]
    victim = job.root / ".orch" / "victim"
    run.rename(victim)
    victim2 = job.root / "victim"
    victim2.symlink_to(victim)
    for command in ("show", "logs", "resume", "stop"):
        assert job.orch(command, name).code == 2, command
    victim2.unlink()


@pytest.mark.promise(31)
def test_planted_links(job: Builder) -> None:
    """A task that plants links where another's output will be does not have them followed."""
    job.file("victim", "untouched")
    job.tasks("""
        a: {mode: subprocess, shell: true,
            command: "for f in b.1.out b.1.err c.1.out d.1.err; do ln -s \\"$PWD/victim\\"
            \\"$ORCH_RUN_DIR/$f\\"; done"}
        b: {mode: subprocess, command: [echo, written], needs: [a]}
        c: {mode: thread, function: "m:f", needs: [a]}
        d: {mode: process, function: "m:f", needs: [a]}
    """)
    job.module("import sys\ndef f():\n    print('written')\n    print('e', file=sys.stderr)")
    done = job.run("--json")
    assert (job.root / "victim").read_text() == "untouched"
    assert done.code in (0, 1)
    assert done.tasks["b"]["outcome"] == "launch_failed"


@pytest.mark.promise(31)
def test_everything_is_private(job: Builder) -> None:
    """Under any umask nothing that a run of all modes makes can be read by others."""
    job.module("def f():\n    print(1)\n    return 'x' * 1000")
    job.tasks("""
        a: {mode: thread, function: "m:f"}
        b: {mode: process, function: "m:f"}
        c: {mode: subprocess, command: [seq, '9'], publish: q}
        d: {mode: subprocess, command: [cat], consume: q}
    """, "queues: {q: {}}")  # fmt: skip
    assert job.shell("umask 0; orch run job.yaml").code == 0
    wide = [
        path for path in (job.root / ".orch").rglob("*")
        if path.lstat().st_mode & 0o077 and not path.is_symlink() and path.name != ".gitignore"
    ]  # fmt: skip
    assert wide == []


METACHARACTERS = [
    "; touch evil", "$(touch evil)", "`touch evil`", "| touch evil", "&& touch evil", "> evil",
    "*", "~", "$HOME", "a  b\tc", "'", '"', "\\", "\nnewline", "--option", "#", "{{ 1 + 1 }}",
    "{% raw %}", "${HOME}", "!!", "%s", "",
]  # fmt: skip


@pytest.mark.promise(32)
def test_no_shell_reads_arguments(job: Builder, faults: Callable[[int, int], None]) -> None:
    """Parameters, items, outputs and arguments reach a program as one word each, as they are."""
    job.file("p.py", "import json, os, sys\n"
             "json.dump(sys.argv[1:], open(os.environ['ORCH_OUTPUT'], 'w'))")  # fmt: skip
    job.module(f"def odd(): return {METACHARACTERS!r}")
    job.tasks("""
        odd: {mode: thread, function: "m:odd"}
        each: {mode: subprocess, program: p.py, foreach: "{{ tasks.odd.output }}",
               args: ["{{ item }}", "a{{ item }}b", "{{ params.p }}", "$HOME;x"]}
    """, "params: {p: {default: ''}}")  # fmt: skip
    done = job.run("--json", "-p", "p=$(touch evil); x y")
    assert done.code == 0
    got = done.tasks["each"]["output"]
    expected = [[text, f"a{text}b", "$(touch evil); x y", "$HOME;x"] for text in METACHARACTERS]
    faults(len(expected), sum(a == b for a, b in zip(got, expected, strict=True)))
    assert got == expected
    assert not (job.root / "evil").exists()


@pytest.mark.promise(32)
@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ("command: 'echo a; touch evil'", "list"),
        ("shell: true, command: 'echo {{ params.p }}'", "template"),
        ("shell: true, command: [echo, a]", "shell"),
        ("command: ['{{ params.p }}', evil]", "template"),
    ],
)
def test_shell_only_where_asked_for(job: Builder, keys: str, said: str) -> None:
    """A command is a list unless ``shell: true``, which takes no template."""
    job.tasks(f"a: {{mode: subprocess, {keys}}}", "params: {p: {default: touch}}")
    done = job.run()
    assert (done.code, said in done.err) == (3, True)
    assert not (job.root / "evil").exists()


@pytest.mark.promise(33)
def test_secret_in_a_run_that_is_killed(job: Builder) -> None:
    """A planted secret is in no byte that is there after a SIGKILL, a resume, and a look at it."""
    secret = "s3ntinel-Wert-ü-1234567890"
    ready = job.gate("ready")
    job.module("""
        import os
        def raises(): raise ValueError(os.environ["TOKEN"])
        def gives(): return {"a": [os.environ["TOKEN"]]}
    """)
    job.tasks("""
        raises: {mode: thread, function: "m:raises", allow_failure: true}
        gives: {mode: process, function: "m:gives", allow_failure: true}
        holds: {mode: subprocess, shell: true, needs: [raises, gives],
                command: "test -e flag || { echo > ready; sleep 60; }"}
    """, "secrets: [TOKEN]")  # fmt: skip
    job.env["TOKEN"] = secret
    running = job.start("-v", "--task-output", "live", "--log-file", "log")
    ready.wait()
    running.signal(9)
    said = [running.finish()]
    job.file("flag", "")
    said += [job.orch("resume", "-v", "--log-file", "log"), job.orch("show", "--json")]
    assert said[1].code == 0
    texts = [text.encode() for one in said for text in (one.out, one.err)]
    written = {
        path: path.read_bytes()
        for path in [*(job.root / ".orch").rglob("*"), job.root / "log"]
        if path.is_file() and not _tasks_own(path)
    }
    forms = [secret.encode(), ascii(secret)[1:-1].encode(), secret.encode("utf-16-le")]
    assert [path for path, data in written.items() if any(form in data for form in forms)] == []
    assert [text for text in texts if any(form in text for form in forms)] == []
    assert any(b"***TOKEN***" in text for text in texts)
    assert not any(os.fsencode(secret) in data for data in written.values())


def _tasks_own(path: Path) -> bool:
    return path.suffix in (".out", ".err") and not path.name.startswith("run.")
