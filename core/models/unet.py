"""The backbone `unet`: a hierarchical U-Net with attention where recordings are long and S4D everywhere (document 004).

200 samples -> 100 -> 50 -> 25 -> 12 tokens -> 25 -> 50 -> 100 -> 200.
Encoder: convolution, transformer (50 tokens or more), S4D, [skip], downsample, FiLM.
Bottleneck: S4D, global context.
Decoder: S4D, upsample, transformer (50 or more), skip, FiLM.
"""

# B recordings, C channels, T samples, L tokens, E condition features.

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Final

from torch import Tensor, nn

from core.models.attention import Transformer
from core.models.blocks import KERNEL, Convolution, Downsample, GlobalContext, StateSpace, Upsample
from core.models.encoder import FiLM
from core.models.features import Features, FeatureSizes, summarise
from core.models.skips import SKIPS
from core.tasks.abr_names import Part
from core.tasks.abr_unet_options import UNetOptions

LEVELS: Final = 4
"""Halvings of the time axis."""
TOKENS_AT: Final = 3
"""Level whose features are the tokens: of 8 samples, about half a millisecond."""
ATTENTION_FROM: Final = 50
"""Fewest tokens of a level with attention (document 004)."""
STEM_KERNEL: Final = 15
"""Samples the first convolution spans: a millisecond."""


@dataclass(frozen=True, kw_only=True, slots=True)
class UNetWidth:
    """What a model size stands for in the backbone `unet`."""

    channels: tuple[int, ...]
    """Of each level, the bottleneck last."""
    states: int
    heads: int


def lengths(samples: int) -> tuple[int, ...]:
    """Tokens of each level, the bottleneck last: 200, 100, 50, 25, 12."""
    return tuple(samples >> level for level in range(LEVELS + 1))


class NoFiLM(nn.Module):
    """Stands where a condition modulates nothing."""

    def forward(self, x_BCL: Tensor, _condition_BE: Tensor) -> Tensor:
        """What it was given."""
        return x_BCL


@dataclass(frozen=True, kw_only=True, slots=True)
class _Level:
    """What the blocks of a level are built from."""

    index: int
    tokens: int
    width: UNetWidth
    options: UNetOptions
    condition: int
    dropout: float

    @property
    def channels(self) -> int:
        return self.width.channels[self.index]

    @property
    def below(self) -> int:
        return self.width.channels[self.index + 1]

    @property
    def stride(self) -> int:
        return 1 << self.index

    @property
    def attends(self) -> bool:
        return self.tokens >= ATTENTION_FROM

    def convolution(self) -> Convolution:
        return Convolution(self.channels, multi_scale=self.options.multi_scale)

    def transformer(self, memory_channels: int | None) -> Transformer | None:
        own = self.options.attention != "none"
        if not self.attends or not (own or memory_channels):
            return None
        by_scale = self.options.attention == "multi_scale"
        heads = self.width.heads
        return Transformer(
            self.channels, heads, self.dropout, own=own, by_scale=by_scale, memory_channels=memory_channels
        )

    def state_space(self, channels: int, stride: int) -> nn.Module:
        return StateSpace(channels, self.width.states, self.dropout, stride) if self.options.s4 else nn.Identity()

    def skip(self) -> nn.Module:
        kind = "concat" if self.options.skip == "cross_attention" and not self.attends else self.options.skip
        return SKIPS[kind](self.channels, self.width.heads, self.dropout)

    def film(self, channels: int) -> nn.Module:
        return FiLM(self.condition, channels) if self.options.film else NoFiLM()


class EncoderLevel(nn.Module):
    """Convolution, transformer, S4D; then half as many tokens, modulated by the condition."""

    def __init__(self, level: _Level) -> None:
        super().__init__()
        self.stride = level.stride
        self.convolution = level.convolution()
        self.transformer = level.transformer(None)
        self.state_space = level.state_space(level.channels, level.stride)
        self.down = Downsample(level.channels, level.below)
        self.film = level.film(level.below)

    def forward(self, x_BCL: Tensor, condition_BE: Tensor) -> tuple[Tensor, Tensor]:
        """(B, C, L) -> the skip (B, C, L), and the next level's input."""
        skip_BCL = self.convolution(x_BCL)
        if self.transformer is not None:
            skip_BCL = self.transformer(skip_BCL, self.stride)
        skip_BCL = self.state_space(skip_BCL)
        return skip_BCL, self.film(self.down(skip_BCL), condition_BE)


class Bottleneck(nn.Module):
    """S4D twice, then what all of the recording says: no attention among a dozen tokens."""

    def __init__(self, level: _Level) -> None:
        super().__init__()
        self.state_spaces = nn.Sequential(*(level.state_space(level.channels, level.stride) for _ in range(2)))
        self.context = GlobalContext(level.channels) if level.options.global_context else nn.Identity()

    def forward(self, x_BCL: Tensor) -> Tensor:
        """(B, C, L) -> (B, C, L)."""
        made_BCL: Tensor = self.context(self.state_spaces(x_BCL))
        return made_BCL


