"""A job becomes a plan: defaults taken over, keys and modes paired, names looked up, graph checked.

Every problem is collected; the plan that comes with problems is only good for finding more of them.
"""

from __future__ import annotations

import shlex

from orchestrator.errors import Problem, TemplateError
from orchestrator.plan import graph, params, pipelines, queues, templates
from orchestrator.plan.draft import Draft, Parameter
from orchestrator.plan.environment import secret
from orchestrator.plan.model import EARLY_KEYS, LATE_KEYS, NO_RETRY, Plan, PlanTask, RetryPolicy
from orchestrator.spec.models import MODE_KEYS, MODES, TARGETS, Retry
from orchestrator.spec.words import did_you_mean, found, listing, quote

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping
    from typing import Any

    from orchestrator.errors import Where
    from orchestrator.spec.models import Job, Param, Task

_PLAIN_KEYS = frozenset((
    "function", "program", "module", "command", "shell", "args", "kwargs", "cwd", "python",
    "output", "run_when", "when", "foreach", "allow_failure", "priority", "leftovers",
    "publish", "consume", "replicas", "start",
))  # fmt: skip
_TEMPLATE_KEYS = frozenset((*LATE_KEYS, *EARLY_KEYS))
_TARGET_KEYS = (*TARGETS, "shell", "args", "kwargs")


def build(
    job: Job,
    root: str,
    name: str,
    broken: Collection[str] = (),
    doubtful: Collection[str] = (),
) -> tuple[Draft, list[Problem]]:
    """Return the draft of *job*, and what is wrong.

    *broken* are names of tasks whose own keys are wrong: known, but not looked at further.
    *doubtful* are words of wrong parts, which queues may be named by.
    """
    problems: list[Problem] = []
    plan = Plan(name=job.name or name, root=root, tasks={}, description=job.description)
    plan.concurrency = job.concurrency
    plan.preload = tuple(dict.fromkeys(job.warm.preload))
    plan.resources = dict(job.resources)
    problems += _twins(job.resources)
    known = {*job.tasks, *broken}
    names = _Names(job, known)
    spellings: dict[str, str] = {}
    for order, (task_name, task) in enumerate(job.tasks.items()):
        twin = spellings.setdefault(task_name.casefold(), task_name)
        if twin != task_name:
            message = f"`{task_name}` and `{twin}` differ only in case, and so would their files"
            problems.append(Problem(("tasks", task_name), message, at_key=True))
        builder = _TaskBuilder(task_name, task, job, names)
        plan.tasks[task_name] = builder.build(order)
        problems += builder.problems
    problems += _secrets(job)
    problems += queues.join(plan, job, doubtful)
    problems += pipelines.join(plan, job)
    problems += _cycles(plan, job)
    draft = Draft(
        plan,
        root=job.root,
        env=job.env,
        env_file=job.env_file,
        secrets=job.secrets,
        params={name: _parameter(param) for name, param in job.params.items()},
        early=_early(job),
        keys={name: frozenset(task.model_fields_set) for name, task in job.tasks.items()},
        default_keys=frozenset(job.defaults.model_fields_set),
        own_env={
            name: frozenset(task.env)
            for name, task in job.tasks.items()
            if job.defaults.env and "env" in task.model_fields_set
        },
    )
    return draft, problems + params.declared(draft.params)


def _parameter(param: Param) -> Parameter:
    return Parameter(
        param.type, param.default, param.required, param.min, param.max, param.choices,
        param.pattern, tuple(param.model_fields_set),
    )  # fmt: skip


def _early(job: Job) -> dict[tuple[str, ...], Any]:
    """Return the values of the job's own that may hold templates."""
    found: dict[tuple[str, ...], Any] = {
        ("limits", "threads"): job.limits.threads,
        ("limits", "processes"): job.limits.processes,
        ("timeout",): job.timeout,
        ("grace",): job.grace,
        ("python",): job.python,
    }
    for name, queue in job.queues.items():
        for key in ("maxsize", "max_bytes", "dead_letter"):
            found["queues", name, key] = getattr(queue, key)
    return found


def _twins(names: Iterable[str]) -> list[Problem]:
    """Return the names of resources that differ only in case."""
    spellings: dict[str, str] = {}
    return [
        Problem(("resources", name), f"`{name}` and `{twin}` differ only in case", at_key=True)
        for name in names
        if (twin := spellings.setdefault(name.casefold(), name)) != name
    ]


