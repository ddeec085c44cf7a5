"""Whether a table of recordings makes sense: every problem at once, each with its row and column."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final, get_args

import numpy as np
from numpy.typing import NDArray

from core.data.recordings import STATIC, Recordings, SignalUnit

SHOWN: Final = 5
"""Rows named for one kind of problem; the rest are counted."""


@dataclass(frozen=True, slots=True)
class DataProblem:
    """One mistake in a table or file of recordings."""

    message: str
    row: int | None = None
    """Recording, counted from 0."""
    column: str | None = None
    hint: str | None = None
    """What to do about it."""
    line: int | None = None
    """Line of a text file, counted from 1."""

    @property
    def place(self) -> str:
        """Row and column in words; empty when the problem has no place."""
        row = None if self.row is None or self.line is not None else f"recording {self.row}"
        return ", ".join(part for part in (row, self.column) if part)

    def __str__(self) -> str:
        place = f"{self.place}: " if self.place else ""
        line = f"line {self.line}: " if self.line is not None else ""
        return f"{line}{place}{self.message}" + (f"; {self.hint}" if self.hint else "")


class DataMistakes(ValueError):
    """Everything that is wrong with a table or a file of recordings."""

    def __init__(self, source: str, problems: Sequence[DataProblem]) -> None:
        super().__init__(source, tuple(problems))

    @property
    def source(self) -> str:
        """The file, or what else the table is called."""
        return str(self.args[0])

    @property
    def problems(self) -> tuple[DataProblem, ...]:
        """The mistakes in the order they were found."""
        problems: tuple[DataProblem, ...] = self.args[1]
        return problems

    def __str__(self) -> str:
        return "\n".join(f"{self.source}: {problem}" for problem in self.problems)


def check(
    recordings: Recordings, source: str = "recordings", rows: Sequence[int] | NDArray[np.int64] | None = None
) -> Recordings:
    """The recordings themselves, if they make sense.

    `rows` are the places of the recordings in the file where some of it were left out.

    Raises:
        DataMistakes: everything `find_problems` found.
    """
    if problems := find_problems(recordings):
        if rows is not None:
            problems = tuple(p if p.row is None else replace(p, row=int(rows[p.row])) for p in problems)
        raise DataMistakes(source, problems)
    return recordings


def find_problems(recordings: Recordings) -> tuple[DataProblem, ...]:
    """Everything about the values of a table that cannot be right."""
    problems = list(_table_problems(recordings))
    if len(recordings) and recordings.samples:
        with np.errstate(invalid="ignore", over="ignore"):  # infinities are told of, their differences are not
            for rule in (_signal_problems, _static_problems, _label_problems, _peak_problems):
                problems += rule(recordings)
    return tuple(problems)


def at_rows(
    bad_N: NDArray[np.bool_],
    column: str,
    message: str,
    values_N: NDArray[np.generic] | None = None,
    hint: str | None = None,
) -> Iterator[DataProblem]:
    """One problem for each of the first bad rows, and one that counts the rest; `{}` in the message is the value.

    The remedy stands at the first of them.
    """
    rows = np.flatnonzero(bad_N)
    for row in rows[:SHOWN].tolist():
        value = "" if values_N is None else f"{values_N[row]:.6g}"
        yield DataProblem(message.format(value), row=row, column=column, hint=hint if row == rows[0] else None)
    if len(rows) > SHOWN:
        yield DataProblem(f"the same in {len(rows) - SHOWN} more recordings", column=column)


def _table_problems(r: Recordings) -> Iterator[DataProblem]:
    if not len(r):
        yield DataProblem("there are no recordings")
    if not r.samples:
        yield DataProblem("recordings have no samples", column="signal")
    if r.samples > MOST_SAMPLES:
        yield DataProblem(f"{r.samples:,} samples are no averaged response", column="signal")
    if not (np.isfinite(r.sampling_rate_hz) and 1_000 <= r.sampling_rate_hz <= 1_000_000):
        hint = "give it in Hz" if 0 < r.sampling_rate_hz < 1_000 else None
        yield DataProblem(
            f"a sampling rate of {r.sampling_rate_hz:g} Hz is outside 1,000 to 1,000,000",
            column="sampling_rate_hz",
            hint=hint,
        )
    if r.unit not in get_args(SignalUnit):
        yield DataProblem(f"the unit {r.unit!r} is not one of {', '.join(get_args(SignalUnit))}", column="unit")
    yield from _class_name_problems(r)
    for name, value in r.facts.items():
        if not np.isfinite(value):
            yield DataProblem(f"{name} is {value}", column="facts")


def _class_name_problems(r: Recordings) -> Iterator[DataProblem]:
    if len(set(r.class_names)) != len(r.class_names):
        yield DataProblem("a class is named twice", column="class_names")
    if len(r.class_names) > MOST_CLASSES:
        hint = "is something else in the place of the class?"
        yield DataProblem(f"{len(r.class_names):,} classes are no classes", column="class_names", hint=hint)
    if odd := [name for name in r.class_names if not is_name(name)]:
        yield DataProblem(f"{odd[0][:40]!a} is no name of a class", column="class_names")


MOST_CLASSES: Final = 1_000
MOST_SAMPLES: Final = 1_000_000
LONGEST_NAME: Final = 200
"""Letters of the name of a class or patient."""


def is_name(text: str) -> bool:
    """Whether a class or patient can be called so: something to see in one line, no letters that steer a terminal."""
    return text.isprintable() and bool(text.strip()) and len(text) <= LONGEST_NAME


TYPICAL_RANGE_UV: Final = (2e-3, 200.0)
"""Median peak-to-peak size of averaged responses that can be microvolts.

