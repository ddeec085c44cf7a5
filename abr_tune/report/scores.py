"""What the best configuration takes each class for, and how far its confidence can be believed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from abr_tune.report.data import ReportData

SPLITS: Final = {"test": "test", "val": "validation"}


@dataclass(frozen=True, slots=True)
class ConfusionRow:
    """The recordings of one true class."""

    truth: str
    counts: tuple[int, ...]
    """By predicted class."""

    @property
    def total(self) -> int:
        """Recordings of this class."""
        return sum(self.counts)

    @property
    def shares(self) -> tuple[float, ...]:
        """By predicted class; zeros for a class without recordings."""
        return tuple(count / self.total if self.total else 0.0 for count in self.counts)


@dataclass(frozen=True, slots=True)
class ConfusionTable:
    """All true classes against all predicted ones."""

    split: str
    classes: tuple[str, ...]
    rows: tuple[ConfusionRow, ...]


@dataclass(frozen=True, slots=True)
class ReliabilityRow:
    """Predictions of about the same confidence."""

    low: float
    high: float
    confidence: float
    accuracy: float
    count: int


@dataclass(frozen=True, slots=True)
class ReliabilityTable:
    """Confidence against accuracy."""

    split: str
    rows: tuple[ReliabilityRow, ...]
    ece: float
    """Expected calibration error: mean of |accuracy - confidence| over the rows, weighted by their counts."""


def confusion(data: ReportData) -> ConfusionTable | None:
    """The confusion matrix of the best weights; None for a task that predicts no class or saves none."""
    for split, scores in _by_split(data.scores):
        found = scores.get("confusion")
        if found:
            rows = zip(found["classes"], found["counts"], strict=True)
            return ConfusionTable(
                split, tuple(found["classes"]), tuple(ConfusionRow(truth, tuple(counts)) for truth, counts in rows)
            )
    return None


def reliability(data: ReportData) -> ReliabilityTable | None:
    """The calibration of the best weights; None where nothing is known of it."""
    for split, scores in _by_split(data.scores):
        found = scores.get("calibration")
        if found:
            rows = tuple(ReliabilityRow(**row) for row in found)
            total = sum(row.count for row in rows)
            ece = sum(row.count * abs(row.accuracy - row.confidence) for row in rows) / total
            return ReliabilityTable(split, rows, ece)
    return None


def _by_split(scores: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Scores by split, the test recordings first: nothing was chosen by them."""
    yield from ((words, scores[split]) for split, words in SPLITS.items() if split in scores)
