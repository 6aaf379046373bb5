"""Secrets: given to tasks, and in nothing that orch writes."""

import json
import sqlite3
import sys
from contextlib import closing

import pytest

from orchestrator.errors import EnvironmentFault
from orchestrator.secrets import Secrets

PLAIN = "s3nt1nel-0123456789"
ODD = "qu\"ote's\\back\nline two of it\té€𝄞 the end"
SENTINELS = {
    "plain": [PLAIN],
    "odd": [ODD, "line two of it", "back\\nline", 'qu\\"ote', "é€𝄞 the end"],
}
OWN = (".out", ".err")  # a task's own files are what it wrote

FUNCTIONS = """
    import json
    import os
    import subprocess

    from orchestrator import task

    TOKEN = os.environ.get("TOKEN", "")


    def says():
        token = os.environ["TOKEN"]
        print(token)
        task.log.info(f"token {token}", token=token, deep=[{token: repr(token)}])
        task.log.warning("bytes", data=token.encode(), text=json.dumps({"t": token}))
        task.progress(1, 2)


    def raises():
        token = os.environ["TOKEN"]
        type(f"Error {token}", (Exception,), {})
        raise ValueError(token, {"token": token}) from KeyError(json.dumps([token]))


    def cut():
        raise ValueError("x" * (64 * 1024 - 30) + os.environ["TOKEN"] * 3)


    def returns(how):
        token = os.environ["TOKEN"]
        return {"text": token, "key": {token: 1}, "json": json.dumps([token])}[how]


    def bad_key():
        return {(os.environ["TOKEN"],): 1}


    def yields():
        yield "harmless"
        yield {"deep": [os.environ["TOKEN"]]}
        yield os.environ["TOKEN"]


    def takes(items):
        for item in items:
            print(item)
"""
TASKS = """
secrets: [TOKEN]
queues:
  items: {dead_letter: dead.txt}
  lines: {}
  wrong: {}
defaults: {timeout: 20s}
tasks:
  says_thread: {mode: thread, function: m:says}
  says_process: {mode: process, function: m:says}
  raises_thread: {mode: thread, function: m:raises}
  raises_process: {mode: process, function: m:raises}
  cut: {mode: thread, function: m:cut}
  returns: {mode: thread, function: m:returns, foreach: [text, key, json], args: ["{{ item }}"]}
  returns_process: {mode: process, function: m:returns, args: [text]}
  bad_key: {mode: thread, function: m:bad_key}
  shell: {mode: subprocess, command: [sh, -c, 'printenv TOKEN; printenv TOKEN >&2; exit 1']}
  stdout: {mode: subprocess, command: [printenv, TOKEN], output: stdout}
  file: {mode: subprocess, command: [python3, -c, "import json, os; json.dump(os.environ['TOKEN'],
    open(os.environ['ORCH_OUTPUT'], 'w'))"]}
  not_json: {mode: subprocess, command: [printenv, TOKEN], output: json}
  yields: {mode: thread, function: m:yields, publish: items}
  each: {mode: subprocess, command: [echo, "{{ item }}"], foreach: {queue: items}}
  prints: {mode: subprocess, command: [printenv, TOKEN], publish: wrong}
  never: {mode: thread, function: m:takes, consume: wrong}
  publishes: {mode: process, function: m:yields, publish: lines}
  consumes: {mode: thread, function: m:takes, consume: lines}
"""


def _values(data):
    """Yield every text in JSON data."""
    if isinstance(data, dict):
        for key, value in data.items():
            yield key
            yield from _values(value)
    elif isinstance(data, list):
        for value in data:
            yield from _values(value)
    elif isinstance(data, str):
        yield data


def _rows(path):
    """Yield what a journal holds, JSON decoded."""
    with closing(sqlite3.connect(path)) as journal:
        tables = journal.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall()
        for (table,) in tables:
            for row in journal.execute(f"SELECT * FROM {table}"):
                for cell in row:
                    text = cell.decode() if isinstance(cell, bytes) else str(cell)
                    yield "\n".join(_values(json.loads(text))) if text[:1] in "[{" else text


def _written(job):
    """Return all that orch wrote into its state directory, as text, and decoded again."""
    files = [path for path in job.root.glob(".orch/**/*") if path.is_file()]
    said = {str(path): path.read_bytes().decode(errors="replace")
            for path in files if path.suffix not in OWN}  # fmt: skip
    for path in files:
        if path.name == "journal.db":
            for number, text in enumerate(_rows(path)):
                said[f"{path} {number}"] = text
    return said


