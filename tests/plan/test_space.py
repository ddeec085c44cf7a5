"""The space is a bijection with a box: round trips, order, uniformity, conditions."""

import math
import random
from graphlib import CycleError

import pytest
from hypothesis import given, settings, strategies as st

from abr_tune.plan.distributions import Choice, Coordinate, Distribution, IntRange, Range
from abr_tune.plan.ordered import OrderedList, OrderedPair, Simplex
from abr_tune.plan.space import Categorical, Condition, Float, Int, OutsideSpace, Parameter, Space

numbers = st.floats(-1e3, 1e3).map(lambda number: round(number, 3))
positive = st.floats(1e-6, 1e6)
share = st.floats(0, 1)


def pairs(values: st.SearchStrategy[float]) -> st.SearchStrategy[tuple[float, float]]:
    return (
        st.tuples(values, values)
        .map(lambda two: (min(two), max(two)))
        .filter(lambda two: two[1] - two[0] > 1e-3 * abs(two[0]) + 1e-3)
    )


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | st.text("ab", max_size=2),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text("ab", max_size=1), inner, max_size=2),
    max_leaves=4,
)
distributions = st.one_of(
    pairs(numbers).map(lambda ends: Range(*ends)),
    pairs(positive).filter(lambda ends: ends[1] > 1.01 * ends[0]).map(lambda ends: Range(*ends, log=True)),
    st.tuples(st.integers(1, 9), st.integers(10, 99), st.booleans()).map(lambda three: IntRange(*three)),
    st.lists(json_values, min_size=1, max_size=4, unique_by=repr).map(lambda values: Choice(tuple(values))),
    st.tuples(pairs(numbers), pairs(numbers))
    .filter(lambda two: two[1][1] - two[0][0] > 1)
    .map(lambda two: OrderedPair(*two)),
    st.tuples(st.integers(1, 6), pairs(numbers)).map(lambda two: OrderedList(*two)),
    st.integers(2, 5).map(lambda count: Simplex(tuple("abcde"[:count]))),
)


def close(a: object, b: object) -> bool:
    """Equal up to rounding, through lists and mappings."""
    if isinstance(a, float) and isinstance(b, int | float):
        return math.isclose(a, b, rel_tol=1e-6, abs_tol=1e-6)
    if isinstance(a, list) and isinstance(b, list):
        return all(close(x, y) for x, y in zip(a, b, strict=True))
    if isinstance(a, dict) and isinstance(b, dict):
        return a.keys() == b.keys() and all(close(a[key], b[key]) for key in a)
    return a == b and isinstance(a, bool) == isinstance(b, bool)


def inside(side: Coordinate, raw: object) -> bool:
    if isinstance(side.domain, Categorical):
        return raw in side.domain.choices
    assert isinstance(raw, int | float)
    return side.domain.low <= raw <= side.domain.high


@given(distributions, st.data())
def test_every_proposal_is_encoded_inside_the_box_and_comes_back(spread: Distribution, data: st.DataObject) -> None:
    sides = spread.coordinates("p")
    value = spread.decode([side.at(data.draw(share)) for side in sides])
    raw = spread.encode(value)
    assert all(inside(side, part) for side, part in zip(sides, raw, strict=True))
    assert close(value, spread.decode(raw))


@given(pairs(numbers), pairs(numbers), share, share)
def test_pairs_are_ordered_and_within_their_ranges(
    low: tuple[float, float], high: tuple[float, float], u: float, v: float
) -> None:
    if low[0] >= high[1]:
        with pytest.raises(ValueError, match="low cannot lie below high"):
            OrderedPair(low, high)
        return
    spread = OrderedPair(low, high)
    pair = spread.decode([side.at(part) for side, part in zip(spread.coordinates("p"), (u, v), strict=True)])
    assert low[0] <= pair["low"] <= low[1]
    assert high[0] <= pair["high"] <= high[1]
    assert pair["low"] <= pair["high"]


@given(st.lists(share, min_size=1, max_size=8), pairs(numbers))
def test_lists_increase_within_their_ends(shares: list[float], within: tuple[float, float]) -> None:
    values = OrderedList(len(shares), within).decode(shares)
    assert values == sorted(values)
    assert within[0] <= values[0] <= values[-1] <= within[1]


@given(st.lists(share, min_size=1, max_size=6))
def test_shares_are_not_negative_and_sum_to_one(shares: list[float]) -> None:
    value = Simplex(tuple("abcdefg"[: len(shares) + 1])).decode(shares)
    assert min(value.values()) >= 0
    assert math.isclose(sum(value.values()), 1, abs_tol=1e-12)


def uniform_draws(spread: Distribution, count: int = 20_000) -> list[object]:
    draw = random.Random(1)
    sides = spread.coordinates("p")
    return [spread.decode([side.at(draw.random()) for side in sides]) for _ in range(count)]


