"""Mutants of job files, fed to the reader: whatever is in a file, only ``OrchError`` comes out.

::

    python -m tests.fuzz_reader N [SEED]

makes N mutants of ``configs/*.yaml``, of the bad specs and of ``SEEDS``. Mutant *i* of seed *s* is
always the same one: ``mutant(sources(), s, i)``. Users' code is neither imported nor run.
"""

import multiprocessing
import os
import random
import re
import sys
import time
import traceback
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from orchestrator.cli.console import message_text, rendered
from orchestrator.errors import OrchError, Report, SpecError
from orchestrator.loading import load

HERE = Path(__file__).parent.absolute()
WORKERS = 2
CHUNK = 500
SLOW_S = 5.0

SEEDS = (
    b"""\
name: rich
description: every key there is
root: .
params:
  top: {type: int, default: 20, min: 1, max: 100, help: how many}
  day: {type: date, default: 2026-01-31, min: 2026-01-01}
  level: {type: choice, choices: [low, high, 3, true], default: low}
  word: {type: str, default: abc, pattern: "[a-z]+"}
  rate: {type: float, default: 0.5, choices: [0.5, 1]}
  dry: {type: bool, default: false}
  out: {type: path, default: "{{ sys.stdlib }}", required: false}
  must: {type: str, required: true}
env: {TZ: UTC, PATH: null, HOME2: "{{ env.HOME }}"}
env_file: tests/badspecs/mods/good.env
python: "{{ sys.executable }}"
limits: {threads: "{{ params.top }}", processes: 3}
timeout: 1h30m
grace: 1.5s
defaults:
  mode: subprocess
  retry: {attempts: 3, delay: 1s, backoff: 2, max_delay: 30s, jitter: true}
  priority: "{{ params.top }}"
tasks:
  find:
    mode: thread
    function: tests.badspecs.mods.work:add
    args: [1, "{{ params.top }}"]
    kwargs: {third: 3}
    timeout: 90
    when: true
  each:
    mode: process
    function: tests.badspecs.mods.work:one
    foreach: {x: [1, 2], y: "{{ tasks.find.output }}"}
    args: ["{{ item.x + 1 }}"]
    needs: [find]
    cwd: tests
    env: {A: "{{ params.word }}", B: b, C: null}
    priority: 5
  shell:
    command: |
      cat "$1" | sort
    shell: true
    args: ["{{ run.dir }}/x"]
    run_when: always
    allow_failure: true
    ok_exit_codes: [0, 1]
    output: json
    grace: 0
  plain:
    command: [echo, "-n", "{{ tasks.each.output | length }}", 'a ''b''', "\\u00e9\\t"]
    needs: [shell, find]
    run_when: failed
  module: {module: json.tool, args: [--indent, "4"], python: "{{ sys.executable }}", retry: 2}
  program:
    program: tests/fuzz_reader.py
    foreach: [a, b, {c: [d]}]
    args: ["{{ item }}"]
    when: "{{ tasks.plain.output != none and params.top > 3 }}"
""",
    b"""\
tasks:
  a: {mode: thread, function: builtins:print, needs: []}
  b: {mode: thread, function: builtins:print, needs: [a]}
  c: {mode: thread, function: builtins:print, args: ["{{ tasks.b.output }}"]}
""",
    b"""\
params: {n: {type: int, default: 0x1F, min: 1}}
tasks:
  a: {mode: thread, function: builtins:print, foreach: "{{ range(params.n) }}", retry: 1}
  b:
    mode: subprocess
    shell: true
    command: >-
      echo folded
      text
    timeout: "{{ params.n }}"
""",
)
WORDS = (
    b"mode", b"thread", b"process", b"interpreter", b"subprocess",
    b"function", b"program", b"command", b"module",
    b"shell: true", b"needs", b"args", b"kwargs", b"env", b"cwd", b"timeout", b"retry", b"grace",
    b"foreach", b"when", b"output", b"defaults", b"limits", b"params", b"tasks", b"attempts",
    b"type: int", b"type: date", b"choices", b"min: 3", b"pattern", b"true", b"yes", b"null", b"~",
    b"0", b"-1", b"1e999", b".inf", b".nan", b"0x" + b"f" * 400, b"9" * 400, b"9" * 5000,
    b"0o17", b"010", b"1:30", b"5m", b"2026-02-30", b'""', b"''", b"[]", b"{}", b"[", b"]", b"{",
    b"}", b": ", b"- ", b"? ", b"# ", b", ", b"&a ", b"*a", b"<<: ", b"!!int ", b"! ", b"|", b">",
    b"---\n", b"...\n", b"%YAML 1.1\n", b"@", b"`", b"%", b"\t", b"\r", b"\n", b"\n\n", b"\0",
    b"\x1b[31m", b"\xff", b"\xef\xbb\xbf", b"\xc2\x85", b"\xe2\x80\xa8", b"\xed\xa0\x80",
    b"\xf0\x9f\x8e\x89", b'"\\ud800"', b'"\\0"', b'"\\n"', b'"\\e[2J"', b"x" * 300, b"../..",
    b'"{{ params.n }}"', b'"{{ params.top }}"', b'"{{ params }}"', b'"{{ item }}"', b'"{{ sys }}"',
    b'"{{ env.HOME }}"', b'"{{ run.id }}"', b'"{{ tasks.a.output }}"', b'"{{ tasks }}"',
    b'"{{ 1/0 }}"', b'"{{ 2**70 }}"', b'"{{ 1 ~ none.x }}"', b'"{{ none }}"', b'"{{ }}"', b'"{{ x"',
    b'"{{ sys.cpus | nope }}"', b'"{{ \'a\'.b }}"', b'"{{ {1: 2} }}"', b'"{{ range(3) | map }}"',
    b'"{{ env | list }}"', b'"{{ x is nope }}"', b'"{% if x %}"', b"{{", b"}}", b"builtins:print",
    b"tests.badspecs.mods.work:plain", b"json:dumps", b"a.b.c:d", b"os.path:join", b"[echo, x]",
)  # fmt: skip


