"""Noise for rare classes and MixUp: what is changed, what is left alone, and that losses of mixtures are right."""

from collections.abc import Callable
from dataclasses import fields, replace

import numpy as np
import pytest
import torch
from torch.testing import assert_close

from core.config import AugmentOptions, MetricReached, MixUpOptions
from core.data.augment import Augmentation, MixedBatch, mixed, rare_classes, residual
from core.data.recordings import Recordings
from core.data.scaling import fit_scaling
from core.data.tensors import Batch, as_batch
from core.losses.abr import build_loss
from core.losses.multitask import MultiTaskLoss
from core.models.outputs import Outputs
from core.tasks.abr_options import TERMS, LossOptions

BumpRecordings = Callable[..., Recordings]


@pytest.fixture(scope="module")
def table(bump_recordings: BumpRecordings) -> Recordings:
    return bump_recordings(20)


@pytest.fixture
def batch(table: Recordings) -> Batch:
    return as_batch(table)


def augmentation(*, rare: tuple[int, ...] = (1,), seed: int = 0, reached: tuple[str, ...] = (), **options: object):  # type: ignore[no-untyped-def]
    made = Augmentation(AugmentOptions.model_validate(options), rare=rare, signal_spread=2.0, sampling_rate_hz=15_000.0)
    made.begin(np.random.default_rng(seed), reached)
    return made


def same(one: Batch, other: Batch) -> bool:
    return all(
        torch.equal(getattr(one, column.name).nan_to_num(9e9), getattr(other, column.name).nan_to_num(9e9))
        for column in fields(Batch)
    )


def test_a_class_is_rare_under_its_share_of_the_labelled() -> None:
    classes = np.array([0] * 17 + [1] * 2 + [3] + [-1] * 30)
    names = ("a", "b", "c", "d")
    # 17, 2, 0 and 1 of 20: 85 %, 10 %, 0 % and 5 %.
    assert rare_classes(classes, names, below=0.1) == (2, 3)
    assert rare_classes(classes, names, below=0.11) == (1, 2, 3)
    assert rare_classes(classes, names, below=0.0) == ()
    assert rare_classes(np.array([-1, -1]), (), below=0.1) == ()


def test_noise_goes_to_rare_classes_only_and_leaves_the_truth(batch: Batch) -> None:
    noisy = augmentation(noise={"level": 0.5})(batch)
    rare_B = batch.class_B == 1
    added_BT = noisy.signal_BT - batch.signal_BT
    assert not added_BT[~rare_B].any()
    assert (added_BT[rare_B].std(1) > 0.2).all()
    assert same(replace(noisy, signal_BT=batch.signal_BT), batch)


def test_noise_has_the_asked_size_and_is_slow() -> None:
    noise_BT = residual(np.random.default_rng(0), 3000, 200, sampling_rate_hz=15_000.0)
    assert noise_BT.std().item() == pytest.approx(1.0, abs=0.03)
    lag = (noise_BT[:, 1:] * noise_BT[:, :-1]).mean() / noise_BT.square().mean()
    # Measured on averaged recordings: 0.94 to 0.99 between neighbours at 15 kHz. White noise has 0.
    assert 0.94 < lag < 0.99
    # Its ends are not joined: the last sample says nothing of the first.
    assert abs(torch.corrcoef(torch.stack([noise_BT[:, 0], noise_BT[:, -1]]))[0, 1]) < 0.25


def test_nothing_asked_for_changes_nothing(batch: Batch) -> None:
    made = augmentation()
    assert made(batch) is batch
    assert made.signals() == {}


def test_mixup_mixes_by_its_share(batch: Batch) -> None:
    found = mixed(batch, MixUpOptions(alpha=1.0), np.random.default_rng(3))
    share, second = found.share, found.second
    assert 0 < share < 1
    order = [int((batch.threshold_B == value).nonzero()) for value in second.threshold_B]
    assert sorted(order) == list(range(20))
    assert order != list(range(20))
    assert_close(found.signal_BT, share * batch.signal_BT + (1 - share) * batch.signal_BT[order])
    assert_close(found.static_BS, share * batch.static_BS + (1 - share) * batch.static_BS[order], equal_nan=True)
    assert_close(found.clean_BT, share * batch.clean_BT + (1 - share) * batch.clean_BT[order])
    assert torch.equal(found.class_B, batch.class_B)
    assert torch.equal(second.class_B, batch.class_B[order])


def outputs_for(batch: Batch) -> Outputs:
    random = torch.Generator().manual_seed(0)
    rows, samples = batch.signal_BT.shape
    leaf = [torch.randn(*shape, generator=random).requires_grad_() for shape in ((rows, 5), *[(rows,)] * 4)]
    return Outputs(
        class_logits_BK=leaf[0],
        threshold_B=leaf[1],
        exist_logit_B=leaf[2],
        latency_B=leaf[3],
        amplitude_B=leaf[4],
        signal_BT=torch.randn(rows, samples, generator=random).requires_grad_(),
    )


@pytest.fixture
def loss(table: Recordings) -> MultiTaskLoss:
    return build_loss(LossOptions(), fit_scaling(table), torch.tensor([0.2, 1.5, 1.0, 1.2, 1.1]))


