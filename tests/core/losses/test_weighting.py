"""Weightings of the terms: published sums by an independent implementation, numbers by hand, one contract for all."""

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any, get_args

import pytest
import torch
from torch import Tensor
from torch.testing import assert_close
from torchjd.aggregation import PCGrad
from torchjd.scalarization import DWA, FAMO, UW

from core.config import WeightingMethod, WeightingOptions
from core.losses.scale import FirstAverage
from core.losses.surgery import COMBINE, Surgery
from core.losses.weighting import Adam, DynamicAverage, Famo, Fixed, GradientNorm, Uncertainty
from core.losses.weights import WEIGHTINGS, StepWeights, refuse_signed

ABC = ("a", "b", "c")


def made(method: WeightingMethod, **options: float) -> Any:
    return WEIGHTINGS[method](WeightingOptions(method=method, **options))


def named(values: Sequence[float]) -> dict[str, float]:
    return dict(zip(ABC, values, strict=False))


def test_every_method_is_implemented() -> None:
    assert set(WEIGHTINGS) == set(get_args(WeightingMethod))
    assert set(COMBINE) == {name for name, maker in WEIGHTINGS.items() if maker is Surgery}


@pytest.fixture(params=get_args(WeightingMethod))
def method(request: pytest.FixtureRequest) -> WeightingMethod:
    return request.param  # type: ignore[no-any-return]


def after_some_steps(weighting: Fixed, steps: int = 7) -> Fixed:
    """Losses that fall at different rates, over epochs of two steps."""
    for step in range(steps):
        before = {"a": 2.0 * 0.9**step, "b": 0.5 * 0.99**step, "c": 30.0}
        seen = (
            {"a": 1.0, "b": 0.01, "c": 3.0} if weighting.needs == "norms" else {t: 0.9 * v for t, v in before.items()}
        )
        weighting.learn(before, seen)
        if step % 2:
            weighting.epoch_ended()
    return weighting


def test_all_begin_at_the_scale_of_fixed(method: WeightingMethod) -> None:
    weighting = made(method)
    assert weighting.factors(ABC, dict.fromkeys(ABC, 0.7)) == pytest.approx(named([1, 1, 1]))
    if isinstance(weighting, Surgery):
        # Orthogonal gradients of length 2.
        assert weighting.combine([[4, 0, 0], [0, 4, 0], [0, 0, 4]]) == pytest.approx([1, 1, 1])


def test_all_go_on_from_their_state_as_if_nothing_had_been(method: WeightingMethod) -> None:
    weighting, other = after_some_steps(made(method)), made(method)
    other.restore(json.loads(json.dumps(weighting.state(), allow_nan=False)))
    losses = {"a": 1.0, "b": 0.4, "c": 31.0}
    assert other.factors(ABC, losses) == weighting.factors(ABC, losses)
    assert after_some_steps(other).factors(ABC, losses) == after_some_steps(weighting).factors(ABC, losses)


def test_all_take_a_term_that_joins_later_and_one_that_is_missing(method: WeightingMethod) -> None:
    weighting = made(method)
    for step in range(6):
        before = {"a": 1.0 / (step + 1), "b": 2.0} if step < 3 else {"b": 2.0, "c": 5.0}
        weighting.learn(before, dict(before))
        weighting.epoch_ended()
    factors = weighting.factors(ABC, {"a": 0.1, "b": 2.0, "c": 5.0})
    assert all(math.isfinite(value) and value > 0 for value in factors.values())


@pytest.mark.parametrize("rate", [1e-9, 1e9])
def test_all_stay_finite_at_absurd_rates_and_losses(method: WeightingMethod, rate: float) -> None:
    weighting = made(method, rate=rate, temperature=1e-6, restoring=10)
    for before in ({"a": 0.0, "b": 1e30, "c": 1.0}, {"a": 1e30, "b": 0.0, "c": 1e-30}) * 3:
        weighting.learn(before, {"a": 0.0, "b": 1e30, "c": 1e-30})
        weighting.epoch_ended()
        factors = weighting.factors(ABC, before)
        assert all(math.isfinite(value) and value >= 0 for value in factors.values())
    json.dumps(weighting.state(), allow_nan=False)


def test_uncertainty_is_twice_the_published_sum() -> None:
    ours, theirs = made("uncertainty"), UW(3)
    with torch.no_grad():
        theirs.log_var.copy_(torch.tensor([0.5, -1.0, 2.0]))
    ours.log_variance = Adam(values=named([0.5, -1.0, 2.0]))
    losses = torch.tensor([0.3, 2.0, 5.0], requires_grad=True)
    (2 * theirs(losses)).backward()
    assert losses.grad is not None
    assert theirs.log_var.grad is not None
    assert list(ours.factors(ABC, {}).values()) == pytest.approx(losses.grad.tolist())
    # Adam's first step is the rate against the sign of the slope, whatever its size.
    ours.learn(named([0.3, 2.0, 5.0]), {})
    moved = [ours.log_variance.of(name) - start for name, start in zip(ABC, [0.5, -1.0, 2.0], strict=True)]
    assert moved == pytest.approx([-0.025 * math.copysign(1, slope) for slope in theirs.log_var.grad.tolist()])


