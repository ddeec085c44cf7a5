"""The public IHS human set: three adults, clicks from 0 to 60 dB nHL, thresholds read by five experts.

The file `human_ihs_abr.npz` holds the recordings of subjects 3, 6 and 8 (`waveform_uV`, 20 kHz) and the thresholds that
five experts read for subjects P1 to P8. Every sub-average is kept as a recording of its own; those of 500, 1,000 and
2,000 sweeps are independent, the others are mixes of these.

Source: SHIPM-HuaLab/automatic-ABR-threshold-detection, Apache-2.0. Its parser keeps the samples from the device's zero
position on, so that `time_ms` starts at the stimulus; samples before 0 ms, if a file has any, are cut.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from core.data.archive import arrays_in
from core.data.check import BOUNDS, SHOWN, DataMistakes, DataProblem, at_rows, check
from core.data.files import readable
from core.data.recordings import STATIC, Recordings

INDEPENDENT_SWEEPS: Final = (500, 1000, 2000)
"""Sizes of the sub-averages that share no sweeps with one another."""

_ARRAYS: Final[Mapping[str, int]] = {
    "waveform_uV": 2,
    "time_ms": 1,
    "level_dB": 1,
    "subject": 1,
    "sweeps": 1,
    "expert_thresholds_all": 2,
}
"""Name of each array read and its number of dimensions."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ExpertAgreement:
    """How far two experts differ who read the threshold of the same subject, over all pairs of experts."""

    mean_difference_db: float
    within_5_db: float
    """Share of pairs."""
    within_10_db: float
    experts: int
    subjects: int

    def facts(self) -> dict[str, float]:
        """The figures under the names they have in `Recordings.facts`."""
        figures = ("mean_difference_db", "within_5_db", "within_10_db")
        return {f"experts/{name}": float(getattr(self, name)) for name in figures}

    def __str__(self) -> str:
        return (
            f"{self.experts} experts who read the thresholds of {self.subjects} subjects differ by "
            f"{self.mean_difference_db:.1f} dB on average, {self.within_5_db:.0%} of the pairs by at most 5 dB, "
            f"{self.within_10_db:.0%} by at most 10 dB"
        )


def expert_agreement(file: Path) -> ExpertAgreement:
    """How well the experts of `human_ihs_abr.npz` agree, all subjects and all pairs of experts pooled.

    Raises:
        DataMistakes: the file cannot be read.
    """
    return _agreement(_arrays(file)["expert_thresholds_all"])


def read_ihs(files: Sequence[Path]) -> Recordings:
    """The recordings with the level as intensity, the subject as patient, and two labels from the experts.

    The threshold of a subject is the median of the five experts' readings from all sweeps; a response counts as present
    (`peak_exist` 1) at that level and above. Classes, age, rate, FMP, latency and amplitude are not in the file.

    Raises:
        DataMistakes: the file cannot be read, or a subject has no expert thresholds.
    """
    (file,) = files
    arrays = _arrays(file)
    after_T = arrays["time_ms"] >= 0
    time_T = arrays["time_ms"][after_T].astype(np.float64)
    step_ms = float(time_T[-1] - time_T[0]) / (len(time_T) - 1)
    if abs(time_T[0]) > step_ms / 2:
        problem = DataProblem(
            f"the first sample is {time_T[0]:g} ms after the stimulus; it must be at the stimulus", column="time_ms"
        )
        raise DataMistakes(str(file), [problem])
    subject, level = arrays["subject"].astype(int), arrays["level_dB"].astype(np.float32)
    threshold = _median_thresholds(arrays["expert_thresholds_all"], subject, file)
    missing = np.full(len(subject), np.nan, np.float32)
    static = np.full((len(subject), len(STATIC)), np.nan, np.float32)
    static[:, STATIC.index("intensity_db_nhl")] = level
    agreement = _agreement(arrays["expert_thresholds_all"])
    recordings = Recordings(
        signal=arrays["waveform_uV"][:, after_T].astype(np.float32),
        sampling_rate_hz=round(1000 / step_ms, 1),
        unit="uV",
        patient=np.array([f"P{number}" for number in subject.tolist()]),
        static=static,
        class_names=(),
        hearing_class=np.full(len(subject), -1, np.int64),
        threshold_db=threshold,
        peak_exist=(level >= threshold).astype(np.float32),
        peak_latency_ms=missing,
        peak_amplitude_uv=missing,
        sweeps=arrays["sweeps"].astype(np.float32),
        origin="ihs human",
        notes=(*_NOTES, f"{agreement}."),
        facts=agreement.facts(),
    )
    return check(recordings, str(file))


