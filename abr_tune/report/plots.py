"""What the report's figures show, as plain rows; drawing them is in `figures`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

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
    best_so_far: float | None
    """The best value among the complete trials up to this one."""
    text: str


@dataclass(frozen=True, slots=True)
class Panel:
    """The objective against one searched value."""

    name: str
    log: bool
    xs: tuple[float | str, ...]
    values: tuple[float, ...]
    outcomes: tuple[Outcome, ...]
    texts: tuple[str, ...]


def about(record: TrialRecord, value: float | None) -> str:
    """A few lines on a trial."""
    name = f" ({record.name})" if record.name else ""
    lines = [f"trial {record.number}{name}: {number(value)} at epoch {record.epochs}"]
    if record.pruned_by:
        lines.append(f"stopped by {record.pruned_by}")
    if record.why or record.error:
        lines.extend(_wrapped(record.why or record.error or ""))
    return "\n".join(lines)


def _wrapped(text: str, width: int = 70) -> list[str]:
    from textwrap import wrap

    return wrap(text, width)[:6]


def curves(data: ReportData) -> tuple[Curve, ...]:
    """The learning curves of all trials that have a value, by number."""
    best = data.best
    return tuple(
        Curve(
            record.number,
            outcome(record, best),
            tuple(epoch for epoch, _ in points),
            tuple(value for _, value in points),
            about(record, points[-1][1]),
        )
        for record in data.trials
        if (points := _points(data, record))
    )


def _points(data: ReportData, record: TrialRecord) -> list[tuple[int, float]]:
    metric = data.objective.metric
    return [
        (report.epoch, report.metrics[metric])
        for report in data.curves.get(record.number, ())
        if metric in report.metrics
    ]


def history(data: ReportData) -> tuple[Point, ...]:
    """Trials in the order they were started, with the best complete value so far."""
    return tuple(_history(data))


def _history(data: ReportData) -> Iterator[Point]:
    better = max if data.objective.direction == "maximize" else min
    best, leader = data.best, None
    for record in data.trials:
        value = data.value_of(record)
        if record.state == "complete" and record.value is not None:
            leader = record.value if leader is None else better(leader, record.value)
        if value is not None:
            yield Point(record.number, outcome(record, best), value, leader, about(record, value))


def panels(data: ReportData, limit: int = 12) -> tuple[Panel, ...]:
    """The last objective against each searched value, at most `limit` of them; wide ranges get a log axis."""
    rows = [(_flat(data, point.trial), point) for point in history(data)]
    names = list(dict.fromkeys(name for params, _ in rows for name in params))
    return tuple(_panel(name, [(params[name], point) for params, point in rows if name in params]) for name in names)[
        :limit
    ]


def _flat(data: ReportData, trial: int) -> dict[str, Any]:
    record = next(record for record in data.trials if record.number == trial)
    return {name: value for path, item in record.params.items() for name, value in _parts(path, item)}


def _parts(path: str, value: object) -> Iterator[tuple[str, object]]:
    if isinstance(value, Mapping):
        for key, item in value.items():
            yield from _parts(f"{path}.{key}", item)
    elif isinstance(value, list | tuple):
        for index, item in enumerate(value):
            yield from _parts(f"{path}[{index}]", item)
    else:
        yield path, value


def _panel(name: str, rows: Sequence[tuple[Any, Point]]) -> Panel:
    numbers = [value for value, _ in rows if isinstance(value, int | float) and not isinstance(value, bool)]
    numeric = len(numbers) == len(rows)
    return Panel(
        name=name,
        log=numeric and min(numbers) > 0 and max(numbers) / min(numbers) > 10,
        xs=tuple(float(value) if numeric else str(value) for value, _ in rows),
        values=tuple(point.value for _, point in rows),
        outcomes=tuple(point.outcome for _, point in rows),
        texts=tuple(point.text for _, point in rows),
    )
