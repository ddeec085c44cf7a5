"""The table of ABR recordings: arrays with units, labels that may be missing, a fingerprint."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any, Final, Literal, Self

import numpy as np
from numpy.typing import NDArray

STATIC: Final = ("age_years", "intensity_db_nhl", "rate_per_s", "fmp")
"""Static parameters of a recording, in the order of the columns of `Recordings.static`."""

SignalUnit = Literal["uV", "z"]
"""Microvolts, or each recording standardised by itself (the clinic's stored form, where absolute size is lost)."""


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Recordings:
    """N averaged ABR waveforms of T samples with their stimulus and labels; the stimulus is at sample 0.

    A missing number is NaN, a missing class is -1: the masks of the losses follow from these. Shapes are checked on
    construction (ValueError); whether the values make sense is what `core.data.check` says.
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
    sweeps: NDArray[np.float32] | None = None
    """(N,) responses averaged into the recording, NaN where unknown; None means unknown throughout."""
    frequency_khz: NDArray[np.float32] | None = None
    """(N,) frequency of a tone stimulus, NaN for a click; None means clicks throughout."""
    origin: str = ""
    """Where the recordings come from, in a word or two: `simulated`, `ihs human`, a file name."""
    notes: tuple[str, ...] = ()
    """Sentences a reader of any result on these data must know; the data card prints them."""
    facts: Mapping[str, float] = field(default_factory=dict)
    """Numbers that came with the data and belong beside a result, such as how well its experts agree."""

    def __post_init__(self) -> None:
        expected: dict[str, tuple[int, ...]] = dict.fromkeys(self.columns(), (len(self.signal),))
        expected["static"] = (len(self.signal), len(STATIC))
        expected["signal"] = expected["clean"] = (len(self.signal), self.signal.shape[-1] if self.signal.ndim else 0)
        for name, value in self.columns().items():
            if value.shape != expected[name]:
                raise ValueError(f"{name} has the shape {value.shape}; expected {expected[name]}")

    def __len__(self) -> int:
        return len(self.signal)

    @property
    def samples(self) -> int:
        """T, the number of samples of a recording."""
        return int(self.signal.shape[1])

    @property
    def time_ms(self) -> NDArray[np.float64]:
        """(T,) time of each sample after the stimulus."""
        return np.arange(self.samples, dtype=np.float64) * 1000.0 / self.sampling_rate_hz

    @property
    def duration_ms(self) -> float:
        """Length of the sweep after the stimulus."""
        return self.samples * 1000.0 / self.sampling_rate_hz

    def columns(self) -> dict[str, NDArray[Any]]:
        """The columns that have one row per recording, by name; optional ones only where present."""
        values = {column.name: getattr(self, column.name) for column in fields(self)}
        return {name: value for name, value in values.items() if isinstance(value, np.ndarray)}

    def take(self, index: NDArray[np.int64] | NDArray[np.bool_]) -> Self:
        """The recordings at `index`, in its order."""
        rows: dict[str, Any] = {name: value[index] for name, value in self.columns().items()}
        return replace(self, **rows)

    def fingerprint(self) -> str:
        """SHA-256 over names, units and numbers: equal exactly when the tables are.

        How long the widest patient id is and how a NaN is spelled in bits do not count; origin, notes and facts
        are words about the table and do not count either.
        """
        digest = hashlib.sha256()
        for column in fields(self):
            if column.name in {"origin", "notes", "facts"}:
                continue
            value = getattr(self, column.name)
            digest.update(column.name.encode())
            if isinstance(value, np.ndarray):
                digest.update(f"{value.shape}{value.dtype.kind}".encode())
                digest.update(_canonical_bytes(value))
            else:
                digest.update(repr(value).encode())
        return digest.hexdigest()


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Fold:
    """One division into training and held-out recordings; `test` is untouched until the end and may be absent."""

    train: Recordings
    val: Recordings
    test: Recordings | None = None


def _canonical_bytes(column: NDArray[Any]) -> bytes:
    if column.dtype.kind == "U":
        return b"".join(f"{len(text)}:{text}".encode() for text in column.tolist())
    if column.dtype.kind == "f":
        column = np.where(np.isnan(column), column.dtype.type(np.nan), column + column.dtype.type(0))
    return np.ascontiguousarray(column).tobytes()