def test_uncertainty_ends_at_one_over_the_loss() -> None:
    weighting = made("uncertainty", rate=0.05)
    for _ in range(800):
        weighting.learn({"a": 4.0, "b": 0.1}, {})
    assert weighting.factors(("a", "b"), {}) == pytest.approx({"a": 0.25, "b": 10.0}, rel=0.02)


def test_dynamic_average_is_the_published_one() -> None:
    ours, theirs = made("dynamic_average", temperature=2.0), DWA(temperature=2.0)
    epochs = [[[1.0, 4.0, 2.0], [0.8, 3.8, 2.0]], [[0.5, 3.9, 2.2], [0.3, 3.7, 2.2]], [[0.2, 3.5, 2.0]]]
    for epoch in epochs:
        for losses in epoch:
            values = torch.tensor(losses, requires_grad=True)
            theirs(values).backward()
            assert values.grad is not None
            assert list(ours.factors(ABC, {}).values()) == pytest.approx(values.grad.tolist(), rel=1e-6)
            ours.learn(named(losses), {})
        theirs.step()
        ours.epoch_ended()
    # Means .9 -> .4 and 3.9 -> 3.8: what fell less counts more.
    assert ours.factors(ABC, {})["a"] < ours.factors(ABC, {})["b"]


def test_famo_is_the_published_one() -> None:
    ours, theirs = made("famo"), FAMO(3, lr=0.025, weight_decay=1e-3)
    random = torch.Generator().manual_seed(0)
    for _ in range(20):
        before = torch.rand(3, generator=random, dtype=torch.float64) + 0.1
        after = before * (0.5 + torch.rand(3, generator=random, dtype=torch.float64))
        values = before.clone().requires_grad_()
        theirs(values).backward()
        assert values.grad is not None
        # Ours begin at 1 each, theirs sum to 1.
        factors = ours.factors(ABC, named(before.tolist()))
        assert list(factors.values()) == pytest.approx((3 * values.grad).tolist(), rel=1e-4)
        theirs.update(after)
        ours.learn(named(before.tolist()), named(after.tolist()))


def test_famo_leaves_out_terms_without_labels() -> None:
    # A loss of 0 for want of labels would take all the weight there is.
    assert made("famo").factors(ABC, {"a": 2.0, "b": 2.0}) == {"a": 1.0, "b": 1.0, "c": 1.0}


def test_gradient_norm_moves_against_the_slope_of_its_loss() -> None:
    """Autograd through the published objective gives the slopes we write down by hand."""
    weighting = made("gradient_norm", restoring=1.5)
    norms, first, now = torch.tensor([3.0, 0.5, 1.0]), [2.0, 1.0, 4.0], [1.0, 0.9, 4.0]
    weighting.learn(named(first), named(norms.tolist()))
    u = torch.tensor([weighting.logits.of(name) for name in ABC], requires_grad=True)
    w = 3 * u.softmax(0)
    rate = torch.tensor(now) / torch.tensor(first)
    target = (w * norms).mean().detach() * (rate / rate.mean()) ** 1.5
    (w * norms - target).abs().sum().backward()
    seen: dict[str, float] = {}
    step = Adam.step

    def spy(self: Adam, slopes: Mapping[str, float], **settings: float) -> None:
        seen.update(slopes)
        step(self, slopes, **settings)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Adam, "step", spy)
        weighting.learn(named(now), named(norms.tolist()))
    assert u.grad is not None
    assert list(seen.values()) == pytest.approx(u.grad.tolist(), rel=1e-5)


def test_gradient_norm_brings_gradients_to_one_size() -> None:
    weighting = made("gradient_norm", restoring=0.0)
    norms = {"a": 4.0, "b": 1.0}
    for _ in range(400):
        weighting.learn({"a": 1.0, "b": 1.0}, norms)
    # w_a 4 = w_b 1 and w_a + w_b = 2.
    assert weighting.factors(("a", "b"), {}) == pytest.approx({"a": 0.4, "b": 1.6}, abs=0.05)


def rows_of(*rows: Sequence[float]) -> Tensor:
    return torch.tensor(rows, dtype=torch.float64)


def combined(method: WeightingMethod, rows_NP: Tensor) -> Tensor:
    return torch.tensor(made(method).combine((rows_NP @ rows_NP.T).tolist()), dtype=torch.float64) @ rows_NP


