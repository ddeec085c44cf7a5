"""Trials as Optuna's storage holds them, read as the records and stored trials of a search."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from optuna.trial import FrozenTrial, TrialState

from abr_tune.search.events import TrialRecord, TrialState as State
from abr_tune.search.fidelity import Point
from abr_tune.search.ledger import Ending, StoredTrial

VALUES: Final = "abr_tune:values"
"""System attribute: path -> value as the training options take them, whatever became of the space since."""
PARKED: Final = "abr_tune:parked"
"""System attribute of a paused trial: the epoch it waits at."""
CURVE: Final = "abr_tune:curve"
"""System attribute: epoch, age, violation and all objectives of each epoch, where that is more than Optuna's own
intermediate values say: several objectives, an age that is not the epoch, constraints that are missed."""
WAY: Final = "abr_tune:way"
"""System attribute of a trial that has ended: the states of health it was in, and whether it was pruned while paused
because the search was over."""
CONSTRAINTS: Final = "constraints"
"""System attributes `constraints:<name>`, as Optuna's samplers read them, and `constraints`, the list of their values,
as its dashboard does; above 0: missed."""
METRICS: Final = "metrics"
NAME: Final = "start_point"
RESUME: Final = "resume"
STATES: Final[Mapping[TrialState, State]] = {
    TrialState.COMPLETE: "complete",
    TrialState.PRUNED: "pruned",
    TrialState.FAIL: "failed",
    TrialState.RUNNING: "running",
    TrialState.WAITING: "waiting",
}


def record_of(trial: FrozenTrial) -> TrialRecord:
    """What the study knows of a trial, without Optuna."""
    parked = trial.system_attrs.get(PARKED, max(trial.intermediate_values, default=0))
    values = tuple(trial.values) if trial.state is TrialState.COMPLETE else ()
    return TrialRecord(
        number=trial.number,
        name=trial.user_attrs.get(NAME),
        state=STATES[trial.state],
        value=values[0] if values else None,
        values=values,
        violations=_violations(trial),
        params=trial.system_attrs.get(VALUES, trial.params),
        **_said({"epoch": trial.user_attrs.get(RESUME, parked)} | trial.user_attrs),
    )


def stored_of(trial: FrozenTrial) -> StoredTrial:
    """All that a search needs to know of a trial."""
    way = trial.system_attrs.get(WAY, {})
    return StoredTrial(
        record=record_of(trial),
        points=points_of(trial),
        parked=PARKED in trial.system_attrs,
        raw=trial.params,
        distributions=trial.distributions,
        ended=trial.datetime_complete.timestamp() if trial.datetime_complete is not None else 0.0,
        states=tuple(way.get("states", ())),
        waited=way.get("waited", False),
    )


def points_of(trial: FrozenTrial) -> tuple[Point, ...]:
    """The objectives of a trial at each of its epochs, by epoch."""
    if CURVE in trial.system_attrs:
        rows = trial.system_attrs[CURVE]
        return tuple(Point(epoch, age, tuple(values), violation) for epoch, age, violation, *values in rows)
    return tuple(Point(epoch, epoch, (value,)) for epoch, value in sorted(trial.intermediate_values.items()))


def ended_record(number: int, name: str | None, values: Mapping[str, Any], ending: Ending) -> TrialRecord:
    """The record of a trial that has just ended, as `Study.record` would read it."""
    return TrialRecord(
        number=number,
        name=name,
        state=ending.state,
        value=ending.values[0] if ending.values else None,
        values=ending.values,
        violations=ending.violations,
        params=values,
        **_said(ending.attributes),
    )


def _violations(trial: FrozenTrial) -> dict[str, float]:
    prefix = f"{CONSTRAINTS}:"
    return {key.removeprefix(prefix): miss for key, miss in trial.system_attrs.items() if key.startswith(prefix)}


def _said(said: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "pruned_by": said.get("pruned_by"),
        "why": said.get("why"),
        "evidence": said.get("evidence"),
        "metrics": said.get(METRICS),
        "error": said.get("error"),
        "epochs": said.get("epoch", 0),
        "seconds": said.get("seconds", 0.0),
        "audited": said.get("audited"),
    }
