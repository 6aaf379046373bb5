"""How pipelines and what needs them must have ended: what the books need not follow.

Whether a pipeline had to begin is judged from the plan, the answers and the moments of the stops;
how one that has begun ended is in the books.
"""

from tests.pipeline_books import WORST_FIRST
from tests.simulation import (
    NEVER,
    Verdict,
    Violation,
    held_back,
    how_it_ends,
    judge_task,
    moments,
    weigh,
)


def judge(watch):
    """Return the state of every task and instance, and the run's state and exit code."""
    verdicts = {}
    states = {name: verdict.state for name, verdict in watch.kept.items()}
    failed = False
    for block in in_order(watch):
        if block[0] in watch.stages:
            found = judge_group(watch, watch.stages[block[0]].group, verdicts, states)
        else:
            spec = watch.plan.tasks[block[0]]
            needs = [verdicts[need] for need in spec.needs]
            found = {spec.name: judge_task(watch, spec, needs, states)}
        for name, verdict in found.items():
            states[name], verdicts[name] = verdict.state, verdict
            failed |= weigh_member(watch, name, verdict)
    return states, how_it_ends(watch, failed=failed)


def weigh_member(watch, name, verdict):
    """Complete what *verdict* is to those that need *name*; tell whether it fails the run."""
    stage, spec = watch.stages.get(name), watch.plan.tasks[name]
    begun = stage is not None and (stage.group.begun is not None or name in watch.kept)
    if not begun or not stage.keeps_items():
        return weigh(watch, spec, verdict)
    cut_off = "cancelled" in stage.seen and not spec.allow_failure
    if cut_off:
        verdict.kind = "bad"
    return False


def in_order(watch):
    """Yield the names of tasks that start together, so that every need comes first."""
    plan, done = watch.plan, set()
    left = [line.members for line in plan.pipelines]
    left += [(name,) for name in plan.tasks if name not in watch.stages]
    while left:
        rest = []
        for block in left:
            if done.issuperset(need for name in block for need in plan.tasks[name].needs):
                done.update(block)
                yield block
            else:
                rest.append(block)
        left = rest


def judge_group(watch, group, verdicts, states):
    """Return the verdicts on members of a pipeline; leave those on instances in *states*."""
    names = [stage.spec.name for stage in group.stages]
    if watch.kept.keys() >= set(names):
        return {name: watch.kept[name] for name in names}
    causes = causes_of(watch, group, verdicts)
    if group.begun is not None:
        early = [name for at, name, _ in causes if at < group.begun]
        if early:
            raise Violation(f"a pipeline begins though {early[0]} cannot run")
        for stage in group.stages:
            states.update((name, part.state) for name, part in stage.parts.items())
        return {
            stage.spec.name: Verdict(
                stage.state, stage.at, "idle" if stage.state == "skipped" else "good"
            )
            for stage in group.stages
        }
    if not causes:
        raise Violation(f"the pipeline of {group.stages[0].spec.name} must begin, and did not")
    first = min(at for at, _, _ in causes)
    ways = [dropped(watch, group, cause) for cause in causes if cause[0] == first]
    found = next((way for way in ways if is_as_seen(watch, way[0])), ways[0])
    states.update(found[1])
    return found[0]


def is_as_seen(watch, verdicts):
    """Tell whether it went so: of what keeps a pipeline back in one turn any may be the cause."""
    return all(
        watch.scheduler.nodes[name].state == verdict.state
        and watch.skips.get(name, False) == (verdict.kind == "skipped for a failure")
        for name, verdict in verdicts.items()
    )


def causes_of(watch, group, verdicts):
    """Return what keeps *group* from beginning: when, for whom, and the verdict on that one."""
    causes, settled = [], (0, 2, 0)
    for stage in group.stages:
        needs = [verdicts[need] for need in stage.spec.needs]
        at, end = moments(watch, stage.spec, needs)
        settled = max(settled, at)
        verdict = held_back(watch, stage.spec, needs)
        if verdict is not None:
            causes.append((verdict.at, stage.spec.name, verdict))
        if end is not NEVER and (stage.at is None or stage.at > end):
            causes.append((end, stage.spec.name, Verdict("cancelled", end)))
    for stage in group.stages:
        name = stage.spec.name
        run, at = watch.decided.get(name, (True, None))
        if not run and not group.anew:  # else it was true when the pipeline had begun
            causes.append((at, name, Verdict("skipped", at, "idle")))
        for _, at in unprepared(watch, stage):
            causes.append((at, name, Verdict("failed", at)))
    return causes


def unprepared(watch, stage):
    """Return what of *stage* ended without an attempt before its pipeline began."""
    if stage.group.begun is not None:
        return []
    name = stage.spec.name
    count = watch.expanded.get(name, (0,))[0]
    names = [name, *(f"{name}.{index}" for index in range(count))]
    return [
        unit.outcomes[0] for name in names
        if (unit := watch.units.get(name)) is not None and 0 in unit.outcomes
    ]  # fmt: skip


def drop_rest(watch, stage, verdict, states):
    """Complete what becomes of *stage*, of which some items have come in a session before."""
    seen = set(stage.seen)
    if verdict.state == "cancelled" and not stage.drained:
        seen.add("cancelled")
    for name in stage.pending:
        given_up = 0 in watch.unit(name).outcomes
        states[name] = "failed" if given_up else verdict.state
        seen.add(states[name])
    if stage.drained or verdict.state == "cancelled":
        verdict.state = next(state for state in WORST_FIRST if state in seen)


def dropped(watch, group, cause):
    """Return the verdicts on members, and the states of instances, when *cause* keeps all back."""
    at, culprit, verdict = cause
    verdicts, states = {}, {}
    for stage in group.stages:
        name, spec = stage.spec.name, stage.spec
        if stage.state is not None:
            verdicts[name] = Verdict(stage.state, stage.at)
            continue
        if name == culprit:
            verdicts[name] = Verdict(verdict.state, at, verdict.kind)
        elif verdict.state == "cancelled":
            verdicts[name] = Verdict("cancelled", at)
        else:
            failure = verdict.state == "failed" or verdict.kind == "skipped for a failure"
            kind = "skipped for a failure" if failure else "good" if spec.skip else "idle"
            verdicts[name] = Verdict("skipped", at, kind)
        for index in range(watch.expanded.get(name, (0,))[0]):
            states[f"{name}.{index}"] = verdicts[name].state
        if stage.arrived:
            drop_rest(watch, stage, verdicts[name], states)
    return verdicts, states
