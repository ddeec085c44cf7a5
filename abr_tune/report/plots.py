"""The search over time as rows: each trial's curve, and the trials one after another."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from textwrap import wrap

from abr_tune.console import audit_of
from abr_tune.report.data import ReportData
from abr_tune.report.outcomes import Outcome, outcome
from abr_tune.report.wording import number
from abr_tune.search.events import TrialRecord


@dataclass(frozen=True, slots=True)
class Curve:
    """The objective of one trial over its epochs."""

    trial: int
    outcome: Outcome
    epochs: tuple[int, ...]
    values: tuple[float, ...]
    text: str
    """What to say of the trial when it is pointed at."""


@dataclass(frozen=True, slots=True)
class Point:
    """One trial in the history of the search."""

    trial: int
    outcome: Outcome
    value: float
    """Of a stopped trial: the objective at the epoch it reached."""
    text: str


@dataclass(frozen=True, slots=True)
class Step:
    """From this trial on, this is the best complete value."""

    trial: int
    value: float


def about(record: TrialRecord, value: float | None) -> str:
    """A few lines on a trial: its score, and why it ended."""
    lines = [told(record, value)]
    if record.why or record.error:
        lines.extend(wrap(record.why or record.error or "", 70)[:6])
    return "\n".join(lines)


def told(record: TrialRecord, value: float | None) -> str:
    """A trial in a line or two: its score, and which rule stopped it."""
    name = f" ({record.name})" if record.name else ""
    said = f"trial {record.number}{name}: {number(value)} at epoch {record.epochs}"
    if record.pruned_by:
        said += f"\nstopped by {record.pruned_by}"
    elif record.audited:
        said += f"\n{audit_of(record)}"
    return said


def curves(data: ReportData, records: Sequence[TrialRecord]) -> tuple[Curve, ...]:
    """The learning curves of the records that have a value."""
    return tuple(
        Curve(
            record.number,
            outcome(record, data.best),
            tuple(sorted(points)),
            tuple(points[epoch] for epoch in sorted(points)),
            about(record, points[max(points)]),
        )
        for record in records
        if (points := data.curves.get(record.number))
    )


def history(data: ReportData, records: Sequence[TrialRecord]) -> tuple[Point, ...]:
    """The records that have a score, in the order they were started."""
    return tuple(
        Point(record.number, outcome(record, data.best), value, about(record, value))
        for record in records
        if (value := data.value_of(record)) is not None
    )


def leading(data: ReportData) -> tuple[Step, ...]:
    """The best complete value so far where it changes, and at the last trial; who misses a constraint does not lead."""
    return tuple(_leading(data))


def _leading(data: ReportData) -> Iterator[Step]:
    sign = 1 if data.objective.direction == "maximize" else -1
    leader: float | None = None
    for record in data.trials:
        if record.state != "complete" or record.value is None or not record.feasible:
            continue
        if leader is None or sign * record.value > sign * leader:
            leader = record.value
            yield Step(record.number, leader)
    if leader is not None:
        yield Step(data.trials[-1].number, leader)