@cache
def sources() -> tuple[bytes, ...]:
    """Return the files that mutants are made of."""
    found = [*(HERE.parent / "configs").glob("*.yaml"), *(HERE / "badspecs").glob("*.yaml")]
    stored = [path.read_bytes() for path in sorted(found)]
    return (*SEEDS * 8, *(data for data in stored if len(data) < 20_000))


def mutant(files: tuple[bytes, ...], seed: int, number: int) -> bytes:
    """Return mutant *number* of *seed*: a file with one to six things done to it."""
    rng = random.Random(f"{seed}.{number}")
    data = rng.choice(files)
    for _ in range(rng.choice((1, 1, 1, 2, 2, 3, 6))):
        data = rng.choice(MUTATIONS)(rng, data, files)
    return data[:50_000]


def _flip(rng: random.Random, data: bytes, _files: tuple[bytes, ...]) -> bytes:
    if not data:
        return b"\n"
    place = rng.randrange(len(data))
    byte = data[place] ^ 1 << rng.randrange(8) if rng.random() < 0.5 else rng.randrange(256)
    return data[:place] + bytes([byte]) + data[place + 1 :]


def _lines(rng: random.Random, data: bytes, files: tuple[bytes, ...]) -> bytes:
    lines = data.splitlines(keepends=True) or [b"\n"]
    one, two = rng.randrange(len(lines)), rng.randrange(len(lines))
    match rng.randrange(5):
        case 0:
            lines.insert(two, lines[one])
        case 1:
            del lines[min(one, two) : min(one, two) + rng.randint(1, 4)]
        case 2:
            lines[one], lines[two] = lines[two], lines[one]
        case 3:
            return b"".join(lines[:one])
        case _:
            lines.insert(one, rng.choice(rng.choice(files).splitlines(keepends=True) or [b"\n"]))
    return b"".join(lines)


def _splice(rng: random.Random, data: bytes, _files: tuple[bytes, ...]) -> bytes:
    place = rng.randint(0, len(data))
    until = place + rng.choice((0, 0, 1, 5, 20))
    return data[:place] + rng.choice(WORDS) + data[until:]


def _typo(rng: random.Random, data: bytes, _files: tuple[bytes, ...]) -> bytes:
    keys = list(re.finditer(rb"[\w-]+(?=:)", data))
    if not keys:
        return data
    key = rng.choice(keys)
    letters = bytearray(key[0])
    place = rng.randrange(len(letters))
    match rng.randrange(4):
        case 0:
            del letters[place]
        case 1:
            letters.insert(place, letters[place])
        case 2:
            letters[place] = rng.choice(b"aeioustn_-.1")
        case _:
            letters[:] = rng.choice(keys)[0]
    return data[: key.start()] + bytes(letters) + data[key.end() :]


