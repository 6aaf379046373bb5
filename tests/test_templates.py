"""Templates: look-ups, expressions, and what they refuse."""

import pytest

from orchestrator.errors import TemplateError
from orchestrator.plan.templates import compiled, fill, parse

NAMES = {
    "params": {"n": 3, "text": "{{ run.id }}", "list": [1, 2], "a-b": 4},
    "tasks": {"a": {"output": {"items": 7, "rows": [{"x": 1}]}}},
    "item": {"k": None},
}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("{{ params.n }}", 3),
        ("{{params.list}}", [1, 2]),
        ("a {{ params.n }} b {{ params.list }}", "a 3 b [1,2]"),
        ("{{ params.a-b }}", 4),
        ("{{ params.n - 1 }}", 2),
        ("{{ tasks.a.output.items }}", 7),
        ("{{ tasks.a.output.rows.0.x }}", 1),
        ("{{ tasks['a'].output.rows[0].x + 1 }}", 2),
        ("{{ item.k }}", None),
        ("{{ item.k }}!", "null!"),
        ("{{ '}}' }}", "}}"),
        ("{{ {'a': {'b': params.n}} }}", {"a": {"b": 3}}),
        ("{{ range(3) | list }}", [0, 1, 2]),
        ("{{ params.list | map('string') | join('-') }}", "1-2"),
        ("{{ 'yes' if params.n > 2 else 'no' }}", "yes"),
    ],
)
def test_values(text, expected):
    """A whole template keeps its type; in the middle of text, what is not text is compact JSON."""
    assert expected == parse(text).render(NAMES)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{{ params.m }}", "`params` has no `m`"),
        ("{{ param.n }}", "undefined name `param`; did you mean `params`?"),
        ("{{ params.n.x }}", "`params.n` is a int and has no `x`"),
        ("{{ 'a'.upper() }}", "has no attribute 'upper'"),
        ("{{ ().__class__ }}", "has no attribute '__class__'"),
        ("{{ 9 ** (9 ** 9) }}", "too large"),
        ("{{ 'x' * 99999999 }}", "long"),
        ("{{ range(99999999) }}", "long"),
        ("{{ 1 / 0 }}", "division by zero"),
    ],
)
def test_what_is_refused_when_filled_in(text, said):
    """What is not there, what is not data and what never ends is an error, not a value."""
    with pytest.raises(TemplateError) as caught:
        parse(text).render(NAMES)
    assert said in str(caught.value)


@pytest.mark.parametrize("text", ["{{", "{{ }}", "{{ 1 + }}", "{{ a b }}", "{{ x | nope }}"])
def test_what_is_malformed(text):
    """A template that cannot be read is refused before anything is looked up."""
    with pytest.raises(TemplateError):
        parse(text)


def test_a_value_is_never_read_as_a_template():
    """What a parameter holds stays text, whatever it looks like."""
    assert fill(compiled(["{{ params.text }}"]), NAMES) == ["{{ run.id }}"]


def test_what_is_not_known_yet_is_left():
    """Filling in early leaves the templates that look at something later."""
    early = fill(compiled(["{{ params.n }}", "{{ item.k }}"]), NAMES, frozenset({"params"}))
    assert fill(early, NAMES) == [3, None]


def test_filled_in_values_are_copies():
    """No two attempts share a list."""
    value = compiled({"a": "{{ params.list }}", "b": [1]})
    first, second = fill(value, NAMES), fill(value, NAMES)
    first["a"].append(0)
    first["b"].append(0)
    assert second == {"a": [1, 2], "b": [1]}


def test_outputs_are_found_in_expressions():
    """The tasks that a template looks at are known without running it."""
    text = "{{ tasks.a.output.x + (tasks['b'].output | length) }} {{ tasks.c.output }}"
    assert {"a", "b", "c"} == parse(text).outputs
