"""All trials of a study in six queries: Optuna's own reading builds an object for every row and reads each distribution
twice, which takes five times as long.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from optuna.distributions import BaseDistribution, json_to_distribution
from optuna.storages import RDBStorage
from optuna.storages._rdb import models
from optuna.trial import FrozenTrial
from sqlalchemy import select
from sqlalchemy.orm import Session

Rows = dict[int, dict[Any, Any]]
"""Optuna's id of a trial -> key -> what is kept under it."""


@dataclass(frozen=True, slots=True)
class _Tables:
    values: Rows
    curves: Rows
    params: Rows
    said: Rows
    kept: Rows


def all_trials(storage: RDBStorage, study: int) -> list[FrozenTrial]:
    """The trials of a study by number, equal to `storage.get_all_trials(study)`."""
    steps = ("intermediate_value", "intermediate_value_type")
    model = models.TrialModel
    with Session(storage.engine) as session, session.begin():
        # First: a trial that ends meanwhile then seems to run still, instead of having ended without a value.
        found = session.execute(select(model.__table__).where(model.study_id == study).order_by(model.number)).all()
        tables = _Tables(
            values=_rows(session, study, models.TrialValueModel, "objective", "value", "value_type"),
            curves=_rows(session, study, models.TrialIntermediateValueModel, "step", *steps),
            params=_rows(session, study, models.TrialParamModel, "param_name", "param_value", "distribution_json"),
            said=_rows(session, study, models.TrialUserAttributeModel, "key", "value_json"),
            kept=_rows(session, study, models.TrialSystemAttributeModel, "key", "value_json"),
        )
    distributions = _Distributions()
    return [_trial(row, tables, distributions) for row in found]


def _rows(session: Session, study: int, model: Any, key: str, *columns: str) -> Rows:
    """Rows of one table by trial, in the order in which they were written; one column stands for itself."""
    wanted = [getattr(model, name) for name in ("trial_id", key, *columns)]
    (own,) = model.__table__.primary_key.columns
    trials = models.TrialModel
    query = select(*wanted).join(trials, trials.trial_id == model.trial_id).where(trials.study_id == study)
    rows: Rows = defaultdict(dict)
    for trial, name, *rest in session.execute(query.order_by(own)):
        rows[trial][name] = rest[0] if len(rest) == 1 else tuple(rest)
    return rows


class _Distributions(dict[str, BaseDistribution]):
    """Distributions by their text: the trials of a study share a few."""

    def __missing__(self, text: str) -> BaseDistribution:
        return self.setdefault(text, json_to_distribution(text))


def _trial(row: Any, tables: _Tables, distributions: _Distributions) -> FrozenTrial:
    number = row.trial_id
    params = tables.params.get(number, {})
    return FrozenTrial(
        number=row.number,
        state=row.state,
        value=None,
        values=list(_objectives(tables.values.get(number, {}))) or None,
        datetime_start=row.datetime_start,
        datetime_complete=row.datetime_complete,
        params={name: distributions[text].to_external_repr(value) for name, (value, text) in params.items()},
        distributions={name: distributions[text] for name, (_, text) in params.items()},
        user_attrs={key: json.loads(text) for key, text in tables.said.get(number, {}).items()},
        system_attrs={key: json.loads(text) for key, text in tables.kept.get(number, {}).items()},
        intermediate_values={
            step: models.TrialIntermediateValueModel.stored_repr_to_intermediate_value(*stored)
            for step, stored in tables.curves.get(number, {}).items()
        },
        trial_id=number,
    )


def _objectives(stored: dict[Any, Any]) -> Iterator[float]:
    for _, kept in sorted(stored.items()):
        yield models.TrialValueModel.stored_repr_to_value(*kept)
