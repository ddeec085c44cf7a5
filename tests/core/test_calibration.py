"""Predictions that mean what they say: a temperature for classes, intervals for numbers."""

import math

import numpy as np
import pytest

from core.metrics.calibration import LEVEL, class_nll, fitted_temperature, half_width, tempered
from core.metrics.classes import calibration_error
from core.metrics.intervals import interval_metrics


def softmax(logit_NC: np.ndarray) -> np.ndarray:
    share_NC = np.exp(logit_NC - logit_NC.max(1, keepdims=True))
    return share_NC / share_NC.sum(1, keepdims=True)


def drawn(sharpness: float, n: int = 4000) -> tuple[np.ndarray, np.ndarray]:
    """Probabilities said, their logits `sharpness` times those that the classes were drawn from, and the classes."""
    random = np.random.default_rng(0)
    logit_NC = random.normal(0, 1.5, (n, 4))
    truth_NC = softmax(logit_NC)
    truth_N = (random.random((n, 1)) > truth_NC.cumsum(1)).sum(1).clip(0, 3)
    return softmax(sharpness * logit_NC), truth_N


@pytest.mark.parametrize("sharpness", [0.4, 1.0, 3.0])
def test_the_temperature_finds_how_much_too_sure_a_model_is(sharpness: float) -> None:
    said_NC, truth_N = drawn(sharpness)
    weight_N = np.ones(len(truth_N))
    temperature = fitted_temperature(said_NC, truth_N, weight_N)
    assert temperature == pytest.approx(sharpness, rel=0.06)
    calm_NC = tempered(said_NC, temperature)
    assert (calm_NC.argmax(1) == said_NC.argmax(1)).all()
    assert class_nll(calm_NC, truth_N, weight_N) <= class_nll(said_NC, truth_N, weight_N)
    if sharpness != 1:
        before, after = (calibration_error(each, truth_N, weight_N) for each in (said_NC, calm_NC))
        assert after < before / 3


def test_no_temperature_near_it_is_better() -> None:
    said_NC, truth_N = drawn(2.0)
    weight_N = np.random.default_rng(1).uniform(0.1, 5, len(truth_N))
    best = fitted_temperature(said_NC, truth_N, weight_N)
    found = [class_nll(tempered(said_NC, best * factor), truth_N, weight_N) for factor in (0.99, 1.0, 1.01)]
    assert found[1] == min(found)


def test_tempered_by_hand() -> None:
    # Odds of 9 become their square root: 3 to 1.
    assert tempered(np.array([[0.9, 0.1]]), 2.0)[0] == pytest.approx([0.75, 0.25])


def test_few_recordings_have_a_temperature_all_the_same() -> None:
    said_NC = np.array([[0.9, 0.1], [0.2, 0.8]])
    # Both right: the colder the better, to the end of the range; both wrong: the hotter.
    assert fitted_temperature(said_NC, np.array([0, 1]), np.ones(2)) == pytest.approx(1 / 20)
    assert fitted_temperature(said_NC, np.array([1, 0]), np.ones(2)) == pytest.approx(20)
    # One class alone, or none, says nothing.
    assert fitted_temperature(said_NC, np.array([0, 0]), np.ones(2)) == 1
    assert fitted_temperature(said_NC, np.array([-1, -1]), np.ones(2)) == 1
    # A true class held impossible is no number to compare by, nor a crash.
    assert math.isfinite(fitted_temperature(np.array([[1.0, 0.0], [0.5, 0.5]]), np.array([1, 0]), np.ones(2)))


def test_half_width_by_hand() -> None:
    # Of 40 errors the 37th: (1 + 1/40) of 90 % of them are 36.9.
    error_N = np.arange(40.0, 0, -1)
    assert half_width(error_N, np.ones(40)) == 37
    # Of five, the largest; and a recording that counts for nothing is passed over.
    assert half_width(np.array([3.0, 9.0, 1.0, 2.0, 8.0]), np.ones(5)) == 9
    assert half_width(np.append(error_N, 0.0), np.append(np.ones(40), 1e-9)) == 37


def heteroscedastic(n: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Errors about the truth with a known spread: half of the recordings have a tenth of the others'."""
    random = np.random.default_rng(seed)
    sd_N = np.where(np.arange(n) % 2 == 0, 1.0, 10.0)
    return sd_N * random.standard_normal(n), sd_N


def test_intervals_in_units_of_the_spread_cover_nine_in_ten_of_each_kind() -> None:
    error_N, sd_N = heteroscedastic(4000, 0)
    # A model whose spreads are in proportion, and three times too small: the multiple makes up for it.
    said_N = sd_N / 3
    multiple = half_width(np.abs(error_N) / said_N, np.ones(4000))
    assert multiple == pytest.approx(3 * 1.645, rel=0.05)
    fresh_N, fresh_sd_N = heteroscedastic(4000, 1)
    inside_N = np.abs(fresh_N) <= multiple * fresh_sd_N / 3
    for kind in (0, 1):
        assert inside_N[kind::2].mean() == pytest.approx(LEVEL, abs=0.02)
    # One half-width for all covers as many, but nearly all of one kind and too few of the other.
    constant = half_width(np.abs(error_N), np.ones(4000))
    shares = [(np.abs(fresh_N) <= constant)[kind::2].mean() for kind in (0, 1)]
    assert np.mean(shares) == pytest.approx(LEVEL, abs=0.02)
    assert shares[0] > 0.99
    assert shares[1] < 0.83


def scores(predicted, plus_minus, sd, truth):
    arrays = [None if each is None else np.array(each, float) for each in (predicted, plus_minus, sd, truth)]
    return interval_metrics(*arrays, np.array([1.0, 1.0, 2.0]), what="threshold", unit="db", prefix="x_")


def test_interval_metrics_by_hand() -> None:
    found = scores([0, 0, 0], [1, 2, 3], [1, 1, 2], [1, 3, math.nan])
    # The first lies on the edge, the second outside, the third has no label.
    assert found.values["x_coverage_90"] == 0.5
    assert found.values["x_interval_width_db"] == pytest.approx(3.0)
    assert found.values["x_nll"] == pytest.approx((0.5 + 4.5) / 2 + 0.918939, abs=1e-5)
    # The third counts twice: widths 2, 4, 6 by weights 1, 1, 2.
    assert scores([0, 0, 0], [1, 2, 3], None, [1, 3, 0]).values["x_interval_width_db"] == pytest.approx(4.5)


@pytest.mark.parametrize(
    ("given", "name", "why"),
    [
        (([0, 0, 0], None, None, [1, 2, 3]), "x_coverage_90", "no interval comes with the predicted threshold"),
        (([0, 0, 0], None, None, [1, 2, 3]), "x_nll", "no spread of the threshold is predicted"),
        ((None, None, None, [1, 2, 3]), "x_interval_width_db", "the threshold is not predicted"),
        (([0, 0, 0], None, None, [math.nan] * 3), "x_nll", "no recording of the split has a labelled threshold"),
        (([0, 0, math.inf], None, None, [1, 2, 3]), "x_nll", "the predicted threshold is not finite"),
    ],
)
def test_what_cannot_be_scored_says_why(given, name: str, why: str) -> None:
    found = scores(*given)
    assert name not in found.values
    assert found.absent[name] == why
