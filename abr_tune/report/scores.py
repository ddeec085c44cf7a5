"""What the best configuration takes each class for, and how far its confidence can be believed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from abr_tune.report.data import ReportData

SPLITS: Final = {"test": "test", "val": "validation"}
ROOMY: Final = 12
"""Most classes for which every cell of a confusion matrix is written out."""


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
    trained: tuple[int, ...] = ()
    """Examples of each class that the weights were trained on; empty where nobody says."""

    @property
    def dense(self) -> bool:
        """Whether there are too many classes to write a count and a share into every cell."""
        return len(self.classes) > ROOMY


@dataclass(frozen=True, slots=True, kw_only=True)
class ClassRow:
    """One class: how much of it was trained on, how much of it was found."""

    name: str
    trained: int | None
    total: int
    """Recordings it was looked for in."""
    found: int
    f1: float


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
                split,
                tuple(found["classes"]),
                tuple(ConfusionRow(truth, tuple(counts)) for truth, counts in rows),
                tuple(found.get("trained") or ()),
            )
    return None


def class_rows(table: ConfusionTable) -> tuple[ClassRow, ...]:
    """The classes that occur, those with the fewest training examples first, then those that are found the least.

    F1 = 2 found / (recordings of the class + recordings taken for it).
    """
    taken = [sum(row.counts[index] for row in table.rows) for index in range(len(table.classes))]
    rows = [
        ClassRow(
            name=row.truth,
            trained=table.trained[index] if table.trained else None,
            total=row.total,
            found=row.counts[index],
            f1=2 * row.counts[index] / (row.total + taken[index]),
        )
        for index, row in enumerate(table.rows)
        if row.total
    ]
    return tuple(sorted(rows, key=lambda row: (row.trained or 0, row.f1)))


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
