import math
from dataclasses import fields, replace
from typing import Any, get_args

import pytest
import torch
from pydantic import ValidationError
from torch.testing import assert_close

from core.data.recordings import STATIC, Recordings
from core.data.scaling import Scaling, fit_scaling
from core.data.tensors import Batch, as_batch
from core.losses.abr import build_loss
from core.models.backbones import BACKBONES, ENCODER_WIDTHS, UNET_WIDTHS, WIDTHS
from core.models.extractors import EXTRACTED
from core.models.network import EXTRACTIONS, STATIC_INPUTS, AbrNetwork, build_network
from core.models.outputs import Outputs
from core.models.s4d import Kernel
from core.tasks.abr_options import TERMS, Backbone, Input, LossOptions, ModelOptions, ModelSize, Term
from core.tasks.abr_unet_options import Extraction

HEADS: dict[Term, str] = {
    "signal": "signal_head",
    "peak_exist": "exist_head",
    "peak_latency": "latency_head",
    "peak_amplitude": "amplitude_head",
    "class": "class_head",
    "threshold": "threshold_head",
}


@pytest.fixture
def recordings(bump_recordings) -> Recordings:
    return bump_recordings(16)


def network_for(recordings: Recordings, scaling: Scaling | None = None, **options) -> AbrNetwork:
    torch.manual_seed(0)
    return build_network(
        ModelOptions(dropout=0.0, **options),
        scaling or fit_scaling(recordings),
        samples=recordings.samples,
        sampling_rate_hz=recordings.sampling_rate_hz,
        num_classes=5,
    )


def descend(
    network: AbrNetwork,
    recordings: Recordings,
    steps: int,
    terms: tuple[Term, ...] = TERMS,
    *,
    lr: float = 3e-3,
    enough: float = 0.0,
) -> list[float]:
    """Losses of the steps, to one that is below `enough` of the first."""
    loss = build_loss(LossOptions(), fit_scaling(recordings), torch.ones(5))
    batch = as_batch(recordings)
    optimiser = torch.optim.AdamW(network.parameters(), lr=lr, weight_decay=0.0)
    losses = []
    for _ in range(steps):
        optimiser.zero_grad()
        total = loss.total(loss.values(loss.numerators(network(batch), batch, terms), loss.denominators(batch)))
        total.backward()
        optimiser.step()
        losses.append(total.item())
        if losses[-1] < enough * losses[0]:
            break
    return losses


def values(outputs: Outputs) -> dict[str, torch.Tensor]:
    said = {column.name: getattr(outputs, column.name) for column in fields(outputs)}
    return {name: value for name, value in said.items() if value is not None}


def test_tables_are_total() -> None:
    assert set(WIDTHS) == set(ENCODER_WIDTHS) == set(UNET_WIDTHS) == set(get_args(ModelSize))
    assert set(BACKBONES) == set(get_args(Backbone))
    assert set(EXTRACTIONS) == set(get_args(Extraction))
    assert set(STATIC_INPUTS) | {"signal"} == set(get_args(Input))
    assert set(STATIC_INPUTS.values()) == set(STATIC)


@pytest.mark.parametrize("backbone", BACKBONES)
@pytest.mark.parametrize(
    ("size", "samples"),
    [*(("tiny", samples) for samples in (199, 200, 201, 256, 495)), ("small", 201), ("base", 201)],
)
def test_any_number_of_samples(bump_recordings, backbone: Backbone, size: ModelSize, samples: int) -> None:
    recordings = bump_recordings(3, samples=samples)
    outputs = network_for(recordings, backbone=backbone, size=size)(as_batch(recordings))
    shapes = {name: tuple(value.shape) for name, value in values(outputs).items()}
    assert shapes.pop("signal_BT") == (3, samples)
    assert shapes.pop("class_logits_BK") == (3, 5)
    assert set(shapes.values()) == {(3,)}
    assert all(value.isfinite().all() for value in values(outputs).values())


def test_one_network_takes_recordings_of_another_length(bump_recordings, recordings: Recordings) -> None:
    longer = as_batch(bump_recordings(3, samples=301))
    assert network_for(recordings)(longer).signal_BT.shape == (3, 301)


def test_too_short_recordings_are_refused(recordings: Recordings) -> None:
    with pytest.raises(ValueError, match="recordings of 15 samples are too short: the network needs 16"):
        build_network(ModelOptions(), fit_scaling(recordings), samples=15, sampling_rate_hz=15_000.0, num_classes=5)


def test_starts_at_the_trivial_predictions(recordings: Recordings) -> None:
    scaling, batch = fit_scaling(recordings), as_batch(recordings)
    outputs = network_for(recordings)(batch)
    assert scaling.threshold is not None
    assert (outputs.threshold_B - scaling.threshold.mean).abs().mean() < 0.2 * scaling.threshold.sd
    assert_close(outputs.signal_BT, batch.signal_BT)
    assert outputs.class_logits_BK.abs().max() < 0.5


