"""Setting modes in the text of a job file: nothing else of it becomes different."""

import os
import random
import shutil
import stat
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from orchestrator.advice import edit
from orchestrator.advice.edit import CannotEdit, difference, with_modes, write
from orchestrator.errors import EnvironmentFault
from orchestrator.spec.source import Source

CONFIGS = sorted(Path(__file__).parent.parent.joinpath("configs").glob("*.yaml"))
BOM = "\ufeff"

# name of the case: the modes, before, after
CASES: dict[str, tuple[dict[str, str], str, str]] = {
    "plain": (
        {"a": "process"},
        "tasks:\n  a:\n    mode: thread\n    function: m:f\n",
        "tasks:\n  a:\n    mode: process\n    function: m:f\n",
    ),
    "single quotes": (
        {"a": "process"},
        "tasks:\n  a:\n    function: m:f\n    mode: 'thread'  # why\n",
        "tasks:\n  a:\n    function: m:f\n    mode: 'process'  # why\n",
    ),
    "double quotes, quoted keys": (
        {"a": "process"},
        '"tasks":\n  "a":\n    "mode"  :   "thread"\n    \'function\': m:f\n',
        '"tasks":\n  "a":\n    "mode"  :   "process"\n    \'function\': m:f\n',
    ),
    "an escape in double quotes": (
        {"a": "process"},
        'tasks: {"\\x61": {mode: "thr\\x65ad"}}\n',
        'tasks: {"\\x61": {mode: "process"}}\n',
    ),
    "JSON": (
        {"a": "process"},
        '{"tasks":{"a":{"mode":"thread","function":"m:f"}}}',
        '{"tasks":{"a":{"mode":"process","function":"m:f"}}}',
    ),
    "JSON in which a task has none": (
        {"a": "process"},
        '{"defaults":{"mode":"thread"},"tasks":{"a":{"function":"m:f"}}}',
        '{"defaults":{"mode":"thread"},"tasks":{"a":{mode: process, "function":"m:f"}}}',
    ),
    "flow in block": (
        {"a": "process"},
        "tasks:\n  a: {mode: thread, function: m:f}  # {mode: thread}\n",
        "tasks:\n  a: {mode: process, function: m:f}  # {mode: thread}\n",
    ),
    "flow, the mode last": (
        {"a": "process"},
        "tasks:\n  a: { function: m:f , mode: thread }\n",
        "tasks:\n  a: { function: m:f , mode: process }\n",
    ),
    "nested flow over several lines": (
        {"a": "process", "b": "subprocess"},
        (
            "tasks: {\n  a: {function: m:f, # one\n\n      mode:   # two\n   thread\n  },\n"
            "  b: {mode:\n'thread'}}\n"
        ),
        (
            "tasks: {\n  a: {function: m:f, # one\n\n      mode:   # two\n   process\n  },\n"
            "  b: {mode:\n'subprocess'}}\n"
        ),
    ),
    "CRLF": (
        {"a": "process", "b": "process"},
        (
            "defaults: {mode: thread}\r\ntasks:\r\n  a:\r\n    mode: thread # c\r\n"
            "  b:\r\n    args: []\r\n"
        ),
        (
            "defaults: {mode: thread}\r\ntasks:\r\n  a:\r\n    mode: process # c\r\n  b:\r\n"
            "    mode: process\r\n    args: []\r\n"
        ),
    ),
    "both line endings in one file": (
        {"a": "process", "b": "process"},
        "tasks:\r\n  a:\n    args: []\r\n  b:\r\n    args: []\n",
        (
            "tasks:\r\n  a:\n    mode: process\n    args: []\r\n  b:\r\n"
            "    mode: process\r\n    args: []\n"
        ),
    ),
    "a byte order mark": (
        {"a": "process", "b": "process"},
        BOM + "tasks:\n  a: {mode: thread}\n  b:\n    args: []\n",
        BOM + "tasks:\n  a: {mode: process}\n  b:\n    mode: process\n    args: []\n",
    ),
    "a byte order mark and flow": (
        {"a": "process"},
        BOM + "{tasks: {a: {mode: thread}}}",
        BOM + "{tasks: {a: {mode: process}}}",
    ),
    "a byte order mark, CRLF and a comment": (
        {"a": "process"},
        BOM + "# ä\r\ntasks:\r\n  a:\r\n    mode: thread",
        BOM + "# ä\r\ntasks:\r\n  a:\r\n    mode: process",
    ),
    "not only ASCII before the place": (
        {"a": "process", "b": "process"},
        (
            "# größe 🚀 𝄞\ndescription: 'ä€🚀'\ntasks:\n  a: {args: [ü𝄞], mode: thread} # ß\n"
            "  b:\n    args: ['🚀']\n"
        ),
        (
            "# größe 🚀 𝄞\ndescription: 'ä€🚀'\ntasks:\n  a: {args: [ü𝄞], mode: process} # ß\n"
            "  b:\n    mode: process\n    args: ['🚀']\n"
        ),
    ),
    "line separators of YAML 1.1 in a comment": (
        {"a": "process"},
        "# one\u2028# two\x85tasks:\n  a: {mode: thread}\n",
        "# one\u2028# two\x85tasks:\n  a: {mode: process}\n",
    ),
    "comments between keys": (
        {"a": "process"},
        (
            "tasks: # t\n  # above\n  a: # at its end\n    # mode: wrong\n    args: []\n\n"
            "    # the mode\n    mode: thread # mode: thread\n    # below\n\n# end\n"
        ),
        (
            "tasks: # t\n  # above\n  a: # at its end\n    # mode: wrong\n    args: []\n\n"
            "    # the mode\n    mode: process # mode: thread\n    # below\n\n# end\n"
        ),
    ),
    "mode elsewhere": (
        {"a": "process"},
        (
            "name: mode\nparams: {mode: {type: str, default: thread}}\nenv: {mode: thread}\n"
            "defaults: {mode: thread}\ntasks:\n  mode: {mode: thread}\n  a:\n"
            "    args: [mode, 'mode: thread', {mode: thread}]\n    kwargs: {mode: thread}\n"
            "    env:\n      mode: thread\n    cwd: |\n      mode: thread\n    mode: thread\n"
            "  b: {args: [{mode: thread}], mode: thread}\n"
        ),
        (
            "name: mode\nparams: {mode: {type: str, default: thread}}\nenv: {mode: thread}\n"
            "defaults: {mode: thread}\ntasks:\n  mode: {mode: thread}\n  a:\n"
            "    args: [mode, 'mode: thread', {mode: thread}]\n    kwargs: {mode: thread}\n"
            "    env:\n      mode: thread\n    cwd: |\n      mode: thread\n    mode: process\n"
            "  b: {args: [{mode: thread}], mode: thread}\n"
        ),
    ),
    "tasks that are called as keys are": (
        {"tasks": "process", "defaults": "process", "mode": "process"},
        "tasks:\n  tasks: {mode: thread}\n  mode: {mode: thread}\n  defaults: {mode: thread}\n",
        "tasks:\n  tasks: {mode: process}\n  mode: {mode: process}\n  defaults: {mode: process}\n",
    ),
    "block, from the defaults": (
        {"a": "process"},
        "defaults:\n  mode: thread\ntasks:\n  a:\n      function: m:f\n      args: []\n",
        (
            "defaults:\n  mode: thread\ntasks:\n  a:\n      mode: process\n      function: m:f\n"
            "      args: []\n"
        ),
    ),
    "block, a comment and a blank line before the first key": (
        {"a": "process"},
        "tasks:\n  a: # c\n\n    # about f\n    function: m:f\n",
        "tasks:\n  a: # c\n    mode: process\n\n    # about f\n    function: m:f\n",
    ),
    "block, one space deep": (
        {"a": "process"},
        "tasks:\n a:\n  args:\n  - mode\n",
        "tasks:\n a:\n  mode: process\n  args:\n  - mode\n",
    ),
    "flow, from the defaults": (
        {"a": "process", "b": "process"},
        "defaults: {mode: thread}\ntasks:\n  a: {args: [1]}\n  b: { args: [1] }\n",
        (
            "defaults: {mode: thread}\ntasks:\n  a: {mode: process, args: [1]}\n"
            "  b: { mode: process, args: [1] }\n"
        ),
    ),
    "flow over several lines, from the defaults": (
        {"a": "process", "b": "process"},
        (
            "tasks:\n  a: { # c\n    args: [1], # d\n    needs: []\n  }\n"
            "  b: {args: [1],\n    needs: []}\n"
        ),
        (
            "tasks:\n  a: { # c\n    mode: process,\n    args: [1], # d\n    needs: []\n  }\n"
            "  b: {mode: process, args: [1],\n    needs: []}\n"
        ),
    ),
    "empty flow": (
        {"a": "process", "b": "process", "c": "process"},
        "defaults: {mode: thread}\ntasks:\n  a: {}\n  b: { } # c\n  c: { # d\n  }\n",
        (
            "defaults: {mode: thread}\ntasks:\n  a: {mode: process}\n  b: { mode: process } # c\n"
            "  c: { mode: process # d\n  }\n"
        ),
    ),
    "an empty body": (
        {"a": "process", "b": "process", "c": "process"},
        "defaults: {mode: thread}\ntasks:\n  a:\n  b:   # c\n\n  c:\n    # d\n",
        (
            "defaults: {mode: thread}\ntasks:\n  a: {mode: process}\n  b: {mode: process}   # c\n\n"
            "  c: {mode: process}\n    # d\n"
        ),
    ),
    "an empty body at the end, no newline": (
        {"a": "process"},
        "tasks:\n  b:\n  a:",
        "tasks:\n  b:\n  a: {mode: process}",
    ),
    "a body that is null": (
        {"a": "process", "b": "process"},
        "tasks:\n  a: ~ # c\n  b: null\n",
        "tasks:\n  a: {mode: process} # c\n  b: {mode: process}\n",
    ),
    "an empty body in flow": (
        {"a": "process", "b": "process", "c": "process", "d": "process"},
        'tasks: {a: , b:   # ":\n  , c, "d":}\n',
        (
            'tasks: {a: {mode: process} , b: {mode: process}   # ":\n  , c: {mode: process},'
            ' "d": {mode: process}}\n'
        ),
    ),
    "an empty mode": (
        {"a": "process", "b": "process"},
        "tasks:\n  a:\n    mode: # c\n    args: []\n  b: {mode: , args: []}\n",
        "tasks:\n  a:\n    mode: process # c\n    args: []\n  b: {mode: process , args: []}\n",
    ),
    "the defaults say so": (
        {"a": "thread", "b": "thread", "c": "thread"},
        "defaults:\n  mode: thread\ntasks:\n  a: {}\n  b:\n  c:\n    mode: process\n",
        "defaults:\n  mode: thread\ntasks:\n  a: {}\n  b:\n  c:\n    mode: thread\n",
    ),
    "the task says so": (
        {"a": "thread"},
        "tasks: {a: {mode: 'thread'}}",
        "tasks: {a: {mode: 'thread'}}",
    ),
    "defaults without a mode, after the tasks": (
        {"a": "thread"},
        "tasks:\n  a:\n    args: []\ndefaults: {retry: 1}\n",
        "tasks:\n  a:\n    mode: thread\n    args: []\ndefaults: {retry: 1}\n",
    ),
    "empty defaults": (
        {"a": "thread"},
        "defaults:\ntasks:\n  a: {args: []}\n",
        "defaults:\ntasks:\n  a: {mode: thread, args: []}\n",
    ),
    "no newline at the end": (
        {"a": "subprocess"},
        "tasks:\n  a:\n    mode: thread",
        "tasks:\n  a:\n    mode: subprocess",
    ),
    "tabs after values": (
        {"a": "process", "b": "process"},
        (
            "tasks:\t\n  a:\t# c\n    mode:\tthread\t\n    args: []\t# d\n"
            "  b: {mode:\tthread\t,\targs: []}\t\n"
        ),
        (
            "tasks:\t\n  a:\t# c\n    mode:\tprocess\t\n    args: []\t# d\n"
            "  b: {mode:\tprocess\t,\targs: []}\t\n"
        ),
    ),
    "keys with a question mark": (
        {"a": "process", "b": "process", "c": "process"},
        (
            "tasks:\n  ? a\n  : args: []\n    needs: []\n  ? b\n  : {}\n"
            "  ? c\n  :\n    ? mode\n    : thread\n"
        ),
        (
            "tasks:\n  ? a\n  : mode: process\n    args: []\n    needs: []\n  ? b\n"
            "  : {mode: process}\n  ? c\n  :\n    ? mode\n    : process\n"
        ),
    ),
    "markers of the document": (
        {"a": "process"},
        "%YAML 1.1\n--- # c\ntasks:\n  a: {mode: thread}\n...\n# d\n",
        "%YAML 1.1\n--- # c\ntasks:\n  a: {mode: process}\n...\n# d\n",
    ),
    "values that are equal to others of another kind": (
        {"a": "process"},
        "env: {A: 1, B: true, C: 1.0, D: .nan, E: 0x10, F: 010}\ntasks: {a: {mode: thread}}\n",
        "env: {A: 1, B: true, C: 1.0, D: .nan, E: 0x10, F: 010}\ntasks: {a: {mode: process}}\n",
    ),
    "no modes": ({}, "tasks: [", "tasks: ["),
}
REFUSED: dict[str, tuple[dict[str, str], str, str]] = {
    "not there": (
        {"loda": "thread"},
        "tasks: {load: {}}",
        "no task `loda` in the file; did you mean `load`?",
    ),
    "no tasks": ({"a": "thread"}, "name: a\n", "no task `a` in the file"),
    "not a mapping": ({"a": "thread"}, "- tasks\n", "no task `a` in the file"),
    "nothing": (
        {"a": "thread"},
        "",
        "task `a` cannot be edited: line 1: the file is empty; expected a mapping with `tasks`",
    ),
    "an alias": (
        {"b": "thread"},
        "tasks:\n  a: &x {mode: process}\n  b: *x\n",
        "task `b` cannot be edited: line 3: tasks.b: alias `*x`: aliases are not allowed",
    ),
    "an anchor": (
        {"a": "thread"},
        "tasks:\n  a: &x {mode: process}\n  b: *x\n",
        "task `a` cannot be edited: line 2: tasks.a: anchor `&x`: anchors are not allowed",
    ),
    "an anchor around the tasks": (
        {"a": "thread"},
        "tasks: &x\n  a: {mode: process}\n",
        "task `a` cannot be edited: line 1: tasks: anchor `&x`: anchors are not allowed",
    ),
    "a merge": (
        {"a": "thread"},
        "tasks:\n  a:\n    <<: {mode: process}\n",
        "task `a` cannot be edited: line 3: tasks.a.<<: merge key `<<`: merges are not allowed",
    ),
    "a tag": (
        {"a": "thread"},
        "tasks: {a: {mode: !!str process}}",
        "task `a` cannot be edited: line 1: tasks.a.mode: tag `!!str`: tags are not allowed",
    ),
    "a key twice": (
        {"a": "thread"},
        "tasks:\n  a:\n    mode: process\n    mode: process\n",
        (
            "task `a` cannot be edited: line 4: tasks.a.mode: the key `mode` stands twice; "
            "the first is in line 3"
        ),
    ),
    "not YAML": (
        {"a": "thread"},
        "tasks: {a: {mode: process}",
        "task `a` cannot be edited: line 1: the bracket `{` is not closed; expected `,` or `}`",
    ),
    "a second document": (
        {"a": "thread"},
        "tasks: {a: {mode: process}}\n---\ntasks:\n",
        "task `a` cannot be edited: line 2: a second document starts here; expected one a file",
    ),
    "text": (
        {"a": "thread"},
        "tasks: {a: thread}",
        "task `a` cannot be edited: found text `thread`, expected a mapping",
    ),
    "a mode that is a block": (
        {"a": "thread"},
        "tasks:\n  a:\n    mode: >-\n      process\n",
        "task `a` cannot be edited: its mode is not a plain or quoted text",
    ),
    "a mode that is a list": (
        {"a": "thread"},
        "tasks: {a: {mode: [process]}}",
        "task `a` cannot be edited: its mode is not a plain or quoted text",
    ),
    "a key without a colon": (
        {"a": "thread"},
        "tasks:\n  ? a\n",
        "task `a` cannot be edited: `? a` has no value",
    ),
    "what is no mode in YAML": (
        {"a": "true", "b": "x"},
        "tasks: {a: {mode: thread}, b: {}}",
        "tasks `a` and `b` cannot be edited: more than the mode would change; write it by hand",
    ),
}