def _leaks(said, value, pieces):
    """Return where a piece of a secret stands, in whatever form."""
    forms = {
        form for piece in pieces for form in (piece, json.dumps(piece)[1:-1], repr(piece)[1:-1])
    }
    forms |= {value, json.dumps(value)[1:-1], ascii(value)[1:-1]}
    return [(where, form, text[max(0, text.find(form) - 99):][:200])
            for where, text in said.items() for form in forms if form in text]  # fmt: skip


@pytest.fixture
def planted(job):
    """Prepare a job whose tasks give their secret away in every way."""
    job.module(FUNCTIONS)
    job.write(TASKS)
    return job


@pytest.mark.promise(33)
@pytest.mark.parametrize("kind", SENTINELS)
@pytest.mark.parametrize(
    "args",
    [
        ("--events", "-v", "--task-output", "live"),
        ("--json", "-v"),
        ("--events", "--log-format", "json", "-v", "--task-output", "live"),
        ("--json", "--log-format", "json", "--log-file", ".orch/log"),
        ("--log-file", ".orch/log", "--log-format", "console"),
    ],
)
def test_no_byte_of_a_secret_is_written(planted, kind, args):
    """Nothing that orch writes holds a secret: state, stdout, stderr, log file."""
    planted.file(".orch/log", "")
    value = SENTINELS[kind][0]
    done = planted.run(*args, TOKEN=value)
    assert done.code == 1
    said = {"stdout": done.out, "stderr": done.err, **_written(planted)}
    for stream in ("out", "err"):
        for number, line in enumerate(getattr(done, stream).splitlines()):
            if line.startswith("{"):
                said[f"{stream} {number}"] = "\n".join(_values(json.loads(line)))
    shown = planted.orch("show", "--json")
    said["show"] = planted.orch("show").out
    said["show --json"] = shown.out
    assert _leaks(said, value, SENTINELS[kind]) == []
    assert "***TOKEN***" in done.err
    tasks = shown.tasks
    assert tasks["says_thread"]["state"] == tasks["says_process"]["state"] == "succeeded"
    assert {"failed"} == {
        tasks[name]["state"] for name in ("returns_process", "stdout", "file", "raises_thread")
    }
    assert "***TOKEN***" in tasks["raises_thread"]["error"]["traceback"]
    assert [tasks["each"]["instances"][f"each.{number}"]["state"] for number in range(3)] == [
        "succeeded",
        "failed",
        "failed",
    ]


@pytest.mark.promise(33)
def test_tasks_get_their_secrets(job):
    """A secret is in the environment of every task, and a task's own files are untouched."""
    job.module("import os\ndef say(): print(os.environ['TOKEN'])")
    job.tasks(
        """
        a: {mode: thread, function: m:say}
        b: {mode: process, function: m:say}
        c: {mode: subprocess, command: [printenv, TOKEN]}
        d: {mode: subprocess, shell: true, command: test -z "$TOKEN", env: {TOKEN: null}}
        """,
        head="secrets: [TOKEN]\n",
    )
    assert job.run(TOKEN=PLAIN).code == 0
    assert [f"{PLAIN}\n"] * 3 == [job.written(f"{name}.1.out") for name in "abc"]
    assert PLAIN in job.orch("logs", "last", "c", "--stdout").out


def test_from_env_file(job):
    """A secret may come from ``env_file``."""
    job.file("own.env", f"TOKEN={PLAIN}\n")
    job.tasks(
        "a: {mode: subprocess, command: [printenv, TOKEN], output: stdout}",
        head="env_file: own.env\nsecrets: [TOKEN]\n",
    )
    done = job.run("--json")
    message = "the output contains the secret `TOKEN`"
    error = {"type": "OutputError", "message": message, "traceback": None}
    assert error == done.tasks["a"]["error"]


@pytest.mark.promise(33)
def test_missing(job):
    """Secrets without a value are named, all of them, before anything starts."""
    job.tasks("a: {mode: subprocess, command: [touch, done]}", head="secrets: [A1, B2, C3]\n")
    done = job.run(A1="", B2="long enough")
    said = "orch: error: missing secrets `A1` and `C3`; set them in the environment\n"
    assert (4, "", said) == (done.code, done.out, done.err)
    assert not job.runs()
    assert (job.orch("check", "job.yaml").code, job.orch("plan", "job.yaml").code) == (0, 0)


def test_too_short(job):
    """A value that stands in any text by chance is refused."""
    job.tasks("a: {mode: subprocess, command: ['true']}", head="secrets: [A]\n")
    done = job.run(A="xyz")
    said = "orch: error: secret `A` has less than 4 characters; any text may hold as many\n"
    assert (4, said) == (done.code, done.err)


