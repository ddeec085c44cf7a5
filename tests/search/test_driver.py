"""A whole search in this process: states, start points, interruption, pausing, giving up."""

import json
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import optuna
import pytest
from optuna.trial import TrialState

from abr_tune.plan.plan import Bound, Budget, Confirm, Criterion, Pruner, Sampler, StartPoint
from abr_tune.search.driver import Driver
from abr_tune.search.events import EpochDone, Event, TrialFinished, TrialRecord, TrialStarted, VerdictGiven
from abr_tune.search.executor import Shared
from abr_tune.search.inline import run_inline
from abr_tune.search.search import Outcome, Training, search, train_all
from abr_tune.search.storage import sqlite_url
from abr_tune.search.study import Study
from abr_tune.trial import TrialStep, run_trial
from core.health import HealthOptions
from core.report import EpochReport
from tests.search.tasks import BASELINES, METRIC, SPACE, Rare, RareOptions, plan


def run(plan, folder: Path, listener: Callable[[Event], None] = lambda _event: None) -> Outcome:
    return search(plan, folder=folder, dataset=None, baselines=BASELINES, executor="inline", jobs=1, listener=listener)


def stored(folder: Path) -> list[optuna.trial.FrozenTrial]:
    return optuna.load_study(study_name="rare", storage=sqlite_url(folder / "study.db")).trials


def driver_of(plan, folder: Path, **settings) -> tuple[Driver, Study]:
    folder.mkdir(exist_ok=True)
    study = Study(sqlite_url(folder / "study.db"), plan.name, plan.objectives)
    return Driver(plan, study, folder, settings.pop("listener", lambda _event: None), **settings), study


def shared(plan) -> Shared:
    return Shared(task=plan.task, dataset=None, health=plan.health, baselines=BASELINES)


def without_seconds(records: tuple[TrialRecord, ...]) -> list[TrialRecord]:
    return [replace(record, seconds=0.0) for record in records]


HAND = (
    StartPoint("huge", {"lr": 1e300}),
    StartPoint("tiny", {"lr": 1e-9}),
    StartPoint("buggy", {"act": "raise"}),
    StartPoint("silent", {"act": "silent"}),
    StartPoint("sound", {"lr": 0.5}),
)


def test_a_kill_before_impossible_values_were_recorded_as_failed_does_not_end_every_search_to_come(tmp_path) -> None:
    chosen = plan(budget=Budget(trials=1))
    study = Study(sqlite_url(tmp_path / "study.db"), "rare", chosen.objectives)
    study.begin({}, {}, {"act": "no such thing"}, "by hand")
    study.close()
    broken, sound = run(chosen, tmp_path).records
    assert (broken.state, sound.state) == ("failed", "complete")
    assert broken.error.startswith("its values make no valid options: ")


@pytest.fixture(scope="module")
def searched(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Outcome, list[Event]]:
    folder, events = tmp_path_factory.mktemp("searched"), []
    gate = (Criterion("val/class/accuracy", Bound(">", 0.5)),)
    chosen = plan(start_from=HAND, budget=Budget(trials=7), train={"epochs": 12}, gate=gate)
    return folder, run(chosen, folder, events.append), events


def test_every_way_to_end_has_its_state(searched) -> None:
    folder, outcome, _ = searched
    assert (outcome.state, outcome.ended_by, outcome.signal) == ("finished", "budget", None)
    trials = {trial.user_attrs["start_point"]: trial for trial in stored(folder)[:5]}
    assert {name: trial.state for name, trial in trials.items()} == {
        "huge": TrialState.PRUNED,
        "tiny": TrialState.PRUNED,
        "buggy": TrialState.FAIL,
        "silent": TrialState.PRUNED,
        "sound": TrialState.COMPLETE,
    }
    assert trials["huge"].user_attrs["pruned_by"] == "non_finite"
    assert trials["huge"].intermediate_values == {}
    assert trials["huge"].user_attrs["evidence"]["step"] == 1
    assert trials["tiny"].user_attrs["pruned_by"] == "class_collapse"
    assert trials["tiny"].user_attrs["epoch"] < 12
    assert "majority" in trials["tiny"].user_attrs["why"]
    assert trials["silent"].user_attrs["pruned_by"] == "objective_absent"
    assert "nobody was there to score it" in trials["silent"].user_attrs["why"]
    assert trials["buggy"].user_attrs["error"] == "RuntimeError: a bug in the user's code"
    assert (folder / "trials/2/traceback.txt").exists()


