"""The parts of the U-Net that can be left out or exchanged; free of torch."""

from __future__ import annotations

from typing import Literal

from core.config import Options

Skip = Literal["none", "concat", "gate", "cross_attention"]
AttentionKind = Literal["none", "plain", "multi_scale"]
Extraction = Literal["shared", "separate", "cross_task"]


class UNetOptions(Options):
    """Parts of the backbone `unet`, for search and ablation; read when `model.backbone` is unet."""

    multi_scale: bool = True
    """Convolutions over 1, 3, 5 and 7 positions side by side, weighed by a softmax over these scales that depends on
    the recording (documents 001, 004; 1903.06586); false: one convolution over 5 positions."""
    attention: AttentionKind = "multi_scale"
    """Transformers at levels of 50 tokens or more (document 004). plain: keys and values are single tokens;
    multi_scale: a quarter of their channels each is seen through kernels of 1, 3, 5 and 7 tokens; none."""
    cross_attention: bool = True
    """Decoder levels of 50 tokens or more ask the encoder's output (document 004)."""
    skip: Skip = "cross_attention"
    """How a decoder level takes in the encoder's features of its length. concat: side by side; gate: side by side,
    each moment of the skip weighed by what the decoder looks for (1804.03999); cross_attention: side by side, and the
    decoder's features ask all of the skip (document 004; below 50 tokens it is concat); none: not at all."""
    s4: bool = True
    """State-space layers at every level and in the bottleneck."""
    global_context: bool = True
    """The bottleneck adds what all of the recording says to each of its tokens."""
    film: bool = True
    """Static parameters and the recording's size modulate every level; false: they reach the heads only."""