def mean(values: list[float]) -> float:
    return sum(values) / len(values)


def test_lists_have_the_moments_of_order_statistics() -> None:
    # The i-th of 3 uniform numbers is Beta(i, 4 - i): means 1/4, 1/2, 3/4; variances 3/80, 4/80, 3/80.
    draws = uniform_draws(OrderedList(3, (0.0, 1.0)))
    for i, (centre, variance) in enumerate([(1 / 4, 3 / 80), (1 / 2, 4 / 80), (3 / 4, 3 / 80)]):
        values = [draw[i] for draw in draws]
        assert mean(values) == pytest.approx(centre, abs=0.005)
        assert mean([(value - centre) ** 2 for value in values]) == pytest.approx(variance, abs=0.002)


def test_shares_are_uniform_on_the_simplex() -> None:
    # Dirichlet(1, 1, 1): mean 1/3, variance (1/3)(2/3)/4 = 1/18, covariance -(1/9)/4 = -1/36, for every name alike.
    draws = uniform_draws(Simplex(("a", "b", "c")))
    for name in "abc":
        values = [draw[name] - 1 / 3 for draw in draws]
        assert mean(values) == pytest.approx(0, abs=0.006)
        assert mean([value**2 for value in values]) == pytest.approx(1 / 18, abs=0.003)
    assert mean([(draw["a"] - 1 / 3) * (draw["c"] - 1 / 3) for draw in draws]) == pytest.approx(-1 / 36, abs=0.002)


@pytest.mark.parametrize(
    ("low", "high"),
    [((0.0, 2.0), (1.0, 3.0)), ((0.0, 1.0), (0.0, 1.0)), ((0.0, 5.0), (1.0, 2.0)), ((2.0, 5.0), (1.0, 4.0))],
    ids=["overlap", "same", "low-reaches-beyond", "low-starts-inside"],
)
def test_overlapping_pairs_are_uniform_over_the_ordered_region(
    low: tuple[float, float], high: tuple[float, float]
) -> None:
    draws = uniform_draws(OrderedPair(low, high))
    draw = random.Random(2)
    free = [(draw.uniform(*low), draw.uniform(*high)) for _ in range(120_000)]
    rejected = [pair for pair in free if pair[0] <= pair[1]]  # the slow way, as a reference
    for power in (1, 2):
        assert mean([pair["low"] ** power for pair in draws]) == pytest.approx(
            mean([a**power for a, _ in rejected]), rel=0.03
        )
        assert mean([pair["high"] ** power for pair in draws]) == pytest.approx(
            mean([b**power for _, b in rejected]), rel=0.03
        )
    product = mean([pair["low"] * pair["high"] for pair in draws])
    assert product == pytest.approx(mean([a * b for a, b in rejected]), rel=0.03)


def test_pairs_that_cannot_cross_keep_their_own_numbers_as_coordinates() -> None:
    space = Space((Parameter("balance.clamp", OrderedPair((0.2, 1.0), (1.0, 6.0))),))
    assert space.coordinates == (
        Coordinate("balance.clamp.low", Float(0.2, 1.0)),
        Coordinate("balance.clamp.high", Float(1.0, 6.0)),
    )
    assert space.encode({"balance.clamp": {"low": 0.75, "high": 1.5}}) == {
        "balance.clamp.low": 0.75,
        "balance.clamp.high": 1.5,
    }


def test_hand_computed_order_statistics() -> None:
    # Smallest of two: 1 - (1 - 3/4)^(1/2) = 1/2; the second is then uniform above it: 1/2 + 1/2 * 1/2 = 3/4.
    assert OrderedList(2, (0.0, 1.0)).decode([0.75, 0.5]) == pytest.approx([0.5, 0.75])
    assert OrderedList(2, (0.0, 1.0)).encode([0.5, 0.75]) == pytest.approx((0.75, 0.5))
    assert OrderedList(2, (10.0, 20.0)).decode([0.0, 1.0]) == [10.0, 20.0]


def test_ends_of_the_box_are_reached() -> None:
    assert OrderedList(3, (0.1, 0.9)).decode([0.0, 0.0, 0.0]) == [0.1, 0.1, 0.1]
    assert OrderedList(3, (0.1, 0.9)).decode([1.0, 0.3, 0.2]) == [0.9, 0.9, 0.9]
    assert Coordinate("n", Int(1, 8, log=True)).at(0) == 1
    assert Coordinate("n", Int(1, 8)).at(1) == 8
    assert Coordinate("x", Float(1e-5, 3e-3, log=True)).at(1) == 3e-3


