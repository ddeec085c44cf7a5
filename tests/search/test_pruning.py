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
    assert early.curve(2) == {}


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


def paused(values: Mapping[int, float], pruner: Pruner, epoch: int = 1, **settings) -> Field:
    field = field_of(values, pruner, epoch, **settings)
    for number in values:
        field.wait(number)
    return field


PROMOTING = Pruner(kind="successive_halving", reduction=2)


def test_the_best_of_the_best_share_goes_on_and_the_next_only_when_more_have_come() -> None:
    field = paused({0: 0.1, 1: 0.4, 2: 0.3}, PROMOTING)
    assert field.promotable(OPEN) == 1  # 3 // 2 = 1 place
    field.go_on(1)
    assert field.promotable(OPEN) is None
    field.enter(3, 20)
    field.note(3, Point(1, 1, (0.2,)))
    field.wait(3)
    assert field.promotable(OPEN) == 2  # 4 // 2 = 2 places, of which trial 1 has taken one
    assert field.judge(0, 1) is None  # whoever pauses is not stopped


def test_the_highest_rung_is_served_first() -> None:
    field = paused({0: 0.1, 1: 0.4, 2: 0.3, 3: 0.2}, PROMOTING)
    for number, value in ((1, 0.5), (2, 0.6)):
        field.go_on(number)
        field.note(number, Point(2, 2, (value,)))
        field.wait(number)
    assert field.promotable(OPEN) == 2
    field.go_on(2)
    assert field.promotable(OPEN) is None
    assert field.furthest() == 1  # at age 2, though 3 is the best of those at age 1
    for number, value in ((4, 0.9), (5, 0.8), (6, 0.3)):
        field.enter(number, 20)
        for epoch in (1, 2)[: 2 if number == 6 else 1]:
            field.note(number, Point(epoch, epoch, (value,)))
        field.wait(number)
    field.enter(7, 20)
    field.note(7, Point(1, 1, (0.0,)))
    field.note(7, Point(2, 2, (0.0,)))
    assert field.promotable(OPEN) == 1  # the second of four at age 2, though 4 and 5 lead at age 1
    field.go_on(1)
    assert field.promotable(OPEN) == 4


def test_what_stays_behind_is_told_with_its_numbers() -> None:
    field = paused({0: 0.1, 1: 0.4, 2: 0.3}, PROMOTING)
    verdict = field.left_behind(0, OPEN)
    assert (verdict.rule, verdict.epoch) == ("successive_halving", 1)
    assert verdict.evidence == {"value": 0.1, "ahead": 2, "reached": 3, "places": 1, "age": 1}
    assert verdict.why.startswith("at epoch 1 2 of the 3 trials that got there are better than 0.1; it waited")


def test_hyperband_spreads_its_brackets_in_proportion() -> None:
    """20 epochs, reduction 4: rungs 1, 4, 16; ceil(3/3 16), ceil(3/2 4), ceil(3/1 1) = 16, 6, 3 of 25 trials."""
    band = Pruner(kind="hyperband", reduction=4)
    first = [milestones(band, 20, number)[0] for number in range(25)]
    assert [first.count(rung) for rung in (1, 4, 16)] == [16, 6, 3]
    assert [milestones(band, 20, number)[0] for number in range(25, 50)] == first
    # All brackets are met early, each about as often as it should be.
    assert {first.index(rung) for rung in (1, 4, 16)} <= set(range(8))
    for count in range(1, 26):
        assert abs(first[:count].count(1) - 16 * count / 25) <= 1


def test_hyperband_compares_within_a_bracket() -> None:
    band = Pruner(kind="hyperband", reduction=2, promote=False)
    by_bracket = {1: [], 2: []}
    for number in range(40):
        by_bracket.setdefault(milestones(band, 4, number)[0], []).append(number)
    low, high = by_bracket[1][:2], by_bracket[2][:2]
    field = Field(band, UP)
    for number, value in zip([*low, *high], (0.9, 0.8, 0.1, 0.2), strict=True):
        field.enter(number, 4)
        for epoch in (1, 2):
            field.note(number, Point(epoch, epoch, (value,)))
    assert field.judge(low[0], 2) is None
    assert field.judge(low[1], 2).evidence["reached"] == 2
    assert field.judge(high[1], 2) is None  # the best of its bracket, though both of the other are better
    assert field.judge(high[0], 2).evidence == {"value": 0.1, "ahead": 1, "reached": 2, "places": 1, "age": 2}