def test_curves_are_whole_and_the_value_is_that_of_the_last_epoch(searched) -> None:
    folder, _, _ = searched
    for trial in stored(folder):
        if trial.state is TrialState.COMPLETE:
            assert sorted(trial.intermediate_values) == list(range(1, 13))
            assert trial.value == trial.intermediate_values[12]
    collapsed = stored(folder)[1]
    assert sorted(collapsed.intermediate_values) == list(range(1, collapsed.user_attrs["epoch"] + 1))


def test_metrics_that_decide_have_a_column_and_all_are_in_one_attribute(searched) -> None:
    folder, _, _ = searched
    said = stored(folder)[4].user_attrs
    assert said["metrics"][METRIC] == said[METRIC]
    assert set(said) == {"start_point", "epoch", "seconds", "metrics", METRIC, "val/class/accuracy"}


def test_the_sampler_learns_from_each_ending_what_it_may(searched) -> None:
    folder, _, _ = searched
    driver, study = driver_of(plan(sampler=Sampler(kind="optuna_tpe"), train={"epochs": 12}), folder)
    seen = driver._proposals._sampler._study.get_trials()
    study.close()
    # The five start points lie outside the space (huge, tiny: the rate; buggy, silent: what is not searched) but one.
    assert [trial.state for trial in seen] == [TrialState.COMPLETE] * 4
    assert seen[0].params == {"lr": 0.5, "power": 1.0}
    assert [trial.value for trial in seen] == [trial.value for trial in stored(folder)[4:]]


def test_a_stopped_trial_teaches_at_its_epoch_and_a_failed_one_nothing(tmp_path: Path) -> None:
    points = (StartPoint("weak", {"lr": 0.001, "power": 0.0}), StartPoint("sound", {"lr": 0.5}))
    chosen = plan(start_from=points, budget=Budget(trials=2), train={"epochs": 12}, sampler=Sampler(kind="optuna_tpe"))
    assert [record.pruned_by for record in run(chosen, tmp_path).records] == ["class_collapse", None]
    failing = replace(chosen, train={"epochs": 12, "act": "raise"}, budget=Budget(trials=3))
    run(failing, tmp_path)
    driver, study = driver_of(chosen, tmp_path)
    weak, sound, *failed = driver._proposals._sampler._study.get_trials()
    study.close()
    assert (weak.state, sound.state) == (TrialState.PRUNED, TrialState.COMPLETE)
    assert weak.intermediate_values == stored(tmp_path)[0].intermediate_values
    assert weak.value is None or weak.value == weak.intermediate_values[max(weak.intermediate_values)]
    assert {trial.state for trial in failed} == {TrialState.FAIL}


def test_start_points_come_first_and_failures_do_not_count(searched) -> None:
    _, outcome, _ = searched
    assert [record.name for record in outcome.records[:5]] == ["huge", "tiny", "buggy", "silent", "sound"]
    assert [record.name for record in outcome.records[5:]] == [None] * 3
    assert sum(record.state != "failed" for record in outcome.records) == 7