@pytest.mark.parametrize(
    "options",
    [
        *({"size": size} for size in WIDTHS),
        {"backbone": "unet"},
        *({"extractors": extraction} for extraction in EXTRACTIONS),
        {"backbone": "unet", "extractors": "cross_task"},
    ],
    ids=str,
)
def test_every_parameter_gets_a_gradient(recordings: Recordings, options: dict[str, Any]) -> None:
    network = network_for(recordings, **options)
    # FiLM, the signal head and residual branches start at zero: what lies beneath them learns from the next step on,
    # and beneath a branch in a branch from the one after that.
    descend(network, recordings, 3)
    without = [name for name, parameter in network.named_parameters() if not parameter.grad.any()]
    # The lowest frequency starts at 0, where the kernel's cosine is flat, but has moved by now.
    assert not without


@pytest.mark.parametrize("backbone", BACKBONES)
@pytest.mark.parametrize("term", TERMS)
def test_the_loss_of_one_task_leaves_the_other_heads_alone(
    recordings: Recordings, term: Term, backbone: Backbone
) -> None:
    network = network_for(recordings, backbone=backbone, extractors="cross_task")
    descend(network, recordings, 2)
    network.zero_grad()
    descend(network, recordings, 1, (term,))
    touched = {head for head in HEADS.values() if any(p.grad is not None for p in getattr(network, head).parameters())}
    assert touched == {HEADS[term]}


@pytest.mark.parametrize("options", [{}, {"extractors": "cross_task"}, {"backbone": "unet"}], ids=str)
def test_overfits_eight_recordings(bump_recordings, options: dict[str, Any]) -> None:
    few = bump_recordings(8, samples=128)
    network = network_for(few, **options)
    losses = descend(network, few, 90, lr=6e-3, enough=0.01)
    assert losses[-1] < 0.01 * losses[0]
    outputs, batch = network(as_batch(few)), as_batch(few)
    assert outputs.class_logits_BK.argmax(1).equal(batch.class_B)
    assert ((outputs.exist_logit_B > 0) == (batch.peak_exist_B > 0)).all()
    seen = batch.latency_B.isfinite()
    assert (outputs.latency_B - batch.latency_B)[seen].abs().max() < 0.3


def test_a_later_wave_has_a_later_latency(bump_recordings) -> None:
    """The wave shifted by k samples within a silent recording moves the latency by k samples."""
    training = bump_recordings(64, noise_uv=0.02)
    network = network_for(training)
    descend(network, training, 150, ("peak_latency",))
    time = torch.arange(200) / 15.0
    shifts = torch.arange(0, 41, 8)
    signal_BT = torch.stack([0.3 * torch.exp(-0.5 * ((time - 6.0 - shift / 15.0) / 0.4) ** 2) for shift in shifts])
    one = as_batch(training).take(torch.zeros(len(shifts), dtype=torch.int64))
    with torch.no_grad():
        latency_B = network(replace(one, signal_BT=signal_BT)).latency_B
    assert_close(latency_B - latency_B[0], shifts / 15.0, rtol=0, atol=0.1)


@pytest.mark.parametrize("name", ["signal", *STATIC_INPUTS])
def test_an_input_that_is_not_named_is_not_read(recordings: Recordings, name: Input) -> None:
    kept = tuple(other for other in get_args(Input) if other != name)
    network, batch = network_for(recordings, inputs=kept), as_batch(recordings)
    descend(network, recordings, 2)
    if name == "signal":
        hidden = replace(batch, signal_BT=torch.full_like(batch.signal_BT, math.nan))
    else:
        static_BS = batch.static_BS.clone()
        static_BS[:, STATIC.index(STATIC_INPUTS[name])] = 1e6
        hidden = replace(batch, static_BS=static_BS)
    with torch.no_grad():
        seen, blind = values(network(batch)), values(network(hidden))
        for head, value in seen.items():
            assert torch.equal(value, blind[head]), head


@pytest.mark.parametrize("name", get_args(Input))
def test_one_input_alone_is_enough_and_is_read(recordings: Recordings, name: Input) -> None:
    network, batch = network_for(recordings, inputs=(name,)), as_batch(recordings)
    changed = replace(batch, signal_BT=batch.signal_BT * 2, static_BS=batch.static_BS.nan_to_num(0.0) * 2 + 1)
    with torch.no_grad():
        difference = network(batch).class_logits_BK - network(changed).class_logits_BK
    assert difference.abs().max() > 1e-4


def test_labels_are_not_read(recordings: Recordings) -> None:
    network, batch = network_for(recordings), as_batch(recordings)
    unlabelled = Batch(
        signal_BT=batch.signal_BT,
        static_BS=batch.static_BS,
        class_B=torch.full_like(batch.class_B, -1),
        threshold_B=torch.full_like(batch.threshold_B, math.nan),
        peak_exist_B=torch.full_like(batch.peak_exist_B, math.nan),
        latency_B=torch.full_like(batch.latency_B, math.nan),
        amplitude_B=torch.full_like(batch.amplitude_B, math.nan),
        clean_BT=torch.full_like(batch.clean_BT, math.nan),
    )
    for labelled, bare in zip(values(network(batch)).values(), values(network(unlabelled)).values(), strict=True):
        assert torch.equal(labelled, bare)


