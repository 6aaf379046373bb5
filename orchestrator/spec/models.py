"""The models of a job file, validated by pydantic: what may stand where, and of what type.

They know one file and nothing else: whether a name exists, a graph has a cycle or
a program is there is asked later (``plan``, ``checks``). A value that holds a template is let
through as text wherever it may be one, and checked again by the same model once it is filled in.
"""

import re
from math import isfinite
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Discriminator,
    Field,
    Tag,
    ValidatorFunctionWrapHandler,
    WithJsonSchema,
    WrapValidator,
)
from pydantic_core import PydanticCustomError

from orchestrator.spec import durations
from orchestrator.spec.words import found, quote

NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_-]{0,63}\Z")
_FUNCTION = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)*:[^\W\d]\w*(\.[^\W\d]\w*)*\Z")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\Z")
_MODULE = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)*\Z")
_BIG = 2**53

Mode = Literal["thread", "process", "interpreter", "subprocess"]
MODES: tuple[Mode, ...] = ("thread", "process", "interpreter", "subprocess")
ParamType = Literal["str", "int", "float", "bool", "path", "date", "choice"]

# Which keys go with which modes; all others go with every mode.
MODE_KEYS: dict[str, tuple[Mode, ...]] = {
    "function": ("thread", "process", "interpreter"),
    "kwargs": ("thread", "process", "interpreter"),
    "program": ("subprocess",),
    "module": ("subprocess",),
    "command": ("subprocess",),
    "shell": ("subprocess",),
    "python": ("subprocess",),
    "ok_exit_codes": ("subprocess",),
    "output": ("subprocess",),
    "env": ("process", "subprocess"),
    "leftovers": ("process", "subprocess"),
    "start": ("subprocess",),
}
TARGETS = ("function", "program", "module", "command")


def is_template(value: object) -> bool:
    """Tell whether *value* is text with a template in it."""
    return isinstance(value, str) and "{{" in value


def complain(message: str) -> PydanticCustomError:
    """Return the error that pydantic reports with *message* as it stands."""
    return PydanticCustomError("orch", "{message}", {"message": message})


def _late(value: Any, handler: ValidatorFunctionWrapHandler) -> Any:
    return value if is_template(value) else handler(value)


def _expect(what: str, *types: type) -> BeforeValidator:
    """Refuse values of other types with "found …, expected *what*"."""

    def check(value: Any) -> Any:
        if type(value) not in types:
            raise complain(f"found {found(value)}, expected {what}")
        return value

    return BeforeValidator(check)


def _text(value: Any) -> Any:
    if isinstance(value, bool | int | float):
        raise complain(f"found {found(value)}, expected text; quote it")
    if not isinstance(value, str):
        raise complain(f"found {found(value)}, expected text")
    if "\0" in value:
        raise complain(f"{quote(value)} holds a NUL character")
    return value


def _boolean(value: Any) -> Any:
    if not isinstance(value, bool):
        quoted = value in ("true", "false")
        hint = "; remove the quotes" if quoted else ""
        raise complain(f"found {found(value)}, expected `true` or `false`{hint}")
    return value


def _unquoted(value: Any) -> str:
    """Return what to do about text that looks like a number."""
    if not (isinstance(value, str) and value.isdecimal() and value.isascii()):
        return ""
    return "; remove the quotes" if value[0] != "0" else f"; write `{value.lstrip('0') or '0'}`"


def _whole(value: Any) -> Any:
    if isinstance(value, bool) or not isinstance(value, int):
        hint = _unquoted(value)
        raise complain(f"found {found(value)}, expected a whole number{hint}")
    if abs(value) > _BIG:
        raise complain(f"the number is too large, expected at most `{_BIG}`")
    return value


def _real(value: Any) -> Any:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise complain(f"found {found(value)}, expected a number")
    try:
        if not isfinite(value):
            raise complain(f"found {found(value)}, expected a finite number")
    except OverflowError:
        raise complain("the number is too large") from None
    return value


