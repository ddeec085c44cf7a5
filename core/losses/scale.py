"""Losses in units of their own beginning, so that terms of different kinds can be weighted against one another."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any


class FirstAverage:
    """Each term's average loss over the first epoch it is trained in; the average so far while that epoch lasts."""

    def __init__(self) -> None:
        self.sums: dict[str, list[float]] = {}
        self.kept: dict[str, float] = {}
        self.seen: dict[str, float] = {}

    def unknown(self, terms: Iterable[str]) -> list[str]:
        """Terms whose loss has never been seen: before their first step it must be looked at."""
        return [term for term in terms if term not in self.kept and term not in self.sums and term not in self.seen]

    def look(self, losses: Mapping[str, float]) -> None:
        """Losses before the first step, which stand in for the average until that step is over; finite ones."""
        self.seen |= {term: loss for term, loss in losses.items() if math.isfinite(loss)}

    def divisor(self, term: str) -> float:
        """What the loss of a term is divided by; 1 while nothing is known, or for a loss of 0."""
        if term in self.kept:
            return self.kept[term] or 1.0
        if term in self.sums:
            total, count = self.sums[term]
            return total / count or 1.0
        return self.seen.get(term, 1.0) or 1.0

    def learn(self, losses: Mapping[str, float]) -> None:
        """Count a step that was taken."""
        for term, loss in losses.items():
            if term not in self.kept:
                total, count = self.sums.get(term, (0.0, 0))
                self.sums[term] = [total + loss, count + 1]

    def epoch_ended(self) -> None:
        """Keep the averages of the terms that were trained."""
        self.kept |= {term: total / count for term, (total, count) in self.sums.items()}
        self.sums, self.seen = {}, {}

    def state(self) -> dict[str, Any]:
        """The averages kept; asked for between epochs."""
        return dict(self.kept)

    def restore(self, state: Mapping[str, Any]) -> None:
        """The averages kept."""
        self.kept = dict(state)
