"""What a model says of a whole split, in the units of the labels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Self

import numpy as np

from core.metrics.values import Floats


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Predictions:
    """N predictions; a part the predictor does not make is None."""

    class_probability: Floats | None = None
    """(N, C), rows sum to one."""
    threshold_db: Floats | None = None
    """(N,) in dB nHL."""
    exist_probability: Floats | None = None
    """(N,) that wave V is visible."""
    latency_ms: Floats | None = None
    """(N,) of wave V, should it be visible."""
    amplitude_uv: Floats | None = None
    """(N,) of wave V, should it be visible."""
    signal: Floats | None = None
    """(N, T) without noise, in the unit of the recordings."""

    @classmethod
    def joined(cls, parts: Sequence[Self]) -> Self:
        """Predictions of several held-out parts, one after the other; a part that is None anywhere stays None."""
        columns = {column.name: [getattr(part, column.name) for part in parts] for column in fields(cls)}
        return cls(
            **{name: None if any(c is None for c in rows) else np.concatenate(rows) for name, rows in columns.items()}
        )