def _duration(value: Any) -> Any:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise complain(f"found {found(value)}, {durations.EXPECTED}")
    if hint := _unquoted(value):
        raise complain(f"found {found(value)}, {durations.EXPECTED}{hint}")
    try:
        return durations.seconds(value)
    except ValueError as error:
        raise complain(f"{_shown(value)} {error}") from None


def _shown(value: Any) -> str:
    return found(value).removeprefix("text ").removeprefix("number ")


def _longer_than_zero(value: float) -> float:
    if value <= 0:
        raise complain("a time of 0 would end it at once; leave it out for no limit")
    return value


def _between(least: int, most: int) -> AfterValidator:
    def check(value: int) -> int:
        if value < least:
            raise complain(f"`{value}` is too small, expected at least {least}")
        if value > most:
            raise complain(f"`{value}` is too large, expected at most {most}")
        return value

    return AfterValidator(check)


def _one_of(*choices: str) -> BeforeValidator:
    def check(value: Any) -> Any:
        from orchestrator.spec.words import did_you_mean, listing  # noqa: PLC0415

        if value not in choices or not isinstance(value, str):
            near = did_you_mean(value, choices) if isinstance(value, str) else ""
            raise complain(f"found {found(value)}, expected {listing(choices)}{near}")
        return value

    return BeforeValidator(check)


def _named(value: Any) -> Any:
    if not isinstance(value, str):
        raise complain(f"found {found(value)}, expected a name")
    if not NAME.match(value):
        raise complain(
            f"{quote(value)} is not a name; expected a letter or `_`, then up to 63 "
            "letters, digits, `_` or `-`"
        )
    return value


def _function(value: Any) -> Any:
    _fixed(value)
    if not isinstance(value, str) or not _FUNCTION.match(value):
        raise complain(f"found {found(value)}, expected `package.module:function`")
    return value


def _module(value: Any) -> Any:
    _fixed(value)
    if not isinstance(value, str) or not _MODULE.match(value):
        raise complain(f"found {found(value)}, expected a module's name, as in `package.module`")
    return value


def _secret(value: Any) -> Any:
    _fixed(_text(value))
    if not _VARIABLE.match(value):
        raise complain(f"{quote(value)} is not the name of an environment variable")
    return value


def _fixed(value: Any) -> Any:
    if is_template(value):
        raise complain("templates are not filled in here")
    return value


def _filled(value: Any) -> Any:
    _text(value)
    if not value:
        raise complain("found empty text, expected something")
    return value


def json_value(value: Any) -> Any:
    """Refuse what JSON cannot carry: an endless number, text that is half a character."""
    stack = [value]
    while stack:
        item = stack.pop()
        if isinstance(item, dict):
            stack.extend(item.values())
        elif isinstance(item, list):
            stack.extend(item)
        elif isinstance(item, float) and not isfinite(item):
            raise complain(f"found {found(item)}, which JSON cannot carry")
    return value


def _command(value: Any) -> Any:
    if isinstance(value, str):
        return _filled(value)
    if not isinstance(value, list):
        raise complain(f"found {found(value)}, expected a list, as in `[ffmpeg, -i, in.mp4]`")
    if not value:
        raise complain("the command is empty")
    return value


def _foreach(value: Any) -> Any:
    if not (isinstance(value, list | dict) or is_template(value)):
        raise complain(
            f"found {found(value)}, expected a list, a mapping of lists or a template over them"
        )
    if isinstance(value, dict):
        for key, items in value.items():
            if not (isinstance(items, list) or is_template(items)):
                _queue_alone(value, key)
        if not value:
            raise complain("the mapping is empty")
    return json_value(value)


