"""Text files of the Eaton-Peabody Laboratories (CFTS): a header, then one column of samples for each level.

The header names the sampling period in microseconds, the levels in dB SPL, the tone's frequency in kHz, the repetition
rate and the number of averages. Samples are microvolts from the stimulus on (checked against the published peak tables
of CAP-139-5: 1.79 ms at 80 dB is sample 179 at 10 µs). Files are named `ABR-<animal>-<run>`; runs of one animal carry
one patient id, `<folder>/<animal>`.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from core.data.check import DataMistakes, DataProblem, check
from core.data.concatenate import concatenate
from core.data.recordings import STATIC, Recordings

log = logging.getLogger(__name__)

_PERIOD: Final = re.compile(r"SAMPLE \(.{1,2}sec\):\s*([0-9.]+)")
_FREQUENCY: Final = re.compile(r"FREQ:\s*([0-9.]+)")
_RATE: Final = re.compile(r"REP RATE \(/sec\):\s*([0-9.]+)")
_AVERAGES: Final = re.compile(r"# AVERAGES:\s*([0-9]+)")
_LEVELS: Final = re.compile(r":LEVELS:([-0-9.;]+)")
_THRESHOLD: Final = re.compile(r":Threshold:\s*([-0-9.]+)")
_ANIMAL: Final = re.compile(r"[A-Za-z]+-(.+)-[^-]+")

_POINT: Final = "write numbers with a decimal point and without separators of thousands"
LARGEST: Final = 256 * 2**20
"""Bytes of a text file that are read: these hold some hundred kilobytes."""

_NOTE: Final = (
    "Levels and thresholds are dB SPL of tone pips in animals, kept where human recordings have dB nHL of clicks: the "
    "numbers do not compare with clinical ones."
)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Run:
    """One file: L levels of T samples."""

    signal_LT: NDArray[np.float32]
    level_L: NDArray[np.float32]
    period_us: float
    frequency_khz: float
    rate_per_s: float
    averages: float
    threshold_db: float

    def __str__(self) -> str:
        return f"{self.signal_LT.shape[1]} samples {self.period_us:g} µs apart"


def read_epl(files: Sequence[Path]) -> Recordings:
    """One recording per level and file; waveforms of zeros, which the acquisition sometimes saves, are left out.

    Files of slightly different length are cut to the shortest (at most a tenth is cut).

    Raises:
        DataMistakes: a file is not in this format, or the files differ in sampling rate.
    """
    runs = dict(zip(files, map(_parse, files), strict=True))
    shortest = min(files, key=lambda file: runs[file].signal_LT.shape[1])
    samples = runs[shortest].signal_LT.shape[1]
    for file, run in runs.items():
        other = files[0] if run.period_us != runs[files[0]].period_us else shortest
        if run.period_us != runs[other].period_us or samples < 0.9 * run.signal_LT.shape[1]:
            problem = DataProblem(f"{run}, but {other} has {runs[other]}", hint="import files of one kind at a time")
            raise DataMistakes(str(file), [problem])
    tables = [
        check(_table(file, run, samples), str(file), np.flatnonzero(run.signal_LT.any(axis=1)))
        for file, run in runs.items()
    ]
    return concatenate(tables, [str(file) for file in files])


def _table(file: Path, run: _Run, samples: int) -> Recordings:
    recorded_L = run.signal_LT.any(axis=1)
    signal = run.signal_LT[recorded_L, :samples]
    count = len(signal)
    missing = np.full(count, np.nan, np.float32)
    static = np.full((count, len(STATIC)), np.nan, np.float32)
    static[:, STATIC.index("intensity_db_nhl")] = run.level_L[recorded_L]
    static[:, STATIC.index("rate_per_s")] = run.rate_per_s
    animal = _ANIMAL.fullmatch(file.stem)
    notes = [_NOTE]
    if dropped := int((~recorded_L).sum()):
        notes.append(f"{file.name}: {dropped} waveforms of zeros were left out.")
    if run.signal_LT.shape[1] > samples:
        notes.append(
            f"{file.name}: cut from {run.signal_LT.shape[1]} to {samples} samples, the length of the shortest file."
        )
    return Recordings(
        signal=signal,
        sampling_rate_hz=1e6 / run.period_us,
        unit="uV",
        patient=np.full(count, f"{file.absolute().parent.name}/{animal[1] if animal else file.stem}"),
        static=static,
        class_names=(),
        hearing_class=np.full(count, -1, np.int64),
        threshold_db=np.full(count, run.threshold_db, np.float32),
        peak_exist=missing,
        peak_latency_ms=missing,
        peak_amplitude_uv=missing,
        sweeps=np.full(count, run.averages, np.float32),
        frequency_khz=np.full(count, run.frequency_khz, np.float32),
        origin="epl",
        notes=tuple(notes),
    )


def _parse(file: Path) -> _Run:
    log.debug("%s\tthe text", file)
    if file.stat().st_size > LARGEST:
        raise DataMistakes(str(file), [DataProblem(f"larger than {LARGEST // 2**20} MiB: no text file of recordings")])
    text = file.read_text(encoding="latin-1")
    header, separator, body = text.partition(":DATA")
    if not text.startswith(":RUN-") or not separator:
        problem = DataProblem(
            "not an EPL text file: it begins with :RUN- and has a line :DATA", hint="peak tables are not recordings"
        )
        raise DataMistakes(str(file), [problem])
    levels, period = _LEVELS.search(header), _PERIOD.search(header)
    absent = [name for name, found in (("LEVELS", levels), ("SAMPLE (µsec)", period)) if found is None]
    if levels is None or period is None:
        raise DataMistakes(str(file), [DataProblem(f"the header lacks {' and '.join(absent)}", line=1)])
    level_L = [_float(file, "LEVELS", level, header, levels.start()) for level in levels[1].split(";") if level]
    if not level_L:
        raise DataMistakes(
            str(file), [DataProblem("names no level", column="LEVELS", line=_line(header, levels.start()))]
        )
    period_us = _number(file, "SAMPLE (µsec)", _PERIOD, header)
    if not period_us > 0:
        told = f"the samples cannot be {period_us:g} µs apart"
        raise DataMistakes(str(file), [DataProblem(told, column="SAMPLE (µsec)", line=_line(header, period.start()))])
    return _Run(
        signal_LT=_samples(file, header, body, len(level_L)),
        level_L=np.array(level_L, np.float32),
        period_us=period_us,
        frequency_khz=_number(file, "FREQ", _FREQUENCY, header),
        rate_per_s=_number(file, "REP RATE (/sec)", _RATE, header),
        averages=_number(file, "# AVERAGES", _AVERAGES, header),
        threshold_db=_number(file, "Threshold", _THRESHOLD, header),
    )


def _number(file: Path, name: str, pattern: re.Pattern[str], header: str) -> float:
    """A number of the header; NaN where the header does not give it."""
    found = pattern.search(header)
    return _float(file, name, found[1], header, found.start()) if found else float("nan")


def _float(file: Path, name: str, text: str, header: str, at: int) -> float:
    try:
        return float(text)
    except ValueError as fault:
        raise DataMistakes(str(file), [DataProblem(str(fault), column=name, line=_line(header, at))]) from fault


def _line(header: str, at: int) -> int:
    """Line of a place in the header, which separates lines in any of three ways."""
    return len(header[:at].splitlines()) + (header[:at].endswith(("\r", "\n")) or not at)


def _samples(file: Path, header: str, body: str, levels: int) -> NDArray[np.float32]:
    """(L, T) microvolts."""
    first_line = len(header.splitlines())
    rows: list[list[float]] = []
    problems: list[DataProblem] = []
    for number, line in enumerate(body.splitlines(), start=first_line):
        cells = line.split()
        try:
            values = [float(cell) for cell in cells]
        except ValueError as fault:
            comma = any("," in cell for cell in cells)
            problems.append(DataProblem(str(fault), line=number, hint=_POINT if comma else None))
            continue
        if cells and len(cells) != levels:
            problems.append(DataProblem(f"{len(cells)} numbers, but the header names {levels} levels", line=number))
        elif cells:
            rows.append(values)
    if not rows and not problems:
        problems.append(DataProblem("there are no samples after :DATA"))
    if problems:
        rest = [DataProblem(f"{len(problems) - 5} more lines like these")] if len(problems) > 5 else []
        raise DataMistakes(str(file), problems[:5] + rest)
    with np.errstate(over="ignore"):  # a number beyond single precision becomes infinite, and is told of as that
        return np.array(rows, np.float32).T
