from typing import get_args

import numpy as np
import pytest
import torch
from hypothesis import given, strategies as st
from torch.testing import assert_close

from core.config import BalanceOptions, BalanceScheme, Clamp
from core.data.balancing import (
    RENORMALISE,
    SCHEMES,
    class_shares,
    class_weights,
    presence,
    recall_weights,
    sampling_probabilities,
)

CLINIC = (41_391, 417, 5_513, 1_715, 2_925)


def test_every_scheme_is_implemented() -> None:
    assert set(SCHEMES) == set(get_args(BalanceScheme))
    assert set(RENORMALISE) == set(get_args(BalanceOptions.model_fields["renormalise"].annotation))


@pytest.mark.parametrize(
    ("options", "counts", "expected"),
    [
        (BalanceOptions(), [1, 3], [1.0, 1.0]),
        # 1 : 1/3 = 3 : 1, scaled to the sum 2.
        (BalanceOptions(scheme="balanced"), [1, 3], [1.5, 0.5]),
        # 1 : 1/2 = 2 : 1.
        (BalanceOptions(scheme="sqrt"), [1, 4], [4 / 3, 2 / 3]),
        # Effective numbers 1 and 1.5, so 3 : 2.
        (BalanceOptions(scheme="effective", beta=0.5), [1, 2], [1.2, 0.8]),
        (BalanceOptions(scheme="effective", beta=0.0), [1, 2], [1.0, 1.0]),
        # 1/n with the power 2: 9 : 1.
        (BalanceOptions(scheme="balanced", power=2.0), [1, 3], [1.8, 0.2]),
        # Document 000's list sums to 13.2.
        (
            BalanceOptions(scheme="explicit", weights=(0.2, 5, 2, 3, 3)),
            [9, 1, 1, 1, 1],
            [1 / 13.2, 25 / 13.2, 10 / 13.2, 15 / 13.2, 15 / 13.2],
        ),
    ],
)
def test_weights_by_hand(options: BalanceOptions, counts: list[int], expected: list[float]) -> None:
    assert_close(class_weights(counts, options), torch.tensor(expected))


def test_effective_number_approaches_inverse_frequency() -> None:
    near_one = class_weights(CLINIC, BalanceOptions(scheme="effective", beta=1 - 1e-9))
    assert_close(near_one, class_weights(CLINIC, BalanceOptions(scheme="balanced")), rtol=1e-3, atol=0)


DOCUMENTED = {"scheme": "explicit", "weights": (0.47, 1.44, 0.57, 1.52), "clamp": Clamp(low=0.75, high=1.5)}


def test_clamp_of_document_002_leaves_its_bounds_as_documented() -> None:
    weights = class_weights([1, 1, 1, 1], BalanceOptions(**DOCUMENTED, renormalise="documented"))
    assert_close(weights, torch.tensor([0.676, 1.297, 0.676, 1.351]), rtol=0, atol=6e-4)


def test_clamp_of_document_002_kept() -> None:
    weights = class_weights([1, 1, 1, 1], BalanceOptions(**DOCUMENTED))
    assert_close(weights, torch.tensor([0.75, 1.216, 0.75, 1.284]), rtol=0, atol=6e-4)


@given(
    counts=st.lists(st.integers(1, 100_000), min_size=1, max_size=90),
    low=st.floats(0.01, 1.0),
    high=st.floats(1.0, 50.0),
    scheme=st.sampled_from(["none", "balanced", "sqrt", "effective"]),
    power=st.floats(0, 3),
)
def test_clamped_weights_sum_to_the_classes_and_stay_inside(
    counts: list[int], low: float, high: float, scheme: BalanceScheme, power: float
) -> None:
    weights = class_weights(counts, BalanceOptions(scheme=scheme, power=power, clamp=Clamp(low=low, high=high)))
    assert weights.double().sum().item() == pytest.approx(len(counts), rel=1e-5)
    assert weights.min() >= low * (1 - 1e-6)
    assert weights.max() <= high * (1 + 1e-6)


@pytest.mark.parametrize("clamp", [Clamp(low=1.1, high=2), Clamp(low=0.1, high=0.9)], ids=["above", "below"])
def test_impossible_clamp_is_refused(clamp: Clamp) -> None:
    with pytest.raises(ValueError, match=rf"between {clamp.low} and {clamp.high} cannot sum to the number of classes"):
        class_weights([1, 2], BalanceOptions(clamp=clamp))


def test_explicit_weights_must_match_the_classes() -> None:
    with pytest.raises(ValueError, match="2 explicit class weights for 3 classes"):
        class_weights([1, 2, 3], BalanceOptions(scheme="explicit", weights=(1, 2)))


def test_absent_class_leaves_the_others_alone() -> None:
    assert_close(class_weights([1, 0, 3], BalanceOptions(scheme="balanced")), torch.tensor([1.5, 1.0, 0.5]))
    assert_close(class_weights([0, 0], BalanceOptions(scheme="balanced")), torch.ones(2))
    assert class_weights([], BalanceOptions()).shape == (0,)


