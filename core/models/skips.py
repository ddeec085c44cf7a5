"""How a level of the decoder takes in the encoder's features of its length."""

# B recordings, C channels, L positions in time.

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import ClassVar, Final

import torch
from torch import Tensor, nn

from core.models.attention import Ask
from core.tasks.abr_names import Part
from core.tasks.abr_unet_options import Skip


class NoSkip(nn.Module):
    """The decoder goes on without."""

    def forward(self, x_BCL: Tensor, _skip_BCL: Tensor, _stride: int) -> Tensor:
        """What it was given."""
        return x_BCL


class ConcatSkip(nn.Module):
    """Both side by side, joined position by position."""

    part: ClassVar[Part] = "convolution"

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.join = nn.Conv1d(2 * channels, channels, 1)

    def forward(self, x_BCL: Tensor, skip_BCL: Tensor, _stride: int) -> Tensor:
        """Current features and skip, (B, C, L) both -> (B, C, L)."""
        joined_BCL: Tensor = self.join(torch.cat([x_BCL, skip_BCL], 1))
        return joined_BCL


class GateSkip(nn.Module):
    """The skip weighed moment by moment by what the decoder looks for (attention gate, 1804.03999), then joined."""

    part: ClassVar[Part] = "convolution"

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.match = nn.Conv1d(2 * channels, channels, 1)
        self.weigh = nn.Conv1d(channels, 1, 1)
        self.concat = ConcatSkip(channels)

    def forward(self, x_BCL: Tensor, skip_BCL: Tensor, stride: int) -> Tensor:
        """Current features and skip, (B, C, L) both -> (B, C, L)."""
        match_BCL = nn.functional.silu(self.match(torch.cat([x_BCL, skip_BCL], 1)))
        joined_BCL: Tensor = self.concat(x_BCL, self.weigh(match_BCL).sigmoid() * skip_BCL, stride)
        return joined_BCL


class AttentionSkip(nn.Module):
    """Current features ask all of the skip (document 004); the skip's own place in time has a path of its own."""

    def __init__(self, channels: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.ask = Ask(channels, channels, heads, dropout)
        self.concat = ConcatSkip(channels)

    def forward(self, x_BCL: Tensor, skip_BCL: Tensor, stride: int) -> Tensor:
        """Current features and skip, (B, C, L) both -> (B, C, L)."""
        joined_BCL: Tensor = self.concat(self.ask(x_BCL, skip_BCL, stride, stride), skip_BCL, stride)
        return joined_BCL


SKIPS: Final[Mapping[Skip, Callable[[int, int, float], nn.Module]]] = {
    "none": lambda _channels, _heads, _dropout: NoSkip(),
    "concat": lambda channels, _heads, _dropout: ConcatSkip(channels),
    "gate": lambda channels, _heads, _dropout: GateSkip(channels),
    "cross_attention": AttentionSkip,
}
"""Name -> maker from channels, heads and dropout."""
