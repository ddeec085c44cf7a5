"""How sure the ABR model may say it is: one temperature for its classes, 90 % intervals for its numbers.

Both are fitted on the recordings that validate, after each epoch, and stored with the weights.
"""

# N recordings

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from core.data.recordings import Recordings
from core.metrics import Predictions, weights_of
from core.metrics.calibration import fitted_temperature, half_width, tempered


@dataclass(frozen=True, slots=True)
class Interval:
    """The fields of predictions and recordings that an interval is about."""

    sd: str
    plus_minus: str
    label: str


INTERVALS: Final[Mapping[str, Interval]] = {
    "threshold_db": Interval("threshold_sd_db", "threshold_plus_minus_db", "threshold_db"),
    "latency_ms": Interval("latency_sd_ms", "latency_plus_minus_ms", "peak_latency_ms"),
    "amplitude_uv": Interval("amplitude_sd_uv", "amplitude_plus_minus_uv", "peak_amplitude_uv"),
}
"""Predicted number -> its interval."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Calibration:
    """What was fitted on recordings held out from training."""

    temperature: float = 1.0
    """The class logits are divided by it."""
    intervals: Mapping[str, float] = field(default_factory=dict)
    """Name in INTERVALS -> half-width of a 90 % interval; where a spread is predicted, in units of that spread."""

    def applied(self, said: Predictions) -> Predictions:
        """The predictions with calibrated probabilities, and half-widths where these are known."""
        widths: dict[str, Any] = {
            INTERVALS[name].plus_minus: _unit(said, name) * width
            for name, width in self.intervals.items()
            if getattr(said, name) is not None
        }
        return replace(_tempered(said, self.temperature), **widths)


def calibrated(said: Predictions, recordings: Recordings, *, temperature: bool) -> Calibration:
    """Fitted on what was said of held-out `recordings`; without `temperature` the probabilities stay."""
    fitted = 1.0
    if temperature and said.class_probability is not None:
        fitted = fitted_temperature(said.class_probability, recordings.hearing_class, weights_of(recordings))
    everyone_N = np.ones(len(recordings), dtype=bool)
    return Calibration(temperature=fitted, intervals=_intervals(said, recordings, everyone_N))


def applied_to_its_own(calibration: Calibration, said: Predictions, recordings: Recordings) -> Predictions:
    """The calibration applied to the recordings it was fitted on, in a way that can be scored.

    Half-widths that were fitted on a recording cover it by construction. So those of one half of the patients come
    from the other half here; where one half carries no label, there are none. The temperature, one number for all
    classes and recordings, is the one that is stored.
    """
    _, patient_N = np.unique(recordings.patient, return_inverse=True)
    first_N = patient_N % 2 == 0
    of_first, of_second = (_intervals(said, recordings, half_N) for half_N in (first_N, ~first_N))
    widths: dict[str, Any] = {
        INTERVALS[name].plus_minus: _unit(said, name) * np.where(first_N, of_second[name], of_first[name])
        for name in of_first
        if name in of_second
    }
    return replace(_tempered(said, calibration.temperature), **widths)


def _intervals(said: Predictions, recordings: Recordings, part_N: NDArray[np.bool_]) -> dict[str, float]:
    """Name in INTERVALS -> half-width in its unit, from the part of the recordings that carries the label."""
    weight_N = weights_of(recordings)
    found = {}
    for name, interval in INTERVALS.items():
        predicted_N = getattr(said, name)
        if predicted_N is None:
            continue
        error_N = np.abs(predicted_N.astype(np.float64) - getattr(recordings, interval.label)) / _unit(said, name)
        known_N = np.isfinite(error_N) & part_N
        if known_N.any():
            found[name] = half_width(error_N[known_N], weight_N[known_N])
    return found


def _unit(said: Predictions, name: str) -> NDArray[np.float64]:
    """(N,) what a half-width is a multiple of: the predicted spread, or 1 in the target's own unit."""
    sd_N: NDArray[np.floating[Any]] | None = getattr(said, INTERVALS[name].sd)
    return np.ones(len(getattr(said, name))) if sd_N is None else sd_N.astype(np.float64)


def _tempered(said: Predictions, temperature: float) -> Predictions:
    if said.class_probability is None or temperature == 1.0:
        return said
    return replace(
        said,
        class_probability=tempered(said.class_probability, temperature),
        raw_class_probability=said.class_probability,
    )
