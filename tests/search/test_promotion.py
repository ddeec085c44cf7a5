"""Whatever the order in which workers report: who goes on has earned it, at the same age, and the budget is exact."""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from hypothesis import given, settings, strategies as st

from abr_tune.plan.plan import Budget, Confirm, Plan, Pruner
from abr_tune.search.driver import Driver
from abr_tune.search.events import Event, TrialStarted
from abr_tune.search.executor import Job
from abr_tune.search.fidelity import Point
from abr_tune.search.memory import MemoryStudy
from abr_tune.search.pruning import Field, Outlook
from abr_tune.trial import TrialStep
from core.report import EpochReport
from core.tasks.task import Objective
from tests.search.tasks import plan

EPOCHS = 9
UP, DOWN = Objective("val/a/score"), Objective("val/b/error", "minimize")


@dataclass
class Workers:
    """Trains what a driver hands out, one epoch of a worker chosen at random after another; nothing is simulated
    but the learning curves: trial n has `quality[n]` at every age."""

    driver: Driver
    quality: Mapping[int, tuple[float, ...]]
    rng: random.Random
    count: int
    busy: dict[int, tuple[Job, int]] = field(default_factory=dict)
    trained: dict[int, int] = field(default_factory=dict)

    def run(self, *, at_most: int = 10_000) -> None:
        for _ in range(at_most):
            if len(self.busy) < self.count and self.rng.random() < 0.7 and (job := self.driver.ask()) is not None:
                assert job.key not in self.busy, "two workers train the same trial"
                assert job.since == self.trained.get(job.key, 0), "a trial goes on from where it stood"
                self.busy[job.key] = (job, job.since)
            if not self.busy:
                if self.driver.done:
                    return
                continue
            self.epoch_of(self.rng.choice(sorted(self.busy)))
        raise AssertionError("the search does not end")

    def epoch_of(self, key: int) -> None:
        job, done = self.busy[key]
        if done < EPOCHS:
            values = self.quality[key % len(self.quality)]
            metrics = {one.metric: value for one, value in zip((UP, DOWN), values, strict=False)}
            report = EpochReport(epoch=done + 1, phase="all", metrics=metrics)
            ruling = self.driver.report(key, TrialStep(report))
            self.trained[key] = done + 1
            self.busy[key] = (job, done + 1)
            if ruling == "go_on":
                return
        self.driver.finish(key)
        del self.busy[key]


def search(chosen: Plan, quality: Mapping[int, tuple[float, ...]], seed: int, workers: int):
    events: list[Event] = []
    study = MemoryStudy()
    driver = Driver(chosen, study, Path("nowhere"), events.append)
    pool = Workers(driver, quality, random.Random(seed), workers)
    pool.run()
    driver.stopped()
    assert driver.ended_by == "budget"
    return study.records(), events, pool.trained


qualities = st.lists(st.integers(0, 5), min_size=1, max_size=12)


@settings(max_examples=40, deadline=None)
@given(
    qualities,
    st.integers(0, 99),
    st.integers(1, 4),
    st.integers(1, 14),
    st.integers(0, 3),
    st.sampled_from(["successive_halving", "hyperband", "screening"]),
    st.integers(1, 2),
)
def test_the_budget_is_exact_and_enough_get_to_the_end(levels, seed, workers, trials, top, kind, objectives) -> None:
    rng = random.Random(seed)
    quality = {number: (level / 5, rng.randint(0, 3))[:objectives] for number, level in enumerate(levels)}
    chosen = plan(
        objectives=(UP, DOWN)[:objectives],
        pruner=Pruner(kind=kind, reduction=2, keep=0.25),
        budget=Budget(trials=trials),
        confirm=Confirm(top=top),
        train={"epochs": EPOCHS},
    )
    records, _, trained = search(chosen, quality, seed, workers)
    assert len(records) == trials
    assert {record.state for record in records} <= {"complete", "pruned"}
    assert sum(record.state == "complete" for record in records) >= min(max(top, 1), trials)
    for record in records:
        assert record.epochs == trained[record.number]
        assert record.epochs == EPOCHS if record.state == "complete" else record.epochs in {1, 2, 4, 8}


