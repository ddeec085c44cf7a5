"""What a backbone hands to the heads, and how large it is."""

# B recordings, E condition features, C fine channels, L positions in time, D channels, F features.

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

import torch
from torch import Tensor

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
    segment_BDS = x_BDL @ segments(x_BDL)
    return torch.cat([x_BDL.mean(-1), x_BDL.amax(-1), segment_BDS.flatten(1)], 1)


def segments(x_BDL: Tensor) -> Tensor:
    """(L, 8) what makes means over the eighths of a sequence of L, which share positions where 8 does not divide it.

    The numbers of torch's adaptive average pooling, sooner, and with a gradient that cards can add up in a fixed order.
    """
    length = x_BDL.shape[-1]
    eighth_S = torch.arange(SEGMENTS, device=x_BDL.device)
    first_S, behind_S = eighth_S * length // SEGMENTS, -(-(eighth_S + 1) * length // SEGMENTS)
    place_L1 = torch.arange(length, device=x_BDL.device).unsqueeze(1)
    within_LS = (place_L1 >= first_S) & (place_L1 < behind_S)
    return within_LS.to(x_BDL.dtype) / (behind_S - first_S)


def summarise(tokens_BDL: Tensor, fine_BCL: Tensor | None, condition_BE: Tensor) -> Tensor:
    """(B, F) the summaries of tokens and, where they are given, of fine features, then the condition."""
    seen = [tokens_BDL] if fine_BCL is None else [tokens_BDL, fine_BCL]
    return torch.cat([*map(summary, seen), condition_BE], 1)
