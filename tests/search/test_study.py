"""The durable study, read back through Optuna as the dashboard reads it."""

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import optuna
import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution
from optuna.trial import TrialState

from abr_tune.errors import EnvironmentFault, StorageFault, UserError
from abr_tune.search.archive import read_records
from abr_tune.search.fidelity import Point
from abr_tune.search.ledger import Ending
from abr_tune.search.records import PARKED, RESUME, ended_record
from abr_tune.search.storage import connect, sqlite_url
from abr_tune.search.study import Study
from core.tasks.task import Objective

SIDES = {"lr": FloatDistribution(0.0, 1.0)}


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def study(tmp_path: Path, clock: Clock) -> Iterator[Study]:
    study = Study(sqlite_url(tmp_path / "study.db"), tmp_path.name, (Objective("val/class/f1_macro"),), clock=clock)
    yield study
    study.close()


def as_optuna_reads(tmp_path: Path) -> optuna.Study:
    return optuna.load_study(study_name=tmp_path.name, storage=sqlite_url(tmp_path / "study.db"))


def plain(epoch: int, value: float) -> Point:
    return Point(epoch, epoch, (value,))


def begin(study: Study, name: str | None = None) -> int:
    return study.begin({"lr": 0.5}, SIDES, {"optimizer.lr": 0.5}, name)


def test_a_trial_begins_with_its_parameters_in_one_go(study: Study, tmp_path: Path) -> None:
    assert study.next_number == 0
    assert begin(study, "by hand") == 0
    assert study.begin({}, {}, {"optimizer.lr": 7.0}, "outside") == 1
    trials = as_optuna_reads(tmp_path).trials
    assert [trial.state for trial in trials] == [TrialState.RUNNING] * 2
    assert [trial.params for trial in trials] == [{"lr": 0.5}, {}]
    records = study.records()
    assert [record.params for record in records] == [{"optimizer.lr": 0.5}, {"optimizer.lr": 7.0}]
    assert [record.name for record in records] == ["by hand", "outside"]
    assert as_optuna_reads(tmp_path).metric_names == ["val/class/f1_macro"]


def test_values_are_written_together_about_once_a_second(study: Study, clock: Clock, tmp_path: Path) -> None:
    a, b = begin(study), begin(study)
    clock.now = 0.9
    for epoch in (1, 2, 3):
        study.report(a, plain(epoch, epoch / 10))
        study.report(b, plain(epoch, epoch / 100))
    assert [trial.intermediate_values for trial in as_optuna_reads(tmp_path).trials] == [{}, {}]
    clock.now = 1.1
    study.report(a, plain(4, 0.4))
    curves = [trial.intermediate_values for trial in as_optuna_reads(tmp_path).trials]
    assert curves == [{1: 0.1, 2: 0.2, 3: 0.3, 4: 0.4}, {1: 0.01, 2: 0.02, 3: 0.03}]
    study.report(b, plain(4, 0.04))
    clock.now = 2.2
    study.flush_if_due()
    assert as_optuna_reads(tmp_path).trials[b].intermediate_values[4] == 0.04


def test_ending_writes_values_attributes_and_state_together(study: Study, tmp_path: Path) -> None:
    done, stopped, failed = (begin(study) for _ in range(3))
    for epoch in range(1, 51):
        study.report(done, plain(epoch, epoch / 100))
    study.report(stopped, plain(1, 0.1))
    complete = Ending(state="complete", values=(0.5,), attributes={"epoch": 50, "metrics": {"val/class/f1_macro": 0.5}})
    study.finish(done, complete)
    why = {"pruned_by": "class_collapse", "why": "one class", "evidence": {"share": 1.0}, "epoch": 1}
    study.finish(stopped, Ending(state="pruned", attributes=why))
    study.finish(failed, Ending(state="failed", attributes={"error": "ValueError: no"}))
    trials = as_optuna_reads(tmp_path).trials
    assert [trial.state for trial in trials] == [TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAIL]
    assert trials[0].value == 0.5
    assert len(trials[0].intermediate_values) == 50
    assert trials[0].datetime_complete >= trials[0].datetime_start
    assert trials[1].user_attrs == why
    assert trials[1].intermediate_values == {1: 0.1}
    assert trials[2].user_attrs == {"error": "ValueError: no"}
    assert as_optuna_reads(tmp_path).best_trial.number == done
    assert study.record(done) == ended_record(done, None, {"optimizer.lr": 0.5}, complete)


@pytest.mark.parametrize(
    "ending", [Ending(state="complete"), Ending(state="pruned", values=(0.5,)), Ending(state="running")]
)
def test_an_ending_that_contradicts_itself_is_refused(study: Study, ending: Ending) -> None:
    number = begin(study)
    with pytest.raises(ValueError, match="cannot end"):
        study.finish(number, ending)
    assert study.record(number).state == "running"