def test_screening_waits_for_everybody_and_keeps_a_share() -> None:
    rule = Pruner(kind="screening", keep=0.5, min_epochs=2)
    field = paused({0: 0.1, 1: 0.4, 2: 0.3, 3: 0.2}, rule, epoch=2)

    def sure(arriving: int | None, top: int = 1) -> int | None:
        return field.promotable(Outlook(trials=4, top=top, arriving=arriving))

    assert sure(None) is None  # more trials may begin
    assert sure(2) is None  # two that still arrive may both be better: 2 - 2 places are sure
    assert sure(1) == 1
    field.go_on(1)
    assert sure(1) is None
    assert sure(0) == 2
    field.go_on(2)
    assert sure(0) is None
    assert sure(0, top=3) == 3  # as many as are to be confirmed
    verdict = field.left_behind(0, Outlook(trials=4, top=1, arriving=0))
    assert (verdict.rule, verdict.evidence["ahead"], verdict.evidence["places"]) == ("screening", 3, 2)


def folds(field: Field, number: int, values: list[float], *, done: bool = False) -> None:
    field.enter(number, None)
    for epoch, value in enumerate(values, 1):
        field.note(number, Point(epoch, epoch, (value,)))
    if done:
        field.leave(number, complete=True)


def test_wilcoxon_asks_for_evidence_over_the_folds() -> None:
    """n pairs that are all worse have p = 1 / 2^n: 4 of them are under 0.1, 3 are not."""
    rule = Pruner(kind="wilcoxon", p_value=0.1)
    field = Field(rule, UP)
    folds(field, 0, [0.3, 0.3, 0.3, 0.3, 0.3], done=True)
    folds(field, 1, [0.5, 0.6, 0.7, 0.8, 0.9], done=True)
    folds(field, 2, [0.4, 0.4, 0.4])
    assert field.judge(2, 3) is None
    field.note(2, Point(4, 4, (0.4,)))
    verdict = field.judge(2, 4)
    assert verdict.evidence == {"value": 0.4, "p": 0.0625, "trial": 1, "reports": 4}
    assert "p = 0.0625 under 0.1" in verdict.why
    folds(field, 3, [0.1, 0.1, 0.1, 0.1, 9.0])
    assert field.judge(3, 5) is None  # its mean is better


def test_the_value_of_folds_is_their_mean() -> None:
    field = Field(Pruner(kind="wilcoxon"), UP)
    folds(field, 0, [0.2, 0.4, 0.9])
    assert field.worth(0, (0.9,)) == (0.5,)
    assert field.curve(0) == {1: (0.2,), 2: (pytest.approx(0.3),), 3: (0.5,)}
    assert Field(Pruner(kind="none"), UP).pauses is False


BOTH = (Objective("val/toy/score"), Objective("val/toy/error", "minimize"))


def test_every_pruner_takes_several_objectives() -> None:
    """Trials 0 and 1 are each best in one; 2 is worse than both in both, and 3 worse than all."""
    values = {0: (0.9, 0.5), 1: (0.5, 0.1), 2: (0.4, 0.6), 3: (0.3, 0.7)}

    def field_with(pruner: Pruner, reports: int = 1) -> Field:
        field = Field(pruner, BOTH)
        for number, value in values.items():
            field.enter(number, 20)
            for epoch in range(1, reports + 1):
                field.note(number, Point(epoch, epoch, value))
        return field

    halving = field_with(HALVING)
    assert [halving.judge(number, 1) is None for number in range(4)] == [True, True, False, False]
    assert halving.judge(3, 1).evidence == {
        "value_0": 0.3,
        "value_1": 0.7,
        "ahead": 3,
        "reached": 4,
        "places": 2,
        "age": 1,
    }
    promoting = field_with(PROMOTING)
    for number in values:
        promoting.wait(number)
    assert promoting.promotable(OPEN) == 0
    promoting.go_on(0)
    assert promoting.promotable(OPEN) == 1
    promoting.go_on(1)
    assert promoting.promotable(OPEN) is None
    median = field_with(Pruner(kind="median", startup_trials=3))
    for number in (0, 1, 2):
        median.leave(number, complete=True)
    assert median.judge(3, 1).evidence["better"] == 3
    wilcoxon = field_with(Pruner(kind="wilcoxon"), reports=4)
    for number in (0, 1):
        wilcoxon.leave(number, complete=True)
    assert wilcoxon.judge(2, 4).evidence["p"] == 0.0625


def test_constraints_decide_before_the_objective() -> None:
    field = Field(HALVING, UP)
    for number, (value, violation) in enumerate([(0.9, 0.2), (0.2, 0.0), (0.8, 0.1), (0.1, 0.0)]):
        field.enter(number, 20)
        field.note(number, Point(1, 1, (value,), violation))
    assert [field.judge(number, 1) is None for number in range(4)] == [False, True, False, True]
    assert "constraints missed by 0.2" in field.judge(0, 1).why
