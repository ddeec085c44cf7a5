"""Searched settings as rows: one lever at a time, and all of them side by side."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from abr_tune.console import brief
from abr_tune.report.collapse import CollapseBin, CollapseLever, flat
from abr_tune.report.data import ReportData
from abr_tune.report.outcomes import Outcome, outcome
from abr_tune.report.plots import told
from abr_tune.report.wording import number
from abr_tune.search.events import TrialRecord

MOST_LEVERS: Final = 16
"""Levers drawn; a space with more shows those searched first."""


@dataclass(frozen=True, slots=True)
class Scale:
    """How the values of a lever are laid out: a category each, or a line, logarithmic where they span a decade."""

    name: str
    categories: tuple[str, ...]
    """Empty for numbers."""
    low: float
    high: float
    log: bool

    def place(self, value: Any) -> float:
        """Where a value lies between 0 and 1; categories at equal distances."""
        if self.categories:
            return _between(self.categories.index(text_of(value)), 0, len(self.categories) - 1)
        if self.log:
            return _between(math.log(value), math.log(self.low), math.log(self.high))
        return _between(float(value), self.low, self.high)

    @property
    def ticks(self) -> tuple[tuple[float, str], ...]:
        """Places and what stands there: every category, or both ends."""
        if self.categories:
            return tuple((self.place(category), category) for category in self.categories)
        return ((0.0, brief(self.low)), (1.0, brief(self.high))) if self.high > self.low else ((0.5, brief(self.low)),)


@dataclass(frozen=True, slots=True)
class Slice:
    """The objective against one searched value, over the share of trials that collapsed there."""

    scale: Scale
    xs: tuple[float | str, ...]
    values: tuple[float, ...]
    outcomes: tuple[Outcome, ...]
    texts: tuple[str, ...]
    collapse: CollapseLever | None
    """None where it could not be told, or where the lever does not vary."""

    @property
    def name(self) -> str:
        """The lever."""
        return self.scale.name


@dataclass(frozen=True, slots=True)
class Strand:
    """One trial across all levers."""

    trial: int
    outcome: Outcome
    places: tuple[float | None, ...]
    """One for each scale, between 0 and 1; None where the lever was off."""
    text: str


def text_of(value: Any) -> str:
    """A value as the name of a category."""
    return "off" if value is None else str(value)


def scales(records: Sequence[TrialRecord]) -> tuple[Scale, ...]:
    """The levers that took more than one value, in the order of the space file."""
    seen: dict[str, list[Any]] = {}
    for record in records:
        for name, value in settings(record).items():
            seen.setdefault(name, []).append(value)
    found = (_scale(name, values) for name, values in seen.items())
    return tuple(scale for scale in found if scale.high > scale.low or len(scale.categories) > 1)[:MOST_LEVERS]


def settings(record: TrialRecord) -> dict[str, Any]:
    """Lever -> value; a lever that is off in this trial is missing."""
    parts = (part for path, value in record.params.items() for part in flat(path, value))
    return {name: value for name, value in parts if value is not None}


def _scale(name: str, values: Sequence[Any]) -> Scale:
    if all(isinstance(value, int | float) and not isinstance(value, bool) for value in values):
        low, high = float(min(values)), float(max(values))
        return Scale(name, (), low, high, log=low > 0 and high / low > 10)
    return Scale(name, tuple(dict.fromkeys(sorted(map(text_of, values)))), 0.0, 0.0, log=False)


def _between(value: float, low: float, high: float) -> float:
    return 0.5 if high == low else (value - low) / (high - low)


def slices(data: ReportData, records: Sequence[TrialRecord]) -> tuple[Slice, ...]:
    """One for each lever; the score of a stopped trial is the one it had when it was stopped."""
    scored = [(record, value) for record in records if (value := data.value_of(record)) is not None]
    collapse = {lever.lever: lever for lever in data.collapses.levers}
    known = {record.number: settings(record) for record, _ in scored}
    found = []
    for scale in scales([record for record, _ in scored]):
        on = [(record, value) for record, value in scored if scale.name in known[record.number]]
        xs = [known[record.number][scale.name] for record, _ in on]
        found.append(
            Slice(
                scale=scale,
                xs=tuple(text_of(x) if scale.categories else float(x) for x in xs),
                values=tuple(value for _, value in on),
                outcomes=tuple(outcome(record, data.best) for record, _ in on),
                texts=tuple(f"{told(*point)}\n{scale.name} {brief(x)}" for point, x in zip(on, xs, strict=True)),
                collapse=collapse.get(scale.name),
            )
        )
    return tuple(found)


def strands(data: ReportData, records: Sequence[TrialRecord]) -> tuple[tuple[Scale, ...], tuple[Strand, ...]]:
    """All levers, the score as the last scale, and the trials that have a score across them."""
    scored = [(record, value) for record in records if (value := data.value_of(record)) is not None]
    found = scales([record for record, _ in scored])
    if len(found) < 2:
        return (), ()
    score = _scale(data.objective.metric, [value for _, value in scored])
    score = Scale(score.name, (), score.low, score.high, log=False)
    rows = []
    for record, value in scored:
        known = settings(record)
        places = [scale.place(known[scale.name]) if scale.name in known else None for scale in found]
        text = told(record, value)
        rows.append(Strand(record.number, outcome(record, data.best), (*places, score.place(value)), text))
    return (*found, score), tuple(rows)


def changed(was: Mapping[str, Any], becomes: Mapping[str, Any]) -> str:
    """`1e-3 to 2e-3`: what a lever was and what it becomes, its paths one after the other."""
    return "; ".join(f"{text_of(_brief(was.get(path)))} to {text_of(_brief(to))}" for path, to in becomes.items())


def _brief(value: Any) -> Any:
    return None if value is None else brief(value)


def collapse_said(lever: CollapseLever) -> str:
    """Where a lever's trials collapse most and least, in a sentence."""
    worst, mildest = max(lever.bins, key=_share), min(lever.bins, key=_share)
    return f"{_bin(worst)} where it is {worst.label}, {_bin(mildest)} where it is {mildest.label}"


def _share(found: CollapseBin) -> float:
    return found.share


def _bin(found: CollapseBin) -> str:
    low, high = found.interval
    return f"{found.collapsed} of {found.trials} collapsed ({number(low)} to {number(high)})"
