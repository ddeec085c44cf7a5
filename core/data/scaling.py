"""What the network needs to know of the numbers it reads and predicts, fitted on the training split."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from core.data.recordings import STATIC, Recordings

HEAVY_TAILED: Final = frozenset({"age_years", "fmp"})
"""Static parameters taken through sign(x) log(1 + |x|) before they are standardised: most patients are infants while
a few are old, and FMP is a ratio of variances."""

MARGIN: Final = 0.1
"""Share of the label range by which a bounded output may leave the labels of the training split on either side."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Target:
    """Where the labels of one regression target lie in the training split, in the target's own unit."""

    mean: float
    sd: float
    low: float
    """Lower bound of the prediction: smallest label less the margin."""
    high: float
    """Upper bound of the prediction: largest label plus the margin."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Scaling:
    """Means and spreads of inputs and targets; plain numbers, stored with the weights.

    A target without a label in the training split is None.
    """

    static_mean: tuple[float, ...]
    """Of each static parameter over its known values, heavy tails compressed."""
    static_sd: tuple[float, ...]
    signal: float
    """One spread for all signals in microvolts, so that their absolute size is kept; 1 for z-scored ones."""
    clean: float | None
    """Standard deviation of the noise-free truth, in the unit of the signal."""
    threshold: Target | None
    latency: Target | None
    amplitude: Target | None

    def to_json(self) -> dict[str, Any]:
        """Plain numbers, lists and mappings."""
        return asdict(self)

    @classmethod
    def from_json(cls, record: Mapping[str, Any]) -> Scaling:
        """The scaling that `to_json` wrote."""
        targets = {
            name: None if record[name] is None else Target(**record[name])
            for name in ("threshold", "latency", "amplitude")
        }
        return cls(
            static_mean=tuple(record["static_mean"]),
            static_sd=tuple(record["static_sd"]),
            signal=record["signal"],
            clean=record["clean"],
            **targets,
        )


def compress(values: NDArray[np.floating]) -> NDArray[np.float64]:
    """sign(x) log(1 + |x|): near the identity around 0, logarithmic in the tails."""
    wide = values.astype(np.float64)
    return np.asarray(np.sign(wide) * np.log1p(np.abs(wide)))


def fit_scaling(train: Recordings) -> Scaling:
    """Statistics of the training split; validation and test data never enter."""
    columns = [
        _moments(compress(column) if name in HEAVY_TAILED else column)
        for name, column in zip(STATIC, train.static.T, strict=True)
    ]
    return Scaling(
        static_mean=tuple(mean for mean, _ in columns),
        static_sd=tuple(sd for _, sd in columns),
        signal=1.0 if train.unit == "z" else _moments(train.signal)[1],
        clean=None if train.clean is None or not np.isfinite(train.clean).any() else _moments(train.clean)[1],
        threshold=_target(train.threshold_db),
        latency=_target(train.peak_latency_ms),
        amplitude=_target(train.peak_amplitude_uv),
    )


def bounded(scaling: Scaling, ranges: Mapping[str, tuple[float, float] | None]) -> Scaling:
    """The scaling with the bounds of some targets replaced: {threshold | latency | amplitude: (low, high) or None}."""
    within = {
        name: replace(target, low=ends[0], high=ends[1])
        for name, ends in ranges.items()
        if ends is not None and (target := getattr(scaling, name)) is not None
    }
    return replace(scaling, **within)


def beyond_reach(scaling: Scaling, train: Recordings) -> dict[str, float]:
    """Term -> share of its training labels outside the bounds of its target; absent where all lie inside."""
    columns = {
        "threshold": (scaling.threshold, train.threshold_db),
        "peak_latency": (scaling.latency, train.peak_latency_ms),
        "peak_amplitude": (scaling.amplitude, train.peak_amplitude_uv),
    }
    found = {}
    for term, (target, labels) in columns.items():
        if target is not None:
            known = labels[np.isfinite(labels)]
            found[term] = float(((known < target.low) | (known > target.high)).mean())
    return {term: share for term, share in found.items() if share > 0}


def _moments(values: NDArray[np.floating]) -> tuple[float, float]:
    """Mean and standard deviation over known values; (0, 1) without any, sd 1 where nothing varies."""
    known = values[np.isfinite(values)].astype(np.float64)
    if not known.size:
        return 0.0, 1.0
    sd = float(known.std())
    # A constant column has a spread of rounding errors, not of 0.
    varies = sd > 1e-6 * max(1e-6, float(np.abs(known).max()))
    return float(known.mean()), sd if varies else 1.0


def _target(labels: NDArray[np.float32]) -> Target | None:
    known = labels[np.isfinite(labels)].astype(np.float64)
    if not known.size:
        return None
    mean, sd = _moments(known)
    smallest, largest = float(known.min()), float(known.max())
    margin = MARGIN * (largest - smallest) or sd
    return Target(mean=mean, sd=sd, low=smallest - margin, high=largest + margin)
