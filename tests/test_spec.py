"""Small parts of what a job file may say, and that all of it is documented."""

import json
import re
from pathlib import Path

import pytest
from pydantic import ValidationError

from orchestrator import jsonio
from orchestrator.plan.graph import cycles, levels
from orchestrator.plan.model import RetryPolicy
from orchestrator.running import platform_limits
from orchestrator.spec import durations
from orchestrator.spec.models import (
    Job,
    Limits,
    Param,
    Queue,
    Retry,
    Task,
    TaskKeys,
    json_schema,
)
from orchestrator.spec.source import Source

REFERENCE = (Path(__file__).parent.parent / "docs" / "job-file.md").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    "model", [Job, Task, Param, Limits, Queue, Retry], ids=lambda m: m.__name__
)
def test_every_key_is_documented(model):
    """Each key that a job file may have stands in the reference, and says what it is."""
    for name, field in model.model_fields.items():
        assert f"`{name}" in REFERENCE or f"{name}:" in REFERENCE, name
        assert field.description, name


def test_schema_knows_every_key_of_a_task():
    """The JSON Schema is whole, and is JSON."""
    schema = json.loads(json.dumps(json_schema()))
    assert set(Task.model_fields) == set(schema["$defs"]["Task"]["properties"])
    assert schema["additionalProperties"] is False


NAMES = ["a", "A-1_", "_", "x" * 64, "", "1a", "my db", "a.b", "é", "-a", "a\n", "x" * 65]
AMOUNTS = [1, 2, 10_000, 0, -1, 10_001, "1", "{{ params.n }}", None, True, 0.5, [1]]


@pytest.mark.parametrize("model", ["Job", "Task", "TaskKeys"])
@pytest.mark.parametrize(
    "value", [*({name: 1} for name in NAMES), *({"a": n} for n in AMOUNTS), {}, None, [], "a"]
)
def test_schema_and_check_agree_on_resources(model, value):
    """What ``orch check`` refuses of names and amounts of resources, an editor does, too."""
    whole = json_schema()
    part = whole if model == "Job" else whole["$defs"][model]
    kind = {"Job": Job, "Task": Task, "TaskKeys": TaskKeys}[model]
    rest = {"tasks": {"a": {}}} if model == "Job" else {}
    try:
        kind.model_validate({"resources": value, **rest})
        expected = True
    except ValidationError:
        expected = False
    assert expected == _allows(part["properties"]["resources"], value)


@pytest.mark.parametrize(("model", "key", "allowed", "refused"), [
    ("Limits", "threads", [1, 10_000, "{{ params.n }}"], [0, 10_001, "1"]),
    ("Queue", "maxsize", [1, 10**9], [0, 10**9 + 1]),
    ("Queue", "max_bytes", [1, 2**40], [0, 2**40 + 1]),
    ("Retry", "backoff", [1, 1.5], [0.9, "2"]),
    ("Retry", "attempts", [1, 10_000], [0, 10_001]),
    ("Task", "priority", [-(2**53), 2**53], [2**53 + 1]),
    ("Task", "ok_exit_codes", [[0, 255]], [[256], [-1], []]),
    ("Task", "retry", [0, 3], [-1]),
    ("Task", "needs", [["a-b"]], [["my task"], ["x" * 65]]),
    ("Task", "publish", ["a"], ["a b", ""]),
])  # fmt: skip
def test_schema_and_check_agree_on_bounds(model, key, allowed, refused):
    """So it does with other numbers and names."""
    kind = {"Limits": Limits, "Queue": Queue, "Retry": Retry, "Task": Task}[model]
    schema = json_schema()["$defs"][model]["properties"][key]
    rest = {"attempts": 1} if model == "Retry" and key != "attempts" else {}
    for value in allowed:
        kind.model_validate({key: value, **rest})
        assert _allows(schema, value)
    for value in refused:
        with pytest.raises(ValidationError):
            kind.model_validate({key: value, **rest})
        assert not _allows(schema, value)


TYPES = {
    "integer": int, "number": (int, float), "string": str, "object": dict, "array": list,
    "null": type(None),
}  # fmt: skip


