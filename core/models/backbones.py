"""What turns signals and a condition into features: the backbones by name, and their sizes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from core.models.encoder import Encoder
from core.models.unet import UNet, UNetWidth
from core.tasks.abr_options import Backbone, ModelOptions, ModelSize


@dataclass(frozen=True, kw_only=True, slots=True)
class Width:
    """What a model size stands for, whatever the backbone."""

    condition: int
    """Features of the condition."""
    hidden: int
    """Of the heads."""


WIDTHS: Final[Mapping[ModelSize, Width]] = {
    "tiny": Width(condition=32, hidden=64),
    "small": Width(condition=64, hidden=128),
    "base": Width(condition=128, hidden=256),
}


@dataclass(frozen=True, kw_only=True, slots=True)
class EncoderWidth:
    """What a model size stands for in the backbone `encoder`."""

    kernels: tuple[int, ...]
    stem: int
    channels: int
    blocks: int
    states: int


ENCODER_WIDTHS: Final[Mapping[ModelSize, EncoderWidth]] = {
    "tiny": EncoderWidth(kernels=(7, 21), stem=16, channels=32, blocks=2, states=8),
    "small": EncoderWidth(kernels=(7, 21, 45), stem=36, channels=64, blocks=4, states=16),
    "base": EncoderWidth(kernels=(7, 21, 45), stem=72, channels=128, blocks=6, states=32),
}

UNET_WIDTHS: Final[Mapping[ModelSize, UNetWidth]] = {
    "tiny": UNetWidth(channels=(16, 16, 24, 32, 32), states=8, heads=1),
    "small": UNetWidth(channels=(32, 48, 64, 64, 64), states=16, heads=4),
    "base": UNetWidth(channels=(64, 96, 128, 160, 192), states=32, heads=8),
}


def build_encoder(options: ModelOptions, _samples: int, signals: int) -> Encoder:
    """The backbone `encoder`; it takes recordings of any length."""
    width = ENCODER_WIDTHS[options.size]
    return Encoder(
        signals=signals,
        kernels=width.kernels,
        stem=width.stem,
        channels=width.channels,
        blocks=width.blocks,
        states=width.states,
        condition=WIDTHS[options.size].condition,
        dropout=options.dropout,
    )


def build_unet(options: ModelOptions, samples: int, signals: int) -> UNet:
    """The backbone `unet`, with attention where recordings of `samples` samples are long."""
    return UNet(
        signals=signals,
        samples=samples,
        width=UNET_WIDTHS[options.size],
        options=options.unet,
        condition=WIDTHS[options.size].condition,
        dropout=options.dropout,
    )


BACKBONES: Final[Mapping[Backbone, Callable[[ModelOptions, int, int], Encoder | UNet]]] = {
    "encoder": build_encoder,
    "unet": build_unet,
}
"""Name -> builder from the options, the number of samples and the number of signals."""
