"""Intervals of repeated measurements, by hand and against scipy's own tests."""

from __future__ import annotations

import pytest
from scipy.stats import ttest_ind

from abr_tune.repeats import (
    Score,
    difference_interval,
    folds_interval,
    mean_interval,
    paired_interval,
    prediction_interval,
)


def test_the_interval_of_a_mean() -> None:
    # 1, 2, 3: mean 2, sd 1, t(0.975, 2) = 4.302653; half width 4.302653 / sqrt(3).
    assert mean_interval([1, 2, 3]) == pytest.approx((2 - 2.484138, 2 + 2.484138), abs=1e-6)
    assert mean_interval([1.0]) is None


def test_further_runs_are_less_sure_than_the_mean_and_several_less_than_one() -> None:
    # One more: t(0.975, 2) sqrt(1 + 1/3) = 4.302653 * 1.154701; three: t(0.991667, 2) = 7.648880 instead (Bonferroni).
    assert prediction_interval(0.0, 1.0, 3) == pytest.approx((-4.968276, 4.968276), abs=1e-5)
    assert prediction_interval(0.0, 1.0, 3, runs=3)[1] == pytest.approx(7.648880 * 1.154701, abs=1e-3)


def test_the_difference_of_two_means_is_welchs() -> None:
    first, second = [1.0, 2.0, 3.0], [2.0, 4.0, 9.0, 5.0]
    oracle = ttest_ind(second, first, equal_var=False).confidence_interval(0.95)
    assert difference_interval(first, second) == pytest.approx((oracle.low, oracle.high))
    assert difference_interval([1.0], second) is None
    assert difference_interval([1.0, 1.0], [2.0, 2.0]) == (1.0, 1.0)


def test_pairs_take_out_what_both_share() -> None:
    # The differences are 1, 1, 1 although the values lie far apart.
    assert paired_interval([1.0, 5.0, 9.0], [2.0, 6.0, 10.0]) == pytest.approx((1.0, 1.0))
    assert paired_interval([1.0, 5.0, 9.0], [2.0, 7.0, 12.0]) == mean_interval([1, 2, 3])
    assert paired_interval([1.0, 5.0, 9.0], [2.0, 7.0, 12.0], folds=3) == folds_interval([1, 2, 3], 3)


def test_folds_share_training_data_and_their_interval_is_the_wider() -> None:
    # 1, 2, 3 of three folds: 4.302653 sqrt(1/3 + 1/2), as Nadeau and Bengio have it; t(0.975, 5) = 2.570582 of six.
    assert folds_interval([1, 2, 3], 3) == pytest.approx((2 - 3.927767, 2 + 3.927767), abs=1e-5)
    low, high = folds_interval([1, 2, 3, 1, 2, 3], 3) or (0.0, 0.0)
    assert high - low == pytest.approx(2 * 2.570582 * 0.8**0.5 * (1 / 6 + 1 / 2) ** 0.5, abs=1e-5)
    assert folds_interval([1.0], 3) is None
    folded = Score(searched=0.0, values=(1.0, 2.0, 3.0), folds=3)
    assert folded.interval == folds_interval([1, 2, 3], 3)


def test_a_score_without_fresh_runs_promises_nothing() -> None:
    score = Score(searched=0.5)
    assert (score.mean, score.sd, score.interval, score.optimism, score.reach) == (None,) * 5
    assert score.stable
