"""The data card: what a table of recordings holds, what gives its labels away, and what trivial predictors reach on it.

A card is rows first; `plain_text` is one way to print them. Sections that only some data have (the simulator's
comparison with the clinic) are made elsewhere and handed over as `extra`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from core.data.card_baselines import Baseline, baselines
from core.data.leakage import warnings_of
from core.data.recordings import STATIC, Fold, Recordings
from core.data.splits import by_patient, leave_one_patient_out

Cell = str | int | float | None

FEW_PATIENTS: Final = 10
"""Below this, baselines leave each patient out in turn instead of drawing a validation split."""
SPLIT: Final[Mapping[str, Any]] = {"val_share": 0.2, "test_share": 0.2, "seed": 7}
"""The split baselines are scored on; the defaults of the data options."""
UNITS: Final[Mapping[str, str]] = {
    "age_years": "years",
    "intensity_db_nhl": "dB nHL",
    "rate_per_s": "/s",
    "fmp": "",
    "threshold_db": "dB nHL",
    "peak_latency_ms": "ms",
    "peak_amplitude_uv": "µV",
    "sweeps": "",
    "frequency_khz": "kHz",
}


@dataclass(frozen=True, slots=True)
class Section:
    """One table of the card: every row has a cell for every column."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    remark: str = ""
    """A sentence under the table."""

    def __post_init__(self) -> None:
        for row in self.rows:
            if len(row) != len(self.columns):
                raise ValueError(f"{self.title}: a row of {len(row)} cells under {len(self.columns)} columns")


@dataclass(frozen=True, slots=True)
class Card:
    """A data card."""

    title: str
    fingerprints: Mapping[str, str]
    """Part of the data -> fingerprint of its recordings."""
    sections: tuple[Section, ...]

    def to_json(self) -> dict[str, Any]:
        """The card as plain data; each row becomes a mapping from column to cell."""
        return {
            "title": self.title,
            "fingerprint": dict(self.fingerprints),
            "sections": [
                {
                    "title": section.title,
                    "rows": [dict(zip(section.columns, row, strict=True)) for row in section.rows],
                    **({"remark": section.remark} if section.remark else {}),
                }
                for section in self.sections
            ],
        }


def describe(recordings: Recordings, *, title: str, extra: Sequence[Section] = ()) -> Card:
    """The card of one table; its baselines are fitted and scored on a split by patient, which the card names."""
    patients = len(np.unique(recordings.patient))
    if patients < 2:
        folds, how = [], "one patient only: nothing can be held out"
    elif patients < FEW_PATIENTS:
        folds, how = list(leave_one_patient_out(recordings)), "every patient held out once, scores pooled"
    else:
        folds = [by_patient(recordings, **SPLIT)]
        how = f"fitted on {patient_count(folds[0].train)} patients, scored on {patient_count(folds[0].val)} others"
    return _card({"all": recordings}, folds, how, title, extra)


def describe_fold(fold: Fold, *, title: str, extra: Sequence[Section] = ()) -> Card:
    """The card of recordings that come divided."""
    parts = {"train": fold.train, "val": fold.val} | ({} if fold.test is None else {"test": fold.test})
    return _card(parts, [fold], "fitted on train, scored on val", title, extra)


def plain_text(card: Card) -> str:
    """The card as aligned lines without escape codes."""
    return "\n".join(_lines(card)) + "\n"


def shown(cell: Cell) -> str:
    """A cell in a few characters."""
    if cell is None or isinstance(cell, str):
        return cell or "-"
    return f"{round(cell):,}" if cell == round(cell) and abs(cell) < 1e9 else f"{cell:.4g}"


def patient_count(recordings: Recordings) -> int:
    """How many patients were recorded."""
    return len(np.unique(recordings.patient))


def _card(
    parts: Mapping[str, Recordings], folds: Sequence[Fold], how: str, title: str, extra: Sequence[Section]
) -> Card:
    first = next(iter(parts.values()))
    sections = [_contents(parts), _waveforms(parts), _labels(parts), _values(parts)]
    sections += [_classes(parts)] if first.class_names else []
    sections += [_baselines(baselines(folds), how)]
    sections += [Section("Came with the data", ("figure", "value"), tuple(first.facts.items()))] if first.facts else []
    notes = dict.fromkeys((*first.notes, *warnings_of(parts)))
    sections += [*extra, Section("Mind", ("note",), tuple((note,) for note in notes))]
    return Card(title, {part: table.fingerprint() for part, table in parts.items()}, tuple(sections))


