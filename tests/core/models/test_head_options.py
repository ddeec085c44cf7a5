"""What the heads can be made to do: residual encoders, bounds, spreads, a second path, outliers."""

import math
from dataclasses import replace
from typing import get_args

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from core.data.recordings import Recordings
from core.data.scaling import Target, fit_scaling
from core.data.tensors import as_batch
from core.losses.likelihood import huber
from core.losses.terms import TermSettings, regression
from core.models.features import Features, FeatureSizes
from core.models.head_table import LATENCY, LOCAL
from core.models.heads import LogitHead, LogVariance, ScalarHead
from core.models.network import AbrNetwork, build_network
from core.models.peak_heads import LatencyHead
from core.models.residual import Residual
from core.models.threshold_head import ThresholdHead
from core.tasks.abr_head_options import HeadOptions, LatencyMethod, ThresholdPaths
from core.tasks.abr_options import ModelOptions

THRESHOLD = Target(mean=30.0, sd=20.0, low=-10.0, high=110.0)
SIZES = FeatureSizes(tokens=2, fine=4, condition=3, fine_stride=2)
EVERYTHING = HeadOptions.model_validate(
    {
        "class": {"blocks": 1, "per_class": True},
        "threshold": {"paths": "global_local"},
        "peaks": {"blocks": 1},
    }
)


def features(rows: int, *, positions: int = 100, seed: int = 0) -> Features:
    random = torch.Generator().manual_seed(seed)
    return Features(
        tokens_BDL=torch.empty(0),
        fine_BCL=torch.randn(rows, SIZES.fine, positions, generator=random),
        summary_BF=torch.randn(rows, SIZES.summary, generator=random),
        condition_BE=torch.randn(rows, SIZES.condition, generator=random),
        fine_stride=SIZES.fine_stride,
    )


def network_of(recordings: Recordings, heads: HeadOptions, **given) -> AbrNetwork:
    torch.manual_seed(0)
    return build_network(
        ModelOptions(heads=heads, dropout=0.0),
        fit_scaling(recordings),
        samples=recordings.samples,
        sampling_rate_hz=recordings.sampling_rate_hz,
        num_classes=5,
        **given,
    )


def test_tables_are_total() -> None:
    assert set(LATENCY) == set(get_args(LatencyMethod))
    assert set(LOCAL) == set(get_args(ThresholdPaths))


@pytest.mark.parametrize("latency", LATENCY)
def test_every_parameter_is_in_one_part_and_gets_a_gradient(bump_recordings, latency: LatencyMethod) -> None:
    recordings = bump_recordings(8)
    chosen = EVERYTHING.model_copy(update={"peaks": EVERYTHING.peaks.model_copy(update={"latency": latency})})
    network = network_of(recordings, chosen, spread=True, outliers=0.1)
    parts = network.parts()
    held = [id(p) for modules in parts.values() for module in modules for p in module.parameters()]
    assert sorted(held) == sorted(id(p) for p in network.parameters())
    for part, children in {
        "class_head": ["class_head"],
        "threshold_head": ["threshold_head"],
        "peak_heads": ["exist_head", "latency_head", "amplitude_head"],
    }.items():
        inside = {id(p) for module in parts[part] for p in module.parameters()}
        assert inside == {id(p) for child in children for p in getattr(network, child).parameters()}
    outputs = network(as_batch(recordings))
    said = [getattr(outputs, name) for name in type(outputs).__slots__]
    sum(each.square().mean() for each in said if each is not None).backward()
    for child in ("class_head", "threshold_head", "exist_head", "latency_head", "amplitude_head"):
        for name, parameter in getattr(network, child).named_parameters():
            assert parameter.grad is not None, f"{child}.{name}"
            assert parameter.grad.any(), f"{child}.{name}"


def test_without_options_nothing_more_is_said(bump_recordings) -> None:
    outputs = network_of(bump_recordings(4), HeadOptions())(as_batch(bump_recordings(4)))
    more = ("threshold_log_var_B", "latency_log_var_B", "amplitude_log_var_B", "threshold_auxiliary_B")
    assert [getattr(outputs, name) for name in (*more, "outlier_logit_B")] == [None] * 5


@pytest.mark.parametrize("groups", [1, 3])
def test_residual_groups_never_mix(groups: int) -> None:
    torch.manual_seed(0)
    block = Residual(6, 0.0, kernel=3, groups=groups)
    x_BCL = torch.randn(2, 6, 9, requires_grad=True)
    block(x_BCL)[:, :2].sum().backward()
    assert x_BCL.grad is not None
    assert x_BCL.grad[:, 2:].any() == (groups == 1)


