from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.testing import assert_close

from core.config import BalanceOptions, FocalOptions
from core.data.balancing import class_weights
from core.data.recordings import Recordings
from core.data.scaling import fit_scaling
from core.data.tensors import as_batch
from core.losses.abr import build_loss
from core.losses.multitask import MultiTaskLoss
from core.models.network import AbrNetwork, build_network
from core.tasks.abr_options import TERMS, LossOptions, ModelOptions, Term, TermWeights


@pytest.fixture
def recordings(bump_recordings) -> Recordings:
    return bump_recordings(24)


@pytest.fixture
def network(recordings: Recordings) -> AbrNetwork:
    torch.manual_seed(0)
    network = build_network(
        ModelOptions(dropout=0.0), fit_scaling(recordings), samples=200, sampling_rate_hz=15_000.0, num_classes=5
    )
    # As it is built, the signal head is zero and nothing beneath it has a gradient.
    with torch.no_grad():
        for parameter in network.signal_head.parameters():
            parameter.add_(0.1)
    return network


def loss_for(recordings: Recordings, **options) -> MultiTaskLoss:
    weights = torch.tensor([0.2, 1.5, 1.0, 1.2, 1.1])
    return build_loss(LossOptions(**options), fit_scaling(recordings), weights)


def gradients(network: AbrNetwork) -> list[torch.Tensor]:
    found = [torch.zeros_like(p) if p.grad is None else p.grad.clone() for p in network.parameters()]
    network.zero_grad()
    return found


@pytest.mark.parametrize("class_loss", ["cross_entropy", "focal"])
def test_accumulated_gradients_equal_those_of_the_whole_batch(
    recordings: Recordings, network: AbrNetwork, class_loss: str
) -> None:
    loss, batch = loss_for(recordings, class_loss=class_loss), as_batch(recordings)
    denominators = loss.denominators(batch)
    loss.total(loss.values(loss.numerators(network(batch), batch, TERMS), denominators)).backward()
    whole = gradients(network)
    # Micro-batches of unequal size with unequal shares of classes and peaks.
    for index in torch.arange(24).split([3, 8, 13]):
        micro = batch.take(index)
        loss.total(loss.values(loss.numerators(network(micro), micro, TERMS), denominators)).backward()
    for accumulated, expected in zip(gradients(network), whole, strict=True):
        assert_close(accumulated, expected, rtol=1e-5, atol=1e-6)


def test_denominators_of_micro_batches_add_up(recordings: Recordings) -> None:
    loss, batch = loss_for(recordings), as_batch(recordings)
    parts = [loss.denominators(batch.take(index)) for index in torch.arange(24).split([3, 8, 13])]
    for term, whole in loss.denominators(batch).items():
        assert_close(sum(part[term] for part in parts), whole)


def test_a_term_of_weight_zero_is_not_computed(recordings: Recordings, network: AbrNetwork) -> None:
    loss, batch = loss_for(recordings, weights=TermWeights(threshold=0.0)), as_batch(recordings)
    numerators = loss.numerators(network(batch), batch, TERMS)
    assert set(numerators) == set(TERMS) - {"threshold"}
    loss.total(loss.values(numerators, loss.denominators(batch))).backward()
    assert all(parameter.grad is None for parameter in network.threshold_head.parameters())
    assert all(parameter.grad is not None for parameter in network.class_head.parameters())


def test_only_the_terms_asked_for_are_computed(recordings: Recordings, network: AbrNetwork) -> None:
    batch = as_batch(recordings)
    assert set(loss_for(recordings).numerators(network(batch), batch, ("class",))) == {"class"}


def test_total_by_hand(recordings: Recordings) -> None:
    loss = loss_for(recordings, weights=TermWeights(class_=3.0, signal=0.5))
    values: dict[Term, torch.Tensor] = {"class": torch.tensor(2.0), "signal": torch.tensor(4.0)}
    # 3 * 2 + 0.5 * 4
    assert loss.total(values) == 8.0


def test_values_without_labels_are_zero(recordings: Recordings) -> None:
    loss = loss_for(recordings)
    assert loss.values({"class": torch.tensor(0.0)}, {"class": torch.tensor(0.0)})["class"] == 0.0


@pytest.mark.parametrize(("class_loss", "gamma"), [("cross_entropy", 0.0), ("focal", 3.0)])
def test_gamma_is_read_with_focal_only(recordings: Recordings, class_loss: str, gamma: float) -> None:
    assert loss_for(recordings, class_loss=class_loss, focal=FocalOptions(gamma=3.0)).settings.gamma == gamma


def test_data_without_classes_train_the_other_terms(recordings: Recordings) -> None:
    bare = replace(recordings, class_names=(), hearing_class=np.full(24, -1))
    scaling, batch = fit_scaling(bare), as_batch(bare)
    network = build_network(ModelOptions(), scaling, samples=200, sampling_rate_hz=15_000.0, num_classes=0)
    loss = build_loss(LossOptions(), scaling, class_weights([], BalanceOptions()))
    values = loss.values(loss.numerators(network(batch), batch, TERMS), loss.denominators(batch))
    assert values["class"] == 0
    loss.total(values).backward()
    assert network.threshold_head.body[1].weight.grad.any()


def test_data_with_classes_only_train_the_class_term(recordings: Recordings) -> None:
    """As in the real recordings without a clinician's labels: nothing else sends a gradient or a NaN."""
    nothing = np.full(24, np.nan, np.float32)
    bare = replace(
        recordings,
        threshold_db=nothing,
        peak_exist=nothing,
        peak_latency_ms=nothing,
        peak_amplitude_uv=nothing,
        clean=None,
    )
    scaling, batch = fit_scaling(bare), as_batch(bare)
    network = build_network(ModelOptions(), scaling, samples=200, sampling_rate_hz=15_000.0, num_classes=5)
    loss = build_loss(LossOptions(), scaling, torch.ones(5))
    outputs = network(batch)
    values = loss.values(loss.numerators(outputs, batch, TERMS), loss.denominators(batch))
    assert {term for term, value in values.items() if value != 0} == {"class"}
    assert outputs.latency_B.isfinite().all()
    loss.total(values).backward()
    assert all(parameter.grad.isfinite().all() for parameter in network.parameters())
    assert network.class_head.body[1].weight.grad.any()
    assert not network.threshold_head.body[1].weight.grad.any()