def test_a_trial_ends_once(study: Study) -> None:
    number = begin(study)
    study.finish(number, Ending(state="complete", values=(0.5,)))
    with pytest.raises(ValueError, match="ended already"):
        study.finish(number, Ending(state="failed"))
    assert study.record(number).value == 0.5


def test_a_fresh_start_deletes_the_values_of_the_earlier_attempt(study: Study, tmp_path: Path) -> None:
    number = begin(study)
    for epoch in (1, 2, 3):
        study.report(number, plain(epoch, 0.5))
    study.flush()
    study.report(number, plain(4, 0.5))
    study.rewind(number, 2)
    study.report(number, plain(2, 0.1))
    study.flush()
    assert as_optuna_reads(tmp_path).trials[number].intermediate_values == {1: 0.5, 2: 0.1}


def test_an_interrupted_trial_waits_and_goes_on(study: Study, tmp_path: Path) -> None:
    number = begin(study)
    study.report(number, plain(1, 0.3))
    study.interrupt({number: 1}, {})
    trial = as_optuna_reads(tmp_path).trials[number]
    assert trial.state is TrialState.WAITING
    assert trial.user_attrs == {RESUME: 1}
    assert trial.intermediate_values == {1: 0.3}
    assert study.record(number).epochs == 1
    study.resume(number)
    trial = as_optuna_reads(tmp_path).trials[number]
    assert (trial.state, trial.user_attrs) == (TrialState.RUNNING, {})


def test_a_parked_trial_says_so_until_it_goes_on(study: Study, tmp_path: Path) -> None:
    number = begin(study)
    study.park(number, 4, {"val/class/f1_macro": 0.5})
    assert as_optuna_reads(tmp_path).trials[number].system_attrs[PARKED] == 4
    study.resume(number)
    assert PARKED not in as_optuna_reads(tmp_path).trials[number].system_attrs


def test_opening_again_goes_on_with_the_same_study(study: Study, tmp_path: Path) -> None:
    number = begin(study)
    study.finish(number, Ending(state="complete", values=(0.5,)))
    again = Study(sqlite_url(tmp_path / "study.db"), tmp_path.name, (Objective("val/class/f1_macro"),))
    assert again.next_number == 1
    assert again.records() == study.records() == read_records(tmp_path)
    again.close()


def test_a_transaction_that_fails_leaves_nothing_behind(study: Study, tmp_path: Path) -> None:
    number = begin(study)
    study.report(number, plain(1, 0.5))
    with pytest.raises(ValueError, match="JSON"):
        study.finish(number, Ending(state="complete", values=(0.5,), attributes={"evidence": float("nan")}))
    trial = as_optuna_reads(tmp_path).trials[number]
    assert (trial.state, trial.intermediate_values) == (TrialState.RUNNING, {})
    study.flush()
    assert as_optuna_reads(tmp_path).trials[number].intermediate_values == {1: 0.5}


def test_a_damaged_database_is_a_storage_fault(study: Study, tmp_path: Path) -> None:
    number = begin(study)
    with sqlite3.connect(tmp_path / "study.db") as raw:
        raw.execute("DROP TABLE trial_user_attributes")
    raw.close()
    with pytest.raises(StorageFault, match=r"study\.db is not a study as this version keeps it.*no such table"):
        study.finish(number, Ending(state="failed", attributes={"error": "x"}))


def test_a_coordinate_with_other_choices_gets_another_name(tmp_path: Path) -> None:
    """Optuna refuses changed choices within a study; the run goes on all the same."""
    study = Study(sqlite_url(tmp_path / "study.db"), "s", (Objective("val/toy/score"),))
    for choices in (("a", "b"), ("a", "b"), ("a", "c"), ("a", "b")):
        study.begin({"x": "a"}, {"x": CategoricalDistribution(choices)}, {"x": "a"}, None)
    assert [list(trial.params) for trial in study.trials()] == [["x"], ["x"], ["x (2)"], ["x"]]
    study.close()
    again = Study(sqlite_url(tmp_path / "study.db"), "s", (Objective("val/toy/score"),))
    again.begin({"x": "a"}, {"x": CategoricalDistribution(("a", "c"))}, {"x": "a"}, None)
    assert list(again.trials()[-1].params) == ["x (2)"]
    again.close()


def test_a_storage_that_is_no_url_and_one_without_a_driver_are_told_apart() -> None:
    with pytest.raises(UserError, match="'foo' is not the URL of a database"):
        connect("foo")
    with pytest.raises(EnvironmentFault, match="the driver of this storage is not installed"):
        connect("oracle+oracledb://nobody@127.0.0.1/none")