def test_every_class_has_an_extractor_of_its_own() -> None:
    torch.manual_seed(0)
    head = LogitHead(SIZES.summary, 8, 5, 0.0, blocks=1, apart=True)
    logits_BK: Tensor = head(features(6))
    assert logits_BK.shape == (6, 5)
    logits_BK[:, 3].sum().backward()
    first = head.body[1]
    assert isinstance(first, nn.Linear)
    assert first.weight.grad is not None
    # 8 / 2 channels for each class: only those of class 3 were trained.
    trained = first.weight.grad.abs().sum(1).reshape(5, 4).sum(1)
    assert trained[3] > 0
    assert not trained[[0, 1, 2, 4]].any()


def test_a_wave_k_samples_later_is_predicted_k_samples_later() -> None:
    torch.manual_seed(0)
    head = LatencyHead(SIZES, 8, 0.0, None, ms_per_sample=1 / 15, blocks=2, spread=True)
    with torch.no_grad():
        head.score.weight.mul_(200)  # a distribution with a peak, as after training
    fine_BCL = torch.zeros(3, SIZES.fine, 100)
    fine_BCL[..., 40:44] = torch.randn(3, SIZES.fine, 4)
    given = features(3)

    def said(shift: int) -> tuple[Tensor, Tensor]:
        moved = replace(given, fine_BCL=fine_BCL.roll(shift, -1))
        found = head(moved)
        assert found.log_var_B is not None
        return found.mean_B, found.log_var_B

    (before_B, spread_B), (after_B, spread_after_B) = said(0), said(15)
    # 15 positions of 2 samples: 30 samples of 1/15 ms.
    torch.testing.assert_close(after_B - before_B, torch.full((3,), 2.0), rtol=0, atol=2e-3)
    torch.testing.assert_close(spread_after_B, spread_B, rtol=0, atol=2e-3)


def test_a_trained_network_follows_a_wave_that_comes_later(bump_recordings) -> None:
    recordings = bump_recordings(40, noise_uv=0.01)
    network, scaling = network_of(recordings, HeadOptions()), fit_scaling(recordings)
    batch, settings = as_batch(recordings), settings_for()
    optimizer = torch.optim.Adam(network.parameters(), lr=5e-3)
    for _ in range(40):
        loss = regression(network(batch).latency_B, None, batch.latency_B, scaling.latency, settings).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    early_B = batch.latency_B < 8
    shifted = replace(batch, signal_BT=batch.signal_BT.roll(24, -1))
    network.eval()
    with torch.no_grad():
        moved_B = (network(shifted).latency_B - network(batch).latency_B)[early_B]
    # 24 samples at 15 kHz.
    assert moved_B.median().item() == pytest.approx(1.6, abs=0.15)


def test_a_bounded_latency_reaches_labels_that_the_recording_does_not(bump_recordings) -> None:
    recordings = bump_recordings(16)
    late = recordings.peak_latency_ms + 6  # beyond the 13.3 ms of the recording, as some labels of the clinic are
    recordings = replace(recordings, peak_latency_ms=late)
    reach = {}
    for latency in LATENCY:
        network = network_of(recordings, HeadOptions.model_validate({"peaks": {"latency": latency}}))
        head = network.latency_head
        for parameter in head.parameters():
            nn.init.zeros_(parameter)
        # The largest that it can say: everything at the last position, or the bias far up.
        if isinstance(head, ScalarHead):
            nn.init.constant_(head.body[-1].bias, 50.0)
        outputs = network(as_batch(recordings))
        reach[latency] = outputs.latency_B.max().item()
    assert reach["soft_argmax"] < 1000 * recordings.samples / 15_000
    assert reach["bounded"] > np.nanmax(late)
    scaling = fit_scaling(recordings)
    assert scaling.latency is not None
    assert reach["bounded"] <= scaling.latency.high + 1e-4


@pytest.mark.parametrize("local", [False, True])
def test_thresholds_start_at_the_mean_and_stay_in_range(local: bool) -> None:
    torch.manual_seed(0)
    head = ThresholdHead(SIZES, 16, 0.0, THRESHOLD, local=local, spread=True, outliers=0.1)
    start = head(features(64))
    assert start.mean_B.mean().item() == pytest.approx(THRESHOLD.mean, abs=0.2 * THRESHOLD.sd)
    assert start.log_var_B.mean().item() == pytest.approx(2 * math.log(THRESHOLD.sd), abs=0.3)
    assert start.outlier_logit_B.sigmoid().mean().item() == pytest.approx(0.1, abs=0.03)
    with torch.no_grad():
        for body in (head.body, head.auxiliary) if head.auxiliary is not None else (head.body,):
            body[-1].weight.mul_(1e4)
    wild = head(features(64, seed=1))
    for said_B in (wild.mean_B, wild.auxiliary_B) if local else (wild.mean_B,):
        assert THRESHOLD.low <= said_B.min() <= said_B.max() <= THRESHOLD.high
        assert said_B.max() - said_B.min() > 0.5 * (THRESHOLD.high - THRESHOLD.low)
    assert wild.log_var_B.isfinite().all()


