"""A residual branch that a phase of the training can hold shut."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor, nn


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
