"""What a backbone hands to the heads, and how large it is."""

# B recordings, E condition features, C fine channels, L positions in time, D channels, F features.

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

import torch
from torch import Tensor, nn

SEGMENTS: Final = 8
"""Stretches of time that `summary` averages over: where a wave lies is half of what tells the classes apart."""
SUMMARY: Final = SEGMENTS + 2
"""Numbers that `summary` makes of a channel."""


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Features:
    """B recordings as the heads see them."""

    tokens_BDL: Tensor
    """Coarse in time, wide: about half a millisecond a token."""
    fine_BCL: Tensor
    """Fine in time, narrow: position l lies at the sample l * fine_stride."""
    summary_BF: Tensor
    """All of a recording in one vector, the condition included."""
    condition_BE: Tensor
    """Static parameters and the recording's size, embedded."""
    fine_stride: int
    """Samples between two fine positions."""

    def single(self) -> Features:
        """The same in single precision; the very same where they are."""
        return replace(
            self,
            tokens_BDL=self.tokens_BDL.float(),
            fine_BCL=self.fine_BCL.float(),
            summary_BF=self.summary_BF.float(),
            condition_BE=self.condition_BE.float(),
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class FeatureSizes:
    """Channels of each of the `Features`, for those who build on them."""

    tokens: int
    fine: int
    condition: int
    fine_stride: int
    sums_fine: bool = False
    """Whether the summary takes in the fine features too: of a backbone that makes them after the tokens."""

    @property
    def summary(self) -> int:
        """Numbers of `summarise`."""
        return SUMMARY * (self.tokens + (self.fine if self.sums_fine else 0)) + self.condition


def summary(x_BDL: Tensor) -> Tensor:
    """(B, D, L) -> (B, 10 D): mean and maximum over all of the recording, and means over its eighths."""
    segment_BDS = nn.functional.adaptive_avg_pool1d(x_BDL, SEGMENTS)
    return torch.cat([x_BDL.mean(-1), x_BDL.amax(-1), segment_BDS.flatten(1)], 1)


def summarise(tokens_BDL: Tensor, fine_BCL: Tensor | None, condition_BE: Tensor) -> Tensor:
    """(B, F) the summaries of tokens and, where they are given, of fine features, then the condition."""
    seen = [tokens_BDL] if fine_BCL is None else [tokens_BDL, fine_BCL]
    return torch.cat([*map(summary, seen), condition_BE], 1)
