"""Reading a study in bulk gives what Optuna reads."""

from __future__ import annotations

import math
from pathlib import Path

import optuna
import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.trial import TrialState, create_trial

from abr_tune.search.bulk import all_trials
from abr_tune.search.storage import connect, sqlite_url


@pytest.mark.parametrize("directions", [["maximize"], ["maximize", "minimize"]])
def test_every_field_is_as_optuna_reads_it(tmp_path: Path, directions: list[str]) -> None:
    """States, conditional parameters, choices, infinite and NaN steps, attributes; another study's trials stay out."""
    storage = connect(sqlite_url(tmp_path / "study.db"))
    optuna.create_study(storage=storage, study_name="other").add_trial(create_trial(value=9.0))
    study = optuna.create_study(storage=storage, study_name="mine", directions=directions)
    box = {
        "lr": FloatDistribution(1e-5, 1, log=True),
        "n": IntDistribution(1, 9),
        "c": CategoricalDistribution([None, "a"]),
    }
    for index in range(4):
        chosen = dict(list(box.items())[: index or 3])
        params = {"lr": 0.1, "n": 3, "c": None if index else "a"}
        complete = index % 2 == 0
        study.add_trial(
            create_trial(
                state=TrialState.COMPLETE if complete else TrialState.PRUNED,
                values=[0.5 + index, 2.0][: len(directions)] if complete else None,
                params={name: params[name] for name in chosen},
                distributions=chosen,
                user_attrs={"why": "ünlaut", "metrics": {"a": 1.5}},
                system_attrs={"k": [1, 2]},
                intermediate_values={2: 0.25, 1: math.inf} if len(directions) == 1 else {},
            )
        )
    study.ask()
    (number,) = [each._study_id for each in storage.get_all_studies() if each.study_name == "mine"]
    assert all_trials(storage, number) == storage.get_all_trials(number)
    assert len(all_trials(storage, number)) == 5
    storage.remove_session()
    storage.engine.dispose()
