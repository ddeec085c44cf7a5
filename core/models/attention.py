"""Attention over time, 1706.03762: where to look is learnt, and can be watched."""

# B recordings, Q queries, M places in memory, H heads, D channels, L positions.

from __future__ import annotations

import math
from typing import ClassVar

import torch
from torch import Tensor, nn

from core.models.gate import Gate, zeroed
from core.models.multiscale import ByScale
from core.tasks.abr_names import Part


class Attention(nn.Module):
    """softmax(q k' / sqrt(d)) v by heads; queries ask, the memory is key and value; says nothing at the start.

    With `by_scale` keys and values are seen through kernels of different widths, a quarter of the channels each.
    """

    def __init__(self, channels: int, memory_channels: int, heads: int, *, by_scale: bool = False) -> None:
        super().__init__()
        if channels % heads:
            raise ValueError(f"{channels} channels do not divide into {heads} heads")
        self.heads = heads
        self.query = nn.Linear(channels, channels)
        # A bias on the keys would shift all scores of a query alike, which the softmax does not see.
        self.key = nn.Linear(memory_channels, channels, bias=False)
        self.value = nn.Linear(memory_channels, channels)
        self.key_scales = ByScale(channels) if by_scale else None
        self.value_scales = ByScale(channels) if by_scale else None
        self.out = zeroed(nn.Linear(channels, channels))
        self.watched = False
        """Whether `entropy` is kept; it costs the weights themselves, which are not computed otherwise."""
        self.entropy: Tensor | None = None
        """Of the last forward pass: mean entropy over recordings, heads and queries, over log(M): 1 looks everywhere
        alike, 0 at one place."""

    def forward(self, x_BQD: Tensor, key_BMD: Tensor, value_BMD: Tensor) -> Tensor:
        """Queries (B, Q, D), the memory as keys (where to look) and as values (what is there) -> (B, Q, D)."""
        key_BMD, value_BMD = self.key(key_BMD), self.value(value_BMD)
        if self.key_scales is not None and self.value_scales is not None:
            key_BMD, value_BMD = self.key_scales(key_BMD), self.value_scales(value_BMD)
        query_BHQD = self._split(self.query(x_BQD))
        key_BHMD, value_BHMD = self._split(key_BMD), self._split(value_BMD)
        if self.watched:
            self.entropy = _entropy(query_BHQD.detach(), key_BHMD.detach())
        seen_BHQD = nn.functional.scaled_dot_product_attention(query_BHQD, key_BHMD, value_BHMD)
        out_BQD: Tensor = self.out(seen_BHQD.transpose(1, 2).flatten(2))
        return out_BQD

    def _split(self, x_BLD: Tensor) -> Tensor:
        # Torch's fast attention wants the channels of a place side by side.
        return x_BLD.contiguous().view(*x_BLD.shape[:2], self.heads, -1).transpose(1, 2)


def _entropy(query_BHQD: Tensor, key_BHMD: Tensor) -> Tensor:
    score_BHQM = query_BHQD @ key_BHMD.transpose(-1, -2) / math.sqrt(query_BHQD.shape[-1])
    log_BHQM = score_BHQM.float().log_softmax(-1)
    places = score_BHQM.shape[-1]
    return -(log_BHQM.exp() * log_BHQM).sum(-1).mean() / math.log(max(2, places))


def positions(x_BLD: Tensor, stride: int) -> Tensor:
    """(L, D) sines and cosines of the sample in the middle of each token (1706.03762), in the kind of `x_BLD`.

    Equal times look alike at every stride. Wavelengths run geometrically from 4 samples to 4,000: a quarter of a
    millisecond to far longer than a recording.
    """
    length, channels = x_BLD.shape[-2:]
    shares_D = torch.linspace(0, 1, (channels + 1) // 2, device=x_BLD.device)
    rate_D = 2 * math.pi / (4 * 1000**shares_D)
    middle_L = (torch.arange(length, device=x_BLD.device) + 0.5) * stride - 0.5
    turn_LD = middle_L.unsqueeze(1) * rate_D
    return torch.cat([turn_LD.sin(), turn_LD.cos()], 1)[:, :channels].to(x_BLD.dtype)


class Ask(nn.Module):
    """Features ask a memory, or themselves, and add what they find: norms first, positions on queries and keys."""

    part: ClassVar[Part] = "attention"

    def __init__(
        self, channels: int, memory_channels: int | None, heads: int, dropout: float, *, by_scale: bool = False
    ) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(channels)
        self.memory_norm = None if memory_channels is None else nn.LayerNorm(memory_channels)
        self.attention = Attention(channels, memory_channels or channels, heads, by_scale=by_scale)
        self.drop = nn.Dropout1d(dropout)
        self.gate = Gate()

    def forward(self, x_BDL: Tensor, memory_BDM: Tensor | None, stride: int, memory_stride: int) -> Tensor:
        """(B, D, L), tokens of `stride` samples, and a memory (B, D', M) of `memory_stride`, None: itself."""
        joined_BDL: Tensor = self.gate(x_BDL, lambda: self._found(x_BDL, memory_BDM, stride, memory_stride))
        return joined_BDL

    def _found(self, x_BDL: Tensor, memory_BDM: Tensor | None, stride: int, memory_stride: int) -> Tensor:
        x_BLD = self.norm(x_BDL.transpose(1, 2))
        query_BLD = x_BLD + positions(x_BLD, stride)
        if self.memory_norm is None or memory_BDM is None:
            found_BLD = self.attention(query_BLD, query_BLD, x_BLD)
        else:
            memory_BMD = self.memory_norm(memory_BDM.transpose(1, 2))
            found_BLD = self.attention(query_BLD, memory_BMD + positions(memory_BMD, memory_stride), memory_BMD)
        found_BDL: Tensor = self.drop(found_BLD.transpose(1, 2))
        return found_BDL


class Transformer(nn.Module):
    """Self-attention, attention to a memory where there is one, then a perceptron on each token; all of it added."""

    part: ClassVar[Part] = "attention"

    def __init__(
        self, channels: int, heads: int, dropout: float, *, own: bool, by_scale: bool, memory_channels: int | None
    ) -> None:
        super().__init__()
        self.own = Ask(channels, None, heads, dropout, by_scale=by_scale) if own else None
        self.other = None if memory_channels is None else Ask(channels, memory_channels, heads, dropout)
        self.norm = nn.LayerNorm(channels)
        self.mix = nn.Sequential(
            nn.Linear(channels, 2 * channels), nn.SiLU(), zeroed(nn.Linear(2 * channels, channels))
        )
        self.drop = nn.Dropout1d(dropout)
        self.gate = Gate()

    def forward(self, x_BDL: Tensor, stride: int, memory_BDM: Tensor | None = None, memory_stride: int = 1) -> Tensor:
        """(B, D, L), tokens of `stride` samples -> (B, D, L)."""
        if self.own is not None:
            x_BDL = self.own(x_BDL, None, stride, stride)
        if self.other is not None:
            x_BDL = self.other(x_BDL, memory_BDM, stride, memory_stride)
        mixed_BDL: Tensor = self.gate(x_BDL, lambda: self._mixed(x_BDL))
        return mixed_BDL

    def _mixed(self, x_BDL: Tensor) -> Tensor:
        mixed_BDL: Tensor = self.drop(self.mix(self.norm(x_BDL.transpose(1, 2))).transpose(1, 2))
        return mixed_BDL
