"""What a space file guesses about its best values, as a density over the box (pi-BO: Hvarfner et al. 2204.11051)."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Final

import numpy as np

from abr_tune.plan.space import Confidence
from abr_tune.search.samplers.box import Box
from abr_tune.search.samplers.parzen import Parzen

SPREAD: Final[Mapping[Confidence, float]] = {"low": 0.5, "medium": 0.25, "high": 0.125}
"""Standard deviation around the guess, as a share of the range (on its own scale)."""
FAVOUR: Final[Mapping[Confidence, float]] = {"low": 2.0, "medium": 4.0, "high": 6.0}
"""How many times likelier a guessed choice is than any other."""
DOUBT: Final = 0.1
"""Weight of the even density beside the guess's 1: no place is ruled out."""


def guessed(box: Box) -> Parzen | None:
    """The density the guesses describe; evenly spread along coordinates without one. None without any guess."""
    guesses = box.space.guesses
    if not guesses:
        return None
    centre = box.row({name: raw for name, (raw, _) in guesses.items()})
    widths = [
        math.nan if side.name not in guesses else _width(guesses[side.name][1], bool(choices))
        for side, choices in zip(box.sides, box.choices, strict=True)
    ]
    return Parzen(box, centre[None, :], np.array([widths]), DOUBT)


def _width(confidence: Confidence, choice: bool) -> float:
    return 1 / (FAVOUR[confidence] - 1) if choice else SPREAD[confidence]