def _secrets(job: Job) -> list[Problem]:
    """Return what is wrong with the names of secrets, and where one is given a value."""
    problems = [
        Problem(("secrets", index), f"`{name}` stands twice")
        for index, name in enumerate(job.secrets)
        if name in job.secrets[:index]
    ]
    places: list[tuple[Where, Mapping[str, str | None]]] = [
        (("env",), job.env),
        (("defaults", "env"), _given(job.defaults.env)),
        *((("tasks", name, "env"), _given(task.env)) for name, task in job.tasks.items()),
    ]
    for where, env in places:
        for name in env:
            if name in job.secrets:
                message = f"`{name}` is a secret, which comes from the environment of orch"
                problems.append(Problem((*where, name), message, at_key=True))
    return problems


def _given(env: Mapping[str, str | None]) -> dict[str, str | None]:
    """Return the variables that are given a value: a task may do without a secret."""
    return {name: value for name, value in env.items() if value is not None}


def _cycles(plan: Plan, job: Job) -> list[Problem]:
    problems = []
    told = []
    for cycle in graph.cycles({name: task.needs for name, task in plan.tasks.items()}):
        told += cycle
        message = f"dependency cycle: {' -> '.join([*cycle, cycle[0]])}"
        written = "needs" in job.tasks[cycle[0]].model_fields_set
        where: Where = ("tasks", cycle[0], "needs") if written else ("tasks", cycle[0])
        problems.append(Problem(where, message, at_key=not written))
    return problems + pipelines.mixed_cycles(plan, job, told)


class _Names:
    """What templates may name."""

    def __init__(self, job: Job, tasks: Collection[str]) -> None:
        self.params = job.params
        self.secrets = set(job.secrets)
        self.tasks = tasks

    def check(self, template: templates.Template, task: str, many: bool, key: str) -> list[str]:
        """Return what is wrong with the names in *template*."""
        names = sorted(template.names)
        said = [self._check(name, task, many, key) for name in names]
        said += [secret(n[1]) for n in names if n[0] == "env" and set(n[1:2]) & self.secrets]
        return [each for each in dict.fromkeys(said) if each is not None]

    def _check(self, name: tuple[str, ...], task: str, many: bool, key: str) -> str | None:
        match name:
            case ("params", param, *_) if param not in self.params:
                return f"unknown parameter {quote(param)}{did_you_mean(param, self.params)}"
            case ("item", *_) if key == "foreach":
                return "`item` is what `foreach` makes; it cannot be used in it"
            case ("item", *_) if not many:
                return "`item` needs `foreach` on this task"
            case ("run", part, *_) if part not in ("id", "dir"):
                return f"`run` has no {quote(part)}; it has `id` and `dir`"
            case ("tasks",):
                return "name the task, as in `tasks.NAME.output`"
            case ("tasks", other, *_) if other not in self.tasks:
                return f"unknown task {quote(other)}{did_you_mean(other, self.tasks)}"
            case ("tasks", other, *_) if other == task:
                return f"task `{task}` cannot use its own output"
            case ("tasks", other, *rest) if not rest or rest[0] != "output":
                what = quote(rest[0]) if rest else "nothing"
                return f"found {what} after `tasks.{other}`, expected `output`"
            case (root, *_) if root not in templates.ROOTS:
                return f"undefined name {quote(root)}{did_you_mean(root, templates.ROOTS)}"
        return None