_NOTES: Final = (
    "peak_exist says whether a response is present: 1 at and above the median of the experts' thresholds of the "
    "subject. So level and subject decide the label; a model that is shown the level need not read the waveform.",
    "Sub-averages of 500, 1,000 and 2,000 sweeps are independent, the others are mixes of them: never split training "
    "and test across sub-averages of one subject and level; leave one subject out.",
)


def _median_thresholds(readings_ES: NDArray[Any], subject_N: NDArray[Any], file: Path) -> NDArray[np.float32]:
    """(N,) dB; column s - 1 of the readings belongs to subject s."""
    if absent := sorted({int(number) for number in subject_N} - set(range(1, readings_ES.shape[1] + 1))):
        raise DataMistakes(
            str(file), [DataProblem(f"no expert thresholds for the subjects {absent}", column="subject")]
        )
    return np.asarray(np.median(readings_ES, axis=0)[subject_N - 1], dtype=np.float32)


def _agreement(readings_ES: NDArray[Any]) -> ExpertAgreement:
    readings = readings_ES.astype(np.float64)  # stored as unsigned bytes, whose differences wrap around
    pairs = combinations(range(len(readings)), 2)
    difference = np.concatenate([np.abs(readings[one] - readings[other]) for one, other in pairs])
    return ExpertAgreement(
        mean_difference_db=float(difference.mean()),
        within_5_db=float((difference <= 5).mean()),
        within_10_db=float((difference <= 10).mean()),
        experts=len(readings),
        subjects=readings.shape[1],
    )


def _arrays(file: Path) -> dict[str, NDArray[Any]]:
    arrays, _ = arrays_in(readable(file), tuple(_ARRAYS))
    if absent := [name for name in _ARRAYS if name not in arrays]:
        message = f"missing, so this is not the IHS human set, {', '.join(_ARRAYS)}"
        problem = DataProblem(message, column=" and ".join(absent), hint="it is called human_ihs_abr.npz")
        raise DataMistakes(str(file), [problem])
    for rule in (_layout_problems, _value_problems):
        if problems := list(rule(arrays)):
            raise DataMistakes(str(file), problems)
    return arrays


def _layout_problems(arrays: Mapping[str, NDArray[Any]]) -> Iterator[DataProblem]:
    for name, wanted in _ARRAYS.items():
        if arrays[name].dtype.kind not in "fiu":
            yield DataProblem(f"holds {arrays[name].dtype}, not numbers", column=name)
        if arrays[name].ndim != wanted:
            yield DataProblem(f"has {arrays[name].ndim} dimensions, not {wanted}", column=name)
    rows, samples = arrays["waveform_uV"].shape[:1], arrays["waveform_uV"].shape[-1:]
    for name, shape in (("level_dB", rows), ("subject", rows), ("sweeps", rows), ("time_ms", samples)):
        if arrays[name].shape != shape:
            yield DataProblem(f"has the wrong length: the shape {arrays[name].shape}, not {shape}", column=name)


def _value_problems(arrays: Mapping[str, NDArray[Any]]) -> Iterator[DataProblem]:
    subject_N, time_T, readings_ES = arrays["subject"], arrays["time_ms"], arrays["expert_thresholds_all"]
    yield from at_rows(~np.isfinite(subject_N) | (subject_N % 1 != 0), "subject", "{} is no subject", subject_N)
    steps = np.diff(time_T.astype(np.float64))
    if not (steps.size and np.isfinite(steps).all() and steps.min() > 0 and steps.max() < 1.5 * np.median(steps)):
        uneven = ~(np.isfinite(steps) & (steps > 0) & (steps < 1.5 * np.nanmedian(steps))) if steps.size else [True]
        yield DataProblem(f"time does not go on evenly at sample {np.flatnonzero(uneven)[0] + 1}", column="time_ms")
    elif not (time_T >= 0).sum() > 1:
        yield DataProblem("there are no samples after the stimulus", column="time_ms")
    if len(readings_ES) < 2:
        yield DataProblem(f"holds {len(readings_ES)} experts; two or more are needed", column="expert_thresholds_all")
    low, high = BOUNDS["threshold_db"]
    outside_ES = ~((readings_ES.astype(np.float64) >= low) & (readings_ES.astype(np.float64) <= high))
    for expert, subject in np.argwhere(outside_ES)[:SHOWN].tolist():
        told = (
            f"expert {expert}, subject {subject + 1}: {readings_ES[expert, subject]} dB is outside {low:g} to {high:g}"
        )
        yield DataProblem(told, column="expert_thresholds_all")
