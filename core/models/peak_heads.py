"""When wave V comes: a mean time under a learnt distribution over the recording."""

# B recordings, C fine channels, L positions in time.

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from core.data.scaling import Target
from core.models.features import Features, FeatureSizes
from core.models.heads import UNLABELLED, Estimate, LogVariance
from core.models.residual import Residual, perceptron

KERNEL = 5
"""Fine positions a block or a score sees at once: of two samples each, two thirds of a millisecond, half a wave."""


class LatencyHead(nn.Module):
    """Soft-argmax over time (integral regression, 1801.07372): the mean time under a learnt distribution.

    A wave that comes later moves the prediction by as much. Positions outside the label range take no part, so the
    prediction stays within it; nor can it leave the recording. The spread is read from the condition, from the features
    where the distribution lies, and from how wide it is; it does not shape the distribution. Read from the summary
    too, it learnt 1,500 training recordings by heart: intervals of 90 % on others were a quarter wider.
    """

    low: Tensor
    high: Tensor

    def __init__(
        self,
        sizes: FeatureSizes,
        hidden: int,
        dropout: float,
        target: Target | None,
        *,
        ms_per_sample: float,
        blocks: int = 0,
        spread: bool = False,
    ) -> None:
        super().__init__()
        self.ms_per_sample = ms_per_sample
        self.blocks = nn.Sequential(*(Residual(sizes.fine, dropout, kernel=KERNEL) for _ in range(blocks)))
        self.score = nn.Conv1d(sizes.fine, 1, KERNEL, padding=KERNEL // 2)
        self.spread = perceptron(sizes.condition + sizes.fine + 1, hidden, 1, dropout) if spread else None
        self.log_variance = LogVariance(target or UNLABELLED) if spread else None
        self.register_buffer("low", torch.tensor(target.low if target else -math.inf))
        self.register_buffer("high", torch.tensor(target.high if target else math.inf))

    def forward(self, features: Features) -> Estimate:
        """Latency (B,) in ms."""
        fine_BCL: Tensor = self.blocks(features.fine_BCL)
        time_L = torch.arange(fine_BCL.shape[-1], device=fine_BCL.device) * (features.fine_stride * self.ms_per_sample)
        outside_L = (time_L < self.low) | (time_L > self.high)
        # Finite, so that labels beyond the recording's end leave a mean over all of it rather than NaN.
        share_BL = self.score(fine_BCL).squeeze(1).masked_fill(outside_L, -1e4).softmax(-1)
        latency_B = share_BL @ time_L
        return Estimate(mean_B=latency_B, log_var_B=self._log_variance(features, fine_BCL, share_BL.detach(), time_L))

    def _log_variance(self, features: Features, fine_BCL: Tensor, share_BL: Tensor, time_L: Tensor) -> Tensor | None:
        if self.spread is None or self.log_variance is None:
            return None
        there_BC = (fine_BCL @ share_BL.unsqueeze(-1)).squeeze(-1)
        wide_B1 = (share_BL @ time_L.square() - (share_BL @ time_L).square()).clamp_min(1e-4).log().unsqueeze(-1)
        raw_B: Tensor = self.spread(torch.cat([features.condition_BE, there_BC, wide_B1], 1)).squeeze(-1)
        found_B: Tensor = self.log_variance(raw_B)
        return found_B
