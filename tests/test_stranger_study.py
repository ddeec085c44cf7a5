"""The study of a stranger: what it holds is read, and never unpickled, whatever samples from it."""

from __future__ import annotations

import json
import sqlite3
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import optuna

from abr_tune.plan import yaml
from abr_tune.plan.describe import describe_plan
from abr_tune.plan.plan import Budget, Pruner, Sampler
from abr_tune.search.storage import sqlite_url
from benchmarks.battery.strangers import Marks
from tests.search.tasks import SMOOTH, plan
from tests.search.test_driver import run


def test_pickles_in_a_study_are_never_opened(tmp_path: Path) -> None:
    """Gone on with, and begun from, by CMA-ES, which keeps its state as a pickle; Optuna's own use of it opens them."""
    folder, mark = tmp_path / "given", tmp_path / "mark"
    few = {"sampler": Sampler(kind="cmaes", startup_trials=1), "pruner": Pruner(kind="none"), "train": {"epochs": 2}}
    given = plan(space=SMOOTH, start_from=(), budget=Budget(trials=3), **few)
    run(given, folder)
    (folder / "plan.yaml").write_text(yaml.dump(describe_plan(given)), encoding="utf-8")
    with sqlite3.connect(folder / "study.db") as study:
        for trial in (1, 2, 3):
            state = (trial, "cma:optimizer:0", json.dumps(Marks(mark).pickled.hex()))
            study.execute("INSERT INTO trial_system_attributes (trial_id, key, value_json) VALUES (?, ?, ?)", state)
    assert len(run(replace(given, budget=Budget(trials=6)), folder).records) == 6
    assert len(run(replace(given, since=folder), tmp_path / "after").records) == 3
    assert not mark.exists()
    sampler = optuna.samplers.CmaEsSampler(n_startup_trials=1)
    theirs = optuna.load_study(study_name="rare", storage=sqlite_url(folder / "study.db"), sampler=sampler)
    with suppress(AttributeError):  # what it opens is no state of a sampler
        theirs.ask({name: theirs.trials[0].distributions[name] for name in theirs.trials[0].params})
    assert mark.exists(), "or else the pickles above were none that anybody opens"
