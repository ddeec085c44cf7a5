"""Classifiers of MFCC images: AudioCNN and AudioViT of document 003."""

# B recordings, A channels, M coefficients, L frames, D features, K classes.

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final, Literal

import torch
from torch import Tensor, nn

AudioModel = Literal["cnn", "vit"]
AudioSize = Literal["tiny", "small"]


class Standardise(nn.Module):
    """(x - mean) / sd for each channel; the numbers are stored with the weights."""

    mean_A11: Tensor
    sd_A11: Tensor

    def __init__(self, mean: Sequence[float], sd: Sequence[float]) -> None:
        super().__init__()
        self.register_buffer("mean_A11", torch.tensor(mean, dtype=torch.float32)[:, None, None])
        self.register_buffer("sd_A11", torch.tensor(sd, dtype=torch.float32)[:, None, None])

    def forward(self, x_BAML: Tensor) -> Tensor:
        """(B, A, M, L) -> the same shape, in units of the spread."""
        return (x_BAML - self.mean_A11) / self.sd_A11


def conv_block(inputs: int, outputs: int) -> nn.Sequential:
    """Convolution, norm, half the size, rectifier: after the maximum it has a quarter to do, to the same effect."""
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, 3, padding=1, bias=False), nn.BatchNorm2d(outputs), nn.MaxPool2d(2), nn.ReLU()
    )


class AudioCNN(nn.Module):
    """Convolution blocks, the mean and the maximum over the rest of the image, a linear read-out."""

    def __init__(self, *, channels: int, widths: Sequence[int], num_classes: int, dropout: float) -> None:
        super().__init__()
        sizes = [channels, *widths]
        self.body = nn.Sequential(*(conv_block(a, b) for a, b in pairwise(sizes)))
        self.head = nn.Sequential(nn.Dropout(dropout), nn.Linear(2 * widths[-1], num_classes))

    def forward(self, x_BAML: Tensor) -> Tensor:
        """(B, A, M, L) -> logits (B, K)."""
        # Channels innermost: twice as fast on a processor, to the same effect.
        h_BDML: Tensor = self.body(x_BAML.contiguous(memory_format=torch.channels_last))
        logits_BK: Tensor = self.head(torch.cat([h_BDML.mean((2, 3)), h_BDML.amax((2, 3))], 1))
        return logits_BK


class Positions(nn.Module):
    """Learnt vectors that say where each patch lies."""

    def __init__(self, count: int, width: int) -> None:
        super().__init__()
        self.position_LD = nn.Parameter(0.02 * torch.randn(count, width))

    def forward(self, tokens_BLD: Tensor) -> Tensor:
        """(B, L, D) -> the same shape."""
        return tokens_BLD + self.position_LD


class AudioViT(nn.Module):
    """A vision transformer, Dosovitskiy et al. 2021 (2010.11929), pre-norm, on patches of coefficients and frames.

    The read-out takes the mean over the patches instead of a token of its own, which needs less data.
    """

    def __init__(
        self,
        *,
        shape: tuple[int, int, int],
        patch: tuple[int, int],
        width: int,
        depth: int,
        heads: int,
        num_classes: int,
        dropout: float,
    ) -> None:
        super().__init__()
        channels, rows, columns = shape
        if rows < patch[0] or columns < patch[1]:
            raise ValueError(f"features of {rows} x {columns} are smaller than a patch of {patch[0]} x {patch[1]}")
        self.patches = nn.Conv2d(channels, width, patch, stride=patch)
        count = (rows // patch[0]) * (columns // patch[1])
        self.positions = Positions(count, width)
        layer = nn.TransformerEncoderLayer(
            width, heads, 2 * width, dropout, activation="gelu", batch_first=True, norm_first=True
        )
        self.body = nn.TransformerEncoder(layer, depth, norm=nn.LayerNorm(width), enable_nested_tensor=False)
        self.head = nn.Sequential(nn.Dropout(dropout), nn.Linear(width, num_classes))

    def forward(self, x_BAML: Tensor) -> Tensor:
        """(B, A, M, L) -> logits (B, K)."""
        tokens_BLD = self.positions(self.patches(x_BAML).flatten(2).transpose(1, 2))
        logits_BK: Tensor = self.head(self.body(tokens_BLD).mean(1))
        return logits_BK


@dataclass(frozen=True, slots=True, kw_only=True)
class Width:
    """What a model size stands for."""

    cnn: tuple[int, ...]
    vit: int
    depth: int
    heads: int


WIDTHS: Final[Mapping[AudioSize, Width]] = {
    "tiny": Width(cnn=(16, 32, 64), vit=64, depth=2, heads=4),
    "small": Width(cnn=(32, 64, 128, 256), vit=192, depth=6, heads=6),
}
PATCH: Final = (8, 10)
"""Coefficients and frames of a patch: a quarter of a second."""


def build_audio_model(
    model: AudioModel, size: AudioSize, *, shape: tuple[int, int, int], num_classes: int, dropout: float
) -> AudioCNN | AudioViT:
    """The classifier of features of `shape` (channels, coefficients, frames).

    Raises ValueError for features that are too small for it.
    """
    width = WIDTHS[size]
    if model == "vit":
        return AudioViT(
            shape=shape,
            patch=PATCH,
            width=width.vit,
            depth=width.depth,
            heads=width.heads,
            num_classes=num_classes,
            dropout=dropout,
        )
    smallest = 2 ** len(width.cnn)
    if min(shape[1:]) < smallest:
        raise ValueError(f"features of {shape[1]} x {shape[2]} are too small: the network halves them to nothing")
    return AudioCNN(channels=shape[0], widths=width.cnn, num_classes=num_classes, dropout=dropout)