def test_events_tell_the_same_story(searched) -> None:
    _, outcome, events = searched
    finished = [event.record for event in events if isinstance(event, TrialFinished)]
    assert tuple(finished) == outcome.records
    assert [event.number for event in events if isinstance(event, TrialStarted)] == list(range(8))
    assert [event.report.epoch for event in events if isinstance(event, EpochDone) and event.number == 4] == list(
        range(1, 13)
    )
    assert {
        event.verdict.rule for event in events if isinstance(event, VerdictGiven) and event.verdict.level == "stop"
    } == {
        "non_finite",
        "class_collapse",
    }


def test_start_points_outside_the_space_run_and_do_not_teach(tmp_path: Path) -> None:
    chosen = plan(
        start_from=(StartPoint("outside", {"lr": 5.0}), StartPoint("inside", {"lr": 0.5})), budget=Budget(trials=2)
    )
    assert [record.state for record in run(chosen, tmp_path).records] == ["complete", "complete"]
    outside, inside = stored(tmp_path)
    assert (outside.params, inside.params) == ({}, {"lr": 0.5, "power": 1.0})
    driver, study = driver_of(replace(chosen, sampler=Sampler(kind="optuna_tpe")), tmp_path)
    assert [trial.params for trial in driver._proposals._sampler._study.get_trials()] == [{"lr": 0.5, "power": 1.0}]
    study.close()


def test_the_same_start_point_twice_runs_once(tmp_path: Path) -> None:
    twice = (StartPoint("a", {"lr": 0.5}), StartPoint("b", {}), StartPoint("c", {"lr": 0.1}))
    records = run(plan(start_from=twice, budget=Budget(trials=3)), tmp_path).records
    assert [record.name for record in records] == ["a", "c", None]  # 0.5 is the default
    assert len(run(plan(start_from=twice, budget=Budget(trials=4)), tmp_path).records) == 4


def test_a_search_that_only_fails_is_given_up(tmp_path: Path) -> None:
    outcome = run(plan(train={"epochs": 6, "act": "raise"}, budget=Budget(trials=50)), tmp_path)
    assert outcome.ended_by == "failures"
    assert [record.state for record in outcome.records] == ["failed"] * 5


def test_values_that_make_no_options_are_a_failed_trial(tmp_path: Path) -> None:
    outcome = run(plan(train={"epochs": 6, "unknown.option": 1}, budget=Budget(trials=2)), tmp_path)
    assert outcome.ended_by == "failures"
    assert "unknown" in outcome.records[0].error


def test_time_over_leaves_the_running_trial_waiting(tmp_path: Path) -> None:
    now = iter(range(100))
    driver, study = driver_of(plan(budget=Budget(trials=9, seconds=5)), tmp_path, clock=lambda: next(now))
    run_inline(driver, shared(driver._plan))
    driver.stopped()
    assert driver.ended_by == "time"
    records = study.records()
    assert records[-1].state == "waiting"
    assert 0 < records[-1].epochs < 6
    study.close()


def interrupt_after(count: int) -> Callable[[], bool]:
    asked = iter(range(1000))
    return lambda: next(asked) >= count


@pytest.mark.parametrize("orderly", [True, False], ids=["interrupted", "killed"])
@pytest.mark.parametrize(
    ("kind", "promote"), [("tpe", True), ("tpe", False), ("random", False), ("qmc", True), ("optuna_tpe", True)]
)
def test_continuing_ends_like_an_uninterrupted_search(tmp_path: Path, kind: str, orderly: bool, promote: bool) -> None:
    chosen = plan(
        sampler=Sampler(kind=kind, startup_trials=2),
        pruner=Pruner(kind="successive_halving", reduction=2, promote=promote),
        budget=Budget(trials=6),
        start_from=(StartPoint("sound", {"lr": 0.5}),),
    )
    whole = run(chosen, tmp_path / "whole").records
    assert {record.state for record in whole} == {"complete", "pruned"}
    for count in (3, 11):
        driver, study = driver_of(chosen, tmp_path / "parts", interrupted=interrupt_after(count))
        if orderly:
            run_inline(driver, shared(chosen))
            driver.stopped()
            assert "running" not in {record.state for record in study.records()}
        else:
            _train_and_die(driver, study, chosen)
        study.close()
    assert without_seconds(run(chosen, tmp_path / "parts").records) == without_seconds(whole)