def _queue_alone(value: dict[str, Any], key: str) -> None:
    """Let ``{queue: NAME}`` through, which has no list; refuse any other."""
    alone, text = len(value) == 1, isinstance(value[key], str)
    if alone and key == "queue":
        if not text:
            raise complain(f"`{key}` is {found(value[key])}, expected a queue's name, or a list")
        _named(value[key])
        return
    hint = ""
    if alone and text:
        from orchestrator.spec.words import did_you_mean  # noqa: PLC0415 - only for a mistake

        hint = did_you_mean(key, ["queue"])
    elif text and key == "queue":
        hint = "; a queue is gone through alone"
    raise complain(f"`{key}` is {found(value[key])}, expected a list{hint}")


def _one_queue(value: Any) -> Any:
    if isinstance(value, list):
        raise complain("found a list, expected the name of one queue")
    return _named(value)


def _nothing_is_default(value: Any) -> Any:
    return {} if value is None else value


def _when(value: Any) -> Any:
    if isinstance(value, bool) or is_template(value):
        return value
    if isinstance(value, str):
        raise complain(f"found {found(value)}, expected a template: `{{{{ … }}}}`")
    raise complain(f"found {found(value)}, expected `true`, `false` or a template")


def _retry(value: Any) -> Any:
    if isinstance(value, dict):
        return value
    if isinstance(value, bool) or not isinstance(value, int):
        raise complain(
            f"found {found(value)}, expected a whole number or a mapping with `attempts`"
            f"{_unquoted(value)}"
        )
    if value < 0:
        raise complain(f"`{value}` is too small, expected at least 0")
    return _whole(value)


_TEMPLATE_SCHEMA = {"type": "string", "pattern": r"\{\{"}


def _schema(*options: dict[str, Any]) -> WithJsonSchema:
    return WithJsonSchema({"anyOf": [*options, _TEMPLATE_SCHEMA]})


def _integer(least: int, most: int) -> dict[str, Any]:
    return {"type": "integer", "minimum": least, "maximum": most}


def _matching(pattern: re.Pattern[str]) -> WithJsonSchema:
    """Return the schema of text that *pattern* matches whole: JSON Schema looks anywhere in it."""
    return WithJsonSchema({"type": "string", "pattern": f"^{pattern.pattern[:-2]}$"})


Text = Annotated[str, BeforeValidator(_text)]
FixedText = Annotated[str, BeforeValidator(_text), BeforeValidator(_fixed)]
Name = Annotated[str, BeforeValidator(_named), _matching(NAME)]
Flag = Annotated[
    bool, BeforeValidator(_boolean), WrapValidator(_late), _schema({"type": "boolean"})
]
Whole = Annotated[
    int, BeforeValidator(_whole), WrapValidator(_late), _schema(_integer(-_BIG, _BIG))
]
Positive = Annotated[
    int,
    BeforeValidator(_whole),
    _between(1, 10_000),
    WrapValidator(_late),
    _schema(_integer(1, 10_000)),
]
Amount = Annotated[
    int,
    BeforeValidator(_whole),
    _between(1, 10_000),
    WithJsonSchema(_integer(1, 10_000)),
]
Items = Annotated[
    int,
    BeforeValidator(_whole),
    _between(1, 10**9),
    WrapValidator(_late),
    _schema(_integer(1, 10**9)),
]
Bytes = Annotated[
    int,
    BeforeValidator(_whole),
    _between(1, 2**40),
    WrapValidator(_late),
    _schema(_integer(1, 2**40)),
]
Replicas = Annotated[
    int,
    BeforeValidator(_whole),
    _between(1, 1000),
    WrapValidator(_late),
    _schema(_integer(1, 1000)),
]
Duration = Annotated[
    float,
    BeforeValidator(_duration),
    WrapValidator(_late),
    _schema({"type": "number", "minimum": 0}, {"type": "string"}),
]
Limit = Annotated[
    float,
    AfterValidator(_longer_than_zero),
    BeforeValidator(_duration),
    WrapValidator(_late),
    _schema({"type": "number", "exclusiveMinimum": 0}, {"type": "string"}),
]


QueueName = Annotated[str, BeforeValidator(_one_queue), _matching(NAME)]


