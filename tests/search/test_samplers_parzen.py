"""The densities of the default sampler: against Optuna's where both can be asked, by hand where not."""

import math

import numpy as np
import pytest
from optuna.samplers._tpe.parzen_estimator import _ParzenEstimator, _ParzenEstimatorParameters

from abr_tune.plan.distributions import Choice, IntRange, Range
from abr_tune.plan.space import Condition, Guess, Parameter, Space
from abr_tune.search.samplers.box import Box
from abr_tune.search.samplers.coordinates import distribution
from abr_tune.search.samplers.guesses import guessed
from abr_tune.search.samplers.parzen import parzen

NUMBERS = Space(
    (
        Parameter("a", Range(2.0, 10.0)),
        Parameter("lr", Range(1e-4, 1.0, log=True)),
        Parameter("layers", IntRange(1, 40)),
        Parameter("width", IntRange(8, 64, log=True)),
    )
)
CONDITIONAL = Space(
    (Parameter("loss", Choice(("a", "b"))), Parameter("g", Range(0.0, 1.0), (Condition("loss", ("b",)),)))
)


def drawn(space: Space, count: int, seed: int) -> list[dict]:
    box, stream = Box(space), np.random.default_rng(seed)
    return [box.raw(row) for row in parzen(box, np.empty((0, len(box.sides)))).sample(stream, count)]


def test_a_configuration_is_what_its_row_says() -> None:
    box = Box(NUMBERS)
    for raw in drawn(NUMBERS, 50, seed=1):
        assert box.raw(box.row(raw)) == pytest.approx(raw)
    assert box.row({"a": 4.0, "lr": 1e-2, "layers": 1, "width": 64})[:3] == pytest.approx([0.25, 0.5, 0.0125])


def test_an_inactive_coordinate_has_no_place_and_no_value() -> None:
    box = Box(CONDITIONAL)
    assert np.isnan(box.row({"loss": "a"})[1])
    assert box.raw(np.array([0.0, 0.7])) == {"loss": "a"}
    assert box.raw(np.array([1.0, 0.7])) == {"loss": "b", "g": 0.7}


def test_densities_of_numbers_are_those_of_optuna() -> None:
    """Which gives a float's density on its own scale and a whole number's mass.

    No two known configurations are equal along a coordinate: neither library promises which of them is the wider.
    """
    box = Box(NUMBERS)
    known, asked = drawn(NUMBERS, 5, seed=2), drawn(NUMBERS, 40, seed=3)
    assert all(len({raw[side.name] for raw in known}) == 5 for side in box.sides)
    ours = parzen(box, np.array([box.row(raw) for raw in known]), even=0.0)
    space = {side.name: distribution(side) for side in box.sides}
    parameters = _ParzenEstimatorParameters(0.0, True, False, np.ones, True)
    theirs = _ParzenEstimator({name: np.array([raw[name] for raw in known]) for name in space}, space, parameters)
    with np.errstate(divide="ignore"):
        logs = theirs.log_pdf({name: np.array([raw[name] for raw in asked]) for name in space})
    rows = np.array([box.row(raw) for raw in asked])
    even = np.zeros(len(asked)) - math.log(8.0) - math.log(math.log(1e4))
    for column in (2, 3):
        low, high = box.cells(rows, column)
        even += np.log(high - low)
    assert ours.log_density(rows) == pytest.approx(logs - even, abs=1e-8)


def test_choices_by_hand() -> None:
    box = Box(Space((Parameter("loss", Choice(("a", "b", "c", "d"))),)))
    # Two kernels at "a", one at "b", the even one: a kernel gives its own 1.25 / 2 and any other .25 / 2.
    density = parzen(box, np.array([[0.0], [0.0], [1.0]]))
    chance = (2 * 0.625 + 0.125 + 0.25) / 4
    assert density.log_density(np.array([[0.0]])) == pytest.approx(math.log(chance * 4))
    assert density.log_density(np.array([[3.0]])) == pytest.approx(math.log((3 * 0.125 + 0.25) / 4 * 4))


def test_a_coordinate_that_only_one_side_has_counts_as_evenly_spread() -> None:
    box = Box(CONDITIONAL)
    without = parzen(box, np.array([box.row({"loss": "a"})] * 2))
    asked = np.array([box.row({"loss": "b", "g": g}) for g in (0.1, 0.9)])
    # One kernel's choice, whatever g is: 2/3 of the weight at (1/3) / (5/3) of "b", the even third at 1/2.
    assert without.log_density(asked) == pytest.approx(2 * [math.log((2 * 0.2 + 0.5) / 3 * 2)])
    known = parzen(box, np.array([box.row({"loss": "b", "g": 0.1}), box.row({"loss": "b", "g": 0.15})]))
    near, far = known.log_density(asked)
    assert near > far
    # Asked of "a", g plays no part: 2/3 of the weight at .2 of "a" again.
    assert known.log_density(np.array([box.row({"loss": "a"})])) == pytest.approx(math.log((2 * 0.2 + 0.5) / 3 * 2))


@pytest.mark.parametrize("even", [0.0, 1.0])
def test_what_is_drawn_has_the_density_that_is_said(even: float) -> None:
    box = Box(Space((Parameter("a", Range(0.0, 1.0)),)))
    density = parzen(box, np.array([[0.2], [0.25], [0.9]]), even)
    draws = density.sample(np.random.default_rng(0), 20_000)[:, 0]
    assert ((draws >= 0) & (draws <= 1)).all()
    middles = (np.arange(1000) + 0.5) / 1000
    share = np.exp(density.log_density(middles[:, None])) / 1000
    assert share.sum() == pytest.approx(1, abs=1e-3)
    for low, high in ((0.0, 0.3), (0.3, 0.7), (0.7, 1.0)):
        inside = (middles >= low) & (middles < high)
        assert ((draws >= low) & (draws < high)).mean() == pytest.approx(share[inside].sum(), abs=0.012)


def test_a_guess_is_a_hill_that_rules_nothing_out() -> None:
    space = Space(
        (
            Parameter("lr", Range(1e-4, 1.0, log=True), guess=Guess(1e-2, "high")),
            Parameter("loss", Choice(("a", "b", "c")), guess=Guess("b", "medium")),
            Parameter("free", Range(0.0, 1.0)),
        )
    )
    box = Box(space)
    prior = guessed(box)
    assert prior is not None
    draws = prior.sample(np.random.default_rng(0), 20_000)
    # 1 of 1.1 from the guess: within one standard deviation .6827, b 4 of 6; .1 of 1.1 even: .25 and 1/3.
    assert (np.abs(draws[:, 0] - 0.5) < 0.125).mean() == pytest.approx((0.6827 + 0.1 * 0.25) / 1.1, abs=0.012)
    assert (draws[:, 1] == 1).mean() == pytest.approx((4 / 6 + 0.1 / 3) / 1.1, abs=0.012)
    assert draws[:, 2].mean() == pytest.approx(0.5, abs=0.012)
    assert prior.log_density(np.array([[0.0, 0.0, 0.5]]))[0] == pytest.approx(math.log(0.1 / 1.1), abs=0.01)
    assert guessed(Box(NUMBERS)) is None
