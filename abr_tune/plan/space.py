"""The searched space: paths, distributions, conditions, and their bijection with a box of coordinates."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Space:
    """The searched paths."""
