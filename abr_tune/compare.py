"""Two results side by side: settings that differ, metrics that differ, and whether by more than chance."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from statistics import stdev
from typing import Any, Literal

from abr_tune.repeats import Interval, difference_interval, paired_interval
from abr_tune.sides import Side
from core.metrics.score import perfect_value

Told = Literal["beyond the spread", "within the spread", "one run each", "one side only"]
"""Whether a difference is more than runs of the same configuration differ by."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MetricRow:
    """One metric on both sides."""

    metric: str
    a: float | None
    b: float | None
    delta: float | None
    """b less a."""
    relative_percent: float | None
    """The delta in percent of the size of a; None where a is 0."""
    baseline_a: float | None
    baseline_b: float | None
    runs_a: int
    """Fresh seeds, or folds, behind the value; 1: a single training."""
    runs_b: int
    sd_a: float | None
    sd_b: float | None
    interval: Interval | None
    """95 % interval of the delta; None unless both sides have several runs."""
    told: Told
    better: Literal["a", "b"] | None
    """The better side by its value; None where they are equal or nobody says which way is better."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """Everything `compare --json` prints."""

    a: str
    b: str
    settings: Mapping[str, tuple[Any, Any]]
    """Path -> both values, of the settings that differ; None on a side that has no such setting."""
    metrics: tuple[MetricRow, ...]
    confusion: Mapping[str, Mapping[str, Any]]
    """Split -> both confusion matrices, None on a side without one."""
    notes: tuple[str, ...]
    """What to mind when reading the numbers."""

    def to_json(self) -> dict[str, Any]:
        """One document of plain numbers and words."""
        settings = {path: {"a": one, "b": other} for path, (one, other) in self.settings.items()}
        return asdict(self) | {"settings": settings, "metrics": [asdict(row) for row in self.metrics]}


def compare(a: Side, b: Side) -> Comparison:
    """Hold `b` against `a`; metrics that only one of them has are listed with the other side empty."""
    rows = tuple(_row(metric, a, b) for metric in sorted(a.metrics | b.metrics))
    splits = [split for split in ("val", "test") if split in a.confusion or split in b.confusion]
    return Comparison(
        a=a.name,
        b=b.name,
        settings=_differing(a.settings, b.settings),
        metrics=rows,
        confusion={split: {"a": a.confusion.get(split), "b": b.confusion.get(split)} for split in splits},
        notes=tuple(_notes(a, b, rows)),
    )


def _differing(a: Mapping[str, Any], b: Mapping[str, Any]) -> dict[str, tuple[Any, Any]]:
    """Settings that differ, in the sections both sides have: the folder of a single training names no health rules."""
    sections = {path.partition(".")[0] for path in a} & {path.partition(".")[0] for path in b}
    sections.add("start")  # where nothing is said of it, a training began with random weights
    return {
        path: (a.get(path), b.get(path))
        for path in sorted(a.keys() | b.keys())
        if path.partition(".")[0] in sections and a.get(path) != b.get(path)
    }


def _row(metric: str, a: Side, b: Side) -> MetricRow:
    first, second = a.values(metric), b.values(metric)
    one, other = a.value(metric), b.value(metric)
    delta = None if one is None or other is None else other - one
    interval = _interval(first, second, folds=a.folds if _paired(a, b) else 0)
    return MetricRow(
        metric=metric,
        a=one,
        b=other,
        delta=delta,
        relative_percent=100 * delta / abs(one) if delta is not None and one else None,
        baseline_a=a.baselines.get(metric),
        baseline_b=b.baselines.get(metric),
        runs_a=len(first),
        runs_b=len(second),
        sd_a=stdev(first) if len(first) > 1 else None,
        sd_b=stdev(second) if len(second) > 1 else None,
        interval=interval,
        told=_told(delta, interval),
        better=_better(metric, delta, a, b),
    )


def _paired(a: Side, b: Side) -> bool:
    """Whether runs match one to one: the same folds of the same data. Equal seeds of different settings do not."""
    alike = (a.folds, len(a.runs), a.fingerprint) == (b.folds, len(b.runs), b.fingerprint)
    return a.folds > 1 and a.fingerprint is not None and alike


def _interval(first: list[float], second: list[float], *, folds: int) -> Interval | None:
    if folds and len(first) == len(second):
        return paired_interval(first, second, folds=folds)
    return difference_interval(first, second)


def _told(delta: float | None, interval: Interval | None) -> Told:
    if delta is None:
        return "one side only"
    if interval is None:
        return "one run each"
    low, high = interval
    return "beyond the spread" if low > 0 or high < 0 else "within the spread"


def _better(metric: str, delta: float | None, a: Side, b: Side) -> Literal["a", "b"] | None:
    if not delta:
        return None
    direction = b.directions.get(metric) or a.directions.get(metric)
    perfect = perfect_value(metric)
    if direction is None and perfect is None:
        return None
    upwards = direction == "maximize" if direction else perfect == 1
    return "b" if (delta > 0) == upwards else "a"


def _notes(a: Side, b: Side, rows: tuple[MetricRow, ...]) -> Iterator[str]:
    if a.fingerprint != b.fingerprint and a.fingerprint and b.fingerprint:
        yield "the data differ: what differs in the metrics may come from them"
    for one, other in ((a, b), (b, a)):
        if one.runs and not other.runs:
            yield (
                f"{one.name} has {len(one.runs)} fresh runs, {other.name} a single training: if a search chose it by "
                "that very score, it is flattered"
            )
    if not a.runs and not b.runs:
        yield "a single training on each side: nobody can say whether the differences are more than chance"
    judged = [row for row in rows if row.interval is not None]
    if judged:
        how = "paired by fold" if _paired(a, b) else "Welch's t between independent runs"
        yield (
            f"spread: 95 % interval of the difference, {how}; of {len(judged)} metrics about {len(judged) / 20:.1f} "
            "would lie beyond it by chance alone"
        )
    for side in (a, b):
        if not side.confusion:
            yield f"{side.name} has no confusion matrix: its task predicts no class, or nothing scored its weights"
