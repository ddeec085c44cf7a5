"""Trust in a whole search: what the audit lets on, what the guard holds back, the alarm, and the ends of it all."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from abr_tune.plan.plan import Budget, Confirm, Limits, Plan, Pruner, StartPoint, Stop
from abr_tune.search.audit import audited, false_stops
from abr_tune.search.driver import Driver
from abr_tune.search.ending import OpenTrial
from abr_tune.search.events import AlarmRaised, Event, TrialFinished, TrialRecord, VerdictGiven
from abr_tune.search.executor import Job, Shared
from abr_tune.search.inline import run_inline
from abr_tune.search.search import Outcome, search
from abr_tune.search.storage import sqlite_url
from abr_tune.search.study import Study
from abr_tune.search.trust import Trust
from abr_tune.trial import TrialStep, read_history, run_trial
from core.health import HealthOptions, Verdict, judge
from core.health.odds import State
from core.report import EpochReport
from core.tasks.task import Objective
from tests.search.tasks import BASELINES, METRIC, Rare, RareOptions, plan

COLLAPSING = StartPoint("collapsing", {"lr": 1e-9})
BREAKING = StartPoint("breaking", {"lr": 1e300})
SOUND = StartPoint("sound", {"lr": 0.5})


def run(chosen: Plan, folder: Path, listener: Callable[[Event], None] = lambda _event: None) -> Outcome:
    return search(
        chosen, folder=folder, dataset=None, baselines=BASELINES, executor="inline", jobs=1, listener=listener
    )


def points(*names: StartPoint) -> tuple[StartPoint, ...]:
    """Start points that differ, or the second of a kind would not be tried."""
    return tuple(
        replace(point, name=f"{point.name} {place}", values={**point.values, "power": place / 10})
        for place, point in enumerate(names)
    )


def test_audited_trials_run_to_their_end_and_keep_the_first_verdict(tmp_path: Path) -> None:
    start = points(COLLAPSING, BREAKING, SOUND)
    chosen = plan(start_from=start, budget=Budget(trials=3), train={"epochs": 10}, audit=1.0)
    collapsing, breaking, sound = run(chosen, tmp_path).records
    assert (collapsing.state, collapsing.epochs) == ("complete", 10)
    assert collapsing.audited is not None
    assert (collapsing.audited["rule"], collapsing.audited["epoch"] < 10) == ("class_collapse", True)
    assert (breaking.state, breaking.pruned_by, breaking.audited) == ("pruned", "non_finite", None)
    assert (sound.state, sound.audited) == ("complete", None)
    (over_all, by_rule) = false_stops(
        [collapsing, breaking, sound], {sound.number}, Objective(METRIC), BASELINES[METRIC]
    )
    assert (over_all.judged, over_all.false, over_all.above_baseline) == (1, 0, 0)
    assert by_rule.rule == "class_collapse"


def test_only_those_drawn_are_audited(tmp_path: Path) -> None:
    start, share = points(*[COLLAPSING] * 6), 0.4
    chosen = plan(start_from=start, budget=Budget(trials=6), train={"epochs": 7}, audit=share)
    records = run(chosen, tmp_path).records
    drawn = [audited(chosen.seed, number, share) for number in range(6)]
    assert 0 < sum(drawn) < 6
    assert [record.state == "complete" for record in records] == drawn
    assert [record.audited is not None for record in records] == drawn


@pytest.mark.parametrize("promote", [True, False])
def test_a_ranking_does_not_end_an_audited_trial(tmp_path: Path, promote: bool) -> None:
    pruner = Pruner(kind="successive_halving", reduction=2, min_epochs=2, promote=promote)
    chosen = plan(pruner=pruner, budget=Budget(trials=6), train={"epochs": 6}, audit=1.0, confirm=Confirm(top=1))
    records = run(chosen, tmp_path).records
    assert {(record.state, record.epochs) for record in records} == {("complete", 6)}
    spared = [record for record in records if record.audited is not None]
    assert spared
    assert {record.audited["rule"] for record in spared} == {"successive_halving"}
    assert {record.audited["epoch"] for record in spared} <= {2, 4}
    without = run(replace(chosen, audit=0.0), tmp_path / "without").records
    assert sum(record.state == "pruned" for record in without) >= 2
    # Paused trials are let on only when the search is over, so nothing before that knows of the audit.
    if promote:
        assert {record.number for record in without if record.state == "pruned"} == {each.number for each in spared}


def test_the_verdict_of_an_audited_trial_survives_a_kill(tmp_path: Path) -> None:
    chosen = plan(start_from=(COLLAPSING,), budget=Budget(trials=1), train={"epochs": 10}, audit=1.0)
    study = Study(sqlite_url(tmp_path / "study.db"), chosen.name, chosen.objectives)
    killed = Driver(chosen, study, tmp_path, lambda _event: None)
    shared = Shared(task=chosen.task, dataset=None, health=chosen.health, baselines=BASELINES)

    class Kill(Exception):
        pass

    def report(key: int, step: TrialStep) -> str:
        ruling = Driver.report(killed, key, step)
        if step.report.epoch == 8:
            raise Kill
        return ruling

    killed.report = report  # type: ignore[method-assign]
    with pytest.raises(Kill):
        run_inline(killed, shared)
    study.flush()
    (record,) = study.records()
    assert record.state == "running"
    assert record.audited is not None
    assert record.audited["epoch"] < 8
    study.close()
    (again,) = run(chosen, tmp_path).records
    assert (again.state, again.epochs, again.audited) == ("complete", 10, record.audited)


LENGTH = 20


class Blooming(Rare):
    """Stays at the majority with a loss that stands still until epoch 8, whatever its options, then gets good."""

    name = "blooming"

    def train(self, options: RareOptions, *, seed: int, checkpoint: Path, data: object = None):
        done = int(checkpoint.read_text()) if checkpoint.exists() else 0
        for epoch in range(max(1, done), LENGTH + 1):
            awake = epoch > 8
            checkpoint.write_text(str(epoch))
            yield EpochReport(
                epoch=epoch,
                phase="all",
                metrics={
                    METRIC: 0.8 + options.lr / 100 if awake else BASELINES[METRIC],
                    "val/class/largest_share": 0.9,
                },
                health={"loss/class": 0.5 * 0.9 ** (epoch - 8) if awake else 0.5},
                active={"class": epoch},
            )


def test_the_guard_saves_late_bloomers_once_the_audit_has_seen_some(tmp_path: Path) -> None:
    told: list[Verdict] = []

    def listen(event: Event) -> None:
        if isinstance(event, VerdictGiven) and event.verdict.level == "warn" and "held back" in event.verdict.why:
            told.append(event.verdict)

    share = 0.4
    chosen = plan(task=Blooming(), train={"epochs": LENGTH}, budget=Budget(trials=12), audit=share)
    records = run(chosen, tmp_path, listen).records
    drawn = [audited(chosen.seed, number, share) for number in range(12)]
    second = [number for number, spared in enumerate(drawn) if spared][1]
    assert {record.pruned_by for record in records[:second] if not drawn[record.number]} == {"class_collapse"}
    assert all(record.state == "complete" for record in records[second + 1 :])
    assert "runs that met the rule class_collapse in the first quarter" in told[0].why
    assert "2 of 2 (95 % interval" in told[0].why
    # What they learned is known again when the search goes on.
    more = run(replace(chosen, budget=Budget(trials=14), audit=0.0), tmp_path).records[12:]
    assert [record.state for record in more] == ["complete", "complete"]


def open_trial(number: int = 0) -> OpenTrial:
    return OpenTrial(number, None, {}, length=LENGTH)


def stuck(epoch: int) -> TrialStep:
    history = [
        EpochReport(
            epoch=each,
            phase="all",
            metrics={METRIC: BASELINES[METRIC], "val/class/largest_share": 1.0},
            health={"loss/class": 0.5},
            active={"class": each},
        )
        for each in range(1, epoch + 1)
    ]
    return TrialStep(history[-1], judge(history, HealthOptions(), BASELINES))


def complete(number: int, value: float = 0.8) -> TrialRecord:
    return TrialRecord(number=number, name=None, state="complete", value=value, values=(value,), params={})


def test_a_worker_that_obeyed_before_the_odds_were_known_is_called_back() -> None:
    trust, trial = Trust(plan(), BASELINES[METRIC]), open_trial()
    stop, _ = trust.judge(trial, stuck(5))
    assert stop is not None
    for number in range(1, 4):
        trust.ended(complete(number), [State("class_collapse", 0)])
    stop, told = trust.judge(trial, stuck(5))
    assert stop is None
    assert trial.recalled
    assert {verdict.level for verdict in told} == {"warn"}
    assert State("class_collapse", 0) in trust.leave(trial).held
    assert not trust.leave(trial).audited


def test_a_trial_called_back_goes_on_from_its_checkpoint(tmp_path: Path) -> None:
    chosen = plan(start_from=(COLLAPSING,), budget=Budget(trials=1), train={"epochs": 10})
    study = Study(sqlite_url(tmp_path / "study.db"), chosen.name, chosen.objectives)
    driver = Driver(chosen, study, tmp_path, lambda _event: None, baselines=BASELINES)

    def train(job: Job) -> None:
        given = {"seed": job.seed, "folder": job.folder, "since": job.since, "leave": job.leave}
        for step in run_trial(Rare(), job.options, data=None, health=chosen.health, baselines=BASELINES, **given):
            if driver.report(job.key, step) != "go_on":
                break
        driver.finish(job.key)

    first = driver.ask()
    assert first is not None
    for number in range(1, 4):  # learned while the worker was training
        driver._trust.ended(complete(number), [State("class_collapse", quarter) for quarter in range(4)])
    train(first)
    (waiting,) = study.records()
    assert (waiting.state, 0 < waiting.epochs < 10) == ("running", True)
    again = driver.ask()
    assert again is not None
    assert again.since == waiting.epochs
    train(again)
    (record,) = study.records()
    study.close()
    assert (record.state, record.epochs, record.audited) == ("complete", 10, None)


def test_stops_by_odds_alone_and_their_audit() -> None:
    warned = stuck(3)
    assert warned.stop is None
    for share in (0.0, 1.0):
        trust, trial = Trust(plan(audit=share), BASELINES[METRIC]), open_trial()
        for number in range(60):
            trust.ended(complete(number, 0.45), [State("one_class", 0)])
        trust.ended(complete(60, 0.9), [])
        stop, told = trust.judge(trial, warned)
        assert told[0].rule == "learned_odds"
        if share:
            assert stop is None
            assert trial.audited is not None
            assert trial.audited["rule"] == "learned_odds"
        else:
            assert stop is told[0]


def test_a_failed_or_stopped_run_teaches_the_odds_nothing() -> None:
    trust = Trust(plan(), BASELINES[METRIC])
    state = State("class_collapse", 0)
    for number, rule in enumerate(["class_collapse", "limit_time", "successive_halving"] * 30):
        trust.ended(replace(complete(number), state="pruned", value=None, values=(), pruned_by=rule), [state])
    trust.ended(replace(complete(99), state="failed", value=None, values=()), [state])
    for number in (100, 101):
        trust.ended(complete(number), [state])
    assert state in trust.leave(open_trial()).held  # two of two, and not two of ninety


def test_the_alarm_is_raised_once_and_names_the_rule(tmp_path: Path) -> None:
    events: list[Event] = []
    start = points(*[COLLAPSING] * 10)
    chosen = plan(start_from=start, budget=Budget(trials=10), train={"epochs": 10})
    run(chosen, tmp_path, events.append)
    raised = [event for event in events if isinstance(event, AlarmRaised)]
    assert [alarm.rule for alarm in raised] == ["class_collapse"]
    assert "8 of 8 trials were stopped by health rules, all of them by class_collapse" in raised[0].why
    before = events[: events.index(raised[0])]
    assert sum(isinstance(event, TrialFinished) for event in before) == 8


def test_the_search_ends_when_nothing_better_comes_and_goes_on_with_more_patience(tmp_path: Path) -> None:
    start = points(SOUND, COLLAPSING, BREAKING, COLLAPSING, COLLAPSING, COLLAPSING)
    chosen = plan(start_from=start, budget=Budget(trials=6), train={"epochs": 10}, stop=Stop(no_improvement=3))
    first = run(chosen, tmp_path)
    assert (first.ended_by, len(first.records)) == ("no_improvement", 4)
    assert len(run(chosen, tmp_path).records) == 4  # the same question has the same answer
    more = run(replace(chosen, stop=Stop(no_improvement=4)), tmp_path)
    assert (more.ended_by, len(more.records)) == ("no_improvement", 5)
    whole = run(replace(chosen, stop=Stop()), tmp_path)
    assert (whole.ended_by, len(whole.records)) == ("budget", 6)


def test_paused_trials_pruned_at_the_end_do_not_count_against_going_on(tmp_path: Path) -> None:
    pruner = Pruner(kind="successive_halving", reduction=4, min_epochs=2)
    stop, one = Stop(no_improvement=5), Confirm(top=1)
    chosen = plan(pruner=pruner, budget=Budget(trials=10), train={"epochs": 4}, stop=stop, confirm=one)
    first = run(chosen, tmp_path)
    assert first.ended_by == "budget"
    swept = [record for record in first.records if record.state == "pruned"]
    assert len(swept) >= 5
    longer = run(replace(chosen, budget=Budget(trials=12)), tmp_path)
    assert len(longer.records) == 12


@pytest.mark.parametrize(
    ("act", "limits", "rule"),
    [("hang", Limits(seconds=0.4), "limit_time"), ("grow", Limits(bytes=100 * 2**20), "limit_memory")],
)
def test_a_trial_over_its_limit_is_pruned_with_the_numbers(tmp_path: Path, act: str, limits: Limits, rule: str) -> None:
    start = (StartPoint("greedy", {"act": act}), SOUND)
    chosen = plan(start_from=start, budget=Budget(trials=2), limits=limits)
    greedy, sound = run(chosen, tmp_path).records
    assert (greedy.state, greedy.pruned_by, greedy.epochs) == ("pruned", rule, 2)
    assert greedy.evidence is not None
    assert greedy.evidence["limit"] in {limits.seconds, limits.bytes}
    assert greedy.violations == {"limits": pytest.approx(2 / 3)}  # two of six epochs trained
    assert sound.state == "complete"
    assert len(read_history(tmp_path / "trials/0/history.jsonl")) == 2


def test_failed_trials_are_no_reason_to_end_the_search() -> None:
    trust = Trust(plan(stop=Stop(no_improvement=2)), BASELINES[METRIC])
    lost = replace(complete(0), state="failed", value=None, values=())
    for number in range(5):
        trust.ended(replace(lost, number=number), [])
    assert not trust.stalled
    for number in (5, 6):
        trust.ended(replace(lost, number=number, state="pruned", pruned_by="class_collapse"), [])
    assert trust.stalled
