"""The table of ABR recordings: arrays with units, labels that may be missing, a fingerprint."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, fields, replace
from typing import Final, Literal, Self

import numpy as np
from numpy.typing import NDArray

STATIC: Final = ("age_years", "intensity_db_nhl", "rate_per_s", "fmp")
"""Static parameters of a recording, in the order of the columns of `Recordings.static`."""

SignalUnit = Literal["uV", "z"]
"""Microvolts, or each recording standardised by itself (the clinic's stored form, where absolute size is lost)."""


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Recordings:
    """N averaged ABR waveforms of T samples with their stimulus and labels; the stimulus is at sample 0.

    A missing number is NaN, a missing class is -1: the masks of the losses follow from these.
    """

    signal: NDArray[np.float32]
    """(N, T) in `unit`."""
    sampling_rate_hz: float
    unit: SignalUnit
    patient: NDArray[np.str_]
    """(N,) pseudonymous patient id; a patient never crosses a split."""
    static: NDArray[np.float32]
    """(N, 4): the columns of STATIC; NaN where unknown."""
    class_names: tuple[str, ...]
    """Names of the hearing-loss classes as the data spell them; empty when the data carry no classes."""
    hearing_class: NDArray[np.int64]
    """(N,) index into `class_names`, -1 where unknown."""
    threshold_db: NDArray[np.float32]
    """(N,) hearing threshold in dB nHL."""
    peak_exist: NDArray[np.float32]
    """(N,) 1 when wave V is visible, 0 when it is not, NaN where nobody looked."""
    peak_latency_ms: NDArray[np.float32]
    """(N,) latency of wave V; NaN where it is not visible or not labelled."""
    peak_amplitude_uv: NDArray[np.float32]
    """(N,) amplitude of wave V, peak to following trough, in microvolts."""
    clean: NDArray[np.float32] | None = None
    """(N, T) noise-free truth in `unit`: only simulated recordings have it."""
    weight: NDArray[np.float32] | None = None
    """(N,) weight in metrics, where a split was drawn by quota and class shares must be restored; None means 1."""

    def __len__(self) -> int:
        return len(self.signal)

    @property
    def samples(self) -> int:
        """T, the number of samples of a recording."""
        return int(self.signal.shape[1])

    @property
    def time_ms(self) -> NDArray[np.float64]:
        """(T,) time of each sample after the stimulus."""
        return np.arange(self.samples) * 1000.0 / self.sampling_rate_hz

    def take(self, index: NDArray[np.int64] | NDArray[np.bool_]) -> Self:
        """The recordings at `index`, in its order."""
        rows = {
            column.name: getattr(self, column.name)[index]
            for column in fields(self)
            if column.name not in {"sampling_rate_hz", "unit", "class_names"} and getattr(self, column.name) is not None
        }
        return replace(self, **rows)

    def fingerprint(self) -> str:
        """SHA-256 over names, units and numbers: equal exactly when the tables are."""
        digest = hashlib.sha256()
        for column in fields(self):
            value = getattr(self, column.name)
            digest.update(column.name.encode())
            if isinstance(value, np.ndarray):
                digest.update(f"{value.shape}{value.dtype.kind}".encode())
                digest.update(np.ascontiguousarray(value).tobytes())
            else:
                digest.update(repr(value).encode())
        return digest.hexdigest()


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Fold:
    """One division into training and held-out recordings; `test` is untouched until the end and may be absent."""

    train: Recordings
    val: Recordings
    test: Recordings | None = None
