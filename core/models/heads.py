"""One head per task: from features to a prediction in physical units."""

# B recordings, F features, K classes, C channels, L positions in time.

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from core.data.scaling import Target
from core.models.features import Features

UNLABELLED = Target(mean=0.0, sd=1.0, low=-1.0, high=1.0)
"""Stands in for a target without labels: its head exists, is never trained, and says nothing."""


class Bounded(nn.Module):
    """A raw prediction in units of the target's spread, taken into the target's range.

        y = low + (high - low) sigmoid(logit(p) + z sd / ((high - low) p (1 - p))),   p = (mean - low) / (high - low)

    0 gives the mean of the training labels, and near it one unit of z is one standard deviation.
    """

    low: Tensor
    width: Tensor
    centre: Tensor
    slope: Tensor

    def __init__(self, target: Target) -> None:
        super().__init__()
        width = target.high - target.low
        share = min(max((target.mean - target.low) / width, 1e-3), 1 - 1e-3)
        for name, value in {
            "low": target.low,
            "width": width,
            "centre": math.log(share / (1 - share)),
            "slope": target.sd / (width * share * (1 - share)),
        }.items():
            self.register_buffer(name, torch.tensor(value))

    def forward(self, raw_B: Tensor) -> Tensor:
        """Predictions in the target's unit, strictly inside its range."""
        return self.low + self.width * torch.sigmoid(self.centre + self.slope * raw_B)


def perceptron(features: int, hidden: int, outputs: int, dropout: float) -> nn.Sequential:
    """Dropout, one hidden layer, a linear read-out that starts small."""
    readout = nn.Linear(hidden, outputs)
    with torch.no_grad():
        readout.weight.mul_(0.1)
        readout.bias.zero_()
    return nn.Sequential(nn.Dropout(dropout), nn.Linear(features, hidden), nn.SiLU(), nn.Dropout(dropout), readout)


class NoClasses(nn.Module):
    """The class head of data without classes: no logits, which a loss can still be summed over."""

    def forward(self, features: Features) -> Tensor:
        """Logits (B, 0)."""
        return features.summary_BF[:, :0]


class LogitHead(nn.Module):
    """Log-odds, or the logits of several classes, from the summary of a recording."""

    def __init__(self, summary: int, hidden: int, outputs: int, dropout: float) -> None:
        super().__init__()
        self.body = perceptron(summary, hidden, outputs, dropout)

    def forward(self, features: Features) -> Tensor:
        """Logits (B, outputs)."""
        logits_BK: Tensor = self.body(features.summary_BF)
        return logits_BK


class ScalarHead(nn.Module):
    """One number per recording, bounded to the range of its labels, the mean of the labels at the start."""

    def __init__(self, summary: int, hidden: int, dropout: float, target: Target | None) -> None:
        super().__init__()
        self.body = perceptron(summary, hidden, 1, dropout)
        self.bounded = Bounded(target or UNLABELLED)

    def forward(self, features: Features) -> Tensor:
        """(B,)."""
        raw_B1: Tensor = self.body(features.summary_BF)
        bounded_B: Tensor = self.bounded(raw_B1.squeeze(-1))
        return bounded_B


class LatencyHead(nn.Module):
    """Soft-argmax over time (integral regression, 1801.07372): the mean time under a learnt distribution.

    A wave that comes later moves the prediction by as much. Positions outside the label range take no part, so the
    prediction stays within it; nor can it leave the recording.
    """

    low: Tensor
    high: Tensor

    def __init__(self, fine: int, target: Target | None, *, ms_per_sample: float) -> None:
        super().__init__()
        self.ms_per_sample = ms_per_sample
        self.score = nn.Conv1d(fine, 1, 5, padding=2)
        self.register_buffer("low", torch.tensor(target.low if target else -math.inf))
        self.register_buffer("high", torch.tensor(target.high if target else math.inf))

    def forward(self, features: Features) -> Tensor:
        """Latency (B,) after the stimulus, in ms."""
        fine_BCL = features.fine_BCL
        steps_L = torch.arange(fine_BCL.shape[-1], device=fine_BCL.device)
        time_L = steps_L * (features.fine_stride * self.ms_per_sample)
        outside_L = (time_L < self.low) | (time_L > self.high)
        # Finite, so that labels beyond the recording's end leave a mean over all of it rather than NaN.
        score_BL = self.score(fine_BCL).squeeze(1).masked_fill(outside_L, -1e4)
        latency_B: Tensor = score_BL.softmax(-1) @ time_L
        return latency_B


class SignalHead(nn.Module):
    """What to add to the recording to be rid of its noise; nothing at the start."""

    def __init__(self, fine: int, stride: int) -> None:
        super().__init__()
        kernel = 2 * stride + stride % 2
        self.samples = nn.ConvTranspose1d(fine, 1, kernel, stride=stride, padding=(kernel - stride) // 2)
        nn.init.zeros_(self.samples.weight)
        if self.samples.bias is not None:
            nn.init.zeros_(self.samples.bias)

    def forward(self, features: Features) -> Tensor:
        """(B, fine positions * stride), in units of the signal's spread."""
        correction_B1T: Tensor = self.samples(features.fine_BCL)
        return correction_B1T.squeeze(1)
