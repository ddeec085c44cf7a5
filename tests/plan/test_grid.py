"""The grid of a space: its values, and how many combinations they make."""

import pytest

from abr_tune.plan.distributions import Choice, IntRange, Range
from abr_tune.plan.grid import combinations, grid_values, needs_points
from abr_tune.plan.ordered import OrderedList
from abr_tune.plan.space import Categorical, Condition, Coordinate, Float, Int, Parameter, Space


@pytest.mark.parametrize(
    ("domain", "points", "values"),
    [
        (Categorical(("a", "b")), None, ("a", "b")),
        (Categorical(("a", "b")), 1, ("a", "b")),
        (Int(1, 4), None, (1, 2, 3, 4)),
        (Int(1, 4), 9, (1, 2, 3, 4)),
        (Int(1, 9), 3, (1, 5, 9)),
        (Float(0.0, 1.0), 3, (0.0, 0.5, 1.0)),
        (Float(0.0, 1.0), 1, (0.5,)),
        (Float(1e-4, 1e-2, log=True), 3, (1e-4, pytest.approx(1e-3), 1e-2)),
    ],
)
def test_values_go_from_end_to_end(domain: Float | Int | Categorical, points: int | None, values: object) -> None:
    assert tuple(grid_values(Coordinate("x", domain), points)) == values


def test_a_range_that_does_not_say_how_many_has_no_grid() -> None:
    assert needs_points(Parameter("x", Range(0, 1)))
    assert not needs_points(Parameter("x", Range(0, 1), points=2))
    assert not needs_points(Parameter("x", IntRange(0, 9)))
    with pytest.raises(ValueError, match="x does not say how many points"):
        combinations(Space((Parameter("x", Range(0, 1)),)), enough=10)


SPACE = Space(
    (
        Parameter("loss", Choice(("plain", "focal"))),
        Parameter("gamma", Range(0, 4), (Condition("loss", ("focal",)),), points=3),
        Parameter("boundaries", OrderedList(2, (0, 1)), points=2),
    )
)


def test_paths_that_are_not_searched_do_not_multiply_the_combinations() -> None:
    # plain once, focal with 3 gammas: 4; times two coordinates of 2 points each: 16.
    assert combinations(SPACE, enough=100) == 16


def test_counting_ends_once_there_are_enough() -> None:
    assert combinations(SPACE, enough=10) > 10
    assert combinations(Space((Parameter("n", IntRange(1, 10**30)),)), enough=10) == 10**30
