"""What the levels of the U-Net are made of; residual branches end in a layer of zeros: they begin as nothing."""

# B recordings, C channels, L positions in time, E condition features.

from __future__ import annotations

from typing import ClassVar, Final

import torch
from torch import Tensor, nn

from core.models.gate import Gate, zeroed
from core.models.multiscale import MultiScale
from core.models.s4d import S4D
from core.tasks.abr_names import Part

KERNEL: Final = 5
"""Positions a convolution spans where it is not multi-scale."""
DT: Final = (1.25e-3, 6.25e-2)
"""Bounds of the state spaces' time steps per sample: a level of tokens of 8 samples has those of the backbone
`encoder`."""


class Convolution(nn.Module):
    """Norm, convolution over neighbours, a layer on each position, added to the input."""

    part: ClassVar[Part] = "convolution"

    def __init__(self, channels: int, *, multi_scale: bool) -> None:
        super().__init__()
        self.norm = nn.GroupNorm(1, channels)
        self.near = MultiScale(channels) if multi_scale else nn.Conv1d(channels, channels, KERNEL, padding=KERNEL // 2)
        self.out = zeroed(nn.Conv1d(channels, channels, 1))
        self.gate = Gate()

    def forward(self, x_BCL: Tensor) -> Tensor:
        """(B, C, L) -> (B, C, L)."""
        joined_BCL: Tensor = self.gate(x_BCL, lambda: self.out(nn.functional.silu(self.near(self.norm(x_BCL)))))
        return joined_BCL


class StateSpace(nn.Module):
    """Norm, S4D both ways in time, gated channel mixing, added to the input."""

    part: ClassVar[Part] = "s4"

    def __init__(self, channels: int, states: int, dropout: float, stride: int) -> None:
        super().__init__()
        self.norm = nn.GroupNorm(1, channels)
        self.s4d = S4D(channels, states, bidirectional=True, dt_min=DT[0] * stride, dt_max=DT[1] * stride)
        self.mix = zeroed(nn.Conv1d(channels, 2 * channels, 1))
        self.drop = nn.Dropout1d(dropout)
        self.gate = Gate()

    def forward(self, x_BCL: Tensor) -> Tensor:
        """(B, C, L) -> (B, C, L)."""
        joined_BCL: Tensor = self.gate(x_BCL, lambda: self._change(x_BCL))
        return joined_BCL

    def _change(self, x_BCL: Tensor) -> Tensor:
        h_BCL = self.mix(nn.functional.silu(self.s4d(self.norm(x_BCL))))
        change_BCL: Tensor = self.drop(nn.functional.glu(h_BCL, 1))
        return change_BCL


class GlobalContext(nn.Module):
    """What the mean and the maximum over all positions say, added to every position."""

    part: ClassVar[Part] = "convolution"

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.hidden = nn.Conv1d(2 * channels, channels, 1)
        self.out = zeroed(nn.Conv1d(channels, channels, 1))
        self.gate = Gate()

    def forward(self, x_BCL: Tensor) -> Tensor:
        """(B, C, L) -> (B, C, L)."""
        joined_BCL: Tensor = self.gate(x_BCL, lambda: self._context(x_BCL))
        return joined_BCL

    def _context(self, x_BCL: Tensor) -> Tensor:
        seen_BC1 = torch.cat([x_BCL.mean(-1, keepdim=True), x_BCL.amax(-1, keepdim=True)], 1)
        context_BC1: Tensor = self.out(nn.functional.silu(self.hidden(seen_BC1)))
        return context_BC1


class Downsample(nn.Module):
    """Half as many tokens, rounded down; token l stands in the middle of samples 2 l and 2 l + 1."""

    part: ClassVar[Part] = "convolution"

    def __init__(self, channels: int, out: int) -> None:
        super().__init__()
        self.convolve = nn.Conv1d(channels, out, 4, stride=2, padding=1)

    def forward(self, x_BCL: Tensor) -> Tensor:
        """(B, C, L) -> (B, out, L // 2)."""
        halved_BCL: Tensor = self.convolve(x_BCL)
        return halved_BCL


class Upsample(nn.Module):
    """Twice as many tokens, to a given length: each goes to the two places it came from, the last once more if need be.

    Half of 25 is 12, twice 12 is 24: the skip says how long a level is.
    """

    part: ClassVar[Part] = "convolution"

    def __init__(self, channels: int, out: int) -> None:
        super().__init__()
        self.convolve = nn.Conv1d(channels, out, 3, padding=1)

    def forward(self, x_BCL: Tensor, length: int) -> Tensor:
        """(B, C, L) -> (B, out, length), length 2 L or 2 L + 1."""
        twice_BCL = x_BCL.repeat_interleave(2, dim=-1)
        # Padding by replication has no deterministic gradient on a graphics card.
        missing = length - twice_BCL.shape[-1]
        filled_BCL = torch.cat([twice_BCL, twice_BCL[..., -1:].expand(-1, -1, missing)], -1)
        up_BCL: Tensor = self.convolve(filled_BCL)
        return up_BCL
