"""A training that ends itself before its epochs are over is complete, and says so."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import optuna
from optuna.trial import TrialState

from abr_tune.plan.plan import Budget, Confirm, StartPoint
from abr_tune.search.search import search
from abr_tune.search.storage import sqlite_url
from core.report import EpochReport
from tests.search.tasks import BASELINES, METRIC, Rare, RareOptions, plan


class Patient(Rare):
    """Stops after four epochs."""

    def train(self, options: RareOptions, *, seed: int, checkpoint: Path, data: object = None) -> Iterator[EpochReport]:
        for report in super().train(options, seed=seed, checkpoint=checkpoint):
            early = report.epoch == 4
            yield replace(report, ended_early="1 f1 has not risen above 0.9 for 2 epochs") if early else report
            if early:
                return


def test_it_is_complete_with_the_reason_and_the_value_of_its_last_epoch(tmp_path: Path) -> None:
    chosen = plan(
        start_from=(StartPoint("sound", {"lr": 0.5}),),
        budget=Budget(trials=1),
        train={"epochs": 12},
        confirm=Confirm(top=0),
    )
    chosen = replace(chosen, task=Patient())
    outcome = search(chosen, folder=tmp_path, dataset=None, baselines=BASELINES, executor="inline", jobs=1)
    [record] = outcome.records
    assert (record.state, record.epochs) == ("complete", 4)
    [trial] = optuna.load_study(study_name="rare", storage=sqlite_url(tmp_path / "study.db")).trials
    assert trial.state is TrialState.COMPLETE
    assert trial.user_attrs["ended_early"] == "1 f1 has not risen above 0.9 for 2 epochs"
    assert trial.value == trial.intermediate_values[4] == trial.user_attrs["metrics"][METRIC]


def test_a_report_says_it_only_where_it_is_so() -> None:
    report = EpochReport(epoch=1, phase="all")
    assert "ended_early" not in report.to_json()
    early = replace(report, ended_early="enough")
    assert EpochReport.from_json(early.to_json()) == early
