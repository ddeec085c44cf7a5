"""Whole searches by every pruner, on several objectives and under constraints, read back as Optuna reads them."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import get_args

import optuna
import pytest
from optuna.trial import TrialState

from abr_tune.plan.plan import Bound, Budget, Confirm, Constraint, Pruner, PrunerName, Sampler, StartPoint
from abr_tune.search.events import EpochDone, Event, TrialRecord
from abr_tune.search.executor import Job
from abr_tune.search.fidelity import age
from abr_tune.search.storage import sqlite_url
from abr_tune.search.study import Study
from abr_tune.trial import TrialStep
from core.report import EpochReport
from core.tasks.task import Objective
from tests.search.tasks import METRIC, plan
from tests.search.test_driver import driver_of, run, stored, without_seconds

ACCURACY = "val/class/accuracy"
BOTH = (Objective(METRIC), Objective(ACCURACY))


@pytest.mark.parametrize("kind", get_args(PrunerName))
@pytest.mark.parametrize("objectives", [BOTH[:1], BOTH], ids=["one", "two"])
def test_every_pruner_spends_its_trials_and_leaves_leaders(tmp_path: Path, kind: PrunerName, objectives) -> None:
    chosen = plan(
        objectives=objectives,
        pruner=Pruner(kind=kind, reduction=2, min_epochs=2, startup_trials=2, keep=0.3),
        budget=Budget(trials=7),
        confirm=Confirm(top=2),
    )
    records = run(chosen, tmp_path).records
    assert len(records) == 7
    assert {record.state for record in records} <= {"complete", "pruned"}
    complete = [record for record in records if record.state == "complete"]
    assert len(complete) >= 2
    assert all(len(record.values) == len(objectives) and record.value == record.values[0] for record in complete)
    stopped = [record for record in records if record.pruned_by == kind]
    assert all(record.epochs < 6 and record.why and record.evidence for record in stopped)
    if kind == "screening":
        assert len(complete) == 2
        assert {record.epochs for record in stopped} == {2}


def test_screening_keeps_the_best_at_its_epoch(tmp_path: Path) -> None:
    chosen = plan(
        pruner=Pruner(kind="screening", min_epochs=2, keep=0.25), budget=Budget(trials=8), confirm=Confirm(top=1)
    )
    records = run(chosen, tmp_path).records
    at_two = {trial.number: trial.intermediate_values[2] for trial in stored(tmp_path)}
    best = sorted(at_two, key=lambda number: (-at_two[number], number))[:2]
    assert sorted(record.number for record in records if record.state == "complete") == sorted(best)


def test_several_objectives_as_optuna_reads_them(tmp_path: Path) -> None:
    constraint = Constraint(ACCURACY, Bound(">", 0.86))
    chosen = plan(
        objectives=BOTH,
        constraints=(constraint,),
        budget=Budget(trials=4),
        start_from=(StartPoint("huge", {"lr": 1e300}),),
    )
    records = run(chosen, tmp_path).records
    study = optuna.load_study(study_name="rare", storage=sqlite_url(tmp_path / "study.db"))
    assert [direction.name for direction in study.directions] == ["MAXIMIZE", "MAXIMIZE"]
    assert study.metric_names == [METRIC, ACCURACY]
    huge, *trials = study.trials
    assert (huge.state, huge.constraints["health"]) == (TrialState.PRUNED, 1.0)  # broke in its first epoch
    for record, trial in zip(records[1:], trials, strict=True):
        assert trial.values == list(record.values) == [record.metrics[METRIC], record.metrics[ACCURACY]]
        assert sorted(trial.intermediate_values) == [1, 2, 3, 4, 5, 6]
        assert trial.intermediate_values[6] == record.values[0]
        missed = max(0.0, 0.86 - record.metrics[ACCURACY])
        assert trial.constraints[ACCURACY] == record.violations[ACCURACY] == pytest.approx(missed)
        assert trial.system_attrs["constraints"] == [record.violations[ACCURACY]]  # what the dashboard shows
        assert record.feasible == (record.metrics[ACCURACY] > 0.86)
    feasible = [record for record in records if record.state == "complete" and record.feasible]
    assert 0 < len(feasible) < 3
    assert {trial.number for trial in study.best_trials} <= {record.number for record in feasible}
    kept = Study(sqlite_url(tmp_path / "study.db"), "rare", BOTH)
    points = kept.stored()[1].points
    assert [(point.epoch, point.age) for point in points] == [(epoch, epoch) for epoch in range(1, 7)]
    assert points[-1].values == records[1].values
    assert points[-1].violation == pytest.approx(records[1].violations[ACCURACY])
    kept.close()


def test_a_trial_without_one_of_its_objectives_is_not_complete(tmp_path: Path) -> None:
    objectives = (Objective(METRIC), Objective("val/toy/never"))
    record = run(plan(objectives=objectives, budget=Budget(trials=1)), tmp_path).records[0]
    assert (record.state, record.pruned_by, record.values) == ("pruned", "objective_absent", ())
    assert "val/toy/never is absent" in record.why


def test_a_constraint_nobody_can_check_is_missed(tmp_path: Path) -> None:
    constraints = (Constraint("val/toy/never", Bound("<", 3.0)),)
    record = run(plan(constraints=constraints, budget=Budget(trials=1)), tmp_path).records[0]
    assert (record.state, record.violations, record.feasible) == ("complete", {"val/toy/never": 3.0}, False)


def test_no_trial_begins_once_the_epochs_are_spent(tmp_path: Path) -> None:
    """6 epochs each: the third trial begins at 12 of 13, and comes to its end."""
    events: list[Event] = []
    records = run(plan(budget=Budget(trials=9, epochs=13)), tmp_path, events.append).records
    assert [record.epochs for record in records] == [6, 6, 6]
    assert len([event for event in events if isinstance(event, EpochDone)]) == 18
    again = run(plan(budget=Budget(trials=9, epochs=13)), tmp_path).records
    assert without_seconds(again) == without_seconds(records)
    assert len(run(plan(budget=Budget(trials=9, epochs=19)), tmp_path).records) == 4


def test_spent_epochs_let_those_that_compete_get_to_the_end(tmp_path: Path) -> None:
    pruner = Pruner(kind="successive_halving", reduction=2, min_epochs=2)
    records = run(plan(pruner=pruner, budget=Budget(trials=9, epochs=7), confirm=Confirm(top=1)), tmp_path).records
    assert len(records) < 9
    assert [record.state for record in records].count("complete") == 1


def test_a_run_whose_folder_was_copied_goes_on_with_its_own_trials(tmp_path: Path) -> None:
    """Under another name the study is the same: nothing is trained a second time, and no second study begins."""
    before = run(plan(), tmp_path / "rare").records
    shutil.copytree(tmp_path / "rare", tmp_path / "copy")
    told: list[Event] = []
    after = run(plan(name="copy", budget=Budget(trials=5)), tmp_path / "copy", listener=told.append).records
    assert after[:4] == before
    assert {event.number for event in told if isinstance(event, EpochDone)} == {4}
    assert optuna.get_all_study_names(sqlite_url(tmp_path / "copy" / "study.db")) == ["copy"]
    assert optuna.get_all_study_names(sqlite_url(tmp_path / "rare" / "study.db")) == ["rare"]


def told(epoch: int, value: float, active: int) -> TrialStep:
    report = EpochReport(epoch=epoch, phase="all", metrics={METRIC: value}, active={"class": active, "signal": epoch})
    return TrialStep(report)


def begin(driver, offset: int, value: float) -> tuple[Job, list[str]]:
    """Train a trial whose classes begin after `offset` epochs, until it is ruled to pause or for three more epochs."""
    job, rulings = driver.ask(), []
    for epoch in range(1, offset + 4):
        rulings.append(driver.report(job.key, told(epoch, value, max(0, epoch - offset))))
        if rulings[-1] != "go_on":
            break
    driver.finish(job.key)
    return job, rulings


def test_trials_are_compared_at_the_age_of_what_is_measured(tmp_path: Path) -> None:
    """Rungs at ages 2 and 4: the class term of the second trial begins three epochs later, so it waits at epoch 5."""
    pruner = Pruner(kind="successive_halving", reduction=2, min_epochs=2)
    chosen = plan(pruner=pruner, budget=Budget(trials=5), train={"epochs": 8}, confirm=Confirm(top=1))
    driver, study = driver_of(chosen, tmp_path)
    job, rulings = begin(driver, 0, 0.9)
    assert (job.milestones, rulings) == ((2, 4), ["go_on", "pause"])
    _, rulings = begin(driver, 3, 0.8)
    assert rulings == ["go_on"] * 4 + ["pause"]
    job = driver.ask()
    assert (job.key, job.since, job.milestones) == (0, 2, (4,))
    driver.stopped()
    study.close()
    again = Study(sqlite_url(tmp_path / "study.db"), "rare", chosen.objectives)
    assert [(point.epoch, point.age) for point in again.stored()[1].points] == [(1, 0), (2, 0), (3, 0), (4, 1), (5, 2)]
    assert again.record(1).epochs == 5
    again.close()
    driver, study = driver_of(chosen, tmp_path)
    assert driver.paused == (1,)
    study.close()


def test_the_age_of_a_metric_is_that_of_its_least_trained_term() -> None:
    report = EpochReport(epoch=9, phase="x", active={"class": 7, "peak_exist": 4, "peak_latency": 2, "threshold": 0})
    assert age(report, "val/class/f1_macro") == 7
    assert age(report, "val/peak/latency_mae_ms") == 2
    assert age(report, "val/threshold/mae_db") == 0
    assert age(report, "val/signal/snr_db") == 9  # a term that is off has no age of its own
    assert age(report, "loss") == 9
    assert age(EpochReport(epoch=3, phase="x"), "val/class/f1_macro") == 3


def test_folds_are_worth_their_mean(tmp_path: Path) -> None:
    record = run(plan(pruner=Pruner(kind="wilcoxon"), budget=Budget(trials=1)), tmp_path).records[0]
    reports = stored(tmp_path)[0].intermediate_values
    assert record.value == pytest.approx(sum(reports.values()) / 6)
    assert record.metrics[METRIC] == record.value


def best_at(records: tuple[TrialRecord, ...], key: Callable[[TrialRecord], float]) -> TrialRecord:
    return max((record for record in records if record.state == "complete"), key=key)


def test_promotion_finds_what_full_training_finds_for_fewer_epochs(tmp_path: Path) -> None:
    pruner = Pruner(kind="successive_halving", reduction=2, min_epochs=2)
    chosen = plan(
        budget=Budget(trials=12), sampler=Sampler(kind="random"), train={"epochs": 12}, confirm=Confirm(top=1)
    )
    whole = run(chosen, tmp_path / "whole").records
    records = run(plan(**{**vars_of(chosen), "pruner": pruner}), tmp_path / "promoted").records
    assert sum(record.epochs for record in records) < 0.7 * sum(record.epochs for record in whole)
    found, best = (best_at(each, lambda record: record.value) for each in (records, whole))
    assert found.value >= best.value - 0.02


def vars_of(chosen) -> dict:
    return {name: getattr(chosen, name) for name in chosen.__dataclass_fields__}