def _allows(schema, value):
    """Tell whether *schema* allows *value*, as far as schemas of job files go here."""
    for key in ("anyOf", "oneOf"):
        if key in schema:
            return any("$ref" not in each and _allows(each, value) for each in schema[key])
    if not isinstance(value, TYPES[schema["type"]]) or isinstance(value, bool):
        return False
    if isinstance(value, dict):
        patterns = schema["patternProperties"].items()
        return all(
            any(_found(pattern, name) and _allows(each, item) for pattern, each in patterns)
            or (
                schema.get("additionalProperties", True)
                and not any(_found(pattern, name) for pattern, _ in patterns)
            )
            for name, item in value.items()
        )
    if isinstance(value, list):
        enough = len(value) >= schema.get("minItems", 0)
        return enough and all(_allows(schema["items"], item) for item in value)
    if isinstance(value, str):
        return _found(schema.get("pattern", ""), value)
    return schema.get("minimum", value) <= value <= schema.get("maximum", value)


def _found(pattern, text):
    """Tell whether *pattern* is found in *text*, as in ECMAScript: `$` is the very end there."""
    return re.search(pattern.replace("$", r"\Z"), text) is not None


@pytest.mark.parametrize(
    ("value", "expected"),
    [(90, 90.0), (0.1, 0.1), ("1h30m", 5400.0), ("1.5s", 1.5), ("250ms", 0.25), ("2d", 172800.0)],
)
def test_durations(value, expected):
    """A duration is seconds, or text with units, the larger first."""
    assert expected == durations.seconds(value)


@pytest.mark.parametrize("value", ["", "5", "s", "5 parsecs", "1m1h", "1:30", -1, float("nan")])
def test_what_is_no_duration(value):
    """Everything else is refused."""
    with pytest.raises(ValueError, match=r"."):
        durations.seconds(value)


def test_delays_grow_to_their_limit():
    """Each delay is ``backoff`` times the one before; jitter takes at most half away."""
    plain = RetryPolicy(9, 1.0, 2.0, 5.0, jitter=False)
    assert [plain.delay_after(n, 0.3) for n in (1, 2, 3, 4000)] == [1.0, 2.0, 4.0, 5.0]
    varied = RetryPolicy(9, 1.0, 2.0, 5.0)
    assert [varied.delay_after(1, chance) for chance in (0.0, 1.0)] == [0.5, 1.0]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("no", "no"), ("on", "on"), ("12:30", "12:30"), ("010", "010"), ("0x1F", 31),
        ("0o17", 15), ("1e3", 1000.0), (".5", 0.5), ("-7", -7), ("~", None), ("", None),
        ("True", True), ("007.5", "007.5"), ("1_000", "1_000"), ("2026-01-31", "2026-01-31"),
    ],
)  # fmt: skip
def test_plain_scalars(text, expected):
    """Plain scalars follow the core schema of YAML 1.2; a leading zero makes text."""
    value = Source("x", f"a: {text}\n".encode()).value["a"]
    assert (type(expected), expected) == (type(value), value)


def test_places_are_found_again():
    """Any value of a document is located, its key too."""
    source = Source("x", b"a:\n  - b: 1\n    c: {d: 2}\n")
    mark = source.locate(("a", 0, "c", "d"))
    key = source.locate(("a", 0, "c"), at_key=True)
    assert (mark.line, mark.column, key.line, key.column) == (3, 12, 3, 5)


def test_cycles_are_told_once_each():
    """Every cycle is found, in the order of flow, from its first task in the file on."""
    needs = {"a": ["c"], "b": ["a"], "c": ["b", "x"], "x": [], "d": ["d2"], "d2": ["d"], "e": ["a"]}
    assert cycles(needs) == [["a", "b", "c"], ["d", "d2"]]
    assert levels(needs)[0] == ["x"]


@pytest.mark.parametrize(
    "value", [float("nan"), {1: 2}, {"a": object()}, b"x", {1, 2}, "\ud800", "x" * 2**20]
)
def test_what_is_no_output(value):
    """What JSON cannot carry, or is more than 1 MiB, is refused."""
    with pytest.raises(jsonio.OutputError):
        jsonio.dumps(value)


def test_an_output_that_holds_itself_is_refused():
    """A list in itself is an error, not the end of orch."""
    value: list = []
    value.append(value)
    with pytest.raises(jsonio.OutputError):
        jsonio.dumps(value)


def test_outputs_are_plain_json():
    """Tuples become lists, and text stays as it is."""
    assert jsonio.dumps({"a": (1, None, "é")}) == '{"a":[1,null,"é"]}'


def test_what_is_missing_elsewhere_is_said():
    """On Linux there is nothing to say; anywhere else orch says what it cannot do."""
    assert platform_limits("linux") is None
    assert "on darwin threads have no working directory" in (platform_limits("darwin") or "")