@pytest.mark.parametrize("given", [f"p=x{PLAIN}y", f"n={PLAIN}", f"{PLAIN}=1", f"l={PLAIN}"])
def test_parameter_that_holds_a_secret(job, given):
    """A parameter is recorded, so it may not hold a secret, and the message does not either."""
    job.tasks(
        "a: {mode: subprocess, command: [echo, '{{ params.p }}']}",
        head="secrets: [TOKEN]\nparams: {p: {default: x}, n: {type: int, default: 1}}\n",
    )
    name = given.partition("=")[0].replace(PLAIN, "***TOKEN***")
    done = job.run("-p", given, TOKEN=PLAIN)
    said = f"orch: error: parameter `{name}` holds the value of secret `TOKEN`\n"
    assert (2, "", said) == (done.code, done.out, done.err)
    assert not job.runs()


@pytest.mark.parametrize("line", ["# {}", "description: 'x{}'", "env: {{A: [{}]}}", "nokey: {}"])
def test_file_that_holds_a_secret(job, line):
    """A secret in the job file itself is an error that does not show it, also beside others."""
    job.tasks("a: {mode: subprocess, command: ['true']}",
              head=f"secrets: [TOKEN]\n{line.format(PLAIN)}\n")  # fmt: skip
    done = job.run(TOKEN=PLAIN)
    assert (done.code, done.out) == (3, "")
    assert PLAIN not in done.err
    assert "***TOKEN***" in done.err
    assert not job.runs()


def test_file_that_holds_a_secret_otherwise_written(job):
    """A secret is found in the file however YAML writes it."""
    job.tasks("a: {mode: subprocess, command: [echo, 'it''s a secret']}",
              head="secrets: [TOKEN]\n")  # fmt: skip
    done = job.run(TOKEN="it's a secret")
    assert done.code == 3
    place = "job.yaml:4:41: error: tasks.a.command.1: here stands the value of secret `TOKEN`"
    assert place == done.err.splitlines()[0]


@pytest.mark.parametrize(
    "source", ["env.COPY", "env['COPY']", "env.COPY | default('x')", "env.COPY ~ run.id"]
)
def test_another_variable_that_holds_it(job, source):
    """A template cannot reach a secret through another variable either."""
    job.tasks(f'a: {{mode: subprocess, command: [echo, "{{{{ {source} }}}}"]}}',
              head="secrets: [TOKEN]\n")  # fmt: skip
    done = job.orch("run", "job.yaml", "--json", TOKEN=PLAIN, COPY=f"https://{PLAIN}@host")
    reason = "`env.COPY` holds the value of secret `TOKEN`; a task reads it from its environment"
    assert reason in done.out + done.err
    assert done.code in (1, 3)
    assert _leaks({"out": done.out, "err": done.err, **_written(job)}, PLAIN, [PLAIN]) == []


def test_whole_environment(job):
    """``env`` as a whole has no secrets in it."""
    job.tasks('a: {mode: thread, function: "m:keep", args: ["{{ env }}", "{{ env | list }}"]}',
              head="secrets: [TOKEN]\n")  # fmt: skip
    job.module("def keep(env, names): return [env.get('TOKEN'), 'TOKEN' in names, 'PATH' in names]")
    assert job.run("--json", TOKEN=PLAIN).tasks["a"]["output"] == [None, False, True]


def test_path_that_holds_a_secret(job):
    """Paths are recorded, so none may hold a secret."""
    job.tasks("a: {mode: subprocess, command: ['true']}", head="secrets: [TOKEN]\n")
    done = job.run("--state-dir", f"{PLAIN}/state", TOKEN=PLAIN)
    said = "orch: error: the path of the state directory holds the value of secret `TOKEN`\n"
    assert (4, said) == (done.code, done.err)


def test_items_of_an_output(job):
    """A secret that a template puts together out of outputs is no item."""
    job.module("def half(n): return ['s3nt1nel', '-0123456789'][n]")
    job.tasks(
        """
        a: {mode: thread, function: m:half, args: [0]}
        b: {mode: thread, function: m:half, args: [1]}
        c:
          mode: subprocess
          command: [echo, "{{ item }}"]
          foreach: "{{ [tasks.a.output ~ tasks.b.output] }}"
        """,
        head="secrets: [TOKEN]\n",
    )
    done = job.run("--json", TOKEN=PLAIN)
    assert done.tasks["c"]["error"]["message"] == "its items contain the secret `TOKEN`"
    assert _leaks({"out": done.out, "err": done.err, **_written(job)}, PLAIN, [PLAIN]) == []