def test_the_loss_of_a_mixture_is_the_mixture_of_the_losses(batch: Batch, loss: MultiTaskLoss) -> None:
    found = mixed(batch, MixUpOptions(alpha=1.0), np.random.default_rng(3))
    outputs = outputs_for(batch)
    first = replace(batch, clean_BT=found.clean_BT)
    for whole, parts in (
        (
            loss.numerators(outputs, found, TERMS),
            [loss.numerators(outputs, each, TERMS) for each in (first, found.second)],
        ),
        (loss.denominators(found), [loss.denominators(each) for each in (first, found.second)]),
    ):
        for term in TERMS:
            assert_close(whole[term], found.share * parts[0][term] + (1 - found.share) * parts[1][term])
    # The truth of a mixture is one: both halves of its term agree.
    assert_close(
        loss.numerators(outputs, first, ["signal"])["signal"],
        loss.numerators(outputs, found.second, ["signal"])["signal"],
    )


def test_the_class_loss_of_a_mixture_is_cross_entropy_with_soft_labels(batch: Batch, table: Recordings) -> None:
    loss = build_loss(LossOptions(), fit_scaling(table), torch.ones(5))
    found = mixed(batch, MixUpOptions(alpha=1.0), np.random.default_rng(3))
    outputs = outputs_for(batch)
    soft_BK = found.share * torch.eye(5)[found.class_B] + (1 - found.share) * torch.eye(5)[found.second.class_B]
    expected = torch.nn.functional.cross_entropy(outputs.class_logits_BK, soft_BK)
    ours = loss.values(loss.numerators(outputs, found, ["class"]), loss.denominators(found))["class"]
    assert_close(ours, expected)


@pytest.mark.parametrize("peaks", ["mixed", "left_out"])
def test_missing_labels_send_no_gradient_and_take_none_away(peaks: str, batch: Batch, loss: MultiTaskLoss) -> None:
    found = mixed(batch, MixUpOptions.model_validate({"alpha": 1.0, "peaks": peaks}), np.random.default_rng(3))
    outputs = outputs_for(batch)
    sum(loss.numerators(outputs, found, TERMS).values()).backward()  # type: ignore[union-attr]
    either_B = batch.latency_B.isfinite() | found.second.latency_B.isfinite()
    gradient_B = outputs.latency_B.grad
    if peaks == "left_out":
        assert gradient_B is not None
        assert not gradient_B.any()
        assert loss.denominators(found)["peak_latency"] == 0
        return
    known = batch.latency_B.isfinite().sum().item()
    assert known == 15
    assert loss.denominators(found)["peak_latency"].item() == pytest.approx(known)
    for term in ("latency_B", "amplitude_B"):
        gradient_B = getattr(outputs, term).grad
        assert gradient_B.isfinite().all()
        assert gradient_B[either_B].all()
        assert not gradient_B[~either_B].any()


def test_a_batch_with_a_rare_class_is_left_alone_if_asked(batch: Batch) -> None:
    common = batch.take((batch.class_B != 1).nonzero().squeeze(1))
    always = {"mixup": {"probability": 1.0}}
    made = augmentation(**always)
    assert made(batch) is batch
    assert isinstance(made(common), MixedBatch)
    assert made.signals() == {"mixup_share": 0.5}
    made = augmentation(mixup={"probability": 1.0, "skip_rare": False})
    assert isinstance(made(batch), MixedBatch)


def test_mixup_comes_as_often_as_its_probability(batch: Batch) -> None:
    made = augmentation(mixup={"probability": 0.3, "skip_rare": False})
    count = sum(isinstance(made(batch), MixedBatch) for _ in range(400))
    assert count == pytest.approx(120, abs=30)
    assert made.signals() == {"mixup_share": count / 400}


def test_mixup_waits_until_its_metric_is_reached(batch: Batch) -> None:
    waits = {"mixup": {"probability": 1.0, "skip_rare": False, "after": {"metric": "val/class/f1_macro", "above": 0.6}}}
    assert augmentation(**waits)(batch) is batch
    assert augmentation(reached=("val/class/f1_macro > 0.7",), **waits)(batch) is batch
    assert isinstance(augmentation(reached=("val/class/f1_macro > 0.6",), **waits)(batch), MixedBatch)


def test_an_epoch_begins_anew(batch: Batch) -> None:
    options = {"mixup": {"probability": 0.5, "skip_rare": False}, "noise": {"level": 0.1}}
    made = augmentation(seed=1, **options)
    first = [made(batch) for _ in range(5)]
    made.begin(np.random.default_rng(1), ())
    assert all(same(made(batch), each) for each in first)
    made.begin(np.random.default_rng(2), ())
    assert not all(same(made(batch), each) for each in first)


def test_a_metric_is_reached_above_or_below() -> None:
    above, below = MetricReached(), MetricReached(metric="val/threshold/mae_db", below=10.0)
    assert str(above) == "val/class/f1_macro > 0.75"
    assert [above.met({"val/class/f1_macro": value}) for value in (0.75, 0.76)] == [False, True]
    assert str(below) == "val/threshold/mae_db < 10"
    assert [below.met({"val/threshold/mae_db": value}) for value in (10.0, 9.0)] == [False, True]
    assert not below.met({})
    assert MetricReached.model_validate(below.model_dump()) == below
    with pytest.raises(ValueError, match="give above or below, one of the two"):
        MetricReached(above=0.5, below=0.1)
    with pytest.raises(ValueError, match="give above or below"):
        MetricReached(above=None)
    with pytest.raises(ValueError, match="train/class/f1_macro is no validation metric"):
        MetricReached(metric="train/class/f1_macro")