def test_pcgrad_by_hand() -> None:
    # (1, 0) and (-1, 1), each without its part along the other: (1, 0) + .5 (-1, 1) and (-1, 1) + (1, 0).
    assert_close(combined("pcgrad", rows_of((1, 0), (-1, 1))), rows_of((0.5, 1.5))[0])
    rows = torch.randn(2, 30, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    assert_close(combined("pcgrad", rows), PCGrad()(rows))


def test_mgda_by_hand() -> None:
    # The shortest of a (2, 0) + (1 - a) (0, 1) has a = 1/5; times the two terms.
    assert_close(combined("mgda", rows_of((2, 0), (0, 1))), 2 * rows_of((0.4, 0.8))[0], rtol=0, atol=0.01)


def test_imtl_g_projects_alike_on_all_gradients() -> None:
    rows = rows_of((3, 0, 1), (0, 1, 0), (-1, 1, 2))
    projections = rows @ combined("imtl_g", rows) / rows.norm(dim=1)
    assert_close(projections, projections[:1].expand(3))


def test_aligned_mtl_takes_the_length_of_the_shortest_principal_component() -> None:
    # Orthogonal gradients of lengths 5 and 1 both count as long as 1.
    assert_close(combined("aligned_mtl", rows_of((5, 0), (0, 1))), rows_of((1, 1))[0])


@pytest.mark.parametrize("method", COMBINE)
def test_surgery_leaves_out_terms_without_a_gradient_and_numbers_that_are_none(method: WeightingMethod) -> None:
    weighting = made(method)
    assert weighting.combine([[4, 0, 0], [0, 0, 0], [0, 0, 4]]) == pytest.approx([1, 1, 1])
    assert weighting.combine([[0, 0], [0, 0]]) == [1, 1]
    assert weighting.combine([[math.nan, 0], [0, 1]]) == [1, 1]
    assert weighting.combine([[math.inf, 0], [0, 1]]) == [1, 1]


@pytest.mark.parametrize("method", COMBINE)
def test_surgery_hurts_no_term_where_two_conflict(method: WeightingMethod) -> None:
    rows = rows_of((1.0, 0.2), (-0.8, 0.5))
    assert ((rows @ combined(method, rows)) > -1e-6).all()


def test_first_average_by_hand() -> None:
    first = FirstAverage()
    assert first.unknown(ABC) == ["a", "b", "c"]
    first.look({"a": 8.0, "b": math.inf})
    assert first.unknown(ABC) == ["b", "c"]
    assert (first.divisor("a"), first.divisor("b")) == (8.0, 1.0)
    first.learn({"a": 4.0})
    first.learn({"a": 2.0})
    assert first.divisor("a") == 3.0  # (4 + 2) / 2: the look is not counted twice
    first.epoch_ended()
    first.learn({"a": 99.0, "b": 0.0})
    assert (first.divisor("a"), first.divisor("b")) == (3.0, 1.0)
    again = FirstAverage()
    first.epoch_ended()
    again.restore(json.loads(json.dumps(first.state())))
    assert (again.divisor("a"), again.unknown(ABC)) == (3.0, ["c"])


def test_term_weights_multiply_fixed_first_average_and_factor() -> None:
    weights = StepWeights({"a": 3.0, "b": 0.0, "c": 2.0}, WeightingOptions(method="famo", normalise="first"))
    assert weights.on(ABC) == ("a", "c")
    weights.look({"a": 10.0, "c": 0.5})
    # Normalised losses 0.2 and 4: FAMO's factors are 2 / L / (5 + 1/4) = 1.90476, .0952381.
    found = weights.of(("a", "c"), {"a": 2.0, "c": 2.0})
    assert found == pytest.approx({"a": 3 * 1.904762 / 10, "c": 2 * 0.0952381 / 0.5}, rel=1e-5)


def test_fixed_weights_do_not_change_and_say_so() -> None:
    weights = StepWeights({"a": 3.0}, WeightingOptions())
    weights.learn({"a": 9.0}, {})
    assert (weights.of(("a",), {}), weights.change) == ({"a": 3.0}, False)
    assert StepWeights({"a": 3.0}, WeightingOptions(normalise="first")).change
    assert StepWeights({"a": 3.0}, WeightingOptions(method="pcgrad")).change


def test_losses_that_can_be_negative_are_refused_where_they_make_no_sense(method: WeightingMethod) -> None:
    cannot = {"uncertainty", "dynamic_average", "famo", "gradient_norm"}
    refuse_signed(WeightingOptions(method=method), [])
    if method in cannot:
        with pytest.raises(ValueError, match=rf"weighting {method} needs losses above 0; latency can be negative"):
            refuse_signed(WeightingOptions(method=method), ["latency"])
        return
    refuse_signed(WeightingOptions(method=method), ["latency"])
    with pytest.raises(ValueError, match="no size to be normalised by: latency"):
        refuse_signed(WeightingOptions(method=method, normalise="first"), ["latency"])


def test_the_classes_are_those_of_the_table() -> None:
    kinds = {Fixed, Uncertainty, DynamicAverage, Famo, GradientNorm, Surgery}
    assert {type(made(method)) for method in get_args(WeightingMethod)} == kinds
