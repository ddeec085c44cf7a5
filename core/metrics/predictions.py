"""What a model says of a whole split, in the units of the labels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Final, Self

import numpy as np
from numpy.typing import NDArray

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
    raw_class_probability: Floats | None = None
    """(N, C) before a temperature; None where there is none."""
    threshold_sd_db: Floats | None = None
    """(N,) predicted standard deviation of the threshold about its prediction, as the network says it."""
    latency_sd_ms: Floats | None = None
    """(N,) of the latency."""
    amplitude_sd_uv: Floats | None = None
    """(N,) of the amplitude."""
    threshold_plus_minus_db: Floats | None = None
    """(N,) half-width of the 90 % interval about the threshold."""
    latency_plus_minus_ms: Floats | None = None
    """(N,) about the latency."""
    amplitude_plus_minus_uv: Floats | None = None
    """(N,) about the amplitude."""
    threshold_outlier_probability: Floats | None = None
    """(N,) that a threshold label would have nothing to do with the recording."""
    fold: NDArray[np.int64] | None = None
    """(N,) which of several models said it, where held-out parts were pooled: ranks of different models do not mix."""

    @classmethod
    def joined(cls, parts: Sequence[Self]) -> Self:
        """Predictions of several held-out parts, one after the other; a part that is None anywhere stays None."""
        if len(parts) == 1:
            return parts[0]
        columns = {name: [getattr(part, name) for part in parts] for name in PREDICTED}
        whole = {name: None if any(c is None for c in rows) else np.concatenate(rows) for name, rows in columns.items()}
        sizes = [
            max(0 if column is None else len(column) for column in rows) for rows in zip(*columns.values(), strict=True)
        ]
        return cls(**whole, fold=np.repeat(np.arange(len(parts)), sizes))


PREDICTED: Final = tuple(column.name for column in fields(Predictions) if column.name != "fold")
"""What can be predicted."""
