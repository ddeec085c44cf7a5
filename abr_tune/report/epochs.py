"""What happened inside a training, epoch by epoch: the best trial beside one that collapsed."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from abr_tune.report.data import ReportData
from abr_tune.search.events import TrialRecord
from core.report import EpochReport

SHARE: Final = "/share/"
"""Between the task and the class in the name of the share of recordings that were given a class."""
NORM: Final = "grad_norm"
NAMED: Final = 8
"""Most classes whose shares are shown one by one; of more the largest, and the others together."""


@dataclass(frozen=True, slots=True)
class Trace:
    """One quantity of a trial over its epochs."""

    name: str
    epochs: tuple[int, ...]
    values: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Traced:
    """Quantities of one trial that belong in one figure."""

    trial: int
    title: str
    traces: tuple[Trace, ...]


def class_shares(data: ReportData) -> tuple[Traced, ...]:
    """Share of the validation recordings given each class; empty for a task that does not report it."""
    found = _traced(data, lambda report: _after(SHARE, report.metrics))
    return tuple(replace(each, traces=_largest(each.traces)) for each in found)


def _largest(traces: Sequence[Trace]) -> tuple[Trace, ...]:
    """The traces as they are, or the largest of many in their order and the sum of the others."""
    if len(traces) <= NAMED:
        return tuple(traces)
    by_size = sorted(traces, key=lambda trace: -sum(trace.values))
    kept = {trace.name for trace in by_size[: NAMED - 1]}
    rest: dict[int, float] = {}
    for trace in by_size[NAMED - 1 :]:
        for epoch, value in zip(trace.epochs, trace.values, strict=True):
            rest[epoch] = rest.get(epoch, 0.0) + value
    epochs = sorted(rest)
    others = Trace(f"{len(traces) - len(kept)} other classes", tuple(epochs), tuple(rest[epoch] for epoch in epochs))
    return (*(trace for trace in traces if trace.name in kept), others)


def gradient_norms(data: ReportData) -> tuple[Traced, ...]:
    """Median gradient norm of an epoch's steps, as a whole and for each head that reports its own."""
    return tuple(_traced(data, lambda report: _norms(report.health)))


def _traced(data: ReportData, read: Callable[[EpochReport], Mapping[str, float]]) -> Iterator[Traced]:
    for record, word in ((data.best, "the best"), (data.collapsed, "collapsed")):
        reports = data.watched.get(record.number, ()) if record is not None else ()
        traces = tuple(_traces(reports, read))
        if record is not None and traces:
            yield Traced(record.number, _title(record, word), traces)


def _title(record: TrialRecord, word: str) -> str:
    stopped = f", stopped by {record.pruned_by}" if record.pruned_by else ""
    name = f" ({record.name})" if record.name else ""
    return f"trial {record.number}{name}: {word}{stopped}"


def _traces(reports: Sequence[EpochReport], read: Callable[[EpochReport], Mapping[str, float]]) -> Iterator[Trace]:
    found = [(report.epoch, read(report)) for report in reports]
    for name in dict.fromkeys(name for _, values in found for name in values):
        points = [(epoch, values[name]) for epoch, values in found if name in values]
        yield Trace(name, tuple(epoch for epoch, _ in points), tuple(value for _, value in points))


def _after(part: str, metrics: Mapping[str, float]) -> dict[str, float]:
    return {
        name.partition(part)[2]: value for name, value in metrics.items() if part in name and name.startswith("val/")
    }


def _norms(health: Mapping[str, float]) -> dict[str, float]:
    """A norm of zero has no place on a logarithmic axis: that head had no gradient."""
    return {
        "all" if name == NORM else name.removeprefix(f"{NORM}/"): value
        for name, value in health.items()
        if (name == NORM or name.startswith(f"{NORM}/")) and value > 0
    }