def test_dead_letters_are_the_users(job):
    """What orch sets aside for the user is untouched."""
    job.module(FUNCTIONS)
    job.tasks(
        """
        yields: {mode: thread, function: m:yields, publish: items}
        each: {mode: subprocess, command: [echo, "{{ item }}"], foreach: {queue: items}}
        """,
        head="secrets: [TOKEN]\nqueues: {items: {dead_letter: dead.txt}}\n",
    )
    done = job.run("--json", TOKEN=PLAIN)
    error = done.tasks["each"]["instances"]["each.2"]["error"]
    assert error["message"] == "its item contains the secret `TOKEN`"
    assert PLAIN in (job.root / "dead.txt").read_text()


def test_from_python(job):
    """``run_job`` keeps secrets to itself, too."""
    job.module(FUNCTIONS)
    job.tasks("a: {mode: thread, function: m:raises}", head="secrets: [TOKEN]\n")
    job.file("use.py", """
        from orchestrator import run_job
        print(run_job("job.yaml").tasks["a"].error)
    """)  # fmt: skip
    done = job.shell(f"{sys.executable} use.py", TOKEN=PLAIN)
    assert "***TOKEN***" in done.out
    assert _leaks({"out": done.out, **_written(job)}, PLAIN, [PLAIN]) == []


def test_resume(job):
    """A run that goes on needs its secrets again, and does not take a masked item for another."""
    job.module(FUNCTIONS)
    job.tasks(
        """
        yields: {mode: thread, function: m:yields, publish: items}
        each: {mode: subprocess, command: [echo, "{{ item }}"], foreach: {queue: items}}
        shell: {mode: subprocess, command: [sh, -c, 'printenv TOKEN; test -e fixed']}
        """,
        head="secrets: [TOKEN]\nqueues: {items: {}}\n",
    )
    assert job.run(TOKEN=PLAIN).code == 1
    missing = job.orch("resume")
    assert (missing.code, missing.out) == (4, "")
    assert "missing secret `TOKEN`" in missing.err
    job.file("fixed", "")
    done = job.orch("resume", "--json", TOKEN=PLAIN)
    assert done.code == 1
    assert done.tasks["shell"]["state"] == "succeeded"
    assert [path for path in job.root.glob(".orch/**/*.out") if b"***" in path.read_bytes()] == []
    assert _leaks({"out": done.out, "err": done.err, **_written(job)}, PLAIN, [PLAIN]) == []


class TestSecrets:
    """The values themselves."""

    def test_mask_longest_first(self):
        """Of two values that begin alike the longer one is meant."""
        secrets = Secrets(["A", "B"], {"A": "token", "B": "token-and-more"})
        assert secrets.mask("a token, a token-and-more") == "a ***A***, a ***B***"

    @pytest.mark.parametrize("escape", [str, repr, ascii, json.dumps, lambda v: repr(v.encode())])
    def test_forms(self, escape):
        """A value is masked however it is escaped, also twice."""
        secrets = Secrets(["A"], {"A": ODD})
        assert "***A***" in secrets.mask(escape(ODD))
        assert "two" not in secrets.mask(escape(ODD))
        assert "two" not in secrets.mask(json.dumps(escape(ODD)))

    def test_cut(self):
        """What a message that was cut left of a value is masked as well."""
        secrets = Secrets(["A"], {"A": PLAIN})
        assert (
            secrets.mask(f"`x{PLAIN[:9]}…`, {PLAIN[:12]}… (cut)") == "`x***A***…`, ***A***… (cut)"
        )

    def test_numbers(self):
        """A number that is a secret is masked where it stands in data."""
        secrets = Secrets(["PIN"], {"PIN": "918273"})
        assert secrets.mask_in({"a": 918273, "b": [1, True]}) == {"a": "***PIN***", "b": [1, True]}
        assert secrets.find_in_json("[918273]") == "PIN"

    def test_recorded_item(self):
        """An item that was masked in the record is not taken for what it was."""
        secrets = Secrets(["A"], {"A": PLAIN})
        assert secrets.held_by(secrets.mask_json(json.dumps([PLAIN]))) == "A"
        assert secrets.held_by("[1]") is None

    def test_require(self):
        """A value that is not there raises."""
        with pytest.raises(EnvironmentFault, match="missing secret `A`"):
            Secrets(["A"], {}).require()
