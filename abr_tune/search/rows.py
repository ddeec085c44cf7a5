"""Rows of Optuna's tables (5.x), written within a transaction of somebody else's; trials go by Optuna's ids."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from optuna.storages._rdb import models
from sqlalchemy import delete, insert
from sqlalchemy.orm import Session

from abr_tune.search.fidelity import Point
from abr_tune.search.ledger import Ending
from abr_tune.search.records import CONSTRAINTS, CURVE, PARKED, RESUME, STATES, WAY

USER: Final = models.TrialUserAttributeModel
SYSTEM: Final = models.TrialSystemAttributeModel


def set_attributes(session: Session, trial_id: int, attributes: Mapping[str, Any], model: Any = USER) -> None:
    """Write attributes in the place of earlier ones of the same names; every number in them is finite."""
    drop_attributes(session, trial_id, list(attributes), model)
    add_attributes(session, trial_id, attributes, model)


def add_attributes(session: Session, trial_id: int, attributes: Mapping[str, Any], model: Any = USER) -> None:
    """Write attributes that a trial does not have yet."""
    rows = [
        {"trial_id": trial_id, "key": key, "value_json": json.dumps(value, allow_nan=False)}
        for key, value in attributes.items()
    ]
    if rows:
        session.execute(insert(model), rows)


def drop_attributes(session: Session, trial_id: int, keys: Sequence[str], model: Any = USER) -> None:
    """Delete attributes, if a trial has them."""
    if keys:
        session.execute(delete(model).where(model.trial_id == trial_id, model.key.in_(keys)))


def write_points(
    session: Session,
    trial_id: int,
    points: Mapping[int, Point],
    *,
    rewind: int | None,
    curve: Mapping[int, Point],
    again: bool,
) -> None:
    """Add `points` (by epoch) to the curve of a trial, which is `curve` then; values from `rewind` on go first.

    `again`: they may be there already, written by a transaction whose end nobody heard of.
    """
    model = models.TrialIntermediateValueModel
    if rewind is not None:
        session.execute(delete(model).where((model.trial_id == trial_id) & (model.step >= rewind)))
        drop_attributes(session, trial_id, [CURVE], SYSTEM)
    if again:
        session.execute(delete(model).where((model.trial_id == trial_id) & model.step.in_(list(points))))
    rows = []
    for point in points.values():
        stored, kind = model.intermediate_value_to_stored_repr(point.values[0])
        rows.append(
            {
                "trial_id": trial_id,
                "step": point.epoch,
                "intermediate_value": stored,
                "intermediate_value_type": kind,
            }
        )
    if rows:
        session.execute(insert(model), rows)
    if any(len(each.values) > 1 or each.age != each.epoch or each.violation for each in curve.values()):
        whole = [[each.epoch, each.age, each.violation, *each.values] for _, each in sorted(curve.items())]
        set_attributes(session, trial_id, {CURVE: whole}, SYSTEM)


def write_ending(session: Session, trial: Any, ending: Ending) -> None:
    """Give a trial (Optuna's model) its objectives, attributes, constraints and final state."""
    trial_id = trial.trial_id
    drop_attributes(session, trial_id, [RESUME])
    set_attributes(session, trial_id, ending.attributes)
    drop_attributes(session, trial_id, [PARKED], SYSTEM)
    kept: dict[str, Any] = {f"{CONSTRAINTS}:{name}": miss for name, miss in ending.violations.items()}
    if kept:
        kept[CONSTRAINTS] = list(ending.violations.values())
    if ending.states or ending.waited:
        kept[WAY] = {"states": ending.states, "waited": ending.waited}
    set_attributes(session, trial_id, kept, SYSTEM)
    for place, value in enumerate(ending.values):
        stored, kind = models.TrialValueModel.value_to_stored_repr(value)
        row = {"trial_id": trial_id, "objective": place, "value": stored, "value_type": kind}
        session.execute(insert(models.TrialValueModel), [row])
    trial.state = next(theirs for theirs, ours in STATES.items() if ours == ending.state)
    trial.datetime_complete = datetime.now()
