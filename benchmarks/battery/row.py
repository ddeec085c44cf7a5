"""What one fault did, as a line of the battery's table."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One kind of fault, everything it was tried on, and what came of it."""

    fault: str
    times: int
    """How often it was really put to it."""
    promised: str
    happened: str
    """Numbers, also where all is well: `0 zombies, 0 lost of 312 acknowledged`."""
    holds: bool

    @property
    def kept(self) -> bool:
        """Whether the promise was kept; what was never tried proves nothing."""
        return self.holds and self.times > 0


Part = Callable[[Path], Iterator[Row]]
"""Puts faults to what it starts in the given empty folder, which is removed afterwards, and tells of each kind."""