def test_recordings_do_not_influence_one_another(recordings: Recordings) -> None:
    network, batch = network_for(recordings).eval(), as_batch(recordings)
    alone = network(batch.take(torch.tensor([5])))
    for together, own in zip(values(network(batch)).values(), values(alone).values(), strict=True):
        assert_close(together[5:6], own, rtol=1e-4, atol=1e-5)


def test_predictions_stay_in_the_range_of_the_labels(recordings: Recordings) -> None:
    scaling = fit_scaling(recordings)
    network, batch = network_for(recordings), as_batch(recordings)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.mul_(30.0)
        wild = network(replace(batch, signal_BT=batch.signal_BT * 100))
    for value, target in (
        (wild.threshold_B, scaling.threshold),
        (wild.latency_B, scaling.latency),
        (wild.amplitude_B, scaling.amplitude),
    ):
        assert target is not None
        assert value.min() >= target.low - 1e-4
        assert value.max() <= target.high + 1e-4


@pytest.mark.parametrize("backbone", BACKBONES)
def test_groups_hold_every_parameter_once(recordings: Recordings, backbone: Backbone) -> None:
    network = network_for(recordings, backbone=backbone, extractors="cross_task")
    groups = network.parameter_groups()
    grouped = [id(parameter) for group in groups.values() for parameter in group]
    assert sorted(grouped) == sorted(id(parameter) for parameter in network.parameters())
    kernels = [module for module in network.modules() if isinstance(module, Kernel)]
    assert {id(p) for p in groups["state_space"]} == {id(p) for kernel in kernels for p in kernel.parameters()}
    assert all(parameter.ndim >= 2 for parameter in groups["decay"])
    names = {id(parameter): name for name, parameter in network.named_parameters()}
    assert all(names[id(p)].endswith(("bias", "bias_C", "norm.weight", "direct_H")) for p in groups["no_decay"])


@pytest.mark.parametrize("backbone", BACKBONES)
def test_shared_parameters_are_trained_by_every_head(recordings: Recordings, backbone: Backbone) -> None:
    network = network_for(recordings, backbone=backbone)
    descend(network, recordings, 2)
    shared = network.shared_parameters()
    assert shared
    for term in TERMS:
        network.zero_grad()
        descend(network, recordings, 1, (term,))
        assert all(parameter.grad is not None for parameter in shared), term


def test_scaling_is_stored_with_the_weights(recordings: Recordings, bump_recordings) -> None:
    """Weights loaded into a network built for other data predict as they did."""
    network, batch = network_for(recordings), as_batch(recordings)
    descend(network, recordings, 2)
    other = network_for(recordings, fit_scaling(bump_recordings(40, seed=5, noise_uv=0.5)))
    other.load_state_dict(network.state_dict())
    for first, second in zip(values(network(batch)).values(), values(other(batch)).values(), strict=True):
        assert torch.equal(first, second)


def test_only_the_shape_of_a_recording_counts_when_each_is_scaled_by_itself(recordings: Recordings) -> None:
    louder = replace(as_batch(recordings), signal_BT=3 * as_batch(recordings).signal_BT)
    relative = network_for(recordings, signal_scale="per_recording").eval()
    quiet, loud = relative(as_batch(recordings)), relative(louder)
    assert_close(loud.class_logits_BK, quiet.class_logits_BK, rtol=1e-4, atol=1e-5)
    assert_close(loud.signal_BT, 3 * quiet.signal_BT, rtol=1e-4, atol=1e-4)
    absolute = network_for(recordings).eval()
    assert not torch.allclose(absolute(louder).class_logits_BK, absolute(as_batch(recordings)).class_logits_BK)


def test_a_flat_recording_has_no_size_of_its_own(recordings: Recordings) -> None:
    flat = replace(as_batch(recordings), signal_BT=torch.zeros_like(as_batch(recordings).signal_BT))
    outputs = network_for(recordings, signal_scale="per_recording").eval()(flat)
    assert all(value.isfinite().all() for value in values(outputs).values())


@pytest.mark.parametrize("extractors", ["separate", "cross_task"])
def test_a_loss_leaves_the_other_tasks_extractors_alone_unless_tasks_attend(
    recordings: Recordings, extractors: Extraction
) -> None:
    network = network_for(recordings, extractors=extractors)
    descend(network, recordings, 2)
    network.zero_grad()
    descend(network, recordings, 1, ("threshold",))
    assert network.extractors is not None
    touched = {
        task
        for task, branch in zip(EXTRACTED, network.extractors.tokens, strict=True)
        if any(p.grad is not None and p.grad.any() for p in branch.parameters())
    }
    assert touched == ({"threshold"} if extractors == "separate" else set(EXTRACTED))


def test_diffusion_needs_to_tell_the_unet_its_step() -> None:
    told = {"backbone": "unet", "unet": {"film": False}, "diffusion": {"enabled": True}}
    with pytest.raises(
        ValidationError, match=r"diffusion tells the network its step through unet\.film, which is false"
    ):
        ModelOptions.model_validate(told)
    assert ModelOptions.model_validate(told | {"backbone": "encoder"}).diffusion.enabled
