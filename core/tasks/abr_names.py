"""What the ABR task calls its loss terms and the parts of its network; free of torch."""

from __future__ import annotations

from typing import Final, Literal, get_args

Term = Literal["signal", "peak_exist", "peak_latency", "peak_amplitude", "class", "threshold"]
"""The loss terms, under the names they have everywhere (weights, phases, metrics)."""
TERMS: Final[tuple[Term, ...]] = get_args(Term)

HEADLINE: Final = "val/class/f1_macro"
"""What a search of this task improves unless the space file says otherwise."""

Part = Literal[
    "condition",
    "convolution",
    "s4",
    "attention",
    "extractors",
    "class_head",
    "threshold_head",
    "peak_heads",
    "signal_head",
]
"""condition: static parameters to a vector, and what modulates features by it (FiLM); convolution: everything that
mixes neighbours, downsampling, upsampling and the fusion of skips included; s4: state-space layers with their norms;
attention: transformers, cross-attention and the attention in skips; extractors: one for each task, and the attention
between tasks; the rest: the heads."""
PARTS: Final[tuple[Part, ...]] = get_args(Part)
