"""The threshold head: what the whole recording says, what its waveform says, and how far the label may be trusted."""

# B recordings, C fine channels, L positions in time, F features, H numbers read out.

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from core.data.scaling import Target
from core.models.features import Features, FeatureSizes
from core.models.heads import UNLABELLED, Bounded, Estimate, LogVariance
from core.models.residual import Residual, perceptron

KERNEL = 5
"""Fine positions a block of the local path sees at once: of two samples each, two thirds of a millisecond."""


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class ThresholdEstimate(Estimate):
    """The threshold, and what only some heads say of it."""

    auxiliary_B: Tensor | None = None
    """From the local path alone."""
    outlier_logit_B: Tensor | None = None
    """Log-odds that the label has nothing to do with the recording."""


class LocalPath(nn.Module):
    """Two residual blocks over time, then mean and maximum of each channel, beside the condition."""

    def __init__(self, sizes: FeatureSizes, dropout: float) -> None:
        super().__init__()
        self.blocks = nn.Sequential(*(Residual(sizes.fine, dropout, kernel=KERNEL) for _ in range(2)))
        self.width = 2 * sizes.fine + sizes.condition

    def forward(self, features: Features) -> Tensor:
        """(B, 2 C + E)."""
        local_BCL: Tensor = self.blocks(features.fine_BCL)
        return torch.cat([local_BCL.mean(-1), local_BCL.amax(-1), features.condition_BE], 1)


class ThresholdHead(nn.Module):
    """One number per recording, within the range of the labels, their mean at the start (document 001).

    With `local`, a second path over time joins the summary, and a predictor of its own reads that path alone. With
    `outliers`, the share of labels expected to be wrong, it also says how likely this one is.
    """

    def __init__(
        self,
        sizes: FeatureSizes,
        hidden: int,
        dropout: float,
        target: Target | None,
        *,
        local: bool = False,
        spread: bool = False,
        outliers: float = 0.0,
    ) -> None:
        super().__init__()
        self.local = LocalPath(sizes, dropout) if local else None
        width = sizes.summary + (self.local.width if self.local is not None else 0)
        self.body = perceptron(width, hidden, 1 + bool(spread) + bool(outliers), dropout)
        self.auxiliary = perceptron(self.local.width, hidden, 1, dropout) if self.local is not None else None
        self.bounded = Bounded(target or UNLABELLED)
        self.log_variance = LogVariance(target or UNLABELLED) if spread else None
        self.prior_logit = math.log(outliers / (1 - outliers)) if outliers else None

    def forward(self, features: Features) -> ThresholdEstimate:
        """Threshold (B,) in the target's unit, and the rest where it is asked for."""
        local_BF = None if self.local is None else self.local(features)
        seen_BF = features.summary_BF if local_BF is None else torch.cat([features.summary_BF, local_BF], 1)
        raw_BH: Tensor = self.body(seen_BF)
        return ThresholdEstimate(
            mean_B=self.bounded(raw_BH[:, 0]),
            log_var_B=None if self.log_variance is None else self.log_variance(raw_BH[:, 1]),
            auxiliary_B=None if self.auxiliary is None else self.bounded(self.auxiliary(local_BF).squeeze(-1)),
            outlier_logit_B=None if self.prior_logit is None else self.prior_logit + raw_BH[:, -1],
        )
