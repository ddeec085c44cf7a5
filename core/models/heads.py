"""What heads are made of: from features to logits, to numbers in physical units, to a waveform."""

# B recordings, F features, K classes, C channels, L positions in time.

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor, nn

from core.data.scaling import Target
from core.models.features import Features
from core.models.residual import body, extractor

UNLABELLED = Target(mean=0.0, sd=1.0, low=-1.0, high=1.0)
"""Stands in for a target without labels: its head exists, is never trained, and says nothing."""
LOG_VARIANCE: Final = Target(mean=0.0, sd=1.0, low=-8.0, high=4.0)
"""Range of a log-variance about the variance of the labels, and its value at the start."""


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


class LogVariance(nn.Module):
    """A raw prediction to the logarithm of a variance in the square of the target's unit.

    0 is the variance of the training labels. It stays between e^-8 and e^4 of that: a spread of 2 % of the labels' and
    one of seven times it. Bounded smoothly: behind a clamp there is no gradient to come back by.
    """

    log_square: Tensor

    def __init__(self, target: Target) -> None:
        super().__init__()
        self.bounded = Bounded(LOG_VARIANCE)
        self.register_buffer("log_square", torch.tensor(2 * math.log(target.sd)))

    def forward(self, raw_B: Tensor) -> Tensor:
        """(B,) log-variances."""
        found_B: Tensor = self.bounded(raw_B) + self.log_square
        return found_B


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Estimate:
    """A number per recording in its unit, and how far labels lie from it."""

    mean_B: Tensor
    log_var_B: Tensor | None = None
    """Logarithm of the variance about it; None where no spread is predicted."""


class NoClasses(nn.Module):
    """The class head of data without classes: no logits, which a loss can still be summed over."""

    def forward(self, features: Features) -> Tensor:
        """Logits (B, 0)."""
        return features.summary_BF[:, :0]


class LogitHead(nn.Module):
    """Log-odds, or the logits of several classes, from the summary of a recording.

    With `blocks`, residual blocks lie before the read-out. With `apart`, each output has an extractor of its own, half
    as wide, which the others neither read nor train.
    """

    def __init__(
        self, summary: int, hidden: int, outputs: int, dropout: float, *, blocks: int = 0, apart: bool = False
    ) -> None:
        super().__init__()
        self.body = (
            extractor(summary, hidden // 2, outputs, dropout, blocks=blocks, groups=outputs)
            if apart
            else body(summary, hidden, outputs, dropout, blocks=blocks)
        )

    def forward(self, features: Features) -> Tensor:
        """Logits (B, outputs)."""
        logits_BK: Tensor = self.body(features.summary_BF)
        return logits_BK


class ScalarHead(nn.Module):
    """One number per recording, bounded to the range of its labels, the mean of the labels at the start."""

    def __init__(
        self,
        summary: int,
        hidden: int,
        dropout: float,
        target: Target | None,
        *,
        blocks: int = 0,
        spread: bool = False,
    ) -> None:
        super().__init__()
        self.body = body(summary, hidden, 1 + spread, dropout, blocks=blocks)
        self.bounded = Bounded(target or UNLABELLED)
        self.log_variance = LogVariance(target or UNLABELLED) if spread else None

    def forward(self, features: Features) -> Estimate:
        """The number, and its spread where it is asked for."""
        raw_BH: Tensor = self.body(features.summary_BF)
        log_var_B = None if self.log_variance is None else self.log_variance(raw_BH[:, 1])
        return Estimate(mean_B=self.bounded(raw_BH[:, 0]), log_var_B=log_var_B)


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
