"""What in a data set gives its labels away, or makes a score mean less than it seems: sentences with numbers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Final

import numpy as np
from numpy.typing import NDArray

from core.data.recordings import STATIC, Recordings
from core.data.suspicions import suspicions

TELLING: Final = 0.5
"""Share of a threshold's variance that the class explains, from which a score needs the class mean beside it."""
NOTICEABLE: Final = 0.05
"""Share of the intensity's variance that the class explains from which the test protocol tells of the class."""


def warnings_of(parts: Mapping[str, Recordings]) -> tuple[str, ...]:
    """Sentences on the first part (training, or all), and on patients and waveforms that several parts share."""
    recordings = next(iter(parts.values()))
    return (*_of_table(recordings), *_across(parts))


def _of_table(r: Recordings) -> Iterator[str]:
    intensity, fmp = r.static[:, STATIC.index("intensity_db_nhl")], r.static[:, STATIC.index("fmp")]
    if r.clean is not None:
        yield "Simulated recordings: no result on them is a result on patients."
    if not np.isnan(fmp).all():
        yield (
            "FMP is computed from the response by the device: as an input it tells whether a response is there. "
            "Leave it out of model.inputs to see what the waveform gives."
        )
    explained = explained_by_class(r.hearing_class, r.threshold_db)
    if explained is not None and explained >= TELLING:
        yield (
            f"The class alone explains {explained:.0%} of the variance of the threshold label: a threshold score means "
            "little without the mean of the class beside it."
        )
    explained = explained_by_class(r.hearing_class, intensity)
    if explained is not None and explained >= NOTICEABLE:
        yield (
            f"The class explains {explained:.0%} of the variance of the intensity: through the test protocol the level "
            "tells of the class without any waveform."
        )
    if level_decides(r):
        yield (
            "Within every patient the level alone decides peak_exist: shown the level, a model need not read the "
            "waveform."
        )
    late = int((r.peak_latency_ms >= r.duration_ms).sum())
    if late:
        yield (
            f"{late:,} waves V are labelled after the last sample, at {r.duration_ms:.1f} ms: nobody can read those "
            "from the recording."
        )
    if (several := patients_with_several_classes(r)) and r.class_names:
        yield f"{several:,} patients carry recordings of more than one class."
    yield from suspicions(r)


def _across(parts: Mapping[str, Recordings]) -> Iterator[str]:
    weighted = [part for part, r in parts.items() if r.weight is not None]
    if weighted:
        yield (
            f"Drawn by quota of patients per class: {', '.join(weighted)}; weights restore the class shares in the "
            "metrics."
        )
    if shared := same_waveform_in_several_patients(parts):
        yield f"{shared:,} waveforms occur in more than one patient: they may cross a split by patient."
    owners: dict[str, str] = {}
    crossing = {p for part, r in parts.items() for p in set(r.patient.tolist()) if owners.setdefault(p, part) != part}
    if crossing:
        yield f"{len(crossing):,} patients occur in more than one part."


def explained_by_class(class_N: NDArray[np.int64], values_N: NDArray[np.float32]) -> float | None:
    """Share of the variance of `values_N` between classes (eta squared); None where classes or values do not vary."""
    known_N = (class_N >= 0) & ~np.isnan(values_N)
    classes, values = class_N[known_N], values_N[known_N].astype(np.float64)
    if len(np.unique(classes)) < 2 or np.ptp(values) == 0:
        return None
    means = np.bincount(classes, values) / np.maximum(np.bincount(classes), 1)
    return float(means[classes].var() / values.var())


def level_decides(r: Recordings) -> bool:
    """Whether in every patient all recordings with a visible response are louder than all without one."""
    level_N = r.static[:, STATIC.index("intensity_db_nhl")]
    known_N = ~np.isnan(level_N) & ~np.isnan(r.peak_exist)
    seen_N = r.peak_exist == 1
    patients, owner_N = np.unique(r.patient, return_inverse=True)
    divided = 0
    for patient in range(len(patients)):
        of_N = known_N & (owner_N == patient)
        seen, unseen = level_N[of_N & seen_N], level_N[of_N & ~seen_N]
        if seen.size and unseen.size:
            divided += 1
            if seen.min() <= unseen.max():
                return False
    return divided > 1


def patients_with_several_classes(r: Recordings) -> int:
    """How many patients have recordings of different known classes."""
    known_N = r.hearing_class >= 0
    pairs = set(zip(r.patient[known_N].tolist(), r.hearing_class[known_N].tolist(), strict=True))
    return sum(classes > 1 for classes in Counter(patient for patient, _ in pairs).values())


def same_waveform_in_several_patients(parts: Mapping[str, Recordings]) -> int:
    """How many different waveforms are found, sample by sample equal, under more than one patient id."""
    owner: dict[bytes, str] = {}
    shared: set[bytes] = set()
    for r in parts.values():
        for waveform, patient in zip(np.ascontiguousarray(r.signal), r.patient.tolist(), strict=True):
            key = waveform.tobytes()
            if owner.setdefault(key, patient) != patient:
                shared.add(key)
    return len(shared)
