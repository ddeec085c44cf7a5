"""Conditional diffusion: what is shown, what is told, and what the heads never see."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.testing import assert_close

from core.config import MixUpOptions
from core.data.augment import mixed
from core.data.recordings import Recordings
from core.data.scaling import fit_scaling
from core.data.tensors import Batch, as_batch
from core.losses.abr import build_loss
from core.models.denoiser import step_waves
from core.models.network import AbrNetwork, build_network
from core.tasks.abr_options import Backbone, LossOptions, ModelOptions

BACKBONES: tuple[Backbone, ...] = ("encoder", "unet")


def network_with(recordings: Recordings, *, backbone: Backbone = "encoder", **diffusion: object) -> AbrNetwork:
    torch.manual_seed(0)
    options = ModelOptions.model_validate(
        {"dropout": 0.0, "backbone": backbone, "diffusion": {"enabled": True} | diffusion}
    )
    return build_network(
        options,
        fit_scaling(recordings),
        samples=recordings.samples,
        sampling_rate_hz=recordings.sampling_rate_hz,
        num_classes=5,
    )


def awake(network: AbrNetwork) -> AbrNetwork:
    """Weights that begin at zero hide mistakes: all of them anew."""
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))
    return network


def signal_loss(network: AbrNetwork, batch: Batch, recordings: Recordings) -> Tensor:
    loss = build_loss(LossOptions(), fit_scaling(recordings), torch.ones(5))
    return loss.numerators(network(batch), batch, ["signal"])["signal"]


@pytest.fixture
def recordings(bump_recordings) -> Recordings:
    return bump_recordings(16)


def test_without_it_nothing_is_built_or_drawn(recordings: Recordings) -> None:
    plain = network_with(recordings, enabled=False).train()
    before = torch.get_rng_state()
    assert plain(as_batch(recordings)).diffusion_error_BT is None
    assert torch.equal(torch.get_rng_state(), before)
    assert plain.diffusion is None
    with pytest.raises(ValueError, match=r"without model\.diffusion"):
        plain.said(torch.zeros(1, 200), torch.ones(1), torch.zeros(1, 13), x_BT=torch.zeros(1, 200), static_BS=None)


@pytest.mark.parametrize("backbone", BACKBONES)
def test_the_heads_see_no_noise(recordings: Recordings, backbone: Backbone) -> None:
    network, batch = awake(network_with(recordings, backbone=backbone)).train(), as_batch(recordings)
    torch.manual_seed(1)
    first = network(batch)
    torch.manual_seed(2)
    second = network(batch)
    for name in ("class_logits_BK", "threshold_B", "exist_logit_B", "latency_B", "amplitude_B", "signal_BT"):
        assert torch.equal(getattr(first, name), getattr(second, name)), name
    assert not torch.equal(first.diffusion_error_BT, second.diffusion_error_BT)
    network.eval()
    said = network(batch)
    assert said.diffusion_error_BT is None
    assert_close(said.signal_BT, first.signal_BT)


@pytest.mark.parametrize("backbone", BACKBONES)
def test_it_hears_of_the_step_the_labels_the_recording_and_the_noised_truth(
    recordings: Recordings, backbone: Backbone
) -> None:
    network, batch = awake(network_with(recordings, backbone=backbone)).eval(), as_batch(recordings)
    labels = network.diffusion.told.labels_of(batch)
    told = {
        "noisy_BT": torch.randn(16, 200),
        "step_B": torch.full((16,), 50),
        "labels_BP": labels,
        "x_BT": batch.signal_BT,
        "static_BS": batch.static_BS,
    }
    other = {
        "noisy_BT": torch.randn(16, 200),
        "step_B": torch.full((16,), 150),
        "labels_BP": torch.zeros_like(labels),
        "x_BT": torch.zeros(16, 200),
        "static_BS": torch.full_like(batch.static_BS, torch.nan),
    }
    with torch.no_grad():
        said = network.said(**told)
        for name, value in other.items():
            assert not torch.allclose(network.said(**told | {name: value}), said, atol=1e-5), name
        # The step is told to the backbone, not to what reads it out alone.
        backbone_told = network.diffusion.told
        assert not torch.allclose(backbone_told(told["step_B"], labels), backbone_told(other["step_B"], labels))


def test_the_term_trains_all_of_it(recordings: Recordings) -> None:
    network = awake(network_with(recordings)).train()
    signal_loss(network, as_batch(recordings), recordings).backward()
    without = [name for name, parameter in network.diffusion.named_parameters() if parameter.grad is None]
    assert not without
    assert all(parameter.grad.abs().sum() > 0 for parameter in network.diffusion.parameters())
    assert all(parameter.grad is None for parameter in network.class_head.parameters())


def test_unknown_truths_teach_nothing(recordings: Recordings) -> None:
    network = awake(network_with(recordings)).train()
    batch = as_batch(recordings)
    batch.clean_BT[:8] = torch.nan
    torch.manual_seed(0)
    error_BT = network(batch).diffusion_error_BT
    assert (error_BT[:8] == 0).all()
    assert (error_BT[8:] != 0).any(1).all()
    signal_loss(network, replace(batch, clean_BT=torch.full_like(batch.clean_BT, torch.nan)), recordings).backward()
    assert all(p.grad is None or (p.grad == 0).all() for p in network.parameters())


def test_a_loss_by_hand(recordings: Recordings) -> None:
    # Untrained, nothing is said: of the velocity sqrt(a) noise - sqrt(1 - a) x0 all is error.
    network = network_with(recordings).train()
    batch = as_batch(recordings)
    torch.manual_seed(5)
    error_BT = network(batch).diffusion_error_BT
    torch.manual_seed(5)
    step_B = torch.randint(1, 201, (16,))
    noise_BT = torch.randn(16, 200)
    keep_B1 = network.diffusion.keep_S[step_B][:, None].float()
    clean_BT = batch.clean_BT / fit_scaling(recordings).clean
    said_BT = network.diffusion.said.share(step_waves(step_B, 200)) * (
        keep_B1.sqrt() * clean_BT + (1 - keep_B1).sqrt() * noise_BT
    )
    assert_close(error_BT, said_BT - keep_B1.sqrt() * noise_BT + (1 - keep_B1).sqrt() * clean_BT, atol=1e-5, rtol=1e-4)


def test_labels_are_standardised_and_masked(recordings: Recordings) -> None:
    network = network_with(recordings)
    batch, scaling = as_batch(recordings), fit_scaling(recordings)
    labels_BP = network.diffusion.told.labels_of(batch)
    assert labels_BP.shape == (16, 5 + 8)
    assert_close(labels_BP[:, :5].argmax(1), batch.class_B)
    assert_close(labels_BP[:, 5], (batch.threshold_B - scaling.threshold.mean) / scaling.threshold.sd)
    # Every fourth recording has no wave V: existence is known, latency and amplitude are not.
    assert labels_BP[3, 9:].tolist() == [1, 0, 0, 1]
    assert labels_BP[3, 6:9].tolist() == [0, 0, -1]
    blend = mixed(batch, MixUpOptions(), np.random.default_rng(0))
    assert (network.diffusion.told.labels_of(blend) == 0).all()


@pytest.mark.parametrize(("drop_recording", "drop_labels"), [(0.0, 0.5), (1.0, 0.0), (0.5, 0.25)])
def test_recordings_and_labels_are_dropped_as_often_as_said(
    recordings: Recordings, drop_recording: float, drop_labels: float
) -> None:
    diffusion = network_with(recordings, drop_recording=drop_recording, drop_labels=drop_labels).diffusion
    torch.manual_seed(0)
    without_B1, silent_B1 = diffusion.dropped(20_000, torch.device("cpu"))
    share, silent = drop_recording, drop_recording * drop_labels
    assert abs(without_B1.float().mean() - share) <= 4 * math.sqrt(share * (1 - share) / 20_000)
    assert abs(silent_B1.float().mean() - silent) <= 4 * math.sqrt(silent * (1 - silent) / 20_000)
    assert not (silent_B1 & ~without_B1).any()


def test_the_other_weights_begin_as_without_it(recordings: Recordings) -> None:
    # Only what looks at the signals differs: it looks at two.
    plain, with_it = network_with(recordings, enabled=False), network_with(recordings)
    assert_close(plain.condition.state_dict(), with_it.condition.state_dict())


def test_every_parameter_has_a_part(recordings: Recordings) -> None:
    network = network_with(recordings)
    held = [
        parameter for modules in network.parts().values() for module in modules for parameter in module.parameters()
    ]
    assert len(held) == len({id(parameter) for parameter in held}) == len(list(network.parameters()))
