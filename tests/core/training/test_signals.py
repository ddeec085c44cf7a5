"""Signals of an epoch, by hand."""

import pytest

from core.training.signals import EpochSteps, recent, slopes, spread
from core.training.step import Step


def made(norm: float, numerator: float, denominator: float, **changed: object) -> Step:
    fields: dict[str, object] = {
        "numerators": {"class": numerator},
        "denominators": {"class": denominator},
        "losses": {"class": numerator / denominator if denominator else 0.0},
        "total": 1.0,
        "norm": norm,
        "lr": 1e-3,
        "broken": None,
    }
    return Step(**{**fields, **changed})  # type: ignore[arg-type]


def test_losses_are_sums_over_sums() -> None:
    # (2 + 6) / (1 + 5), not the mean of 2 and 1.2; a broken step does not count.
    steps = EpochSteps([made(1, 2, 1), made(1, 6, 5), made(1, float("nan"), 1, broken="loss")])
    assert steps.losses() == {"class": pytest.approx(8 / 6)}


def test_a_term_without_labels_has_no_loss() -> None:
    assert EpochSteps([made(1, 0, 0)]).losses() == {}


def test_norms_are_summed_up_over_finite_steps() -> None:
    steps = EpochSteps(
        [made(1, 1, 1), made(3, 1, 1), made(20, 1, 1, update_ratio=0.5), made(float("inf"), 1, 1, broken="gradient")]
    )
    assert steps.signals() == {
        "steps": 4,
        "non_finite": 1,
        "grad_norm": 3,
        "grad_norm_max": 20,
        "grad_norm_over_10": pytest.approx(1 / 3),
        "update_ratio": 0.5,
    }
    assert EpochSteps([made(1, 1, 1, broken="loss")]).signals() == {"steps": 1, "non_finite": 1}


def test_slopes_are_relative_and_per_epoch() -> None:
    # 10, 9, 8 falls by 1 an epoch, of 9 on average. Only the last five epochs count.
    found = slopes({"class": [10, 9, 8], "signal": [1], "threshold": [99, 2, 2, 2, 2, 2], "peak_exist": [0, 0]})
    assert found == {"class": pytest.approx(-1 / 9), "threshold": 0}


def test_unrest_of_the_objective_by_hand() -> None:
    # 1, 2, 3, 4, 5 have a variance of 2; the sixth pushes the first out.
    scores: list[float] = []
    for score in (1.0, 2.0, 3.0, 4.0):
        scores = recent(scores, score)
    assert spread(scores) == {}
    assert spread(recent(scores, 5.0)) == {"objective_sd_last5": pytest.approx(2**0.5)}
    assert recent(recent(scores, 5.0), 6.0) == [2, 3, 4, 5, 6]
    assert recent(scores, None) == []
