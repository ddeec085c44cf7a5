"""Attention over time, 1706.03762: where to look is learnt, and can be watched."""

# B recordings, Q queries, M places in memory, H heads, D channels.

from __future__ import annotations

import math

import torch
from torch import Tensor, nn


class Attention(nn.Module):
    """softmax(q k' / sqrt(d)) v by heads; queries ask, the memory is key and value."""

    def __init__(self, channels: int, memory_channels: int, heads: int) -> None:
        super().__init__()
        if channels % heads:
            raise ValueError(f"{channels} channels do not divide into {heads} heads")
        self.heads = heads
        self.query = nn.Linear(channels, channels)
        self.key = nn.Linear(memory_channels, channels)
        self.value = nn.Linear(memory_channels, channels)
        self.out = nn.Linear(channels, channels)
        self.watched = False
        """Whether `entropy` is kept; it costs the weights themselves, which are not computed otherwise."""
        self.entropy: Tensor | None = None
        """Of the last forward pass: mean entropy over recordings, heads and queries, over log(M): 1 looks everywhere
        alike, 0 at one place."""

    def forward(self, x_BQD: Tensor, key_BMD: Tensor, value_BMD: Tensor) -> Tensor:
        """Queries (B, Q, D), the memory as keys (where to look) and as values (what is there) -> (B, Q, D)."""
        query_BHQD = self._split(self.query(x_BQD))
        key_BHMD, value_BHMD = self._split(self.key(key_BMD)), self._split(self.value(value_BMD))
        if self.watched:
            self.entropy = _entropy(query_BHQD.detach(), key_BHMD.detach())
        seen_BHQD = nn.functional.scaled_dot_product_attention(query_BHQD, key_BHMD, value_BHMD)
        out_BQD: Tensor = self.out(seen_BHQD.transpose(1, 2).flatten(2))
        return out_BQD

    def _split(self, x_BLD: Tensor) -> Tensor:
        return x_BLD.unflatten(-1, (self.heads, -1)).transpose(1, 2)


def _entropy(query_BHQD: Tensor, key_BHMD: Tensor) -> Tensor:
    score_BHQM = query_BHQD @ key_BHMD.transpose(-1, -2) / math.sqrt(query_BHQD.shape[-1])
    log_BHQM = score_BHQM.float().log_softmax(-1)
    places = score_BHQM.shape[-1]
    return -(log_BHQM.exp() * log_BHQM).sum(-1).mean() / math.log(max(2, places))


def positions(length: int, channels: int, *, stride: float, device: torch.device | None = None) -> Tensor:
    """(length, channels) sines and cosines of the samples l * stride (1706.03762); equal times look alike everywhere.

    Wavelengths run geometrically from 4 samples to 4,000: a quarter of a millisecond to far longer than a recording.
    """
    octaves_D = torch.linspace(0, 1, (channels + 1) // 2, device=device)
    rate_D = 2 * math.pi / (4 * 1000**octaves_D)
    turn_LD = torch.arange(length, device=device).unsqueeze(1) * stride * rate_D
    return torch.cat([turn_LD.sin(), turn_LD.cos()], 1)[:, :channels]
