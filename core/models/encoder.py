"""The shared encoder: static parameters to a condition, the signal to features, blocks that join the two."""

# B recordings, T samples, S static parameters, E condition features, C stem channels, D channels, L tokens.

from __future__ import annotations

from typing import Final

import torch
from torch import Tensor, nn

from core.data.recordings import STATIC
from core.data.scaling import HEAVY_TAILED
from core.models.s4d import S4D

STEM_STRIDE: Final = 2
TOKEN_STRIDE: Final = 8
"""Samples per token: half a millisecond at 15 kHz."""
LEVELS: Final = 2
"""Numbers that `levels` makes of a recording."""
SEGMENTS: Final = 8
"""Stretches of time that `summary` averages over: where a wave lies is half of what tells the classes apart."""
SUMMARY: Final = SEGMENTS + 2
"""Numbers that `summary` makes of a channel."""


def levels(x_BT: Tensor) -> Tensor:
    """(B, 2) log size of a recording: root mean square and largest deviation, which norms inside the network hide."""
    floor = 1e-3
    rms_B = (x_BT.square().mean(-1) + floor**2).sqrt()
    return torch.stack([rms_B, x_BT.abs().amax(-1) + floor], 1).log()


def summary(x_BDL: Tensor) -> Tensor:
    """(B, D, L) -> (B, 10 D): mean and maximum over all of the recording, and means over its eighths."""
    segment_BDS = nn.functional.adaptive_avg_pool1d(x_BDL, SEGMENTS)
    return torch.cat([x_BDL.mean(-1), x_BDL.amax(-1), segment_BDS.flatten(1)], 1)


class Standardise(nn.Module):
    """Static parameters to standard units and a mask of what is known; columns that are no input are not read."""

    mean_S: Tensor
    sd_S: Tensor
    heavy_S: Tensor

    def __init__(self, columns: tuple[int, ...], mean: tuple[float, ...], sd: tuple[float, ...]) -> None:
        super().__init__()
        self.columns = columns
        self.register_buffer("mean_S", torch.tensor([mean[column] for column in columns], dtype=torch.float32))
        self.register_buffer("sd_S", torch.tensor([sd[column] for column in columns], dtype=torch.float32))
        heavy = [STATIC[column] in HEAVY_TAILED for column in columns]
        self.register_buffer("heavy_S", torch.tensor(heavy, dtype=torch.bool))

    def forward(self, static_BS: Tensor) -> Tensor:
        """(B, all columns) -> (B, 2 S): values, 0 where unknown, then 1 where known."""
        chosen_BS = static_BS[:, list(self.columns)]
        known_BS = chosen_BS.isfinite()
        value_BS = torch.where(known_BS, chosen_BS, 0.0)
        value_BS = torch.where(self.heavy_S, value_BS.sign() * value_BS.abs().log1p(), value_BS)
        value_BS = torch.where(known_BS, (value_BS - self.mean_S) / self.sd_S, 0.0)
        return torch.cat([value_BS, known_BS.to(value_BS.dtype)], 1)


class FiLM(nn.Module):
    """Feature-wise affine modulation x (1 + g(c)) + b(c), Perez et al. 2018 (1709.07871); the identity at the start."""

    def __init__(self, condition: int, channels: int) -> None:
        super().__init__()
        self.affine = nn.Linear(condition, 2 * channels)
        nn.init.zeros_(self.affine.weight)
        nn.init.zeros_(self.affine.bias)

    def forward(self, x_BDL: Tensor, condition_BE: Tensor) -> Tensor:
        """(B, D, L) and (B, E) -> (B, D, L)."""
        affine_BD1: Tensor = self.affine(condition_BE).unsqueeze(-1)
        gain_BD1, shift_BD1 = affine_BD1.chunk(2, 1)
        return x_BDL * (1 + gain_BD1) + shift_BD1


class Block(nn.Module):
    """Norm, FiLM, S4D, gated channel mixing, added to the input."""

    def __init__(self, channels: int, states: int, condition: int, dropout: float) -> None:
        super().__init__()
        self.norm = nn.GroupNorm(1, channels)
        self.film = FiLM(condition, channels)
        # Tokens are coarser than samples: time scales of 1e-3 per step would span a hundred recordings.
        self.s4d = S4D(channels, states, bidirectional=True, dt_min=1e-2, dt_max=5e-1)
        self.mix = nn.Conv1d(channels, 2 * channels, 1)
        self.drop = nn.Dropout(dropout)

    def forward(self, x_BDL: Tensor, condition_BE: Tensor) -> Tensor:
        """(B, D, L) and (B, E) -> (B, D, L)."""
        h_BDL = self.s4d(self.film(self.norm(x_BDL), condition_BE))
        change_BDL: Tensor = self.drop(nn.functional.glu(self.mix(nn.functional.silu(h_BDL)), 1))
        return x_BDL + change_BDL


class Stem(nn.Module):
    """Convolutions of several widths, then tokens; no norm before the tokens, so that absolute size gets through."""

    def __init__(self, kernels: tuple[int, ...], stem_channels: int, channels: int) -> None:
        super().__init__()
        if any(kernel % 2 == 0 for kernel in kernels):
            raise ValueError(f"stem kernels must be odd to keep their place in time, not {kernels}")
        share = stem_channels // len(kernels)
        self.scales = nn.ModuleList(
            nn.Conv1d(1, share, kernel, stride=STEM_STRIDE, padding=kernel // 2) for kernel in kernels
        )
        ratio = TOKEN_STRIDE // STEM_STRIDE
        self.tokens = nn.Conv1d(share * len(kernels), channels, 2 * ratio, stride=ratio, padding=ratio // 2)

    def forward(self, x_BT: Tensor) -> tuple[Tensor, Tensor]:
        """(B, T), T a multiple of the token stride -> fine features (B, C, T / 2) and tokens (B, D, T / 8)."""
        x_B1T = x_BT.unsqueeze(1)
        fine_BCL = nn.functional.silu(torch.cat([scale(x_B1T) for scale in self.scales], 1))
        return fine_BCL, self.tokens(fine_BCL)