def _env_name(name: str) -> str:
    if not name or "=" in name or "\0" in name:
        raise complain(f"{quote(name)} cannot be the name of an environment variable")
    return name


ExitCode = Annotated[
    int, BeforeValidator(_whole), _between(0, 255), WithJsonSchema(_integer(0, 255))
]
EnvName = Annotated[str, AfterValidator(_env_name)]
Env = Annotated[dict[EnvName, Text | None], _expect("a mapping of names to text", dict)]


SecretName = Annotated[str, BeforeValidator(_secret), _matching(_VARIABLE)]


class Model(BaseModel):
    """Frozen, strict, and without a word for keys it does not know."""

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid", defer_build=False)


class Param(Model):
    """A parameter of the job, given by ``-p NAME=VALUE``."""

    type: Annotated[ParamType, _one_of("str", "int", "float", "bool", "path", "date", "choice")] = (
        Field("str", description="what its value is; `path` starts at root, or where -p was typed")
    )
    default: Any = Field(None, description="its value where none is given")
    required: Annotated[bool, BeforeValidator(_boolean)] | None = Field(
        None, description="must be given; default: true where there is no default"
    )
    help: FixedText | None = Field(None, description="a line for people")
    min: Any = Field(None, description="smallest value, for int, float and date")
    max: Any = Field(None, description="largest value, for int, float and date")
    choices: Annotated[list[Any], _expect("a list", list)] | None = Field(
        None, description="the values it may have"
    )
    pattern: FixedText | None = Field(
        None, description="regular expression that the whole text must match, for str"
    )


class Limits(Model):
    """How many attempts run at once."""

    threads: Positive | None = Field(
        None, description="thread tasks at once; default 4 x CPUs, at least 8"
    )
    processes: Positive | None = Field(
        None, description="process and subprocess tasks at once, together; default CPUs"
    )


class Warm(Model):
    """What warm programs find imported."""

    preload: Annotated[
        list[Annotated[str, BeforeValidator(_module)]], _expect("a list of modules", list)
    ] = Field(default_factory=list, description="modules that their server imports, once a run")


class Queue(Model):
    """What lies between tasks: items on their way, bounded in number and in bytes."""

    maxsize: Items = Field(1000, description="items in it at once; then its publishers wait")
    max_bytes: Bytes = Field(
        64 * 2**20, description="bytes in it at once, as lines; one item always fits"
    )
    format: Annotated[Literal["json", "text"], _one_of("json", "text")] = Field(
        "json", description="what a line of a program is: an item as JSON, or plain text"
    )
    on_consumer_exit: Annotated[
        Literal["stop", "drain", "fail"], _one_of("stop", "drain", "fail")
    ] = Field(
        "stop",
        description="when its consumers end before its publishers: stop the publishers, read on "
        "and drop the rest, or fail",
    )
    delivery: Annotated[
        Literal["at_most_once", "at_least_once"], _one_of("at_most_once", "at_least_once")
    ] = Field(
        "at_most_once",
        description="at_least_once: items taken by an attempt that did not finish are delivered "
        "again, to its next try",
    )
    dead_letter: Annotated[str, BeforeValidator(_filled)] | None = Field(
        None, description="a file for items that failed at every try, a line each"
    )


# `paths:` alone is a queue, too
_QueueOrNothing = Annotated[
    Queue, BeforeValidator(_nothing_is_default, json_schema_input_type=Queue | None)
]


class Retry(Model):
    """When and how often a task is tried again."""

    attempts: Positive = Field(description="tries in all, the first one included")
    delay: Duration = Field(1.0, description="before the second try")
    backoff: Annotated[
        float,
        BeforeValidator(_real),
        Field(ge=1),
        WithJsonSchema({"type": "number", "minimum": 1}),
    ] = Field(2.0, description="each delay is this many times the one before")
    max_delay: Duration = Field(60.0, description="no delay is longer")
    jitter: Flag = Field(True, description="take between half and all of each delay, by chance")


