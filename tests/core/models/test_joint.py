"""The joint distribution of parameters: fitted, drawn, conditioned, constrained."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from core.data.recordings import Recordings
from core.data.simulator import simulate_split
from core.models.joint import (
    AMPLITUDE,
    COLUMNS,
    LATENCY,
    LEVEL,
    THRESHOLD,
    Impossible,
    JointParameters,
    Parameters,
    values_of,
)


@pytest.fixture(scope="module")
def train() -> Recordings:
    return simulate_split("train", 1500, 7)[0]


@pytest.fixture(scope="module")
def joint(train: Recordings) -> JointParameters:
    found = JointParameters(len(train.class_names))
    found.fit(train)
    return found


def random(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def test_shares_ranges_and_relations_are_those_of_the_training_split(joint: JointParameters, train: Recordings) -> None:
    drawn, truth = joint.draw(random(), 20_000, constrained=False), values_of(train)
    share_K = np.bincount(train.hearing_class, minlength=5) / len(train)
    # Three standard errors of 20,000 draws.
    assert np.abs(np.bincount(drawn.hearing_class, minlength=5) / 20_000 - share_K).max() < 0.01
    assert abs(drawn.peak_exist.mean() - np.nanmean(train.peak_exist)) < 0.01
    for column, name in enumerate(COLUMNS):
        spread = np.nanstd(truth[:, column])
        gap = np.nanquantile(drawn.values[:, column], (0.25, 0.5, 0.75)) - np.nanquantile(
            truth[:, column], (0.25, 0.5, 0.75)
        )
        assert np.abs(gap).max() < 0.2 * spread, name

    def correlation(level: np.ndarray, latency: np.ndarray) -> float:
        both = np.isfinite(latency)
        return float(np.corrcoef(level[both], latency[both])[0, 1])

    made = correlation(drawn.values[:, LEVEL], drawn.values[:, LATENCY])
    assert abs(made - correlation(truth[:, LEVEL], truth[:, LATENCY])) < 0.1
    assert made < -0.4


def test_labels_in_steps_stay_in_steps(joint: JointParameters, train: Recordings) -> None:
    drawn = joint.draw(random(), 2_000)
    assert set(drawn.values[:, LEVEL]) <= set(values_of(train)[:, LEVEL])
    assert len(set(drawn.values[:, THRESHOLD])) > 500


def test_what_does_not_exist_has_no_latency(joint: JointParameters) -> None:
    drawn = joint.draw(random(), 2_000)
    absent = drawn.peak_exist == 0
    assert 0 < absent.sum() < 2_000
    assert np.isnan(drawn.values[absent][:, [LATENCY, AMPLITUDE]]).all()
    assert np.isfinite(drawn.values[~absent]).all()


@pytest.mark.parametrize("temperature", [0.3, 1.0, 3.0])
def test_constraints_hold_for_every_sample(joint: JointParameters, train: Recordings, temperature: float) -> None:
    drawn, truth = joint.draw(random(), 3_000, temperature=temperature), values_of(train)
    assert (drawn.values[drawn.peak_exist == 1][:, AMPLITUDE] >= 0).all()
    known = np.isfinite(drawn.values)
    assert (np.where(known, drawn.values, np.inf) >= np.nanmin(truth, 0) - 1e-6).all()
    assert (np.where(known, drawn.values, -np.inf) <= np.nanmax(truth, 0) + 1e-6).all()
    seen = np.flatnonzero(drawn.peak_exist == 1)
    marked = train.peak_exist == 1
    level, latency = truth[marked, LEVEL], truth[marked, LATENCY]
    for row in seen[:300]:
        own_level, own_latency = drawn.values[row, LEVEL], drawn.values[row, LATENCY]
        # No earlier than any that soft, no later than any that loud.
        assert own_latency >= latency[level <= own_level].min() - 1e-6
        assert own_latency <= latency[level >= own_level].max() + 1e-6
    softest = (level - truth[marked, THRESHOLD]).min()
    assert ((drawn.values[seen, LEVEL] - drawn.values[seen, THRESHOLD]) >= softest - 1e-6).all()


def test_without_constraints_some_break_them(joint: JointParameters) -> None:
    drawn = joint.draw(random(), 3_000, temperature=3.0, constrained=False)
    assert not joint.lawful(drawn).all()


def test_the_latency_limits_fall_with_the_level(joint: JointParameters) -> None:
    assert (joint.earliest_L.diff() <= 0).all()
    assert (joint.latest_L.diff() <= 0).all()
    assert (joint.earliest_L <= joint.latest_L).all()


def test_temperature_scales_the_spread(joint: JointParameters) -> None:
    def spread(temperature: float) -> float:
        drawn = joint.draw(
            random(), 4_000, temperature=temperature, constrained=False, hearing_class=0, peak_exist=True
        )
        return float(drawn.values[:, LATENCY].std())

    cold, cool, usual, hot = spread(0.0), spread(0.5), spread(1.0), spread(2.0)
    assert cold == 0
    # The labels are close to normal about their middle.
    assert cool == pytest.approx(usual / 2, rel=0.25)
    assert hot > 1.2 * usual


def test_seeds_reproduce(joint: JointParameters) -> None:
    first, again, other = (joint.draw(random(seed), 50).values for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other, equal_nan=True)


def test_conditions_are_met_and_move_the_rest(joint: JointParameters) -> None:
    loud = joint.draw(random(), 1_000, given={"intensity_db_nhl": 80.0})
    soft = joint.draw(random(), 1_000, given={"intensity_db_nhl": 20.0})
    assert set(loud.values[:, LEVEL]) == {80.0}
    # Gorga 1989 for a newborn: 5.31 (exp(-.0264 x 20) - exp(-.0264 x 80)) = 2.5 ms.
    assert 1.5 < np.nanmedian(soft.values[:, LATENCY]) - np.nanmedian(loud.values[:, LATENCY]) < 3.5
    assert loud.peak_exist.mean() > soft.peak_exist.mean() + 0.1
    deaf = joint.draw(random(), 1_000, given={"threshold_db": 110.0})
    assert (deaf.hearing_class == 3).mean() > 0.4
    named = joint.draw(random(), 100, hearing_class=2, peak_exist=True)
    assert set(named.hearing_class) == {2}
    assert set(named.peak_exist) == {1.0}
    late = joint.draw(random(), 100, given={"peak_latency_ms": 9.0})
    assert set(late.peak_exist) == {1.0}


def test_impossible_conditions_are_refused(joint: JointParameters) -> None:
    with pytest.raises(Impossible, match=r"intensity_db_nhl 300 is outside the training labels: 0 to 100"):
        joint.draw(random(), 10, given={"intensity_db_nhl": 300.0})
    with pytest.raises(Impossible, match="no recording of this class"):
        joint.draw(random(), 10, peak_exist=False, given={"peak_latency_ms": 7.0})
    with pytest.raises(Impossible, match="meets this condition"):
        joint.draw(random(), 10, peak_exist=True, given={"intensity_db_nhl": 0.0, "threshold_db": 110.0})


def test_it_is_stored_with_the_weights(joint: JointParameters) -> None:
    other = JointParameters(5)
    assert not other.fitted
    other.load_state_dict(joint.state_dict())
    assert other.fitted
    np.testing.assert_array_equal(other.draw(random(), 20).values, joint.draw(random(), 20).values)


def test_no_table_lists_a_small_class(joint: JointParameters, train: Recordings) -> None:
    # 12 recordings of NÖROPATİ without and with wave V: three quantiles of all of them, joined by two straight lines.
    few = train.hearing_class == 1
    assert few.sum() == 12
    for group in (2, 3):
        assert len(torch.unique(joint.quantiles_GCQ[group, THRESHOLD].diff().round(decimals=6))) <= 3
    # Too few in either group for a table of its own.
    assert torch.equal(joint.quantiles_GCQ[2, THRESHOLD], joint.quantiles_GCQ[3, THRESHOLD])


def test_the_recordings_it_was_fitted_to_are_lawful(joint: JointParameters, train: Recordings) -> None:
    theirs = Parameters(
        hearing_class=train.hearing_class,
        peak_exist=train.peak_exist.astype(np.float64),
        values=values_of(train),
    )
    lawful = joint.lawful(theirs)
    # Rare groups have the ranges of their class: all but what lies beyond them.
    assert lawful.all()


def test_labels_that_are_missing(train: Recordings) -> None:
    nothing = np.full(len(train), np.nan, dtype=np.float32)
    joint = JointParameters(0)
    joint.fit(replace(train, threshold_db=nothing, class_names=(), hearing_class=np.full(len(train), -1)))
    drawn = joint.draw(random(), 200)
    assert set(drawn.hearing_class) == {-1}
    assert np.isnan(drawn.values[:, THRESHOLD]).all()
    unseen = JointParameters(5)
    unseen.fit(replace(train, peak_exist=nothing))
    assert not unseen.fitted
