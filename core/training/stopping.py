"""When a run whose combined metric stands still ends early: pure arithmetic, no torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Self

from core.schedules import StoppingOptions


@dataclass(frozen=True, slots=True)
class Standstill:
    """The best combined score so far, and for how many epochs there has been none above it."""

    best: float | None = None
    epochs: int = 0

    def after(self, metrics: Mapping[str, float], options: StoppingOptions) -> Self:
        """What becomes of it with the metrics of another epoch; one without a score changes nothing."""
        score = options.score(metrics)
        if score is None:
            return self
        if self.best is None or score > self.best + options.rise:
            return replace(self, best=score, epochs=0)
        return replace(self, epochs=self.epochs + 1)

    def verdict(self, options: StoppingOptions) -> str:
        """Why the run ends now; empty while it goes on."""
        if self.best is None or self.epochs < options.patience:
            return ""
        named = " + ".join(f"{weight:g} {name}" for name, weight in options.metrics.items())
        return f"{named} has not risen above {self.best:.4g} for {self.epochs} epochs"

    def to_json(self) -> dict[str, Any]:
        """Ready for JSON; `Standstill(**record)` is it again."""
        return {"best": self.best, "epochs": self.epochs}
