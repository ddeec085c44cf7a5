"""Batches of a classification: MixUp, its skip rule, and a loss that takes the mixture apart."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch.nn.functional import cross_entropy

from core.classification.batches import Augmentation, ClassBatch, MixedClasses, mixed
from core.classification.networks import read
from core.config import ClassLossOptions, MetricReached, MixUpOptions, WeightingOptions
from core.losses.class_term import CLASS, ClassSettings, settings_of
from core.losses.multitask import MultiTaskLoss


def batch(count: int = 8, classes: int = 3) -> ClassBatch:
    return ClassBatch(inputs_B=torch.arange(count).float()[:, None], class_B=torch.arange(count) % classes)


def loss_of(weight_K: torch.Tensor) -> MultiTaskLoss:
    return MultiTaskLoss(
        {"class": CLASS},
        weights={"class": 1.0},
        settings=ClassSettings(**settings_of(ClassLossOptions(), weight_K, ())),
        weighting=WeightingOptions(),
        recall=None,
        class_names=("a", "b", "c"),
    )


class Said:
    def __init__(self, logits_BK: torch.Tensor) -> None:
        self.class_logits_BK = logits_BK


def test_what_is_read_is_the_mixture() -> None:
    both = mixed(batch(), MixUpOptions(probability=1, alpha=1), np.random.default_rng(1))
    assert 0 < both.share < 1
    inputs = read(both, lambda each: each.inputs_B)
    torch.testing.assert_close(inputs, both.share * both.inputs_B + (1 - both.share) * both.second.inputs_B)
    assert not torch.equal(inputs, both.inputs_B)
    assert sorted(both.second.inputs_B[:, 0].tolist()) == list(range(8))


def test_the_loss_of_a_mixture_is_that_of_mixed_labels() -> None:
    """Equal to torch's cross-entropy with soft targets, where all classes weigh the same."""
    torch.manual_seed(1)
    both = mixed(batch(), MixUpOptions(probability=1, alpha=1), np.random.default_rng(1))
    logits = torch.randn(8, 3)
    loss = loss_of(torch.ones(3))
    found = loss.values(loss.numerators(Said(logits), both, ["class"]), loss.denominators(both))["class"]
    one, other = (torch.nn.functional.one_hot(each.class_B, 3) for each in (both, both.second))
    soft = both.share * one + (1 - both.share) * other
    torch.testing.assert_close(found, cross_entropy(logits, soft))


def test_the_loss_of_weighted_classes_is_torchs() -> None:
    torch.manual_seed(1)
    weight = torch.tensor([0.5, 1.0, 1.5])
    logits, plain = torch.randn(8, 3), batch()
    loss = loss_of(weight)
    found = loss.values(loss.numerators(Said(logits), plain, ["class"]), loss.denominators(plain))["class"]
    torch.testing.assert_close(found, cross_entropy(logits, plain.class_B, weight=weight))


def changed(options: MixUpOptions, *, rare: tuple[int, ...] = (), reached: tuple[str, ...] = ()) -> Any:
    augmentation = Augmentation(options, rare=rare, change=None)
    augmentation.begin(np.random.default_rng(3), reached)
    return [augmentation(batch()) for _ in range(200)], augmentation.signals()


def test_as_many_batches_are_mixed_as_are_asked_for() -> None:
    batches, signals = changed(MixUpOptions(probability=0.3, skip_rare=False))
    share = np.mean([isinstance(each, MixedClasses) for each in batches])
    assert share == pytest.approx(0.3, abs=0.1)
    assert signals == {"mixup_share": share}
    assert changed(MixUpOptions(probability=0.0))[1] == {}


def test_a_batch_with_a_rare_class_is_left_alone() -> None:
    batches, signals = changed(MixUpOptions(probability=1.0), rare=(2,))
    assert not any(isinstance(each, MixedClasses) for each in batches)
    assert signals == {"mixup_share": 0.0}
    batches, _ = changed(MixUpOptions(probability=1.0), rare=(7,))
    assert all(isinstance(each, MixedClasses) for each in batches)


def test_mixup_waits_for_its_metric() -> None:
    after = MetricReached(metric="val/class/f1_macro", above=0.75)
    options = MixUpOptions(probability=1.0, after=after)
    assert not any(isinstance(each, MixedClasses) for each in changed(options)[0])
    assert all(isinstance(each, MixedClasses) for each in changed(options, reached=(str(after),))[0])


def test_a_view_of_each_is_chosen() -> None:
    views = torch.arange(12).float().reshape(4, 3, 1)
    whole = ClassBatch(
        inputs_B=torch.zeros(4, 1), class_B=torch.zeros(4, dtype=torch.int64), views_BV=views, features_BV=10 * views
    )
    one = whole.view(torch.tensor([0, 2, 1, 0]))
    assert one.views_BV is not None
    assert one.features_BV is not None
    assert one.views_BV.flatten().tolist() == [0, 5, 7, 9]
    assert one.features_BV.flatten().tolist() == [0, 50, 70, 90]
    assert whole.take(torch.tensor([2])).views_BV.shape == (1, 3, 1)  # type: ignore[union-attr]
