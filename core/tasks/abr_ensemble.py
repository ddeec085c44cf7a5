"""Several trained ABR models that predict together (Lakshminarayanan et al. 2017, 1612.01474)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from core.metrics import Predictions
from core.metrics.predictions import PREDICTED
from core.metrics.values import Floats

# N recordings

SPREADS: Final = {
    "threshold_db": "threshold_sd_db",
    "latency_ms": "latency_sd_ms",
    "amplitude_uv": "amplitude_sd_uv",
}
"""Predicted number -> its predicted standard deviation."""
UNFITTED: Final = frozenset({"threshold_plus_minus_db", "latency_plus_minus_ms", "amplitude_plus_minus_uv"})
"""Intervals were fitted to each member's errors; nobody fitted any to those of all together."""


@dataclass(frozen=True, slots=True, eq=False)
class Said:
    """What each member says, and all of them together."""

    members: tuple[Predictions, ...]

    @property
    def together(self) -> Predictions:
        """Means over the members that predict a part; a spread is that of the mixture of their distributions.

        Probabilities, thresholds, latencies, amplitudes and signals are averaged. With members' means m_i and standard
        deviations s_i, the mixture has the mean m = mean(m_i) and the variance mean(s_i^2 + m_i^2) - m^2.
        """
        if len(self.members) == 1:
            return self.members[0]
        combined = {
            name: _mean([getattr(each, name) for each in self.members]) for name in PREDICTED if name not in UNFITTED
        }
        for name, spread in SPREADS.items():
            combined[spread] = _mixed(self.members, name, spread)
        return Predictions(**combined, fold=self.members[0].fold)


def _mean(parts: Sequence[Floats | None]) -> Floats | None:
    spoken = [part for part in parts if part is not None]
    return np.asarray(np.mean(spoken, axis=0)) if spoken else None


def _mixed(members: Sequence[Predictions], name: str, spread: str) -> Floats | None:
    pairs = [(getattr(each, name), getattr(each, spread)) for each in members]
    known = [(mean_N, sd_N) for mean_N, sd_N in pairs if mean_N is not None and sd_N is not None]
    if not known or len(known) < sum(mean_N is not None for mean_N, _ in pairs):
        return None
    second_N = np.mean([sd_N**2 + mean_N**2 for mean_N, sd_N in known], axis=0)
    variance_N = second_N - np.mean([mean_N for mean_N, _ in known], axis=0) ** 2
    return np.asarray(np.sqrt(np.maximum(variance_N, 0.0)))
