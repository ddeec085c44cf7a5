"""Conditional diffusion of the noise-free truth: what the backbone is told, and what it says of a noised truth.

The backbone is shown a recording and, beside it, the truth with noise on it. With a recording it denoises; without one,
told the labels instead, it generates (joint training with conditions dropped: Ho and Salimans 2022, 2207.12598).
"""

# B recordings, T samples, E condition features, P labels, F frequencies, K classes.

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar, Final

import torch
from torch import Tensor, nn

from core.data.augment import MixedBatch
from core.data.scaling import Scaling, Target
from core.data.tensors import Batch
from core.diffusion import NoiseSchedule, noise_schedule, noised, target, terminal_for
from core.models.features import Features, FeatureSizes
from core.models.heads import UNLABELLED, SignalHead
from core.models.joint import JointParameters
from core.tasks.abr_diffusion_options import DiffusionOptions
from core.tasks.abr_names import Part

FREQUENCIES: Final = 16
"""Of the sines and cosines that tell the step (1706.03762)."""
HIDDEN: Final = 32
SLOWEST: Final = 1e-4
STEP_SCALE: Final = 1000.0
"""The step is told as a share of all steps times this, so that schedules of any length look alike."""


def step_waves(step_B: Tensor, steps: int) -> Tensor:
    """(B, 2 FREQUENCIES) sines and cosines of the step, from fast to slow."""
    rate_F = torch.exp(torch.linspace(0.0, math.log(SLOWEST), FREQUENCIES, device=step_B.device))
    angle_BF = (STEP_SCALE / steps) * step_B.unsqueeze(1) * rate_F
    return torch.cat([angle_BF.sin(), angle_BF.cos()], 1)


class Told(nn.Module):
    """The step and, where they are given, the labels of a recording, to be added to its condition."""

    part: ClassVar[Part] = "condition"
    mean_3: Tensor
    sd_3: Tensor

    def __init__(self, classes: int, scaling: Scaling, *, steps: int, width: int) -> None:
        super().__init__()
        self.classes, self.steps = classes, steps
        targets: list[Target] = [t or UNLABELLED for t in (scaling.threshold, scaling.latency, scaling.amplitude)]
        self.register_buffer("mean_3", torch.tensor([each.mean for each in targets], dtype=torch.float32))
        self.register_buffer("sd_3", torch.tensor([each.sd for each in targets], dtype=torch.float32))
        self.step = nn.Sequential(nn.Linear(2 * FREQUENCIES, width), nn.SiLU(), nn.Linear(width, width))
        self.labels = nn.Sequential(nn.Linear(classes + 8, width), nn.SiLU(), nn.Linear(width, width))

    def forward(self, step_B: Tensor, labels_BP: Tensor) -> Tensor:
        """(B, E)."""
        told_BE: Tensor = self.step(step_waves(step_B, self.steps)) + self.labels(labels_BP)
        return nn.functional.silu(told_BE)

    def labels_of(self, batch: Batch) -> Tensor:
        """(B, K + 8): the class, one of K, then threshold, existence, latency, amplitude, and which of them are known.

        What is unknown is 0. The labels of mixed recordings are not those of one: none is known.
        """
        numbers_B3 = torch.stack([batch.threshold_B, batch.latency_B, batch.amplitude_B], 1)
        values_B4 = torch.cat([(numbers_B3 - self.mean_3) / self.sd_3, 2 * batch.peak_exist_B.unsqueeze(1) - 1], 1)
        known_B4 = values_B4.isfinite()
        index_BK = torch.arange(self.classes, device=batch.class_B.device)
        class_BK = batch.class_B.unsqueeze(1) == index_BK
        labels_BP = torch.cat([class_BK.float(), torch.where(known_B4, values_B4, 0.0), known_B4.float()], 1)
        return torch.zeros_like(labels_BP) if isinstance(batch, MixedBatch) else labels_BP


class Said(SignalHead):
    """What is said of the noised truth: a correction from the features, and a share of the noised truth itself.

    The noise beyond the band of any response is that share of it, different at every step; the features need not carry
    it sample by sample.
    """

    part: ClassVar[Part] = "signal_head"

    def __init__(self, fine: int, stride: int, *, steps: int) -> None:
        super().__init__(fine, stride)
        self.steps = steps
        readout = nn.Linear(HIDDEN, 1)
        nn.init.zeros_(readout.weight)
        self.share = nn.Sequential(nn.Linear(2 * FREQUENCIES, HIDDEN), nn.SiLU(), readout)

    def of(self, features: Features, noisy_BT: Tensor, step_B: Tensor) -> Tensor:
        """(B, T) velocity or noise, in units of the truth's spread."""
        share_B1: Tensor = self.share(step_waves(step_B, self.steps))
        correction_BT: Tensor = self(features)[:, : noisy_BT.shape[-1]]
        return correction_BT + share_B1 * noisy_BT


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Draw:
    """A noised truth, and what ought to be said of it."""

    step_B: Tensor
    noisy_BT: Tensor
    target_BT: Tensor


class Diffusion(nn.Module):
    """The parts of the network that only diffusion has; the backbone and the condition are shared with every head."""

    keep_S: Tensor
    spread: Tensor

    def __init__(self, options: DiffusionOptions, scaling: Scaling, sizes: FeatureSizes, *, classes: int) -> None:
        super().__init__()
        self.options = options
        schedule = noise_schedule(options.schedule, options.steps, terminal=terminal_for(options.predicts))
        self.register_buffer("keep_S", schedule.keep_S, persistent=False)
        # Of the truth, in the unit that recordings are scaled to.
        self.register_buffer("spread", torch.tensor((scaling.clean or scaling.signal) / scaling.signal))
        self.told = Told(classes, scaling, steps=options.steps, width=sizes.condition)
        self.said = Said(sizes.fine, sizes.fine_stride, steps=options.steps)
        self.joint = JointParameters(classes)

    @property
    def schedule(self) -> NoiseSchedule:
        """On the device of the weights."""
        return NoiseSchedule(self.keep_S)

    def draw(self, clean_BT: Tensor) -> Draw:
        """Steps and noise from torch's generator for truths in units of their spread."""
        step_B = torch.randint(1, self.options.steps + 1, (len(clean_BT),), device=clean_BT.device)
        noise_BT = torch.randn_like(clean_BT)
        keep_B1 = self.schedule.keep(step_B, clean_BT)
        return Draw(
            step_B=step_B,
            noisy_BT=noised(clean_BT, noise_BT, keep_B1),
            target_BT=target(self.options.predicts, clean_BT, noise_BT, keep_B1),
        )

    def dropped(self, count: int, device: torch.device) -> tuple[Tensor, Tensor]:
        """(B, 1) whose recording is not shown, and which of these are told nothing either, the step apart."""
        chance_2B1 = torch.rand(2, count, 1, device=device)
        without_B1 = chance_2B1[0] < self.options.drop_recording
        return without_B1, without_B1 & (chance_2B1[1] < self.options.drop_labels)
