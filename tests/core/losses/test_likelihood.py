"""Likelihoods of numbers: by hand, against torch and against an integral; robust where labels are wrong."""

import math
from dataclasses import replace

import pytest
import torch
from pydantic import ValidationError
from scipy.integrate import quad
from torch import Tensor
from torch.nn import functional
from torch.testing import assert_close

from core.config import POSITIVE_ONLY, WeightingMethod, WeightingOptions
from core.data.scaling import Scaling, Target, fit_scaling
from core.data.tensors import Batch, as_batch
from core.losses.abr import build_loss
from core.losses.likelihood import gaussian_nll, held_weight, huber, huber_normaliser, mixture_nll
from core.losses.terms import TERMS, TermSettings, regression
from core.losses.weights import WEIGHTINGS
from core.models.outputs import Outputs
from core.tasks.abr_options import REGRESSIONS, LossOptions, Term, TermWeights

NAN = math.nan
K = torch.ones(5)
TARGET = Target(mean=30.0, sd=20.0, low=-10.0, high=110.0)


def leaf(*values: float) -> Tensor:
    return torch.tensor(values, requires_grad=True)


def settings(scaling: Scaling, **given) -> TermSettings:
    fixed = {"class_weights_K": torch.ones(5), "gamma": 0.0, "label_smoothing": 0.0, "huber_delta": 1.0}
    return TermSettings(**(fixed | {"scaling": scaling} | given))


@pytest.fixture
def scaling(bump_recordings) -> Scaling:
    return fit_scaling(bump_recordings(8))


def test_gaussian_is_torchs() -> None:
    random = torch.Generator().manual_seed(0)
    error_B, log_var_B = torch.randn(50, generator=random), torch.randn(50, generator=random)
    expected = functional.gaussian_nll_loss(
        error_B, torch.zeros(50), log_var_B.exp(), full=True, eps=1e-12, reduction="none"
    )
    assert_close(gaussian_nll(error_B, log_var_B), expected)
    # An error of one spread under a spread of 1: (0 + 1 + log 2 pi) / 2.
    assert gaussian_nll(torch.ones(1), torch.zeros(1)).item() == pytest.approx(0.5 + 0.91894, abs=1e-5)


@pytest.mark.parametrize(("beta", "power"), [(0.0, -1.0), (0.5, -0.5), (1.0, 0.0)])
def test_beta_is_how_much_a_spread_silences_the_mean(beta: float, power: float) -> None:
    # The plain likelihood pulls the mean by e / v; v^beta in front makes that e v^(beta - 1).
    error_B, log_var_B = leaf(2.0, 2.0), torch.tensor([0.0, math.log(9.0)])
    (held_weight(log_var_B, beta) * gaussian_nll(error_B, log_var_B)).sum().backward()
    assert_close(error_B.grad, torch.tensor([2.0, 2.0 * 9.0**power]))


def test_the_held_weight_sends_no_gradient() -> None:
    log_var_B = leaf(0.7)
    (held_weight(log_var_B, 0.5) * gaussian_nll(torch.zeros(1), log_var_B)).sum().backward()
    # d/ds of s / 2 is 1/2, times exp(0.35); differentiated too, the weight would add to it.
    assert_close(log_var_B.grad, torch.tensor([0.5 * math.exp(0.35)]))


@pytest.mark.parametrize("delta", [0.5, 1.0, 3.0])
def test_huber_is_a_density_over_its_normaliser(delta: float) -> None:
    def density(error: float) -> float:
        return math.exp(-huber(torch.tensor([error], dtype=torch.float64), delta=delta).item())

    # Symmetric; exp(-60) is nothing.
    half, _ = quad(density, 0, 60 / delta, points=[delta])
    assert huber_normaliser(delta) == pytest.approx(math.log(2 * half), abs=1e-6)


def test_mixture_by_hand() -> None:
    # p = 1/2 as its prior: the mean of exp(-1) and exp(-2).
    value = mixture_nll(torch.ones(1), torch.zeros(1), outlier_nll=2.0, prior=0.5)
    assert value.item() == pytest.approx(-math.log((math.exp(-1) + math.exp(-2)) / 2), abs=1e-6)
    # Against a prior of 0.1: KL = .5 log(.5 / .1) + .5 log(.5 / .9) more.
    far = mixture_nll(torch.ones(1), torch.zeros(1), outlier_nll=2.0, prior=0.1)
    assert (far - value).item() == pytest.approx(0.5 * math.log(5) + 0.5 * math.log(5 / 9), abs=1e-6)


def test_a_label_far_away_hardly_pulls_and_is_taken_for_an_outlier() -> None:
    inlier_B, logit_B = leaf(0.5, 30.0), leaf(-2.0, -2.0)
    mixture_nll(inlier_B, logit_B, outlier_nll=2.0, prior=0.12).sum().backward()
    assert inlier_B.grad is not None
    assert logit_B.grad is not None
    assert inlier_B.grad[0] > 0.9
    assert inlier_B.grad[1] < 1e-6
    assert logit_B.grad[0] > 0 > logit_B.grad[1]


VARIANTS = {
    "huber": {},
    "likelihood": {"nll_beta": 0.5},
    "huber mixture": {"outliers": 0.1},
    "likelihood mixture": {"nll_beta": 0.0, "outliers": 0.1},
}
LABEL: dict[Term, str] = {
    "threshold": "threshold_B",
    "peak_latency": "latency_B",
    "peak_amplitude": "amplitude_B",
}