class TaskKeys(Model):
    """The keys that a task and ``defaults`` share."""

    mode: Annotated[Mode | Literal["auto"], _one_of(*MODES, "auto")] | None = Field(
        None,
        description="thread: a function, on a thread of orch's process; process: the same function "
        "in a process of its own; interpreter: in an interpreter of its own, beside orch's (Python "
        "3.14 and later); subprocess: a separate program; auto: thread or process, as earlier runs "
        "have shown",
    )
    function: (
        Annotated[
            str,
            BeforeValidator(_function),
            WithJsonSchema({"type": "string", "pattern": r"^[\w.]+:[\w.]+$"}),
        ]
        | None
    ) = Field(None, description="package.module:name, imported from root")
    program: Annotated[str, BeforeValidator(_fixed), BeforeValidator(_filled)] | None = Field(
        None, description="a Python file, run by `python`"
    )
    module: Annotated[str, BeforeValidator(_module)] | None = Field(
        None, description="a module, run as by python -m"
    )
    command: (
        Annotated[
            Annotated[list[Text], Tag("list")] | Annotated[str, Tag("text")],
            Discriminator(lambda value: "list" if isinstance(value, list) else "text"),
            BeforeValidator(_command),
            WithJsonSchema(
                {
                    "anyOf": [
                        {"type": "array", "items": {"type": "string"}, "minItems": 1},
                        {"type": "string"},
                    ]
                }
            ),
        ]
        | None
    ) = Field(None, description="a program and its arguments; text only with shell: true")
    shell: Annotated[bool, BeforeValidator(_boolean)] = Field(
        False, description="command is text for /bin/sh -c"
    )
    args: Annotated[
        list[Any], AfterValidator(json_value), _expect("a list", list), WrapValidator(_late)
    ] = Field(default_factory=list, description="arguments, in order")
    kwargs: Annotated[
        dict[str, Any],
        AfterValidator(json_value),
        _expect("a mapping of names to values", dict),
        WrapValidator(_late),
    ] = Field(default_factory=dict, description="arguments by name")
    env: Env = Field(
        default_factory=dict, description="environment variables set for it; null removes one"
    )
    cwd: Annotated[str, BeforeValidator(_filled)] | None = Field(
        None, description="its working directory; default: root"
    )
    python: Annotated[str, BeforeValidator(_filled)] | None = Field(
        None, description="the Python (a file, or a venv folder) that runs program and module"
    )
    start: Annotated[Literal["cold", "warm"], _one_of("cold", "warm")] = Field(
        "cold",
        description="warm: program or module runs in a fork of a Python that is there already",
    )
    run_when: Annotated[
        Literal["succeeded", "failed", "always"], _one_of("succeeded", "failed", "always")
    ] = Field("succeeded", description="how its needs must have ended")
    allow_failure: Flag = Field(False, description="its failure fails neither dependents nor run")
    ok_exit_codes: Annotated[list[ExitCode], _expect("a list", list)] = Field(
        default_factory=lambda: [0], description="exit codes that mean success", min_length=1
    )
    output: Annotated[Literal["stdout", "json"], _one_of("stdout", "json")] | None = Field(
        None, description="take stdout as the output, as text or as JSON; default: $ORCH_OUTPUT"
    )
    leftovers: Annotated[Literal["kill", "warn", "allow"], _one_of("kill", "warn", "allow")] = (
        Field("kill", description="what becomes of processes that it leaves behind when it ends")
    )
    priority: Whole = Field(0, description="higher starts first among what is ready")
    resources: Annotated[dict[Name, Amount], _expect("a mapping", dict)] = Field(
        default_factory=dict,
        description="how much of which of the job's resources each attempt takes; all or none",
    )
    retry: Annotated[
        Annotated[int, Tag("number"), WithJsonSchema(_integer(0, _BIG))]
        | Annotated[Retry, Tag("mapping")],
        Discriminator(lambda value: "number" if isinstance(value, int) else "mapping"),
        BeforeValidator(_retry),
        WrapValidator(_late),
    ] = Field(0, description="more tries after a failure, or how to make them")
    timeout: Limit | None = Field(None, description="how long one attempt may take")
    grace: Duration | None = Field(None, description="between TERM and KILL; default: the job's")
    replicas: Replicas | None = Field(
        None, description="run it so many times at once; for tasks that publish or consume"
    )


