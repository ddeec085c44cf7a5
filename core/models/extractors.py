"""Features of its own for each task, and attention between the tasks (document 004; 1803.10704)."""

# B recordings, D token channels, L tokens, C fine channels, X tasks.

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import ClassVar, Final, Literal, get_args

import torch
from torch import Tensor, nn

from core.models.attention import Attention
from core.models.features import Features, FeatureSizes, summarise
from core.models.gate import Gate, zeroed
from core.tasks.abr_names import Part

Extracted = Literal["signal", "peaks", "class", "threshold"]
EXTRACTED: Final[tuple[Extracted, ...]] = get_args(Extracted)
KERNELS: Final[Mapping[Extracted, int]] = {"signal": 7, "peaks": 3, "class": 5, "threshold": 5}
"""Positions a task's extractor spans: continuity for the signal, what is local for peaks (document 004)."""
HEADS: Final = 4


class Branch(nn.Module):
    """x and what one task adds to it; nothing at the start."""

    def __init__(self, channels: int, kernel: int) -> None:
        super().__init__()
        self.norm = nn.GroupNorm(1, channels)
        self.near = nn.Conv1d(channels, channels, kernel, padding=kernel // 2)
        self.out = zeroed(nn.Conv1d(channels, channels, 1))
        self.gate = Gate()

    def forward(self, x_BCL: Tensor) -> Tensor:
        """(B, C, L) -> (B, C, L)."""
        joined_BCL: Tensor = self.gate(x_BCL, lambda: self.out(nn.functional.silu(self.near(self.norm(x_BCL)))))
        return joined_BCL


class CrossTask(nn.Module):
    """Each task asks what all tasks have seen of the recording; the answer is added to all of its positions."""

    def __init__(self, sizes: FeatureSizes) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(sizes.tokens)
        self.attention = Attention(sizes.tokens, sizes.tokens, HEADS)
        self.name_XD = nn.Parameter(torch.randn(len(EXTRACTED), sizes.tokens))
        self.fine = nn.Linear(sizes.tokens, sizes.fine, bias=False)
        self.gate = Gate()

    def forward(self, tokens: list[Tensor], fine: list[Tensor]) -> tuple[list[Tensor], list[Tensor]]:
        """Tokens (B, D, L) and fine features of each task, and the same with what the others know."""
        seen_BXD = self.norm(torch.stack([each.mean(-1) for each in tokens], 1))
        asked_BXD = seen_BXD + self.name_XD
        silent_BXD = torch.zeros_like(seen_BXD)
        told_BXD: Tensor = self.gate(silent_BXD, lambda: self.attention(asked_BXD, asked_BXD, seen_BXD))
        token_tips, fine_tips = told_BXD.unbind(1), self.fine(told_BXD).unbind(1)
        return _with(tokens, token_tips), _with(fine, fine_tips)


class Extractors(nn.Module):
    """A branch for each task on tokens and fine features; with `cross_task`, attention between them."""

    part: ClassVar[Part] = "extractors"

    def __init__(self, sizes: FeatureSizes, *, cross_task: bool) -> None:
        super().__init__()
        self.sizes = replace(sizes, sums_fine=True)
        """Of each task's features: whatever the backbone sums, they sum both."""
        # The signal is read from fine features alone: what its tokens hold is of use to other tasks only.
        self.tokens = nn.ModuleList(
            Branch(sizes.tokens, KERNELS[task]) if cross_task or task != "signal" else nn.Identity()
            for task in EXTRACTED
        )
        self.fine = nn.ModuleList(Branch(sizes.fine, KERNELS[task]) for task in EXTRACTED)
        self.cross = CrossTask(sizes) if cross_task else None

    def forward(self, features: Features) -> dict[Extracted, Features]:
        """Task -> its features."""
        tokens = [branch(features.tokens_BDL) for branch in self.tokens]
        fine = [branch(features.fine_BCL) for branch in self.fine]
        if self.cross is not None:
            tokens, fine = self.cross(tokens, fine)
        return {
            task: replace(
                features,
                tokens_BDL=tokens_BDL,
                fine_BCL=fine_BCL,
                summary_BF=summarise(tokens_BDL, fine_BCL, features.condition_BE),
            )
            for task, tokens_BDL, fine_BCL in zip(EXTRACTED, tokens, fine, strict=True)
        }


def _with(features: list[Tensor], tips: tuple[Tensor, ...]) -> list[Tensor]:
    return [each_BCL + tip_BC.unsqueeze(-1) for each_BCL, tip_BC in zip(features, tips, strict=True)]