def test_values_that_samplers_cannot_tell_apart_become_labels() -> None:
    spread = Choice((None, [1, 2], {"low": 0.5}))
    assert spread.coordinates("p") == (Coordinate("p", Categorical(("null", "[1, 2]", '{"low": 0.5}'))),)
    assert spread.decode(["[1, 2]"]) == [1, 2]
    assert spread.encode((1, 2)) == ("[1, 2]",)
    assert Choice((1, True)).decode(["true"]) is True
    assert Choice((1, 2)).encode(1.0) == (1,)


FOCAL = Space(
    (
        Parameter("gamma", Range(0, 4), (Condition("loss", ("focal", "asymmetric")),)),
        Parameter("margin", Range(0, 1), (Condition("gamma_on", (True,)),)),
        Parameter("gamma_on", Choice((True, False)), (Condition("loss", ("focal",)),)),
        Parameter("loss", Choice(("plain", "focal", "asymmetric"))),
    )
)


def propose(loss: str, gamma_on: bool = True) -> tuple[dict[str, object], list[str]]:
    asked: list[str] = []
    answers = {"loss": loss, "gamma": 2.0, "gamma_on": gamma_on, "margin": 0.5}

    def suggest(side: Coordinate) -> object:
        asked.append(side.name)
        return answers[side.name]

    return FOCAL.propose(suggest), asked


def test_only_active_paths_are_asked_for_conditions_first() -> None:
    assert propose("plain") == ({"loss": "plain"}, ["loss"])
    values, asked = propose("asymmetric")
    assert values == {"loss": "asymmetric", "gamma": 2.0}
    assert asked == ["loss", "gamma"]
    values, asked = propose("focal")
    assert set(values) == {"loss", "gamma", "gamma_on", "margin"}
    assert asked.index("loss") < asked.index("gamma_on") < asked.index("margin")


def test_a_condition_on_an_inactive_path_does_not_hold() -> None:
    assert "margin" not in propose("asymmetric")[0]
    assert "margin" not in propose("focal", gamma_on=False)[0]


def test_encode_ignores_inactive_paths_and_names_all_that_is_outside() -> None:
    assert FOCAL.encode({"loss": "plain", "gamma": 99}) == {"loss": "plain"}
    with pytest.raises(OutsideSpace) as caught:
        FOCAL.encode({"loss": "focal", "gamma": 99, "lr": 1, "gamma_on": False})
    assert caught.value.reasons == ("lr is not searched", "gamma: 99 is outside 0 to 4")
    with pytest.raises(OutsideSpace, match="gamma has no value"):
        FOCAL.encode({"loss": "asymmetric"})


@pytest.mark.parametrize(
    ("spread", "value", "reason"),
    [
        (Range(0, 1), 1.5, "1.5 is outside 0 to 1"),
        (Range(0, 1), True, "true is not a number"),
        (Range(0, 1), "x", "x is not a number"),
        (IntRange(1, 8), 2.5, "2.5 is not a whole number"),
        (Choice(("a", None)), "b", "b is not one of a, null"),
        (OrderedPair((0, 2), (1, 3)), {"low": 1.9, "high": 1.2}, "low 1.9 is above high 1.2"),
        (OrderedPair((0, 2), (1, 3)), None, "null is not a pair"),
        (OrderedPair((0, 2), (1, 3)), {"low": 3, "high": 3}, "low 3 is outside 0 to 2"),
        (OrderedList(2, (0, 1)), [0.5], "is not a list of 2 numbers"),
        (OrderedList(2, (0, 1)), [0.5, 0.4], "does not increase"),
        (Simplex(("a", "b")), {"a": 1}, "does not name exactly a, b"),
        (Simplex(("a", "b")), {"a": 0.7, "b": 0.7}, "the shares sum to 1.4, not to 1"),
    ],
)
def test_values_outside_say_why(spread: Distribution, value: object, reason: str) -> None:
    with pytest.raises(OutsideSpace, match=reason):
        Space((Parameter("p", spread),)).encode({"p": value})


@given(st.lists(share, min_size=9, max_size=9))
@settings(max_examples=50)
def test_a_whole_configuration_survives_the_round_trip(shares: list[float]) -> None:
    space = Space(
        (
            *FOCAL.parameters,
            Parameter("clamp", OrderedPair((0, 2), (1, 3))),
            Parameter("boundaries", OrderedList(3, (0.1, 0.9))),
        )
    )
    at = {side.name: side.at(part) for side, part in zip(space.coordinates, shares, strict=True)}
    values = space.propose(lambda side: at[side.name])
    again = space.encode(values)
    assert close(values, space.propose(lambda side: again[side.name]))


def test_circular_conditions_are_refused() -> None:
    with pytest.raises(CycleError):
        Space(
            (Parameter("a", Range(0, 1), (Condition("b", (1,)),)), Parameter("b", Range(0, 1), (Condition("a", (1,)),)))
        )
