"""Residual blocks, over time or over one vector, whole or in groups that never mix; read-outs that start small."""

# B recordings, C channels, L positions, F features.

from __future__ import annotations

from typing import Final, TypeVar

import torch
from torch import Tensor, nn

Layer = TypeVar("Layer", nn.Linear, nn.Conv1d)

SMALL: Final = 0.1
"""What the first weights of a read-out are scaled by: near its start a head says what its biases say."""


class Residual(nn.Module):
    """x + conv(silu(conv(silu(norm(x))))), the change small at the start; channels of different groups never meet."""

    def __init__(self, channels: int, dropout: float, *, kernel: int = 1, groups: int = 1) -> None:
        super().__init__()
        self.norm = nn.GroupNorm(groups, channels)
        self.first = nn.Conv1d(channels, channels, kernel, padding=kernel // 2, groups=groups)
        self.drop = nn.Dropout(dropout)
        self.second = small(nn.Conv1d(channels, channels, kernel, padding=kernel // 2, groups=groups))

    def forward(self, x_BCL: Tensor) -> Tensor:
        """(B, C, L) -> (B, C, L)."""
        inner_BCL = self.first(nn.functional.silu(self.norm(x_BCL)))
        change_BCL: Tensor = self.second(self.drop(nn.functional.silu(inner_BCL)))
        return x_BCL + change_BCL


def small(readout: Layer) -> Layer:
    """The layer with small weights and no bias."""
    with torch.no_grad():
        readout.weight.mul_(SMALL)
        if readout.bias is not None:
            readout.bias.zero_()
    return readout


def perceptron(features: int, hidden: int, outputs: int, dropout: float) -> nn.Sequential:
    """(B, F) -> (B, outputs): dropout, one hidden layer, a linear read-out that starts small."""
    readout = small(nn.Linear(hidden, outputs))
    return nn.Sequential(nn.Dropout(dropout), nn.Linear(features, hidden), nn.SiLU(), nn.Dropout(dropout), readout)


def extractor(
    features: int, hidden: int, outputs: int, dropout: float, *, blocks: int, groups: int = 1
) -> nn.Sequential:
    """(B, F) -> (B, outputs): residual blocks on `hidden` channels per group, and a read-out per group.

    With as many groups as outputs, each output has parameters of its own from the features on.
    """
    width = groups * hidden
    readout = small(nn.Conv1d(width, outputs, 1, groups=groups))
    return nn.Sequential(
        nn.Dropout(dropout),
        nn.Linear(features, width),
        nn.Unflatten(1, (width, 1)),
        *(Residual(width, dropout, groups=groups) for _ in range(blocks)),
        nn.SiLU(),
        nn.Dropout(dropout),
        readout,
        nn.Flatten(),
    )


def body(features: int, hidden: int, outputs: int, dropout: float, *, blocks: int) -> nn.Sequential:
    """The body of a head on one vector: `blocks` residual blocks, or one hidden layer."""
    if blocks:
        return extractor(features, hidden, outputs, dropout, blocks=blocks)
    return perceptron(features, hidden, outputs, dropout)