class DecoderLevel(nn.Module):
    """S4D, twice as many tokens, transformer that may ask the encoder's output, skip, the condition."""

    def __init__(self, level: _Level) -> None:
        super().__init__()
        self.stride = level.stride
        self.state_space = level.state_space(level.below, 2 * level.stride)
        self.up = Upsample(level.below, level.channels)
        memory = level.width.channels[-1] if level.options.cross_attention else None
        self.transformer = level.transformer(memory)
        self.skip = level.skip()
        self.film = level.film(level.channels)

    def forward(self, x_BCL: Tensor, skip_BCL: Tensor, encoded_BCL: Tensor, condition_BE: Tensor) -> Tensor:
        """The level below, the encoder's features of this length and its output -> (B, C, L of the skip)."""
        x_BCL = self.up(self.state_space(x_BCL), skip_BCL.shape[-1])
        if self.transformer is not None:
            x_BCL = self.transformer(x_BCL, self.stride, encoded_BCL, 1 << LEVELS)
        made_BCL: Tensor = self.film(self.skip(x_BCL, skip_BCL, self.stride), condition_BE)
        return made_BCL


class Readout(nn.Module):
    """A convolution and a bend: what the heads see."""

    part: ClassVar[Part] = "convolution"

    def __init__(self, channels: int, kernel: int) -> None:
        super().__init__()
        self.convolve = nn.Conv1d(channels, channels, kernel, padding=kernel // 2)

    def forward(self, x_BCL: Tensor) -> Tensor:
        """(B, C, L) -> (B, C, L)."""
        return nn.functional.silu(self.convolve(x_BCL))


class Stem(nn.Module):
    """Signals to channels."""

    part: ClassVar[Part] = "convolution"

    def __init__(self, signals: int, channels: int) -> None:
        super().__init__()
        self.convolve = nn.Conv1d(signals, channels, STEM_KERNEL, padding=STEM_KERNEL // 2)

    def forward(self, x_BCT: Tensor) -> Tensor:
        """(B, signals, T) -> (B, C, T)."""
        made_BCT: Tensor = self.convolve(x_BCT)
        return made_BCT


class UNet(nn.Module):
    """Built for recordings of `samples` samples, which says where there is attention; takes those of any length."""

    def __init__(
        self, *, signals: int, samples: int, width: UNetWidth, options: UNetOptions, condition: int, dropout: float
    ) -> None:
        super().__init__()
        levels = [
            _Level(index=index, tokens=tokens, width=width, options=options, condition=condition, dropout=dropout)
            for index, tokens in enumerate(lengths(samples))
        ]
        fine, tokens = width.channels[0], width.channels[TOKENS_AT]
        self.sizes = FeatureSizes(tokens=tokens, fine=fine, condition=condition, fine_stride=1, sums_fine=True)
        self.stem = Stem(signals, fine)
        self.encoder = nn.ModuleList(EncoderLevel(level) for level in levels[:-1])
        self.bottleneck = Bottleneck(levels[-1])
        self.decoder = nn.ModuleList(DecoderLevel(level) for level in reversed(levels[:-1]))
        self.token_readout = Readout(tokens, 1)
        self.fine_readout = Readout(fine, KERNEL)

    def forward(self, x_BCT: Tensor, condition_BE: Tensor) -> Features:
        """Scaled signals (B, C, T) of any length and their condition -> features."""
        x_BCL, skips = self.stem(x_BCT), []
        for down in self.encoder:
            skip_BCL, x_BCL = down(x_BCL, condition_BE)
            skips.append(skip_BCL)
        encoded_BCL = x_BCL
        x_BCL = self.bottleneck(x_BCL)
        made = []
        for up, skip_BCL in zip(self.decoder, reversed(skips), strict=True):
            x_BCL = up(x_BCL, skip_BCL, encoded_BCL, condition_BE)
            made.append(x_BCL)
        tokens_BDL, fine_BCL = self.token_readout(made[LEVELS - 1 - TOKENS_AT]), self.fine_readout(x_BCL)
        return Features(
            tokens_BDL=tokens_BDL,
            fine_BCL=fine_BCL,
            summary_BF=summarise(tokens_BDL, fine_BCL, condition_BE),
            condition_BE=condition_BE,
            fine_stride=1,
        )

    def trunk(self) -> list[nn.Module]:
        """What all features come from, the last one last: the summary takes in the fine features."""
        return [self.stem, self.encoder, self.bottleneck, self.decoder, self.fine_readout]