Human ABR are 0.1-1 µV, mouse ABR 0.2-8 µV, compound action potentials up to 150 µV (measured on EPL files); the same
numbers in volts or millivolts fall below, in nanovolts above."""
LARGEST_UV: Final = 1_000.0
"""No averaged response is larger; single artefacts are."""
LARGEST_Z: Final = 100.0
"""No sample of n lies further than sqrt(n - 1) standard deviations from their mean; sweeps have hundreds of samples."""
_UNIT_COLUMN: Final = "a CSV file may say so in its column `unit` (V, mV, uV, nV), others give microvolts"


def _signal_problems(r: Recordings) -> Iterator[DataProblem]:
    for name, values_NT in (("signal", r.signal), ("clean", r.clean)):
        if values_NT is None:
            continue
        bad_NT = ~np.isfinite(values_NT)
        for row in np.flatnonzero(bad_NT.any(axis=1))[:SHOWN].tolist():
            samples = np.flatnonzero(bad_NT[row])
            yield DataProblem(f"sample {samples[0]} is {values_NT[row, samples[0]]}", row=row, column=name)
        if (count := int(bad_NT.any(axis=1).sum())) > SHOWN:
            yield DataProblem(f"the same in {count - SHOWN} more recordings", column=name)
    finite_N = np.isfinite(r.signal).all(axis=1)
    span_N = np.where(finite_N, r.signal.max(axis=1) - r.signal.min(axis=1), np.nan)
    yield from at_rows(span_N == 0, "signal", "every sample is the same: nothing was recorded")
    usable = span_N[span_N > 0]
    if usable.size:
        yield from _unit_problems(r, span_N, float(np.median(usable)))


def _unit_problems(r: Recordings, span_N: NDArray[np.floating], typical: float) -> Iterator[DataProblem]:
    low, high = TYPICAL_RANGE_UV
    if r.unit == "uV" and typical < low:
        yield DataProblem(
            f"recordings are typically {typical:.2g} µV from peak to peak",
            column="signal",
            hint=f"are they in volts or millivolts? {_UNIT_COLUMN}",
        )
    elif r.unit == "uV" and typical > high:
        yield DataProblem(
            f"recordings are typically {typical:.3g} µV from peak to peak",
            column="signal",
            hint=f"are they in nanovolts? {_UNIT_COLUMN}",
        )
    elif r.unit == "uV":
        yield from at_rows(span_N > LARGEST_UV, "signal", "{} µV from peak to peak is no averaged response", span_N)
    elif not 0.5 <= typical <= 50:
        yield DataProblem(
            f"recordings with unit z have a standard deviation near 1, these typically span {typical:.2g}",
            column="signal",
            hint="are they in microvolts?",
        )
    else:
        far_N = np.abs(r.signal).max(axis=1)
        yield from at_rows(far_N > LARGEST_Z, "signal", "{} standard deviations from the mean", far_N)


LONGEST_SWEEP_MS: Final = 467 / 15
"""Readers may have seen more than is stored: the clinic's device records 467 samples at 15 kHz, of which 200 are kept,
and its latest wave V is marked at 18.47 ms. A latency given in samples or microseconds lies beyond."""

BOUNDS: Final = {
    "age_years": (-1.0, 120.0),  # born early, corrected age is negative
    "intensity_db_nhl": (-20.0, 140.0),  # also dB SPL of animal recordings
    "rate_per_s": (0.1, 1_000.0),
    "fmp": (0.0, 1e6),  # a ratio of variances
    "threshold_db": (-20.0, 140.0),
    "peak_amplitude_uv": (-LARGEST_UV, LARGEST_UV),
    "sweeps": (1.0, 1e6),
    "frequency_khz": (0.01, 200.0),
    "weight": (1e-6, 1e6),
}
"""What a column may hold, both ends included; NaN is a missing value."""
REMEDIES: Final = {
    "age_years": "give it in years",
    "intensity_db_nhl": "give it in dB",
    "rate_per_s": "give stimuli per second, and nothing where it is unknown",
    "threshold_db": "give it in dB, and nothing where none was found",
    "peak_latency_ms": "give it in milliseconds",
    "peak_amplitude_uv": "give it in microvolts",
    "weight": "leave out what shall not count",
    "sweeps": "count the responses averaged, and give nothing where it is unknown",
    "frequency_khz": "give it in kHz, and nothing for a click",
}
"""What to do about a value outside of these."""
EARLIEST_TYPICAL_MS: Final = 0.1
"""No wave is as early: half of the latencies below this are in seconds (7 ms are 0.007 s)."""


def _static_problems(r: Recordings) -> Iterator[DataProblem]:
    for index, name in enumerate(STATIC):
        yield from _outside(r.static[:, index], name)


def _label_problems(r: Recordings) -> Iterator[DataProblem]:
    bad_N = (r.hearing_class < -1) | (r.hearing_class >= len(r.class_names))
    yield from at_rows(
        bad_N, "hearing_class", f"class {{}} is not one of the {len(r.class_names)} classes", r.hearing_class
    )
    yield from at_rows(r.patient == "", "patient", "the patient is missing")
    odd = [name for name in np.unique(r.patient).tolist() if name and not is_name(name)]
    if odd:
        yield from at_rows(np.isin(r.patient, odd), "patient", f"{odd[0][:40]!a} is no name of a patient")
    for name in ("threshold_db", "peak_amplitude_uv", "sweeps", "frequency_khz", "weight"):
        if (values_N := getattr(r, name)) is not None:
            yield from _outside(values_N, name)
    if r.weight is not None:
        yield from at_rows(np.isnan(r.weight), "weight", "a weight is missing")


def _peak_problems(r: Recordings) -> Iterator[DataProblem]:
    exist, latency = r.peak_exist, r.peak_latency_ms
    yield from at_rows(~(np.isnan(exist) | np.isin(exist, (0, 1))), "peak_exist", "{} is neither 0 nor 1", exist)
    end_ms = max(LONGEST_SWEEP_MS, r.duration_ms if r.sampling_rate_hz > 0 else 0.0)
    outside_N = ~np.isnan(latency) & ~((latency > 0) & (latency < end_ms))
    message = f"{{}} ms is outside the sweep, which ends {end_ms:.4g} ms after the stimulus"
    yield from at_rows(outside_N, "peak_latency_ms", message, latency, REMEDIES["peak_latency_ms"])
    known = latency[np.isfinite(latency)]
    if known.size and 0 < (typical := float(np.median(known))) < EARLIEST_TYPICAL_MS:
        told = f"latencies are typically {typical:.2g} ms"
        yield DataProblem(told, column="peak_latency_ms", hint="are they in seconds? give them in milliseconds")
    for name in ("peak_latency_ms", "peak_amplitude_uv"):
        labelled_N = ~np.isnan(getattr(r, name)) & (exist != 1)
        yield from at_rows(labelled_N, name, "labelled although peak_exist does not say 1")
    sizes = np.abs(r.peak_amplitude_uv[np.isfinite(r.peak_amplitude_uv)])
    if sizes.size and not 1e-3 <= (typical := float(np.median(sizes))) <= TYPICAL_RANGE_UV[1] and typical > 0:
        other = "volts or millivolts" if typical < 1 else "nanovolts"
        hint = f"are they in {other}? give them in microvolts"
        yield DataProblem(f"amplitudes are typically {typical:.2g} µV", column="peak_amplitude_uv", hint=hint)


def _outside(values_N: NDArray[np.floating], name: str) -> Iterator[DataProblem]:
    low, high = BOUNDS[name]
    bad_N = ~np.isnan(values_N) & ~(np.isfinite(values_N) & (values_N >= low) & (values_N <= high))
    yield from at_rows(bad_N, name, f"{{}} is outside {low:g} to {high:g}", values_N, REMEDIES.get(name))