def _train_and_die(driver: Driver, study: Study, chosen) -> None:
    """Two epochs of a trial that the driver hears of and the study does not: the values were not written yet."""
    job = driver.ask()
    steps = run_trial(
        chosen.task, job.options, seed=job.seed, folder=job.folder, data=None, health=chosen.health, baselines=BASELINES
    )
    for _, step in zip(range(2), steps, strict=False):
        driver.report(job.key, step)
    steps.close()
    study._curves.written(study._curves.unwritten)


def test_an_interruption_is_readable_and_says_where_it_goes_on(tmp_path: Path) -> None:
    driver, study = driver_of(plan(), tmp_path, interrupted=interrupt_after(5))
    run_inline(driver, shared(driver._plan))
    driver.stopped()
    study.close()
    assert driver.ended_by == "signal"
    waiting = [trial for trial in stored(tmp_path) if trial.state is TrialState.WAITING]
    assert len(waiting) == 1
    epoch = waiting[0].user_attrs["resume"]
    assert sorted(waiting[0].intermediate_values) == list(range(1, epoch + 1))
    events: list[Event] = []
    run(plan(), tmp_path, events.append)
    started = next(event for event in events if isinstance(event, TrialStarted))
    assert (started.number, started.resumed_at) == (waiting[0].number, epoch)
    epochs = [event.report.epoch for event in events if isinstance(event, EpochDone) and event.number == started.number]
    assert epochs == list(range(epoch + 1, 7))


PROMOTING = Pruner(kind="successive_halving", reduction=2, min_epochs=2)
"""With 6 epochs: rungs at 2 and 4."""


def _train_until_ruled(driver: Driver, job, chosen) -> str:
    steps = run_trial(
        chosen.task,
        job.options,
        seed=job.seed,
        folder=job.folder,
        data=None,
        health=chosen.health,
        baselines=BASELINES,
        since=job.since,
    )
    ruling = "go_on"
    for step in steps:
        ruling = driver.report(job.key, step)
        if ruling != "go_on":
            break
    steps.close()
    driver.finish(job.key)
    return ruling


def test_a_promoted_trial_goes_on_from_its_checkpoint_to_the_same_history(tmp_path: Path) -> None:
    chosen = plan(start_from=(StartPoint("sound", {"lr": 0.5}),), budget=Budget(trials=4))
    run(chosen, tmp_path / "whole")
    events: list[Event] = []
    records = run(replace(chosen, pruner=PROMOTING), tmp_path / "parts", events.append).records
    assert {record.epochs for record in records} <= {2, 4, 6}
    done = [record.number for record in records if record.state == "complete"]
    assert done
    resumed = {(event.number, event.resumed_at) for event in events if isinstance(event, TrialStarted)}
    assert any(at for _, at in resumed)
    for number in done:
        place = f"trials/{number}/history.jsonl"
        assert (tmp_path / "parts" / place).read_text() == (tmp_path / "whole" / place).read_text()
    for record in records:
        if record.state == "pruned":
            assert record.pruned_by == "successive_halving"
            assert "are better than" in record.why


def test_enough_trials_reach_their_end_to_be_confirmed(tmp_path: Path) -> None:
    """Without this rule 4 // 2 = 2 would leave the first rung and 1 the second."""
    chosen = plan(pruner=PROMOTING, budget=Budget(trials=4), confirm=Confirm(top=3))
    records = run(chosen, tmp_path).records
    assert sorted(record.state for record in records) == ["complete"] * 3 + ["pruned"]
    alone = run(replace(chosen, confirm=Confirm(top=0)), tmp_path / "alone").records
    assert sum(record.state == "complete" for record in alone) == 1