class _TaskBuilder:
    """Makes the plan's task out of a task and the defaults."""

    def __init__(self, name: str, task: Task, job: Job, names: _Names) -> None:
        self.name, self.task, self.job, self.names = name, task, job, names
        self.problems: list[Problem] = []
        self.templated = False
        self.own = task.model_fields_set
        self.default_keys = set(job.defaults.model_fields_set)
        if self.default_keys:
            self.default_keys.difference_update(queues.out_of_reach(task))
        if not self.own.isdisjoint(TARGETS):
            self.default_keys.difference_update(_TARGET_KEYS)
        self.keys: dict[str, Any] = {key: getattr(job.defaults, key) for key in self.default_keys}
        self.keys.update((key, getattr(task, key)) for key in self.own)
        if "env" in self.own and "env" in self.default_keys:
            self.keys["env"] = {**job.defaults.env, **task.env}

    def build(self, order: int) -> PlanTask:
        keys = self.keys
        mode = keys.get("mode")
        if mode is None:
            message = f"no `mode`; expected {listing(MODES)}, here or in `defaults`"
            self._problem((), message, at_key=True)
        else:
            self._pair("thread" if mode == "auto" else mode)
        implied = self._compile()
        auto = mode == "auto"
        result = PlanTask(self.name, order, mode if mode and not auto else "thread", auto=auto)
        for key, value in keys.items():
            # None: what stood there was refused; arguments are then not known to be none
            if key in _PLAIN_KEYS and (value is not None or key in ("args", "kwargs")):
                setattr(result, key, value)
        if (source := queues.source_of(result.foreach)) is not None:
            result.source, result.foreach = source, None
        result.resources = self._resources()
        result.apart = any(map(self._is_apart, keys))
        self._alone_only(result)
        if keys.get("env"):
            result.env = dict(keys["env"])
        if "ok_exit_codes" in keys:
            result.ok_exit_codes = tuple(keys["ok_exit_codes"])
        result.timeout_s = keys.get("timeout")
        result.grace_s = keys["grace"] if keys.get("grace") is not None else self.job.grace
        result.retry = retry_policy(keys.get("retry") or 0)
        if result.python is None and self.job.python is not None:
            result.python = _compiled(self.job.python)
            self.templated |= result.python is not self.job.python
        if isinstance(result.grace_s, str):
            self.templated = True  # the job's, which is filled in first
        result.templated = self.templated
        result.needs = self._needs(implied)
        return result

    def _is_apart(self, key: str) -> bool:
        """Tell whether a thread cannot have *key*, as it stands here."""
        if key == "env":
            return bool(self.keys["env"])
        # a default is dropped where it does not fit
        return key in self.own and "thread" not in MODE_KEYS.get(key, ("thread",))

    def _alone_only(self, task: PlanTask) -> None:
        """Refuse what a task that queues join with others cannot have."""
        if not task.source and task.publish is None and task.consume is None:
            return
        if task.auto:
            message = "`auto` does not go with queues; expected `thread` or `process`"
            self._problem(("mode",), message)

    def _resources(self) -> dict[str, int]:
        """Return what the task takes, checked: it must be able to get it."""
        known = self.job.resources
        taken: dict[str, int] = {}
        for name, amount in (self.keys.get("resources") or {}).items():
            where = ("resources", name)
            if name not in known:
                near = did_you_mean(name, known) or "; expected one under the job's `resources`"
                self._problem(where, f"unknown resource {quote(name)}{near}", at_key=True)
            elif amount > known[name]:
                self._problem(where, f"found {amount}, and there is only {known[name]}")
            else:
                taken[name] = amount
        return taken

    def _problem(
        self, where: Where, message: str, *, at_key: bool = False, hint: str | None = None
    ) -> None:
        path: Where = ("tasks", self.name, *where)
        own = not where or where[0] in self.own
        if own and where[:1] == ("env",) and len(where) > 1:
            own = where[1] in self.task.env
        if not own and where[0] in self.default_keys:
            path = ("defaults", *where)
        self.problems.append(Problem(path, message, hint, at_key))

    def _pair(self, mode: str) -> None:
        """Check that the keys go with the mode, and that there is one thing to run."""
        for key in [key for key in self.keys if key in MODE_KEYS and mode not in MODE_KEYS[key]]:
            if key not in self.own and key != "env":
                del self.keys[key]  # a default for the tasks of other modes
                continue
            if key == "env" and not (self.task.env if key in self.own else self.keys["env"]):
                self.keys["env"] = {}  # `env: {}` is how a thread does without that in `defaults`
                continue
            fits = listing(MODE_KEYS[key])
            message = f"`{key}` goes with mode {fits}, not with `{self.keys['mode']}`"
            hint = None
            if key == "env":
                hint = f"{mode}s share one environment; set it in the job's `env`, or use `process`"
            self._problem((key,), message, at_key=True, hint=hint)
        targets = [key for key in TARGETS if self.keys.get(key) is not None]
        if len(targets) != 1:
            self._one_target(mode, targets)
        if mode != "subprocess":
            return
        if "command" in targets:
            self._not_warm()
            self._command(self.keys["command"], shell=bool(self.keys.get("shell")))
        elif self.keys.get("shell"):
            self._problem(("shell",), "`shell` goes with `command`", at_key=True)
        self._program_args()

    def _one_target(self, mode: str, targets: list[str]) -> None:
        fitting = [key for key in TARGETS if mode in MODE_KEYS[key]]
        if not targets:
            message = f"nothing to run; mode `{self.keys['mode']}` needs {listing(fitting)}"
            self._problem((), message, at_key=True)
        elif all(key in fitting for key in targets):
            message = f"{listing(targets, 'and')} stand together; expected one of them"
            self._problem((targets[1],), message, at_key=True)

    def _command(self, command: Any, *, shell: bool) -> None:
        if isinstance(command, list):
            if shell:
                message = "found a list, expected text: `shell: true` gives it to /bin/sh"
                self._problem(("command",), message)
            elif not command[0]:
                self._problem(("command", 0), "found empty text, expected a program")
            elif "{{" in command[0]:
                self._problem(("command", 0), "templates are not filled in here")
                self.keys["command"] = None
            return
        if shell:
            if "{{" in command:
                hint = 'pass it as an argument: `args: ["{{ … }}"]` is `$1`'
                self._problem(("command",), "`shell: true` takes no templates", hint=hint)
            return
        try:
            words = shlex.split(command)
        except ValueError:
            words = command.split()
        plain = not set(command) & set("|&;<>$`*?\n")
        hint = "for pipes, `&&` and other things of a shell: add `shell: true`"
        example = "[" + ", ".join(_flow(word) for word in words) + "]"
        message = f"found text {quote(command)}, expected a list"
        if plain:
            message += f": write `{example}`"
        else:
            hint = "add `shell: true` to give it to /bin/sh, or write a list without a shell"
        self._problem(("command",), message, hint=hint)

    def _not_warm(self) -> None:
        if self.keys.get("start") == "warm" and "start" in self.own:
            message = "`start: warm` goes with `program` or `module`, not with `command`"
            self._problem(("start",), message)
        self.keys.pop("start", None)

    def _program_args(self) -> None:
        args = self.keys.get("args", ())
        for index, value in enumerate(args if isinstance(args, list) else ()):
            if not isinstance(value, str):
                simple = isinstance(value, bool | int | float)
                self._problem(
                    ("args", index),
                    f"found {found(value)}, expected text{'; quote it' if simple else ''}",
                )
            elif "\0" in value:
                self._problem(("args", index), f"{quote(value)} holds a NUL character")

    def _compile(self) -> list[str]:
        """Compile the templates in place; return the tasks whose output they use."""
        implied: dict[str, None] = {}
        for key, given in list(self.keys.items()):
            if not given or key not in _TEMPLATE_KEYS:
                continue
            if key == "command" and isinstance(given, str):
                continue  # for the shell; templates are refused there
            value = given
            if key == "retry" and isinstance(given, Retry):
                value = {name: getattr(given, name) for name in given.model_fields_set}
            used = self._outputs_used(key, value)
            if used is None:
                self.keys[key] = None  # told; nobody looks at it any further
                continue
            implied.update(dict.fromkeys(used))
            compiled = templates.compiled(value)
            if compiled is not value:
                self.keys[key] = compiled
                self.templated = True
        return list(implied)

    def _outputs_used(self, key: str, value: Any) -> list[str] | None:
        """Return the tasks whose output the templates in *value* use; None where one is wrong."""
        many = self.keys.get("foreach") is not None
        used: list[str] = []
        clean = True
        for where, text in templates.texts(value):
            if key == "command" and where == (0,):
                continue  # refused as such
            said = self._template(text, key, many)
            clean = clean and not said
            for message in said:
                self._problem((key, *where), message)
            if not said and key in LATE_KEYS:
                used += sorted(templates.parse(text).outputs)
        return used if clean else None

    def _template(self, text: str, key: str, many: bool) -> list[str]:
        """Return what is wrong with the template in *text*."""
        try:
            template = templates.parse(text)
        except TemplateError as error:
            return [str(error)]
        late = sorted(template.roots & {"item", "run", "tasks"})
        if late and key in EARLY_KEYS:
            return [f"`{late[0]}` is not known before the run, and `{key}` must be"]
        return self.names.check(template, self.name, many, key)

    def _needs(self, implied: list[str]) -> tuple[str, ...]:
        needs: dict[str, None] = {}
        for index, need in enumerate(self.task.needs):
            if need == self.name:
                self._problem(("needs", index), f"task `{self.name}` needs itself")
            elif need not in self.names.tasks:
                near = did_you_mean(need, self.names.tasks)
                self._problem(("needs", index), f"unknown task {quote(need)}{near}")
            elif need in needs:
                self._problem(("needs", index), f"`{need}` stands twice")
            else:
                needs[need] = None
        needs.update(dict.fromkeys(implied))
        known = self.job.tasks
        return tuple(need for need in needs if need in known)


def _flow(word: str) -> str:
    """Return *word* as it can stand in a flow list of YAML."""
    bare = word.replace("-", "").replace(".", "").replace("/", "").replace("_", "")
    plain = bare.isalnum() and not bare.isdigit() and word[0] not in "-."
    return word if plain or (word.startswith("-") and bare.isalpha()) else f'"{word}"'


def _compiled(value: Any) -> Any:
    try:
        return templates.compiled(value)
    except TemplateError:
        return value  # told where the value stands


def retry_policy(value: int | Retry | Any) -> RetryPolicy:
    """Return the policy that ``retry`` stands for; templates in it are filled in later."""
    if isinstance(value, Retry):
        fields = {
            "attempts": value.attempts, "delay_s": value.delay, "backoff": value.backoff,
            "max_delay_s": value.max_delay, "jitter": value.jitter,
        }  # fmt: skip
        if not any(isinstance(item, str) for item in fields.values()):
            return RetryPolicy(**fields)  # type: ignore[arg-type]
    elif isinstance(value, int):
        return RetryPolicy(attempts=1 + value) if value else NO_RETRY
    return value  # type: ignore[return-value] # compiled; ``fill`` makes a policy of it
