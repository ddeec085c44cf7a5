"""What an earlier run (`from:`) gives a search: its best configuration to begin with, its trials for the sampler."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from abr_tune.borders import as_damage
from abr_tune.front import covers
from abr_tune.plan import yaml
from abr_tune.plan.describe import describe_objectives
from abr_tune.plan.overrides import faults_of
from abr_tune.plan.plan import Constraint, Plan, StartPoint
from abr_tune.plan.space import OutsideSpace, Raw
from abr_tune.runs import RunFolder
from abr_tune.search.archive import storage_of, stored_trials
from abr_tune.search.constraints import HEALTH, OVER, violations
from abr_tune.search.ending import observation
from abr_tune.search.events import TrialRecord
from abr_tune.search.fidelity import by_age
from abr_tune.search.ledger import StoredTrial
from abr_tune.search.observation import Observation, Values
from abr_tune.search.records import stored_of


@dataclass(frozen=True, slots=True, kw_only=True)
class Earlier:
    """What of an earlier run still counts."""

    trials: tuple[tuple[Mapping[str, Raw], Observation], ...] = ()
    """Coordinates in the space as it is now, and what was learnt there."""
    start: StartPoint | None = None
    """Its best configuration, as far as this search looks for it."""
    said: str = ""
    """What was kept and dropped, and why, in a sentence."""


def recall(plan: Plan) -> Earlier | None:
    """What the run that the plan is `from` still says of its space; None for a plan without one.

    Trials keep their values only where the objectives are the same; those that lie outside the space are dropped. A
    path that was not searched then has the value it was fixed at.

    Raises:
        UserError: its files or its study are damaged, or its study is kept where the user never was.
        StorageFault: the earlier run's study is kept elsewhere and cannot be reached.
    """
    if plan.since is None:
        return None
    with as_damage(plan.since):
        return _recalled(plan, RunFolder(plan.since))


def _recalled(plan: Plan, run: RunFolder) -> Earlier:
    described: Mapping[str, Any] = yaml.read(run.plan, limits=yaml.WRITTEN_OUT).data if run.plan.is_file() else {}
    storage = storage_of(run.path)
    found = [] if storage is None else stored_trials(storage, str(described.get("name", run.path.resolve().name)))
    ended = [stored for trial in found if (stored := stored_of(trial)).record.state in {"complete", "pruned"}]
    fixed = described.get("train") or {}
    start = _possible(plan, _best(plan, run, ended, fixed))
    begun = (
        f"begins with the best of {run.name}"
        if start is not None
        else f"{run.name} has no best configuration that fits"
    )
    order = _order(plan, described.get("objective"))
    if order is None:
        said = f"{begun}; its {len(ended)} trials were measured by other objectives and teach nothing"
        return Earlier(start=start, said=said)
    kept, outside = _inside(plan, ended, fixed, order)
    said = f"{begun}; {len(kept)} of its {len(ended)} trials lie in this space and teach the sampler"
    if outside:
        path, count = outside.most_common(1)[0]
        said += f", the others do not ({path}, of {count})"
    return Earlier(trials=tuple(kept), start=start, said=said)


def _order(plan: Plan, written: Any) -> list[int] | None:
    """Where each objective of the plan stands among those of the earlier run; None unless they are the same."""
    theirs = written if isinstance(written, list) else [written]
    ours = [describe_objectives((objective,)) for objective in plan.objectives]
    if len(theirs) != len(ours) or any(one not in theirs for one in ours):
        return None
    return [theirs.index(one) for one in ours]


def _inside(
    plan: Plan, ended: Iterable[StoredTrial], fixed: Mapping[str, Any], order: Sequence[int]
) -> tuple[list[tuple[Mapping[str, Raw], Observation]], Counter[str]]:
    """The trials that lie in the space, and for the others why they do not: the first reason of each."""
    kept: list[tuple[Mapping[str, Raw], Observation]] = []
    reasons: Counter[str] = Counter()
    for stored in ended:
        try:
            raw = plan.space.encode(_values(plan, stored.record.params, fixed))
        except OutsideSpace as outside:
            reasons[outside.reasons[0]] += 1
            continue
        kept.append((raw, _observed(stored, order, plan.constraints)))
    return kept, reasons


def _observed(stored: StoredTrial, order: Sequence[int], constraints: Sequence[Constraint]) -> Observation:
    def turned(values: Values) -> Values:
        return tuple(values[place] for place in order)

    record = stored.record
    curve = {age: turned(point.values) for age, point in by_age(stored.points).items()}
    values = turned(record.values) if record.values else ()
    return observation(record.state, values, _missed(record, constraints), curve) or Observation()


def _missed(record: TrialRecord, constraints: Sequence[Constraint]) -> dict[str, float]:
    """By how much a trial misses the constraints of this search: the earlier run may have had others."""
    own = {name: by for name, by in record.violations.items() if name in {HEALTH, OVER}}
    judged = violations(record.metrics or {}, constraints, at_end=True) if record.state == "complete" else {}
    return own | judged


def _values(plan: Plan, known: Mapping[str, Any], fixed: Mapping[str, Any]) -> dict[str, Any]:
    """A configuration of the earlier run by the paths that are searched now; what it does not say is missing."""
    found: dict[str, Any] = {}
    for path in plan.space.paths:
        if path in known:
            found[path] = known[path]
            continue
        value: Any = fixed
        for part in path.split("."):
            value = value.get(part) if isinstance(value, Mapping) else None
        if value is not None:
            found[path] = value
    return found


def _best(plan: Plan, run: RunFolder, ended: Sequence[StoredTrial], fixed: Mapping[str, Any]) -> StartPoint | None:
    """The configuration of `best.yaml`; without one that of the best complete trial."""
    if run.best_config.is_file():
        values = _values(plan, {}, yaml.read(run.best_config).data.get("train") or {})
        return StartPoint(_name(run.path), values)
    records = (replace(stored.record, violations=_missed(stored.record, plan.constraints)) for stored in ended)
    complete = [record for record in records if record.values and record.feasible]
    if not complete:
        return None
    best = complete[0]
    for record in complete[1:]:
        if covers(record.values[:1], best.values[:1], plan.objectives[:1]) and record.values[0] != best.values[0]:
            best = record
    return StartPoint(_name(run.path), _values(plan, best.params, fixed))


def _possible(plan: Plan, start: StartPoint | None) -> StartPoint | None:
    if start is None or faults_of(plan.task.options, {**plan.train, **start.values}):
        return None
    return start


def _name(folder: Path) -> str:
    return f"best of {folder.resolve().name}"