@pytest.mark.parametrize(
    "pruner", [Pruner(kind="none"), Pruner(kind="successive_halving", reduction=2, min_epochs=3)], ids=["none", "later"]
)
def test_a_paused_trial_goes_on_where_another_pruner_has_nothing_to_wait_for(tmp_path: Path, pruner: Pruner) -> None:
    chosen = plan(pruner=PROMOTING, budget=Budget(trials=3))
    driver, study = driver_of(chosen, tmp_path)
    assert _train_until_ruled(driver, driver.ask(), chosen) == "pause"
    driver.stopped()
    study.close()
    driver, study = driver_of(replace(chosen, pruner=pruner), tmp_path)
    job = driver.ask()
    assert (job.key, job.since, driver.paused) == (0, 2, ())
    study.close()


@pytest.mark.parametrize("orderly", [True, False], ids=["interrupted", "killed"])
def test_a_paused_trial_stays_paused_over_a_restart(tmp_path: Path, orderly: bool) -> None:
    chosen = plan(pruner=PROMOTING, budget=Budget(trials=3))
    driver, study = driver_of(chosen, tmp_path)
    assert _train_until_ruled(driver, driver.ask(), chosen) == "pause"
    assert driver.paused == (0,)
    if orderly:
        driver.stopped()
    study.close()
    waits = stored(tmp_path)[0]
    assert waits.state is (TrialState.WAITING if orderly else TrialState.RUNNING)
    assert waits.user_attrs["metrics"][METRIC] == waits.intermediate_values[2]
    driver, study = driver_of(chosen, tmp_path)
    assert driver.paused == (0,)
    assert driver.ask().key == 1
    study.close()


def test_nobody_goes_on_with_a_trial_whose_worker_has_not_let_go_of_it(tmp_path: Path) -> None:
    chosen = plan(pruner=PROMOTING, budget=Budget(trials=2), confirm=Confirm(top=1))
    driver, study = driver_of(chosen, tmp_path)
    for _ in range(2):
        job = driver.ask()
        for epoch in (1, 2):
            ruling = driver.report(job.key, _said(epoch, 0.5 - 0.1 * job.key))
        assert ruling == "pause"
    assert driver.ask() is None
    driver.finish(0)
    assert driver.ask().key == 0
    study.close()


def _said(epoch: int, value: float, **more) -> TrialStep:
    return TrialStep(EpochReport(epoch=epoch, phase="all", metrics={METRIC: value}, **more))


def test_ranking_stops_with_its_reason_and_never_at_the_last_epoch(tmp_path: Path) -> None:
    chosen = plan(
        pruner=Pruner(kind="successive_halving", reduction=2, min_epochs=3, promote=False),
        train={"epochs": 6},
        budget=Budget(trials=6),
        start_from=(StartPoint("sound", {"lr": 0.5, "power": 0.0}), StartPoint("weak", {"lr": 1e-3, "power": 2.0})),
    )
    records = run(chosen, tmp_path).records
    weak = records[1]
    assert (weak.state, weak.pruned_by, weak.epochs) == ("pruned", "successive_halving", 3)
    assert weak.evidence["places"] == 1
    assert "are better than" in weak.why
    assert {record.epochs for record in records} == {3, 6}
    last = run(replace(chosen, train={"epochs": 3}), tmp_path / "short").records
    assert {record.state for record in last} == {"complete"}


def test_a_training_that_breaks_off_without_a_verdict_is_not_complete(tmp_path: Path) -> None:
    chosen = plan(
        health=HealthOptions(non_finite=None), start_from=(StartPoint("huge", {"lr": 1e300}),), budget=Budget(trials=1)
    )
    record = run(chosen, tmp_path).records[0]
    assert (record.state, record.pruned_by) == ("pruned", "non_finite")


