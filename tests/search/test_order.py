"""Order among trials: by one objective, by several, and with constraints missed."""

import random

import pytest
from hypothesis import given, settings, strategies as st

from abr_tune.search.pruning.order import Level, crowding, dominates, fronts, losses
from core.tasks.task import Objective

UP, DOWN = Objective("val/a/score"), Objective("val/b/error", "minimize")
INFINITE = float("inf")


def test_losses_turn_the_objectives() -> None:
    assert losses((0.5, 3.0), (UP, DOWN)) == (-0.5, 3.0)


def test_fronts_by_hand() -> None:
    #  (1, 4) and (2, 2) and (4, 1) are best; (3, 3) is beaten by (2, 2); (4, 4) also by (3, 3)
    assert fronts([(1, 4), (4, 4), (2, 2), (3, 3), (4, 1)]) == [0, 2, 0, 1, 0]
    assert fronts([(1, 1), (1, 1)]) == [0, 0]
    assert fronts([]) == []


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 3).flatmap(lambda n: st.lists(st.tuples(*[st.integers(0, 4)] * n), max_size=25)))
def test_fronts_are_what_peeling_finds(points: list[tuple[int, ...]]) -> None:
    left, rank, expected = set(range(len(points))), 0, {}
    while left:
        best = {i for i in left if not any(dominates(points[j], points[i]) for j in left)}
        expected |= dict.fromkeys(best, rank)
        left, rank = left - best, rank + 1
    assert fronts(points) == [expected[i] for i in range(len(points))]


def test_crowding_by_hand() -> None:
    # Spans 4 and 4; of (1, 2) the neighbours are (0, 4) and (4, 0): 4/4 + 4/4
    assert crowding([(0, 4), (1, 2), (4, 0)]) == [INFINITE, 2.0, INFINITE]
    assert crowding([(1, 1), (1, 1), (1, 1)])[1] == 0.0


def level_of(objectives, marks: dict[int, tuple[tuple[float, ...], float]]) -> Level:
    level = Level(objectives)
    for number, (values, violation) in marks.items():
        level.put(number, values, violation)
    return level


def test_infeasible_trials_come_behind_feasible_ones_and_by_how_much_they_miss() -> None:
    level = level_of((UP,), {0: ((0.9,), 0.5), 1: ((0.1,), 0.0), 2: ((0.2,), 0.0), 3: ((0.0,), 0.1)})
    assert list(level.order()) == [2, 1, 3, 0]
    assert [level.ahead(number) for number in range(4)] == [3, 1, 0, 2]


def test_several_objectives_rank_by_front_and_then_by_room() -> None:
    values = {0: (0.0, 0.0), 1: (0.4, 0.3), 2: (0.5, 0.5), 3: (1.0, 1.0), 4: (0.1, 0.9), 5: (0.9, 5.0)}
    level = level_of((UP, DOWN), {number: (value, 0.0) for number, value in values.items()})
    # Front: 0, 1, 2, 3 (more score, more error). 4 has a worse score than 1 and more error; 5 is worse than 3 in both.
    # Ends 0 and 3 have infinite room; of 1: 0.5 / 1 + 0.5 / 1 = 1.0, of 2: 0.6 / 1 + 0.7 / 1 = 1.3
    assert list(level.order())[:4] == [0, 3, 2, 1]
    assert level.ahead(0) == level.ahead(3) == 0
    assert (level.ahead(2), level.ahead(1)) == (2, 3)
    assert set(list(level.order())[4:]) == {4, 5}
    missed = level_of((UP, DOWN), {0: ((0.0, 0.0), 0.1), 1: ((0.0, 9.0), 0.0)})
    assert list(missed.order()) == [1, 0]


@pytest.mark.parametrize("objectives", [(UP,), (UP, DOWN)])
def test_a_trial_is_ranked_among_all_that_came_since_somebody_asked(objectives) -> None:
    level = level_of(objectives, {n: ((-float(n), float(n))[: len(objectives)], 0.0) for n in range(4)})
    assert level.ahead(3) == 3


@pytest.mark.parametrize("objectives", [(UP,), (UP, DOWN)])
def test_who_waits_goes_on_only_from_the_first_places(objectives) -> None:
    level = level_of(objectives, {number: ((number / 10, 0.5)[: len(objectives)], 0.0) for number in range(10)})
    assert level.first() is None
    level.wait(3)
    level.wait(5)
    assert [level.first(places) for places in (0, 4, 5, None)] == [None, None, 5, 5]
    level.put(10, (0.9, 0.5)[: len(objectives)], 0.0)
    assert level.first(5) is None
    level.go_on(5)
    assert (level.first(7), level.first(8), level.waiting) == (None, 3, {3})
    level.drop(3)
    assert level.first() is None


@pytest.mark.parametrize("objectives", [(UP,), (UP, DOWN)])
def test_the_order_does_not_depend_on_who_came_first(objectives) -> None:
    rng = random.Random(0)
    marks = {n: (tuple(rng.randint(0, 4) / 4 for _ in objectives), rng.choice([0.0, 0.0, 0.5])) for n in range(40)}
    shuffled = dict(rng.sample(sorted(marks.items()), len(marks)))
    level, other = level_of(objectives, marks), level_of(objectives, shuffled)
    for number in (3, 7, 11):
        other.put(number, tuple(0.0 for _ in objectives), 0.9)
        other.drop(number)
        other.put(number, *marks[number])
    assert list(level.order()) == list(other.order())
    assert [level.ahead(number) for number in marks] == [other.ahead(number) for number in marks]
