"""The backbone `encoder`: the signal to tokens, S4D blocks that join them with a condition, fine features from both."""

# B recordings, T samples, S static parameters, E condition features, C stem channels, D channels, L tokens.

from __future__ import annotations

from typing import ClassVar, Final

import torch
from torch import Tensor, nn

from core.data.recordings import STATIC
from core.data.scaling import HEAVY_TAILED
from core.models.features import Features, FeatureSizes, summarise
from core.models.gate import Gate
from core.models.s4d import S4D
from core.tasks.abr_names import Part

STEM_STRIDE: Final = 2
TOKEN_STRIDE: Final = 8
"""Samples per token: half a millisecond at 15 kHz."""
LEVELS: Final = 2
"""Numbers that `levels` makes of a recording."""


def levels(x_BT: Tensor) -> Tensor:
    """(B, 2) log size of a recording: root mean square and largest deviation, which norms inside the network hide."""
    floor = 1e-3
    rms_B = (x_BT.square().mean(-1) + floor**2).sqrt()
    return torch.stack([rms_B, x_BT.abs().amax(-1) + floor], 1).log()


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


class Condition(nn.Module):
    """Static parameters and the size of the recording to a vector that modulates features."""

    def __init__(self, columns: tuple[int, ...], mean: tuple[float, ...], sd: tuple[float, ...], *, width: int) -> None:
        super().__init__()
        self.standardise = Standardise(columns, mean, sd)
        self.body = nn.Sequential(
            nn.Linear(2 * len(columns) + LEVELS, width), nn.SiLU(), nn.Linear(width, width), nn.SiLU()
        )

    def forward(self, static_BS: Tensor, x_BT: Tensor) -> Tensor:
        """Static parameters as recorded, the scaled recording -> (B, E)."""
        condition_BE: Tensor = self.body(torch.cat([self.standardise(static_BS), levels(x_BT)], 1))
        return condition_BE


class FiLM(nn.Module):
    """Feature-wise affine modulation x (1 + g(c)) + b(c), Perez et al. 2018 (1709.07871); the identity at the start."""

    part: ClassVar[Part] = "condition"

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

    part: ClassVar[Part] = "s4"

    def __init__(self, channels: int, states: int, condition: int, dropout: float) -> None:
        super().__init__()
        self.norm = nn.GroupNorm(1, channels)
        self.film = FiLM(condition, channels)
        # Tokens are coarser than samples: time scales of 1e-3 per step would span a hundred recordings.
        self.s4d = S4D(channels, states, bidirectional=True, dt_min=1e-2, dt_max=5e-1)
        self.mix = nn.Conv1d(channels, 2 * channels, 1)
        self.drop = nn.Dropout(dropout)
        self.gate = Gate()

    def forward(self, x_BDL: Tensor, condition_BE: Tensor) -> Tensor:
        """(B, D, L) and (B, E) -> (B, D, L)."""
        joined_BDL: Tensor = self.gate(x_BDL, lambda: self._change(x_BDL, condition_BE))
        return joined_BDL

    def _change(self, x_BDL: Tensor, condition_BE: Tensor) -> Tensor:
        h_BDL = self.s4d(self.film(self.norm(x_BDL), condition_BE))
        change_BDL: Tensor = self.drop(nn.functional.glu(self.mix(nn.functional.silu(h_BDL)), 1))
        return change_BDL


class Stem(nn.Module):
    """Convolutions of several widths, then tokens; no norm before the tokens, so that absolute size gets through."""

    part: ClassVar[Part] = "convolution"

    def __init__(self, kernels: tuple[int, ...], stem_channels: int, channels: int, signals: int = 1) -> None:
        super().__init__()
        if any(kernel % 2 == 0 for kernel in kernels):
            raise ValueError(f"stem kernels must be odd to keep their place in time, not {kernels}")
        share = stem_channels // len(kernels)
        self.scales = nn.ModuleList(
            nn.Conv1d(signals, share, kernel, stride=STEM_STRIDE, padding=kernel // 2) for kernel in kernels
        )
        ratio = TOKEN_STRIDE // STEM_STRIDE
        self.tokens = nn.Conv1d(share * len(kernels), channels, 2 * ratio, stride=ratio, padding=ratio // 2)

    def forward(self, x_BCT: Tensor) -> tuple[Tensor, Tensor]:
        """(B, signals, T), T a multiple of the token stride -> fine features (B, C, T / 2) and tokens (B, D, T / 8)."""
        fine_BCL = nn.functional.silu(torch.cat([scale(x_BCT) for scale in self.scales], 1))
        return fine_BCL, self.tokens(fine_BCL)


class Fuse(nn.Module):
    """Tokens back at the finer stride, joined with what the stem saw there."""

    part: ClassVar[Part] = "convolution"

    def __init__(self, channels: int, fine: int) -> None:
        super().__init__()
        ratio = TOKEN_STRIDE // STEM_STRIDE
        self.up = nn.ConvTranspose1d(channels, fine, ratio, stride=ratio)
        self.join = nn.Conv1d(2 * fine, fine, 5, padding=2)

    def forward(self, x_BDL: Tensor, fine_BCL: Tensor) -> Tensor:
        """Tokens and fine features of the stem -> (B, C, L of the fine features)."""
        return nn.functional.silu(self.join(torch.cat([self.up(x_BDL), fine_BCL], 1)))


class Encoder(nn.Module):
    """Stem, blocks on tokens of eight samples, fine features of two."""

    def __init__(
        self,
        *,
        signals: int,
        kernels: tuple[int, ...],
        stem: int,
        channels: int,
        blocks: int,
        states: int,
        condition: int,
        dropout: float,
    ) -> None:
        super().__init__()
        fine = stem // len(kernels) * len(kernels)
        self.sizes = FeatureSizes(tokens=channels, fine=fine, condition=condition, fine_stride=STEM_STRIDE)
        self.stem = Stem(kernels, stem, channels, signals)
        self.blocks = nn.ModuleList(Block(channels, states, condition, dropout) for _ in range(blocks))
        self.fuse = Fuse(channels, fine)

    def forward(self, x_BCT: Tensor, condition_BE: Tensor) -> Features:
        """Scaled signals (B, C, T) of any length and their condition -> features; T is filled up with zeros."""
        x_BCT = nn.functional.pad(x_BCT, (0, -x_BCT.shape[-1] % TOKEN_STRIDE))
        fine_BCL, h_BDL = self.stem(x_BCT)
        for block in self.blocks:
            h_BDL = block(h_BDL, condition_BE)
        return Features(
            tokens_BDL=h_BDL,
            summary_BF=summarise(h_BDL, None, condition_BE),
            fine_BCL=self.fuse(h_BDL, fine_BCL),
            condition_BE=condition_BE,
            fine_stride=STEM_STRIDE,
        )

    def trunk(self) -> list[nn.Module]:
        """What all features come from, the last one last; fine features alone go through `fuse`."""
        return [self.stem, self.blocks]