def test_a_task_that_reports_nan_is_pruned_with_a_sentence(tmp_path: Path) -> None:
    chosen = plan(start_from=(StartPoint("nan", {"act": "nan"}),), budget=Budget(trials=2))
    record = run(chosen, tmp_path).records[0]
    assert (record.state, record.pruned_by, record.epochs) == ("pruned", "non_finite", 2)
    assert record.why == f"epoch 3: the task reports {METRIC} as nan; what cannot be computed is absent"
    assert record.violations == {"health": (1 + 1 / 3) / 2}
    assert sorted(stored(tmp_path)[0].intermediate_values) == [1, 2]


def test_a_task_without_checkpoints_starts_over_and_keeps_one_curve(tmp_path: Path) -> None:
    driver, study = driver_of(plan(), tmp_path)
    key = driver.ask().key
    for epoch, value in ((1, 0.1), (2, 0.2), (1, 0.3)):
        driver.report(key, TrialStep(EpochReport(epoch=epoch, phase="all", metrics={METRIC: value})))
    study.flush()
    assert stored(tmp_path)[key].intermediate_values == {1: 0.3}
    study.close()


def test_conditions_and_choices_reach_the_options(tmp_path: Path) -> None:
    outcome = run(plan(space=SPACE, budget=Budget(trials=4), train={"epochs": 2}), tmp_path)
    for record in outcome.records:
        config = json.loads((tmp_path / "trials" / str(record.number) / "config.yaml").read_text())
        assert {name: config["train"][name] for name in record.params} == record.params


def test_trainings_outside_the_study(tmp_path: Path) -> None:
    seen: list[int] = []
    settings = ({}, {"lr": 1e300}, {"act": "raise"})
    trainings = [
        Training(options=RareOptions(**one), seed=seed, folder=tmp_path / str(seed))
        for seed, one in enumerate(settings)
    ]

    def train():
        return train_all(
            trainings,
            plan(),
            dataset=None,
            baselines=BASELINES,
            executor="inline",
            jobs=1,
            listener=lambda training, _step: seen.append(training.seed),
        )

    batch = train()
    sound, huge, buggy = batch.trained
    assert batch.signal is None
    assert [report.epoch for report in sound.reports] == [1, 2, 3, 4, 5, 6]
    assert (sound.stopped, sound.error) == (None, None)
    assert huge.stopped.rule == "non_finite"
    assert buggy.error == "RuntimeError: a bug in the user's code"
    assert seen == [0] * 6 + [1] + [2]
    assert train().trained[0] == sound


def test_seeds_change_the_training(tmp_path: Path) -> None:
    steps = [
        list(
            run_trial(
                Rare(),
                RareOptions(epochs=1),
                seed=seed,
                folder=tmp_path / str(seed),
                data=None,
                health=HealthOptions(),
                baselines={},
            )
        )
        for seed in (0, 1)
    ]
    assert steps[0][0].report.health != steps[1][0].report.health
    assert os.environ["OMP_NUM_THREADS"] == "1"


def test_a_task_that_yields_nothing_has_failed(tmp_path: Path) -> None:
    """Pruned with all of its epochs saved would be praise."""
    driver, study = driver_of(plan(), tmp_path)
    driver.finish(driver.ask().key)
    assert (study.record(0).state, study.record(0).error) == ("failed", "the task's train yielded no report")
    study.close()


def test_the_time_budget_begins_with_the_first_trial(tmp_path: Path) -> None:
    """Loading data and starting Ray are not the search's time."""
    clock = iter([100.0, 100.0, 104.0, 106.0, 106.0, 106.0])
    study = Study(sqlite_url(tmp_path / "study.db"), "s", plan().objectives)
    timed = Driver(
        plan(budget=Budget(trials=5, seconds=5.0)), study, tmp_path, lambda _event: None, clock=lambda: next(clock)
    )
    assert not timed.out_of_time
    assert timed.ask() is not None
    assert not timed.out_of_time
    assert timed.out_of_time
    study.close()
