"""Gradient surgery: factors of the terms from the inner products of their gradients, by TorchJD."""

# N terms.

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Final, Literal

import torch
from torch import Tensor

from core.config import WeightingOptions
from core.losses.weighting import Fixed

SurgeryMethod = Literal["pcgrad", "mgda", "imtl_g", "aligned_mtl"]
Combine = Callable[[Tensor], Tensor]


def pcgrad() -> Combine:
    """Conflicting parts of gradients are projected away, in an order drawn from torch's generator (2001.06782)."""
    from torchjd.aggregation import PCGradWeighting

    return PCGradWeighting()  # type: ignore[no-any-return]


def mgda() -> Combine:
    """The shortest convex combination (1810.04650), times the number of terms."""
    from torchjd.aggregation import MGDAWeighting

    return _times_terms(MGDAWeighting())


def imtl_g() -> Combine:
    """The combination with equal projections on all gradients (Liu et al., ICLR 2021), times the number of terms."""
    from torchjd.aggregation import IMTLGWeighting

    return _times_terms(IMTLGWeighting())


def aligned_mtl() -> Combine:
    """The sum of gradients made orthogonal and as long as their smallest principal component (2305.19000)."""
    from torchjd.aggregation import AlignedMTLWeighting

    return _times_terms(AlignedMTLWeighting())


def _times_terms(weigh: Combine) -> Combine:
    """For factors that sum to 1, or are 1/n for n terms that are alike."""
    return lambda gramian_NN: weigh(gramian_NN) * len(gramian_NN)


COMBINE: Final[Mapping[SurgeryMethod, Callable[[], Combine]]] = {
    "pcgrad": pcgrad,
    "mgda": mgda,
    "imtl_g": imtl_g,
    "aligned_mtl": aligned_mtl,
}
"""Method -> maker of a function of the Gramian (N, N) that gives the factors (N,).

All have one scale: orthogonal gradients of one length are summed as they are. TorchJD is imported by those who use it.
"""


class Surgery(Fixed):
    """Combines the terms' gradients on the shared part of the network; the heads keep the gradients of their terms."""

    needs = "gradients"

    def __init__(self, options: WeightingOptions) -> None:
        super().__init__(options)
        self.method = COMBINE[_surgical(options.method)]()

    def combine(self, gramian: Sequence[Sequence[float]]) -> list[float]:
        """Factor of each term's gradient from their inner products.

        A term without a gradient keeps the factor 1, and so do all when a product is not finite: the step will be
        found broken.
        """
        lit = [row for row in range(len(gramian)) if gramian[row][row] > 0]
        if not lit or not all(math.isfinite(value) for row in gramian for value in row):
            return [1.0] * len(gramian)
        gramian_NN = torch.tensor([[gramian[row][column] for column in lit] for row in lit], dtype=torch.float64)
        factors = dict(zip(lit, self.method(gramian_NN).tolist(), strict=True))
        return [factors.get(row, 1.0) for row in range(len(gramian))]


def _surgical(method: str) -> SurgeryMethod:
    for known in COMBINE:
        if known == method:
            return known
    raise ValueError(f"{method} is no gradient surgery; there are {', '.join(COMBINE)}")