def outputs_for(batch: Batch) -> Outputs:
    random = torch.Generator().manual_seed(0)

    def numbers() -> Tensor:
        return torch.randn(len(batch), generator=random).requires_grad_()

    return Outputs(
        class_logits_BK=torch.zeros(len(batch), 5),
        threshold_B=numbers(),
        threshold_log_var_B=numbers(),
        threshold_auxiliary_B=numbers(),
        outlier_logit_B=numbers(),
        exist_logit_B=numbers(),
        latency_B=numbers(),
        latency_log_var_B=numbers(),
        amplitude_B=numbers(),
        amplitude_log_var_B=numbers(),
        signal_BT=torch.zeros_like(batch.signal_BT),
    )


def leaves(outputs: Outputs) -> dict[str, Tensor]:
    found = {name: getattr(outputs, name) for name in Outputs.__slots__}
    return {name: value for name, value in found.items() if value is not None and value.requires_grad}


@pytest.mark.parametrize("variant", VARIANTS.values(), ids=VARIANTS)
@pytest.mark.parametrize("term", LABEL)
def test_absent_labels_send_zero_finite_gradient(
    term: Term, variant: dict[str, float], bump_recordings, scaling: Scaling
) -> None:
    batch = as_batch(bump_recordings(8))
    label_B = getattr(batch, LABEL[term]).clone()
    label_B[2:5] = NAN
    known_B = label_B.isfinite()
    outputs = outputs_for(batch)
    given = settings(scaling, auxiliary=0.3, **variant)
    TERMS[term].numerator(outputs, replace(batch, **{LABEL[term]: label_B}), given).backward()
    reached = {name: value.grad for name, value in leaves(outputs).items() if value.grad is not None}
    assert LABEL[term] in reached
    assert ("nll_beta" in variant) == (LABEL[term].replace("_B", "_log_var_B") in reached)
    assert ("outliers" in variant and term == "threshold") == ("outlier_logit_B" in reached)
    for name, gradient in reached.items():
        assert gradient.isfinite().all(), name
        assert not gradient[~known_B].any(), name
        assert gradient[known_B].any(), name


@pytest.mark.parametrize("variant", VARIANTS.values(), ids=VARIANTS)
@pytest.mark.parametrize("term", LABEL)
def test_all_absent_gives_zero(term: Term, variant: dict[str, float], bump_recordings, scaling: Scaling) -> None:
    batch = as_batch(bump_recordings(8))
    bare = replace(batch, **{LABEL[term]: torch.full((8,), NAN)})
    outputs, given = outputs_for(batch), settings(scaling, auxiliary=0.3, **variant)
    numerator, denominator = (
        TERMS[term].numerator(outputs, bare, given),
        TERMS[term].denominator(bare, given),
    )
    assert numerator == 0
    assert denominator == 0
    numerator.backward()
    assert not any(value.grad.any() for value in leaves(outputs).values() if value.grad is not None)


def test_huber_mixtures_are_never_negative_and_likelihoods_are(scaling: Scaling) -> None:
    found_B, log_var_B = torch.tensor([30.0]), torch.tensor([math.log(0.1)])
    robust = settings(scaling, outliers=0.01)
    assert regression(found_B, None, found_B, TARGET, robust, outlier_logit_B=torch.tensor([-4.6])) > 0
    assert regression(found_B, log_var_B, found_B, TARGET, settings(scaling, nll_beta=0.0)) < 0
    with pytest.raises(ValueError, match="needs predicted spreads"):
        regression(found_B, None, found_B, TARGET, settings(scaling, nll_beta=0.5))


def test_the_second_predictor_counts_by_its_weight(bump_recordings, scaling: Scaling) -> None:
    batch = as_batch(bump_recordings(8))
    outputs = outputs_for(batch)
    values = [
        TERMS["threshold"].numerator(outputs, batch, settings(scaling, auxiliary=auxiliary)).item()
        for auxiliary in (0.0, 0.5, 1.0)
    ]
    assert values[1] - values[0] == pytest.approx(values[2] - values[1], rel=1e-4)
    assert values[1] > values[0]


@pytest.mark.parametrize("method", WEIGHTINGS)
def test_likelihoods_are_refused_by_weightings_that_need_positive_losses(
    method: WeightingMethod, scaling: Scaling
) -> None:
    weighting = WeightingOptions(method=method)
    build_loss(LossOptions(weighting=weighting, outliers=0.1), scaling, torch.ones(5))
    assert (method in POSITIVE_ONLY) == WEIGHTINGS[method](weighting).positive_only
    if method in POSITIVE_ONLY:
        with pytest.raises(ValidationError, match=f"weighting.method {method} needs losses above 0; .* peak_latency, "):
            LossOptions(weighting=weighting, regression="gaussian_nll")
        with pytest.raises(ValueError, match=f"weighting {method} needs losses above 0; peak_latency, peak_amplitude"):
            build_loss(LossOptions(regression="gaussian_nll").model_copy(update={"weighting": weighting}), scaling, K)
    else:
        build_loss(LossOptions(weighting=weighting, regression="gaussian_nll"), scaling, K)


def test_likelihoods_have_no_size_to_be_normalised_by() -> None:
    first = WeightingOptions(normalise="first")
    with pytest.raises(ValidationError, match=r"weighting.normalise first needs losses above 0; .* threshold are not"):
        LossOptions(weighting=first, regression="gaussian_nll")
    off = TermWeights(peak_latency=0, peak_amplitude=0, threshold=0)
    LossOptions(weighting=first, regression="gaussian_nll", weights=off)


def test_the_terms_that_regress_are_known() -> None:
    assert set(LABEL) == set(REGRESSIONS)
