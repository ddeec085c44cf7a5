"""Examples mixed two by two, whatever they are examples of."""

from __future__ import annotations

from typing import Any, Protocol, runtime_checkable


@runtime_checkable
class Mixture(Protocol):
    """A batch whose labels are those of the first of every two examples; `second` is a batch of the others.

    A loss is `share` times the one for these labels plus `1 - share` times the one for the labels of `second`.
    """

    share: float
    second: Any