def _value(rng: random.Random, data: bytes, _files: tuple[bytes, ...]) -> bytes:
    values = list(re.finditer(rb"(?<=[:,\[] )[^,\n\]}]+|(?<=- )[^\n]+", data))
    if not values:
        return data + rng.choice(WORDS)
    one, two = rng.choice(values), rng.choice(values)
    new = two[0] if rng.random() < 0.4 else rng.choice(WORDS)
    return data[: one.start()] + new + data[one.end() :]


def _indent(rng: random.Random, data: bytes, _files: tuple[bytes, ...]) -> bytes:
    lines = data.splitlines(keepends=True) or [b"\n"]
    first = rng.randrange(len(lines))
    shift = rng.choice((-4, -2, -1, 1, 2, 4))
    for index in range(first, min(len(lines), first + rng.randint(1, 5))):
        line = lines[index]
        lines[index] = b" " * shift + line if shift > 0 else line[min(-shift, _depth(line)) :]
    return b"".join(lines)


def _depth(line: bytes) -> int:
    return len(line) - len(line.lstrip(b" "))


MUTATIONS = (_flip, _lines, _lines, _splice, _splice, _typo, _value, _value, _indent)


def feed(data: bytes) -> int:
    """Load *data* as a job file; return how many errors were told, each rendered in one piece.

    Raises ``AssertionError`` for a report that breaks the house form, and whatever got out.
    """
    reports = _reports(data)
    for report in reports:
        _examine(rendered(report), len(message_text(report.problem.message)))
    return len(reports)


def _reports(data: bytes) -> tuple[Report, ...]:
    try:
        load("x.yaml", data=data, lenient=True)
    except SpecError as error:
        if not error.reports:
            raise AssertionError(f"no place is told: {error}") from None
        return error.reports
    except OrchError:
        pass
    return ()


def _examine(text: str, length: int) -> None:
    for character in text:
        assert character == "\n" or character.isprintable(), f"raw control character: {text!r}"
    assert re.match(r"x\.yaml:[1-9]\d*:[1-9]\d*: error: ", text), f"no place: {text!r}"
    assert 0 < length < 1000, f"a message of {length} characters"
    assert text.count("\n") <= 3, f"more than one line a message: {text!r}"
    assert "Traceback" not in text


def failures(seed: int, numbers: range) -> Iterator[tuple[int, bytes, str]]:
    """Yield number, mutant and reason for each of *numbers* that breaks the reader."""
    for number in numbers:
        data = mutant(sources(), seed, number)
        begun = time.perf_counter()
        try:
            feed(data)
        except Exception:  # noqa: BLE001 - whatever it is, it must not get out
            yield number, data, traceback.format_exc(limit=-3)
        if (took_s := time.perf_counter() - begun) > SLOW_S:
            yield number, data, f"took {took_s:.1f} s"


def _chunk(job: tuple[int, range]) -> tuple[int, list[tuple[int, bytes, str]]]:
    return len(job[1]), list(failures(*job))


def _begin() -> None:
    os.chdir(HERE.parent)  # the seeds name what is there


def main(count: int, seed: int) -> int:
    """Feed *count* mutants on two processes; return 0, or 1 where one of them broke the reader."""
    begun = time.monotonic()
    jobs = [(seed, range(n, min(n + CHUNK, count))) for n in range(0, count, CHUNK)]
    done = 0
    with multiprocessing.get_context("spawn").Pool(WORKERS, _begin) as pool:
        for fed, wrong in pool.imap_unordered(_chunk, jobs):
            done += fed
            if wrong:
                number, data, reason = wrong[0]
                print(f"seed {seed}, mutant {number}:\n{data!r}\n{reason}")  # noqa: T201 - a program, it prints
                return 1
    took_s = time.monotonic() - begun
    speed = f"{took_s:.1f} s, {done / took_s:.0f} a second"
    print(f"{done} mutants of seed {seed} in {speed}: only OrchError got out")  # noqa: T201
    return 0


if __name__ == "__main__":
    if len(sys.argv) not in (2, 3) or not all(arg.isdigit() for arg in sys.argv[1:]):
        sys.exit("usage: python -m tests.fuzz_reader N [SEED]")
    sys.exit(main(int(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 1))