def _contents(parts: Mapping[str, Recordings]) -> Section:
    rows = []
    for part, r in parts.items():
        each = np.unique(r.patient, return_counts=True)[1]
        rows.append((part, len(r), len(each), float(np.median(each)), int(each.min()), int(each.max())))
    return Section("Recordings", ("part", "recordings", "patients", "per patient", "least", "most"), tuple(rows))


def _waveforms(parts: Mapping[str, Recordings]) -> Section:
    rows = tuple((part, r.unit, r.samples, r.sampling_rate_hz, r.duration_ms) for part, r in parts.items())
    return Section("Waveforms", ("part", "unit", "samples", "Hz", "ms"), rows)


LABELS: Final[Mapping[str, Callable[[Recordings], NDArray[np.bool_]]]] = {
    "class": lambda r: r.hearing_class >= 0,
    "threshold": lambda r: ~np.isnan(r.threshold_db),
    "wave V looked for": lambda r: ~np.isnan(r.peak_exist),
    "wave V visible": lambda r: r.peak_exist == 1,
    "wave V latency": lambda r: ~np.isnan(r.peak_latency_ms),
    "wave V amplitude": lambda r: ~np.isnan(r.peak_amplitude_uv),
    "noise-free truth": lambda r: np.full(len(r), r.clean is not None),
}
"""Label -> which recordings have it."""


def _labels(parts: Mapping[str, Recordings]) -> Section:
    rows = tuple(
        (label, part, int(known(r).sum()), float(known(r).mean()))
        for label, known in LABELS.items()
        for part, r in parts.items()
    )
    return Section("Labels", ("label", "part", "recordings", "share"), rows)


def _values(parts: Mapping[str, Recordings]) -> Section:
    part, r = next(iter(parts.items()))
    columns: dict[str, NDArray[Any]] = dict(zip(STATIC, r.static.T, strict=True))
    columns |= {name: value for name, value in r.columns().items() if name in UNITS}
    rows = [_summary(name, UNITS[name], values[~np.isnan(values)]) for name, values in columns.items()]
    rows.append(_summary("signal, peak to peak", "sd" if r.unit == "z" else "µV", np.ptp(r.signal, axis=1)))
    names = ("quantity", "unit", "known", "mean", "sd", "least", "median", "most")
    return Section("Values" if len(parts) == 1 else f"Values ({part})", names, tuple(rows))


def _summary(name: str, unit: str, known: NDArray[Any]) -> tuple[Cell, ...]:
    if not known.size:
        return (name, unit, 0, None, None, None, None, None)
    figures = (known.mean(dtype=np.float64), known.std(dtype=np.float64), known.min(), np.median(known), known.max())
    return (name, unit, len(known), *(float(figure) for figure in figures))


def _classes(parts: Mapping[str, Recordings]) -> Section:
    rows: list[tuple[Cell, ...]] = []
    ratios = []
    for part, r in parts.items():
        known_N = r.hearing_class >= 0
        weight_N = np.ones(len(r)) if r.weight is None else r.weight
        counts = np.bincount(r.hearing_class[known_N], minlength=len(r.class_names))
        weights = np.bincount(r.hearing_class[known_N], weight_N[known_N], minlength=len(r.class_names))
        for index, name in enumerate(r.class_names):
            patients = len(np.unique(r.patient[r.hearing_class == index]))
            share, weighted = (float(of[index] / max(of.sum(), 1e-12)) for of in (counts, weights))
            rows.append((name, part, int(counts[index]), patients, share, weighted))
        if (present := counts[counts > 0]).size:
            ratios.append(f"{part} {present.max() / present.min():.4g}")
    names = ("class", "part", "recordings", "patients", "share", "weighted share")
    return Section(
        "Classes", names, tuple(rows), f"Recordings of the largest class for each of the smallest: {', '.join(ratios)}."
    )


def _baselines(found: Sequence[Baseline], how: str) -> Section:
    rows = tuple((baseline.predictor, baseline.metric, baseline.value) for baseline in found)
    return Section("Trivial predictors", ("predictor", "metric", "value"), rows, f"{how[:1].upper()}{how[1:]}.")


def _lines(card: Card) -> Iterator[str]:
    yield card.title
    for part, fingerprint in card.fingerprints.items():
        yield f"fingerprint of {part}: {fingerprint}"
    for section in card.sections:
        if not section.rows:
            continue
        yield ""
        yield section.title
        table = [section.columns, *(tuple(shown(cell) for cell in row) for row in section.rows)]
        widths = [max(len(row[index]) for row in table) for index in range(len(section.columns))]
        for row in table[1:] if len(section.columns) == 1 else table:
            yield ("  " + "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True))).rstrip()
        if section.remark:
            yield f"  {section.remark}"
