"""Several kernel widths side by side: InceptionTime (1909.04939), weighed as in selective kernels (1903.06586).

A wave lasts over a millisecond, seven samples at 15 kHz half of one: the widths are used at every level of a U-Net,
where they span twice as much each time.
"""

# B recordings, C channels, L positions, S scales.

from __future__ import annotations

from typing import Final

import torch
from torch import Tensor, nn

KERNELS: Final = (1, 3, 5, 7)
"""Documents 001 and 004."""


def share(channels: int, kernels: tuple[int, ...]) -> int:
    """Channels of each width.

    Raises ValueError for a kernel without a middle, whose features would lie half a step off, and for channels that do
    not divide.
    """
    if any(kernel % 2 == 0 for kernel in kernels):
        raise ValueError(f"kernels must be odd to keep their place in time, not {kernels}")
    if channels % len(kernels):
        raise ValueError(f"{channels} channels do not divide into {len(kernels)} scales")
    return channels // len(kernels)


class MultiScale(nn.Module):
    """Convolutions of several widths, a share of the channels each; a softmax over the widths says what each counts."""

    def __init__(self, channels: int, kernels: tuple[int, ...] = KERNELS) -> None:
        super().__init__()
        width = self.width = share(channels, kernels)
        self.scales = nn.ModuleList(
            nn.Conv1d(channels, width, kernel, padding=kernel // 2, bias=False) for kernel in kernels
        )
        self.bias_C = nn.Parameter(torch.zeros(channels))
        self.choose = nn.Linear(channels, len(kernels))

    def forward(self, x_BCL: Tensor) -> Tensor:
        """(B, C, L) -> (B, C, L); with equal weights the convolutions as they are."""
        kernel_CIK = _joined(self.scales)
        made_BCL = nn.functional.conv1d(x_BCL, kernel_CIK, self.bias_C, padding=kernel_CIK.shape[-1] // 2)
        counts_BC = (len(self.scales) * self.weights(x_BCL)).repeat_interleave(self.width, dim=1)
        return made_BCL * counts_BC.unsqueeze(-1)

    def weights(self, x_BCL: Tensor) -> Tensor:
        """(B, S) what each width counts for a recording; sums to 1."""
        chosen_BS: Tensor = self.choose(x_BCL.abs().mean(-1))
        return chosen_BS.softmax(1)


class ByScale(nn.Module):
    """Each of several groups of channels seen through a kernel of its own, channel by channel; means at the start."""

    def __init__(self, channels: int, kernels: tuple[int, ...] = KERNELS) -> None:
        super().__init__()
        width = share(channels, kernels)
        self.scales = nn.ModuleList(
            nn.Conv1d(width, width, kernel, padding=kernel // 2, groups=width, bias=False) for kernel in kernels
        )
        for kernel, scale in zip(kernels, self.scales, strict=True):
            nn.init.constant_(scale.weight, 1 / kernel)  # type: ignore[arg-type]

    def forward(self, x_BLC: Tensor) -> Tensor:
        """(B, L, C) -> (B, L, C)."""
        kernel_C1K = _joined(self.scales)
        padding, x_BCL = kernel_C1K.shape[-1] // 2, x_BLC.transpose(1, 2)
        return nn.functional.conv1d(x_BCL, kernel_C1K, padding=padding, groups=len(kernel_C1K)).transpose(1, 2)


def _joined(scales: nn.ModuleList) -> Tensor:
    """The kernels as one, narrow ones filled up with zeros: one convolution reads and writes far less than several."""
    kernels = [scale.weight for scale in scales if isinstance(scale, nn.Conv1d)]
    widest = max(kernel_CIK.shape[-1] for kernel_CIK in kernels)
    return torch.cat([nn.functional.pad(each, ((widest - each.shape[-1]) // 2,) * 2) for each in kernels])