def test_balanced_sampling_shares_the_labelled_part_between_classes() -> None:
    classes = np.array([0, 0, 0, 1, -1])
    # Four fifths are labelled: two fifths for each class.
    expected = [0.4 / 3, 0.4 / 3, 0.4 / 3, 0.4, 0.2]
    np.testing.assert_allclose(sampling_probabilities(classes, BalanceOptions(sampling="balanced")), expected)


@pytest.mark.parametrize("sampling", ["natural", "balanced"])
def test_sampling_without_any_class_is_natural(sampling: str) -> None:
    probabilities = sampling_probabilities(np.full(4, -1), BalanceOptions(sampling=sampling))
    np.testing.assert_allclose(probabilities, 0.25)


def test_natural_sampling_is_uniform() -> None:
    np.testing.assert_allclose(sampling_probabilities(np.array([0, 0, 1, -1]), BalanceOptions()), 0.25)


NAMES = ("NORMAL", "NÖROPATİ", "SNİK", "TOTAL", "İTİK")


def test_weights_by_name_follow_their_class_whatever_the_order() -> None:
    by_name = dict(zip(NAMES, (0.2, 5, 2, 3, 3), strict=True))
    options = BalanceOptions(scheme="explicit", weights=by_name)
    listed = BalanceOptions(scheme="explicit", weights=(0.2, 5, 2, 3, 3))
    weights = class_weights(CLINIC, options, names=NAMES)
    assert_close(weights, class_weights(CLINIC, listed, names=NAMES))
    order = [3, 0, 4, 2, 1]
    moved = class_weights([CLINIC[i] for i in order], options, names=[NAMES[i] for i in order])
    assert_close(moved, weights[order])


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        ({"NORMAL": 1.0, "SNIK": 2.0}, "balance.weights names SNIK; the classes are NORMAL, NÖROPATİ"),
        ({"NORMAL": 1.0, "SNİK": 2.0}, "balance.weights has no weight for NÖROPATİ, TOTAL, İTİK"),
    ],
)
def test_names_that_do_not_fit_are_told(weights: dict[str, float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        class_weights(CLINIC, BalanceOptions(scheme="explicit", weights=weights), names=NAMES)


def test_recall_weights_by_hand() -> None:
    dynamic = BalanceOptions(scheme="dynamic")
    # Misses .5, .1 and .05 (the least, for a recall of 1), of mean .21667; the fourth class was never seen.
    expected = [2.3077, 0.46154, 0.23077, 1.0]
    assert_close(recall_weights([0.5, 0.9, 1.0, None], dynamic), torch.tensor(expected), rtol=1e-3, atol=0)
    assert_close(recall_weights([None, None], dynamic), torch.ones(2))
    assert_close(class_weights([1, 9], dynamic), torch.ones(2))
    clamped = BalanceOptions(scheme="dynamic", clamp=Clamp(low=0.5, high=1.5))
    assert_close(recall_weights([0.0, 1.0], clamped), torch.tensor([1.5, 0.5]))


IOL = {"IOL Inserted": 0.33}


def test_the_fraction_of_document_002_is_one_batch_in_five() -> None:
    """A share of .33 / 3.33 after balancing; at its batch size of 2 that is 18.8 % of batches, not one in three."""
    names = ("No Cataract", "Immature", "Mature", "IOL Inserted")
    classes = np.repeat(np.arange(4), (1191, 1033, 1775, 33))
    options = BalanceOptions(sampling="balanced", sampling_fractions=IOL)
    probability = sampling_probabilities(classes, options, names=names)
    assert probability.sum() == pytest.approx(1.0)
    shares = class_shares(classes, probability, 4)
    np.testing.assert_allclose(shares, [1 / 3.33, 1 / 3.33, 1 / 3.33, 0.33 / 3.33])
    assert presence(shares, 2)[3] == pytest.approx(0.188, abs=5e-4)
    # What is drawn agrees.
    drawn = np.random.default_rng(0).choice(len(classes), size=(20_000, 2), p=probability)
    assert (classes[drawn] == 3).any(1).mean() == pytest.approx(0.188, abs=0.01)


def test_fractions_alone_change_natural_shares() -> None:
    classes = np.array([0, 0, 0, 1, -1])
    # Weights 3 x .5, 1 and 1: 3.5 in all.
    probability = sampling_probabilities(classes, BalanceOptions(sampling_fractions={"a": 0.5}), names=("a", "b"))
    np.testing.assert_allclose(probability, [0.5 / 3.5] * 3 + [1 / 3.5] * 2)
    np.testing.assert_allclose(class_shares(classes, probability, 2), [1.5 / 3.5, 1 / 3.5])


def test_a_fraction_for_no_class_is_told() -> None:
    with pytest.raises(ValueError, match=r"balance\.sampling_fractions names IOL Inserted; the classes are a, b"):
        sampling_probabilities(np.array([0, 1]), BalanceOptions(sampling_fractions=IOL), names=("a", "b"))


def test_frequency_is_counted_twice_by_weights_and_sampling_together() -> None:
    counts = {
        (scheme, sampling): BalanceOptions(scheme=scheme, sampling=sampling, weights=(1.0,)).counts_twice
        for scheme in get_args(BalanceScheme)
        for sampling in ("natural", "balanced")
    }
    assert {pair for pair, twice in counts.items() if twice} == {
        (scheme, "balanced") for scheme in ("balanced", "sqrt", "effective")
    }
