"""Ranking rules on curves small enough to check by hand."""

from collections.abc import Mapping
from typing import get_args

import pytest

from abr_tune.plan.plan import Pruner, PrunerName
from abr_tune.search.fidelity import Point
from abr_tune.search.pruning import PRUNERS, Field, Outlook, milestones, rungs
from core.tasks.task import Objective

HALVING = Pruner(kind="successive_halving", reduction=2, promote=False)
UP = (Objective("val/toy/score"),)
DOWN = (Objective("val/toy/error", "minimize"),)
OPEN = Outlook(trials=100, top=3, arriving=None)


def field_of(values: Mapping[int, float], pruner: Pruner, epoch: int = 1, objectives=UP, length: int = 20) -> Field:
    field = Field(pruner, objectives)
    for number, value in values.items():
        field.enter(number, length)
        field.note(number, Point(epoch, epoch, (value,)))
    return field


def test_every_pruner_has_its_method() -> None:
    assert set(PRUNERS) == set(get_args(PrunerName))


def test_rungs_grow_and_stay_below_the_last_epoch() -> None:
    assert rungs(Pruner(reduction=4, min_epochs=1), 20) == (1, 4, 16)
    assert rungs(Pruner(reduction=4, min_epochs=1), 16) == (1, 4)
    assert rungs(Pruner(reduction=3, min_epochs=2), 20) == (2, 6, 18)
    with pytest.raises(ValueError, match="cannot grow"):
        rungs(Pruner(reduction=1), 20)


def test_only_rungs_make_a_worker_wait() -> None:
    assert milestones(HALVING, 5, 0) == (1, 2, 4)
    assert milestones(Pruner(kind="screening", min_epochs=3), 20, 0) == (3,)
    assert milestones(Pruner(kind="median"), 5, 0) == ()


def test_halving_keeps_the_top_half_at_a_rung() -> None:
    field = field_of({0: 0.1, 1: 0.2, 2: 0.3, 3: 0.4}, HALVING)
    assert [field.judge(number, 1) is None for number in range(4)] == [False, False, True, True]
    verdict = field.judge(1, 1)
    assert verdict.rule == "successive_halving"
    assert verdict.evidence == {"value": 0.2, "ahead": 2, "reached": 4, "places": 2, "age": 1}


def test_halving_minimizes_too() -> None:
    field = field_of({0: 0.1, 1: 0.2, 2: 0.3, 3: 0.4}, HALVING, objectives=DOWN)
    assert [field.judge(number, 1) is None for number in range(4)] == [True, True, False, False]


def test_the_first_to_reach_a_rung_goes_on_and_equals_share_a_place() -> None:
    assert field_of({0: 0.1}, HALVING).judge(0, 1) is None
    assert field_of({0: 0.1, 1: 0.1}, HALVING).judge(1, 1) is None


def test_ages_are_never_mixed() -> None:
    field = field_of({0: 0.9, 1: 0.9}, HALVING, epoch=16)
    field.enter(2, 20)
    field.note(2, Point(4, 4, (0.1,)))
    assert field.judge(2, 4) is None


def test_between_rungs_and_at_age_0_nothing_is_judged() -> None:
    field = field_of({0: 0.9, 1: 0.8, 2: 0.1}, HALVING, epoch=3)
    assert field.judge(2, 3) is None
    early = Field(HALVING, UP)
    for number, value in enumerate((0.9, 0.8, 0.1)):
        early.enter(number, 20)
        early.note(number, Point(1, 0, (value,)))
    assert early.judge(2, 1) is None


def test_a_trial_whose_classes_begin_later_is_compared_later() -> None:
    """Two at epoch 1 of their classes, one of them in its fifth epoch: what they had at the epochs does not count."""
    field = Field(HALVING, UP)
    field.enter(0, 20)
    field.enter(1, 20)
    field.note(0, Point(1, 1, (0.5,)))
    for epoch in range(1, 5):
        field.note(1, Point(epoch, 0, (0.9,)))
    field.note(1, Point(5, 1, (0.2,)))
    assert field.judge(1, 5).evidence == {"value": 0.2, "ahead": 1, "reached": 2, "places": 1, "age": 1}
    assert "epoch 5 (age 1)" in field.judge(1, 5).why


def complete(field: Field, values: Mapping[int, float], epochs: int = 2) -> None:
    for number, value in values.items():
        field.enter(number, epochs)
        for epoch in range(1, epochs + 1):
            field.note(number, Point(epoch, epoch, (value,)))
        field.leave(number, complete=True)


def test_median_asks_for_complete_trials_and_compares_the_best_so_far() -> None:
    rule = Pruner(kind="median", startup_trials=3, min_epochs=2)
    field = field_of({3: 0.3}, rule, epoch=2)
    complete(field, {0: 0.2, 1: 0.4})
    assert field.judge(3, 2) is None
    complete(field, {2: 0.6})
    assert field.judge(3, 2).evidence == {"best": 0.3, "median": 0.4, "trials": 3, "age": 2}
    better = field_of({3: 0.5}, rule)
    complete(better, {0: 0.2, 1: 0.4, 2: 0.6})
    assert better.judge(3, 1) is None  # before min_epochs
    better.note(3, Point(2, 2, (0.3,)))
    assert better.judge(3, 2) is None  # its best, 0.5, is above the median
    even = field_of({3: 0.45}, rule, epoch=2)
    complete(even, {0: 0.2, 1: 0.4, 2: 0.6, 4: 0.8})
    assert even.judge(3, 2).evidence["median"] == 0.5  # between 0.4 and 0.6


def test_a_fresh_start_replaces_the_earlier_attempt() -> None:
    field = Field(HALVING, UP)
    field.enter(0, 20)
    for epoch in (1, 2, 3):
        field.note(0, Point(epoch, epoch, (0.5,)))
    field.note(0, Point(1, 1, (0.2,)))
    assert field.curve(0) == {1: (0.2,)}
    field.enter(1, 20)
    field.note(1, Point(1, 1, (0.4,)))
    field.note(1, Point(2, 2, (0.4,)))
    assert field.judge(1, 2) is None  # the first trial is not at age 2 any more
