"""Every weighting of the terms, by name."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from core.config import WeightingMethod, WeightingOptions
from core.losses.surgery import Surgery
from core.losses.weighting import DynamicAverage, Famo, Fixed, GradientNorm, Uncertainty

WEIGHTINGS: Final[Mapping[WeightingMethod, Callable[[WeightingOptions], Fixed]]] = {
    "fixed": Fixed,
    "uncertainty": Uncertainty,
    "dynamic_average": DynamicAverage,
    "famo": Famo,
    "gradient_norm": GradientNorm,
    "pcgrad": Surgery,
    "mgda": Surgery,
    "imtl_g": Surgery,
    "aligned_mtl": Surgery,
}