class Task(TaskKeys):
    """A node of the graph: a function or a program, and when and how it runs."""

    needs: Annotated[list[Name], _expect("a list of task names", list)] = Field(
        default_factory=list, description="tasks that must have ended before it starts"
    )
    when: Annotated[bool | str, BeforeValidator(_when)] | None = Field(
        None, description="run it only if this is true"
    )
    foreach: Annotated[list[Any] | dict[str, Any] | str, BeforeValidator(_foreach)] | None = Field(
        None,
        description="an instance for each item: a list, a mapping of lists, a template, or "
        "{queue: NAME} for the items of a queue, as they come",
    )
    publish: QueueName | None = Field(
        None, description="the queue for what its function yields, or its program's lines"
    )
    consume: QueueName | None = Field(
        None,
        description="the queue whose items its function gets as an iterator, its first argument, "
        "or its program as lines on stdin",
    )


class Job(Model):
    """A job file."""

    name: Name | None = Field(None, description="default: the file's stem")
    description: FixedText | None = Field(None, description="a line for people")
    root: FixedText | None = Field(
        None, description="where relative paths start; default: this file's directory"
    )
    params: Annotated[dict[Name, Param], _expect("a mapping", dict)] = Field(
        default_factory=dict, description="what the job can be told from outside"
    )
    env: Env = Field(
        default_factory=dict, description="environment variables for every task; null removes one"
    )
    env_file: FixedText | None = Field(
        None, description="a file of NAME=value lines, read before env"
    )
    secrets: Annotated[list[SecretName], _expect("a list of environment variables", list)] = Field(
        default_factory=list,
        description="environment variables for the tasks whose values orch never writes",
    )
    python: Annotated[str, BeforeValidator(_filled)] | None = Field(
        None, description="the Python (a file, or a venv folder) that runs program and module"
    )
    warm: Warm = Field(default_factory=Warm, description="for tasks with start: warm")
    limits: Limits = Field(default_factory=Limits, description="how many attempts run at once")
    resources: Annotated[dict[Name, Amount], _expect("a mapping", dict)] = Field(
        default_factory=dict,
        description="what tasks take while they run, and how much there is of it; 1 is a lock",
    )
    queues: Annotated[dict[Name, _QueueOrNothing], _expect("a mapping", dict)] = Field(
        default_factory=dict, description="what joins tasks while they run, by name"
    )
    defaults: TaskKeys = Field(
        default_factory=TaskKeys, description="keys for every task that does not say otherwise"
    )
    timeout: Limit | None = Field(None, description="how long the run may take")
    grace: Duration = Field(10.0, description="between TERM and KILL")
    concurrency: Annotated[
        Literal["refuse", "wait", "allow"], _one_of("refuse", "wait", "allow")
    ] = Field("allow", description="what happens where a run of this job is under way already")
    tasks: Annotated[dict[Name, Task], _expect("a mapping of tasks", dict)] = Field(
        description="the tasks, by name", min_length=1
    )


def json_schema() -> dict[str, Any]:
    """Return the JSON Schema of a job file, for editors."""
    schema = Job.model_json_schema()
    for model in ("Task", "TaskKeys"):
        schema["$defs"][model]["properties"]["retry"]["oneOf"].append(_TEMPLATE_SCHEMA)
    for properties in [schema["properties"], *(d["properties"] for d in schema["$defs"].values())]:
        for each in properties.values():
            if "patternProperties" in each:  # or any other name would be let through
                each["additionalProperties"] = False
    schema["$schema"] = "https://json-schema.org/draft/2020-12/schema"
    schema["title"] = "orch job file"
    return schema
