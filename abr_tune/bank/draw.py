"""Which configurations a bank holds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from abr_tune.plan.plan import Plan


@dataclass(frozen=True, slots=True)
class Drawn:
    """The configuration of one trial of a bank."""

    number: int
    name: str | None
    params: Mapping[str, Any]


def drawn(plan: Plan, number: int) -> Drawn:
    """The start points come first; any other configuration follows from the plan's seed and its number alone."""
    if number < len(plan.start_from):
        point = plan.start_from[number]
        return Drawn(number, point.name, point.values)
    stream = np.random.default_rng([plan.seed, number])
    return Drawn(number, None, plan.space.propose(lambda side: side.at(float(stream.random()))))