@pytest.fixture(name="tab", params=["C", "Python"])
def _tab(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Find places with libyaml, or as where PyYAML is without it; then a tab is no space to it."""
    if request.param == "Python":
        monkeypatch.setattr(edit, "_LOADER", yaml.SafeLoader)
        return " "
    if not yaml.__with_libyaml__:
        pytest.skip("PyYAML without libyaml")
    return "\t"


@pytest.mark.parametrize("case", CASES)
def test_only_modes_change(case: str, tab: str) -> None:
    """The text that is given back is the one before with other modes, and once more the same."""
    modes, before, after = CASES[case]
    before, after = before.replace("\t", tab), after.replace("\t", tab)
    result = with_modes(before, modes)
    assert after == result
    assert after == with_modes(result, modes)


@pytest.mark.parametrize("case", REFUSED)
def test_refused(case: str) -> None:
    """What cannot be edited is refused, with a reason that names the task."""
    modes, text, message = REFUSED[case]
    with pytest.raises(CannotEdit) as refused:
        with_modes(text, modes)
    assert message == str(refused.value)


def test_a_mistake_of_ours_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """An edit at a wrong place, whatever it would do, gives no text."""
    text = "tasks:\n  a: {mode: thread, args: [1, 2]}\n  b: {mode: thread}\n"
    right, right_edit = with_modes(text, {"a": "process"}), edit._Places.edit
    for shift in range(-15, 25):

        def shifted(places: Any, name: str, mode: str, by: int = shift) -> Any:
            start, end, what = right_edit(places, name, mode)
            return start + by, end + by, what

        monkeypatch.setattr(edit._Places, "edit", shifted)
        try:
            assert right == with_modes(text, {"a": "process"})
        except CannotEdit:
            assert shift != 0


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_configs(path: Path) -> None:
    """The jobs that come with orch can be set to other modes, and back to the text they were."""
    text = path.read_bytes().decode()
    own = {n: t["mode"] for n, t in yaml.safe_load(text)["tasks"].items() if "mode" in t}
    other = with_modes(text, dict.fromkeys(own, "other"))
    assert len(own) == other.count("mode: other")
    assert text == with_modes(other, own)


# Random job texts. What a mode is goes between marks, so that the text is known with any mode.

_OPEN, _SHUT = "\ue001", "\ue002"
_MODES = ("thread", "process", "subprocess")
_WORDS = ("mode", "mode: thread", "ä€", "🚀𝄞", "# no", "x", "it's", "a, b", "{mode: thread}")
_COMMENT = ("# mode: thread", "#", "# ä 🚀: {", '# "', "# - ' }")


class _Writer:
    """Writes a job with tasks in styles that chance picks, one kind of line ending."""

    def __init__(self, seed: int) -> None:
        self.chance = random.Random(seed)
        self.newline = self.chance.choice(["\n", "\n", "\r\n"])
        self.modes: dict[str, str | None] = {}  # what each task says itself

    def some(self, *choices: str) -> str:
        return self.chance.choice(choices)

    def quoted(self, text: str, *, plain: bool = True) -> str:
        styles = ["'{}'".format(text.replace("'", "''")), f'"{text}"']
        return self.chance.choice([text, text, *styles] if plain else styles)

    def end(self) -> str:
        """Return the end of a line, perhaps with comments and blank lines after it."""
        text = self.some("", "", " ", "\t", f" {self.some(*_COMMENT)}", f"\t{self.some(*_COMMENT)}")
        text += self.newline
        while self.chance.random() < 0.2:
            text += self.some("", "", " " * self.chance.randrange(9) + self.some(*_COMMENT))
            text += self.newline
        return text

    def gap(self, indent: str) -> str:
        """Return what may lie between the parts of a flow."""
        if self.chance.random() < 0.15:
            return f" {self.some('', *_COMMENT)}{self.newline}{indent}      "
        return self.some("", " ", " ", "  ")

    def entries(self, mode: str | None) -> list[tuple[str, str]]:
        """Return keys and values in one line each, in any order."""
        word = [self.quoted(self.some(*_WORDS), plain=False) for _ in range(4)]
        found = [
            ("args", f"[mode, {word[0]}, {{mode: {word[1]}}}]"),
            ("kwargs", f"{{mode: thread, k: {word[2]}}}"),
            ("function", self.quoted("m.ä:mode")),
            ("timeout", self.some("1", "true", "~", "0x1F", ".nan")),
            ("env", f"{{mode: {word[3]}}}"),
        ]
        found = self.chance.sample(found, self.chance.randrange(len(found) + 1))
        if mode is not None:
            at = self.chance.randrange(len(found) + 1)
            found.insert(at, ("mode", _OPEN + self.quoted(mode) + _SHUT))
        return [(self.quoted(key), value) for key, value in found]

    def flow(self, entries: list[tuple[str, str]], indent: str) -> str:
        parts = [
            f"{self.gap(indent)}{key}:{self.gap(indent) or ' '}{value}{self.gap(indent)}"
            for key, value in entries
        ]
        return f"{{{','.join(parts)}{self.gap(indent) if not parts else ''}}}"

    def block(self, entries: list[tuple[str, str]], indent: str) -> str:
        text = self.end()
        for key, value in entries:
            text += f"{indent}{key}{self.some('', ' ')}:{self.some(' ', '   ', ' ')}{value}"
            text += self.end()
            if self.chance.random() < 0.1 and "mode" not in key:
                text += f"{indent}k{len(text)}: |{self.newline}{indent}  mode: thread{self.newline}"
        return text

    def job(self) -> str:
        default = self.some("", *_MODES)
        head = self.some("", BOM) + self.some("", self.some(*_COMMENT) + self.newline)
        head += self.some("", f"description: 'ä🚀 mode'{self.end()}")
        before = f"defaults: {{mode: {default}}}{self.end()}" if default else ""
        after, before = self.chance.choice([(before, ""), ("", before)])
        whole = self.chance.random() < 0.3  # the tasks as one flow
        indent = " " * self.chance.randrange(1, 5)
        tasks = []
        for number in range(self.chance.randrange(1, 6)):
            name = self.some("t", "mode", "args") + str(number)
            mode = self.chance.choice([None, *_MODES])
            entries = self.entries(mode)
            self.modes[name] = mode
            name = self.quoted(name)
            if not entries and self.chance.random() < 0.7:
                tasks.append(f"{name}: " + self.some("", "~"))
            elif whole or not entries or self.chance.random() < 0.4:
                tasks.append(f"{name}: {self.flow(entries, indent)}")
            else:
                inner = indent + " " * self.chance.randrange(1, 5)
                tasks.append(f"{name}:{self.block(entries, inner)}")
        if whole:
            joined = ",".join(self.gap(indent) + task + self.gap(indent) for task in tasks)
            body = f"tasks: {{{joined}}}{self.end()}"
        else:
            lines = [task if task.endswith(self.newline) else task + self.end() for task in tasks]
            body = f"tasks:{self.end()}" + "".join(indent + line for line in lines)
        text = head + before + body + after
        return text if self.chance.random() < 0.8 else text.rstrip(" \t\r\n")


def _with_marks(marked: str, change: Callable[[str], str]) -> str:
    """Return *marked* with *change* of each scalar between marks, in order."""
    first, *rest = marked.split(_OPEN)
    parts = (part.split(_SHUT) for part in rest)
    return first + "".join(change(scalar) + after for scalar, after in parts)


def _is_left(short: str, text: str) -> bool:
    """Tell whether *short* is *text* without some of its characters."""
    characters = iter(text)
    return all(c in characters for c in short)


@pytest.mark.parametrize("chunk", range(10))
def test_random_jobs(chunk: int, tab: str) -> None:
    """Of 600 texts only scalars of modes change; what is added is modes, and can be taken out."""
    for seed in range(chunk * 60, chunk * 60 + 60):
        writer = _Writer(seed)
        marked = writer.job().replace("\t", tab)
        text = _with_marks(marked, lambda scalar: scalar)
        before = Source("", text.encode())
        assert not before.problems, (seed, text, before.problems)
        names = writer.chance.sample(
            list(writer.modes), writer.chance.randint(1, len(writer.modes))
        )
        own = {name: writer.some(*_MODES) for name in names if writer.modes[name] is not None}
        none = {name: writer.some(*_MODES) for name in names if writer.modes[name] is None}

        said = iter([(n, m) for n, m in writer.modes.items() if m is not None])

        def changed(scalar: str, said: Any = said, own: Any = own) -> str:
            name, mode = next(said)
            return scalar.replace(mode, own.get(name, mode))

        only_own = with_modes(text, own)
        assert _with_marks(marked, changed) == only_own, seed

        after = with_modes(text, own | none)
        assert after == with_modes(only_own, none), seed
        assert _is_left(only_own.replace("~", ""), after), seed  # a `~` gives way to a mapping
        assert after.count("\n") - after.count("\r\n") == (
            0 if writer.newline == "\r\n" else after.count("\n")
        ), seed
        for comment in _COMMENT:
            assert text.count(comment) <= after.count(comment), seed

        value, default = before.value, (before.value.get("defaults") or {}).get("mode")
        for name, mode in (own | none).items():
            if (value["tasks"][name] or {}).get("mode", default) != mode:
                value["tasks"][name] = {**(value["tasks"][name] or {}), "mode": mode}
        assert value == Source("", after.encode()).value, seed


# difference

OLD = "one\ntwo\nthree\nfour\nfive\nmode: thread\nseven\neight\nnine\nten\n"


def test_difference() -> None:
    """Three lines around what has changed, the file's name at the head."""
    new = OLD.replace("thread", "process")
    assert difference(OLD, new, "job.yaml") == (
        "--- a/job.yaml\n+++ b/job.yaml\n@@ -3,7 +3,7 @@\n three\n four\n five\n"
        "-mode: thread\n+mode: process\n seven\n eight\n nine\n"
    )


def test_difference_of_equal_texts() -> None:
    """Nothing has changed, nothing is shown."""
    assert difference(OLD, OLD, "job.yaml") == ""


def test_difference_without_a_newline_at_the_end() -> None:
    """It is said as diff says it."""
    assert difference("a\nmode: thread", "a\nmode: process", "j") == (
        "--- a/j\n+++ b/j\n@@ -1,2 +1,2 @@\n a\n-mode: thread\n\\ No newline at end of file\n"
        "+mode: process\n\\ No newline at end of file\n"
    )


@pytest.mark.skipif(shutil.which("diff") is None, reason="needs diff")
@pytest.mark.parametrize("case", CASES)
def test_difference_is_that_of_diff(case: str, tmp_path: Path) -> None:
    """The lines are those of ``diff -u``, also with other line endings and separators."""
    _, before, after = CASES[case]
    for folder, text in (("a", before), ("b", after)):
        tmp_path.joinpath(folder).mkdir()
        tmp_path.joinpath(folder, "j").write_bytes(text.encode())
    done = subprocess.run(
        ["diff", "-a", "-u", "--label", "a/j", "--label", "b/j", "a/j", "b/j"],
        cwd=tmp_path, capture_output=True, check=False,
    )  # fmt: skip
    assert done.stdout.decode() == difference(before, after, "j")


# write


@pytest.fixture(name="file")
def _file(tmp_path: Path) -> Path:
    """Give a job file in a folder that holds nothing else."""
    path = tmp_path / "folder" / "job.yaml"
    path.parent.mkdir()
    path.write_bytes(OLD.encode())
    return path


def _alone(file: Path) -> bool:
    return [file.name] == os.listdir(file.parent)


@pytest.mark.parametrize("mode", [0o600, 0o640, 0o664, 0o755])
def test_write_keeps_permissions(file: Path, mode: int) -> None:
    """The text is new, in a file of its own, and who may read it is as before."""
    file.chmod(mode)
    old = file.stat()
    write(str(file), OLD.encode(), BOM + "tasks: ä\r\n")
    new = file.stat()
    assert file.read_bytes() == b"\xef\xbb\xbftasks: \xc3\xa4\r\n"
    assert stat.S_IMODE(new.st_mode) == mode
    assert (old.st_uid, old.st_gid) == (new.st_uid, new.st_gid)
    assert old.st_ino != new.st_ino
    assert _alone(file)


def test_write_in_the_folder_of_work(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A path may be a name only."""
    monkeypatch.chdir(file.parent)
    write("job.yaml", OLD.encode(), "new\n")
    assert file.read_text() == "new\n"
    assert _alone(file)


def test_write_follows_links(file: Path, tmp_path: Path) -> None:
    """A symbolic link stays one; what it leads to is replaced."""
    tmp_path.joinpath("second").symlink_to("folder/job.yaml")
    link = tmp_path / "first"
    link.symlink_to("second")
    write(str(link), OLD.encode(), "new\n")
    assert link.is_symlink()
    assert not file.is_symlink()
    assert file.read_text() == "new\n"
    assert _alone(file)


def test_write_refuses_what_has_changed(file: Path) -> None:
    """A file that someone has saved since is left as it is."""
    file.write_text("theirs\n")
    with pytest.raises(CannotEdit) as refused:
        write(str(file), OLD.encode(), "new\n")
    assert str(refused.value) == f"{file} has been changed meanwhile; it is left as it is"
    assert file.read_text() == "theirs\n"
    assert _alone(file)


def test_write_refuses_what_changes_while_it_writes(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It looks again when all is on the disk."""
    monkeypatch.setattr(os, "fsync", lambda _: file.write_text("theirs\n"))
    with pytest.raises(CannotEdit, match="changed meanwhile"):
        write(str(file), OLD.encode(), "new\n")
    assert file.read_text() == "theirs\n"
    assert _alone(file)


def test_write_leaves_nothing_where_it_fails(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a full disk the file is as it was, and so is its folder."""

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(EnvironmentFault) as refused:
        write(str(file), OLD.encode(), "new\n")
    assert str(refused.value) == f"{file} cannot be written: no space left on device"
    assert file.read_text() == OLD
    assert _alone(file)


def test_write_refuses_what_is_not_there(file: Path) -> None:
    """A file that has gone is not made again."""
    file.unlink()
    with pytest.raises(CannotEdit) as refused:
        write(str(file), OLD.encode(), "new\n")
    assert str(refused.value) == f"{file}: no such file"
    assert os.listdir(file.parent) == []


def test_write_refuses_what_is_read_only() -> None:
    """Who has locked a file did not mean it to be replaced."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "job.yaml")
        file.write_text(OLD)
        file.chmod(0o444)
        Path(folder).chmod(0o777)
        child = os.fork()
        if child == 0:  # root may write everything: become somebody else
            if os.geteuid() == 0:
                os.setresuid(65534, 65534, 65534)
            try:
                write(str(file), OLD.encode(), "new\n")
            except EnvironmentFault as error:
                os._exit(0 if str(error) == f"{file} is read-only" else 2)
            except BaseException:  # noqa: BLE001 - a child that must not go on as pytest
                os._exit(3)
            os._exit(1)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        assert file.read_text() == OLD
