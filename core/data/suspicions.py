"""What may be wrong with recordings that are each right by themselves: counted twice, crossing a split, lacking labels.

Nothing here is certain enough to refuse a table; all of it changes what a score on the table means.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from core.data.recordings import Fold, Recordings

SHOWN: Final = 3
"""Examples in a sentence."""


def suspicions(r: Recordings) -> Iterator[str]:
    """Sentences on one table."""
    yield from _duplicates(r)
    if alike := similar_patients(r):
        shown = "; ".join(" and ".join(map(repr, names)) for names in alike[:SHOWN])
        yield f"Patients that may be one person spelt differently, who could cross a split: {shown}{_more(len(alike))}."
    if absent := [label for label in LABELS if not LABELS[label](r).any()]:
        yield f"No recording is labelled with {', '.join(absent)}: not learned, and not scored."
    if len(classes := _classes(r)) == 1:
        yield f"Every recording with a class is of {classes.pop()}: there is nothing to tell apart; scores say nothing."
    if lacking := sorted(set(r.class_names) - _classes(r)) if (r.hearing_class >= 0).any() else []:
        yield f"No recording is of class {', '.join(lacking)}: not learned, and not scored."


def fold_suspicions(fold: Fold) -> Iterator[str]:
    """Sentences on a division: what one part has and another lacks, and what is in both."""
    parts = {"trained on": fold.train, "validating": fold.val} | ({} if fold.test is None else {"testing": fold.test})
    everywhere = set[str]().union(*map(_classes, parts.values()))
    labelled = [label for label, known in LABELS.items() if any(known(part).any() for part in parts.values())]
    for use, part in parts.items():
        for what, lacking in (
            ("of class", sorted(everywhere - _classes(part))),
            ("labelled with", [label for label in labelled if not LABELS[label](part).any()]),
        ):
            if lacking:
                end = "it cannot be learned" if use == "trained on" else "its scores there are absent"
                yield f"No recording {use} is {what} {', '.join(lacking)}: {end}."
        if part is not fold.train and (shared := _shared_waveforms(fold.train, part)):
            told = f"{shared:,} recordings {use} have a waveform that is also trained on, under another patient"
            yield f"{told}: scores there are too good."


LABELS: Final[Mapping[str, Callable[[Recordings], NDArray[np.bool_]]]] = {
    "a class": lambda r: r.hearing_class >= 0,
    "a threshold": lambda r: ~np.isnan(r.threshold_db),
    "wave V": lambda r: ~np.isnan(r.peak_exist),
    "the latency of wave V": lambda r: ~np.isnan(r.peak_latency_ms),
    "the amplitude of wave V": lambda r: ~np.isnan(r.peak_amplitude_uv),
}
"""What is predicted -> which recordings are labelled with it."""


def _classes(r: Recordings) -> set[str]:
    """Names of the classes that recordings are of."""
    return {r.class_names[index] for index in np.unique(r.hearing_class[r.hearing_class >= 0])}


def similar_patients(r: Recordings) -> list[list[str]]:
    """Groups of patient ids that differ only in case, spaces, leading zeros or a `.0` at the end."""
    groups: dict[str, list[str]] = {}
    for name in np.unique(r.patient).tolist():
        plain = "".join(unicodedata.normalize("NFKC", name).casefold().split())
        groups.setdefault(re.sub(r"(?<![0-9])0+(?=[0-9])", "", plain.removesuffix(".0")), []).append(name)
    return [names for names in groups.values() if len(names) > 1]


def shared_patients(tables: Sequence[Recordings], sources: Sequence[str]) -> Iterator[str]:
    """Sentences on patients that several files of one import hold."""
    owner: dict[str, str] = {}
    crossing: dict[str, str] = {}
    for table, source in zip(tables, sources, strict=True):
        for patient in np.unique(table.patient).tolist():
            if owner.setdefault(patient, source) != source:
                crossing.setdefault(patient, source)
    if crossing:
        shown = ", ".join(f"{patient} ({owner[patient]}, {source})" for patient, source in [*crossing.items()][:SHOWN])
        yield f"Patients in more than one file are taken to be the same person: {shown}{_more(len(crossing))}."


def _duplicates(r: Recordings) -> Iterator[str]:
    first: dict[tuple[bytes, str], int] = {}
    again: list[tuple[int, int]] = []
    for row, (waveform, patient) in enumerate(zip(np.ascontiguousarray(r.signal), r.patient.tolist(), strict=True)):
        earlier = first.setdefault((waveform.tobytes(), patient), row)
        if earlier != row:
            again.append((earlier, row))
    if again:
        shown = ", ".join(f"{earlier} and {row}" for earlier, row in again[:SHOWN])
        more = _more(len(again))
        yield f"The same waveform stands twice under one patient and counts twice: recordings {shown}{more}."


def _shared_waveforms(one: Recordings, other: Recordings) -> int:
    known = {waveform.tobytes() for waveform in np.ascontiguousarray(one.signal)}
    return sum(waveform.tobytes() in known for waveform in np.ascontiguousarray(other.signal))


def _more(count: int) -> str:
    return f" and {count - SHOWN} more" if count > SHOWN else ""