def test_the_local_path_sees_the_waveform_and_trains_its_own_predictor() -> None:
    torch.manual_seed(0)
    head = ThresholdHead(SIZES, 16, 0.0, THRESHOLD, local=True)
    given = features(4)
    given.fine_BCL.requires_grad_()
    given.summary_BF.requires_grad_()
    said = head(given)
    assert said.auxiliary_B is not None
    said.auxiliary_B.sum().backward(retain_graph=True)
    assert given.fine_BCL.grad is not None
    assert given.fine_BCL.grad.any()
    assert given.summary_BF.grad is None
    said.mean_B.sum().backward()
    assert given.summary_BF.grad is not None
    assert given.summary_BF.grad.any()


def test_log_variances_are_bounded_with_a_gradient_everywhere() -> None:
    raw_B = torch.tensor([-30.0, -5.0, 0.0, 5.0, 30.0], requires_grad=True)
    found_B = LogVariance(THRESHOLD)(raw_B)
    spread_B = (0.5 * found_B).exp() / THRESHOLD.sd
    assert spread_B[2].item() == pytest.approx(1.0, abs=1e-4)
    assert spread_B.min() >= math.exp(-4) - 1e-6
    assert spread_B.max() <= math.exp(2) + 1e-4
    found_B.sum().backward()
    assert raw_B.grad is not None
    assert (raw_B.grad[1:4] > 0).all()


def fitted(head: ScalarHead | ThresholdHead, given: Features, label_B: Tensor, settings: TermSettings) -> None:
    optimizer = torch.optim.Adam(head.parameters(), lr=0.02)
    for _ in range(150):
        said = head(given)
        logit_B = getattr(said, "outlier_logit_B", None)
        loss = regression(said.mean_B, said.log_var_B, label_B, THRESHOLD, settings, outlier_logit_B=logit_B).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()


def settings_for(**given) -> TermSettings:
    nothing = {"class_weights_K": torch.ones(0), "gamma": 0.0, "label_smoothing": 0.0, "huber_delta": 1.0}
    return TermSettings(**(nothing | {"scaling": None} | given))


def test_wrong_labels_hardly_move_a_robust_threshold() -> None:
    """One label in ten is gross: 105 dB whatever the recording."""
    given = features(512)
    truth_B = 30 + 15 * torch.tanh(given.summary_BF[:, 0])
    random = torch.Generator().manual_seed(3)
    label_B = truth_B + 2 * torch.randn(512, generator=random)
    wrong_B = torch.rand(512, generator=random) < 0.1
    label_B[wrong_B] = 105.0
    errors = {}
    for name, outliers, delta in (("squares", 0.0, 1e6), ("huber", 0.0, 0.25), ("mixture", 0.1, 1e6)):
        torch.manual_seed(0)
        head = ThresholdHead(SIZES, 8, 0.0, THRESHOLD, outliers=outliers)
        fitted(head, given, label_B, settings_for(outliers=outliers, huber_delta=delta))
        with torch.no_grad():
            said = head(given)
        errors[name] = (said.mean_B - truth_B).abs().median().item()
    assert huber(torch.tensor([3.0]), delta=1e6).item() == 4.5  # so large a delta is squared error
    assert errors["huber"] < 0.5 * errors["squares"]
    assert errors["mixture"] < 0.5 * errors["squares"]


def test_a_likelihood_finds_how_far_labels_lie() -> None:
    """Labels of known noise, from 1 dB for some recordings to 20 dB for others: intervals cover 90 % of each kind."""
    random = torch.Generator().manual_seed(0)
    given = features(3000)
    kind_B, sd_B = given.summary_BF[:, 1] > 0, 5 * torch.exp(0.7 * given.summary_BF[:, 1])
    truth_B = 30 + 15 * torch.tanh(given.summary_BF[:, 0])
    torch.manual_seed(0)
    head = ScalarHead(SIZES.summary, 8, 0.0, THRESHOLD, spread=True)
    fitted(head, given, truth_B + sd_B * torch.randn(3000, generator=random), settings_for(nll_beta=0.5))
    with torch.no_grad():
        said = head(given)
    assert said.log_var_B is not None
    spread_B = (0.5 * said.log_var_B).exp()
    assert torch.stack([spread_B.log(), sd_B.log()]).corrcoef()[0, 1] > 0.9
    label_B = truth_B + sd_B * torch.randn(3000, generator=random)
    inside_B = ((label_B - said.mean_B).abs() <= 1.645 * spread_B).float()
    for of_B in (kind_B, ~kind_B):
        assert inside_B[of_B].mean().item() == pytest.approx(0.9, abs=0.04)