@settings(max_examples=40, deadline=None)
@given(st.permutations(range(12)), st.integers(0, 99), st.integers(1, 4))
def test_who_goes_on_was_among_the_best_half_of_its_rung(order, seed, workers) -> None:
    quality = {number: (value / 12,) for number, value in enumerate(order)}
    chosen = plan(
        objectives=(UP,),
        pruner=Pruner(kind="successive_halving", reduction=2),
        budget=Budget(trials=12),
        confirm=Confirm(top=0),
        train={"epochs": EPOCHS},
    )
    _, _, trained = search(chosen, quality, seed, workers)
    for rung, following in ((1, 2), (2, 4), (4, 8), (8, EPOCHS)):
        reached = [number for number, epochs in trained.items() if epochs >= rung]
        ahead = {number: sum(quality[other] > quality[number] for other in reached) for number in reached}
        behind = [number for number in reached if trained[number] < following]
        # Who was among the best half when it went on may have been overtaken since; nobody of the best half stays.
        assert all(ahead[number] >= len(reached) // 2 for number in behind)


@settings(max_examples=40, deadline=None)
@given(st.permutations(range(12)), st.integers(1, 3), st.integers(2, 4))
def test_at_the_moment_it_goes_on_a_trial_is_among_the_best_share(order, rung, reduction) -> None:
    ladder = Field(Pruner(kind="successive_halving", reduction=reduction), (UP,))
    here: dict[int, int] = {}
    gone: list[int] = []
    for number, value in enumerate(order):
        ladder.enter(number, 100)
        ladder.note(number, Point(1, 1, (float(value),)))
        ladder.wait(number)
        here[number] = value
        while (
            number % rung == 0 and (chosen := ladder.promotable(Outlook(trials=12, top=1, arriving=None))) is not None
        ):
            better = sum(other > here[chosen] for other in here.values())
            assert better < len(here) // reduction
            assert chosen not in gone
            assert all(here[chosen] > here[other] for other in here if other not in gone and other != chosen)
            ladder.go_on(chosen)
            gone.append(chosen)


FOUR = plan(
    objectives=(UP,),
    pruner=Pruner(kind="successive_halving", reduction=2),
    budget=Budget(trials=4),
    confirm=Confirm(top=0),
    train={"epochs": EPOCHS},
)
"""Rungs 1, 2, 4, 8 of 9 epochs."""


def starts_of(events: list[Event]) -> list[tuple[int, int]]:
    return [(event.number, event.resumed_at) for event in events if isinstance(event, TrialStarted)]


def test_one_worker_by_hand_while_trials_get_better() -> None:
    """0 pauses at 1. 1 comes there, is the best of 2 and goes straight on; at 2 it is alone and pauses. 2 comes to 1,
    where one of three may go on and 2 is the best: straight on to 2, the best of 2 there, on to 4, alone, paused.
    3 likewise leaves rungs 1, 2 and 4 as the best. At 8 it is alone, but nothing is left to begin and nobody has come
    to the end: it goes on.
    """
    records, events, trained = search(FOUR, {n: ((n + 1) / 10,) for n in range(4)}, 0, 1)
    assert trained == {0: 1, 1: 2, 2: 4, 3: 9}
    assert [record.state for record in records] == ["pruned"] * 3 + ["complete"]
    assert starts_of(events) == [(0, 0), (1, 0), (2, 0), (3, 0)]
    assert records[0].evidence == {"value": 0.1, "ahead": 3, "reached": 4, "places": 2, "age": 1}


def test_one_worker_by_hand_while_trials_get_worse() -> None:
    """0 and 1 pause at 1; 0 is the best of 2: on to 2, alone, paused. 2 pauses at 1: of three one may go on, which 0
    did. 3 pauses too, but of four two may: 1 goes on to 2, where 0 is the best of 2 and goes on to 4. Nothing is left
    to begin and nobody deserves to go on: 0, the furthest, does so to its end.
    """
    records, events, trained = search(FOUR, {n: ((4 - n) / 10,) for n in range(4)}, 0, 1)
    assert trained == {0: 9, 1: 2, 2: 1, 3: 1}
    assert [record.state for record in records] == ["complete"] + ["pruned"] * 3
    assert starts_of(events) == [(0, 0), (1, 0), (0, 1), (2, 0), (3, 0), (1, 1), (0, 2)]


@pytest.mark.parametrize("kind", ["none", "median", "wilcoxon"])
def test_pruners_that_do_not_pause_train_straight_on(kind) -> None:
    chosen = plan(
        objectives=(UP,),
        pruner=Pruner(kind=kind, startup_trials=1),
        budget=Budget(trials=6),
        train={"epochs": EPOCHS},
    )
    quality = {number: (1 - number / 10,) for number in range(6)}
    records, events, _ = search(chosen, quality, 1, 1)
    starts = [event.number for event in events if isinstance(event, TrialStarted)]
    assert starts == list(range(6))
    epochs = [record.epochs for record in records]
    expected = {"none": [9] * 6, "median": [9] + [1] * 5, "wilcoxon": [9] + [4] * 5}
    assert epochs == expected[kind]
