"""Residual branches: how they begin as nothing, and how a phase of the training holds them shut."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from torch import Tensor, nn

Layer = TypeVar("Layer", nn.Linear, nn.Conv1d)


def zeroed(layer: Layer) -> Layer:
    """The last layer of a branch, its weights and biases 0: at the start the branch adds nothing."""
    nn.init.zeros_(layer.weight)
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)
    return layer


class Gate(nn.Module):
    """x + open * branch(x); `open` is a plain number in [0, 1] that no optimiser moves.

    Shut (0), the branch is not computed and gets no gradient; open (1), the sum is the plain one, bit for bit.
    """

    def __init__(self) -> None:
        super().__init__()
        self.open = 1.0

    def forward(self, x: Tensor, branch: Callable[[], Tensor]) -> Tensor:
        """`x` with its change added, in the shape of both."""
        if self.open == 0:
            return x
        change = branch()
        return x + (change if self.open == 1 else self.open * change)

    def extra_repr(self) -> str:
        """How far it is open."""
        return f"open={self.open:g}"
