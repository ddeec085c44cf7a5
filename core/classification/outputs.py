"""What a network of a classification says."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True, slots=True, eq=False)
class ClassOutputs:
    """Predictions for B examples."""

    class_logits_BK: Tensor
