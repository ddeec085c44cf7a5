"""One head per task: from shared features to a prediction in physical units."""

# B recordings, F features, K classes, C channels, L positions in time.

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from core.data.scaling import Target

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

    def forward(self, features_BF: Tensor) -> Tensor:
        """(B, F) -> (B, 0)."""
        return features_BF[:, :0]


class ScalarHead(nn.Module):
    """One number per recording, bounded to the range of its labels, the mean of the labels at the start."""

    def __init__(self, features: int, hidden: int, dropout: float, target: Target | None) -> None:
        super().__init__()
        self.body = perceptron(features, hidden, 1, dropout)
        self.bounded = Bounded(target or UNLABELLED)

    def forward(self, features_BF: Tensor) -> Tensor:
        """(B, F) -> (B,)."""
        raw_B1: Tensor = self.body(features_BF)
        bounded_B: Tensor = self.bounded(raw_B1.squeeze(-1))
        return bounded_B


class LatencyHead(nn.Module):
    """Soft-argmax over time (integral regression, 1801.07372): the mean time under a learnt distribution.

    A wave that comes later moves the prediction by as much. Positions outside the label range take no part, so the
    prediction stays within it; nor can it leave the recording.
    """

    low: Tensor
    high: Tensor

    def __init__(self, channels: int, target: Target | None) -> None:
        super().__init__()
        self.score = nn.Conv1d(channels, 1, 5, padding=2)
        self.register_buffer("low", torch.tensor(target.low if target else -math.inf))
        self.register_buffer("high", torch.tensor(target.high if target else math.inf))

    def forward(self, features_BCL: Tensor, time_L: Tensor) -> Tensor:
        """Features at the times `time_L` (ms) -> latency (B,) in ms."""
        outside_L = (time_L < self.low) | (time_L > self.high)
        # Finite, so that labels beyond the recording's end leave a mean over all of it rather than NaN.
        score_BL = self.score(features_BCL).squeeze(1).masked_fill(outside_L, -1e4)
        latency_B: Tensor = score_BL.softmax(-1) @ time_L
        return latency_B


class SignalHead(nn.Module):
    """What to add to the recording to be rid of its noise; nothing at the start."""

    def __init__(self, channels: int, stride: int) -> None:
        super().__init__()
        self.samples = nn.ConvTranspose1d(channels, 1, 2 * stride, stride=stride, padding=stride // 2)
        nn.init.zeros_(self.samples.weight)
        if self.samples.bias is not None:
            nn.init.zeros_(self.samples.bias)

    def forward(self, features_BCL: Tensor) -> Tensor:
        """(B, C, L) -> (B, L * stride), in units of the signal's spread."""
        correction_B1T: Tensor = self.samples(features_BCL)
        return correction_B1T.squeeze(1)
