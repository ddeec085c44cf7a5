"""The rows of the report's tables: pure functions of the run's data."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any, Final

from abr_tune.console import audit_of, brief, parameters
from abr_tune.repeats import Score
from abr_tune.report.data import ReportData, tested
from abr_tune.report.outcomes import OUTCOMES, Outcome, outcome
from abr_tune.report.wording import fresh_runs, number
from abr_tune.search.events import TrialRecord
from core.tasks.task import Objective

COUNTS: Final = re.compile(r"/(count|share)/")
"""Metrics that describe the recordings or the predictions and score nothing."""
CREDENTIALS: Final = re.compile(r"://[^/@]*@")
"""User and password in the URL of a storage: the report is meant to be passed on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StandingRow:
    """Something that scores on the objective, beside the best configuration."""

    kind: str
    """best, baseline or start point."""
    name: str
    value: float | None
    skill: float | None = None
    note: str = ""


@dataclass(frozen=True, slots=True)
class ReferenceRow:
    """Another predictor beside the best configuration, on the same recordings."""

    name: str
    metric: str
    value: float
    ours: float | None
    interval: tuple[float, float] | None
    """95 % interval of ours minus this one's."""
    verdict: str
    """Whether ours is better, as far as the interval tells."""


@dataclass(frozen=True, slots=True)
class MetricRow:
    """One validation metric of the best configuration beside the trivial predictor's."""

    metric: str
    value: float
    baseline: float
    skill: float | None
    test: float | None


@dataclass(frozen=True, slots=True)
class StopRow:
    """One reason for which trials ended early."""

    rule: str
    outcome: Outcome
    trials: int
    epochs: int
    """Epochs these trials were trained in all."""
    saved: int | None
    """Epochs they were not trained any more; None for a run whose summary does not say."""
    typical: float
    """Median of the epochs at which they ended."""
    example: int
    why: str


@dataclass(frozen=True, slots=True)
class TrialRow:
    """One trial in the list of all."""

    number: int
    name: str
    outcome: Outcome
    ended: str
    value: float | None
    epochs: int
    seconds: float
    why: str
    params: str


@dataclass(frozen=True, slots=True, kw_only=True)
class FinalistRow:
    """A leader of the search and its fresh runs."""

    place: int
    trial: int
    searched: float
    mean: float | None
    sd: float | None
    interval: tuple[float, float] | None
    """95 % interval of the mean; None with fewer than two runs."""
    optimism: float | None
    """By how much the search's run was better than the fresh ones; negative where it was worse."""


def finalist_rows(data: ReportData) -> tuple[FinalistRow, ...]:
    """The finalists, best first by their fresh runs; none without confirmation."""
    return tuple(
        _finalist_row(place, one, data.objective)
        for place, one in enumerate(data.summary.get("finalists") or (), 1)
        if one.get("values")
    )


def _finalist_row(place: int, one: Mapping[str, Any], objective: Objective) -> FinalistRow:
    score = Score(
        searched=one["searched"],
        values=tuple(one["values"]),
        direction=objective.direction,
        folds=one.get("folds", 0),
    )
    return FinalistRow(
        place=place,
        trial=one["trial"],
        searched=score.searched,
        mean=score.mean,
        sd=score.sd,
        interval=score.interval,
        optimism=score.optimism,
    )


def standing_rows(data: ReportData) -> tuple[StandingRow, ...]:
    """The best configuration beside the trivial predictor and the start points, on the objective."""
    return (*_best_rows(data), *_start_rows(data))


def _best_rows(data: ReportData) -> Iterator[StandingRow]:
    best, metric = data.best, data.objective.metric
    if best is not None:
        skill = (best.metrics or {}).get(f"{metric}:skill")
        name = f"trial {best.number}" + (f" ({best.name})" if best.name else "")
        yield StandingRow(kind="best", name=name, value=best.value, skill=skill, note="in the search, one seed")
        confirmed = data.confirmed
        if confirmed:
            note = f"mean of {fresh_runs(confirmed)}"
            note += f", sd {number(confirmed['sd'])}" if confirmed.get("sd") is not None else ""
            skill = data.expected.get(f"{metric}:skill")
            yield StandingRow(kind="best", name=f"{name}, confirmed", value=confirmed["mean"], skill=skill, note=note)
        test = tested(metric)
        if test in data.test:
            skill, note = data.test.get(f"{test}:skill"), "test data, scored once"
            yield StandingRow(kind="best", name=f"{name}, test", value=data.test[test], skill=skill, note=note)
    baseline = data.baselines.get(metric)
    if baseline is not None:
        yield StandingRow(kind="baseline", name="trivial predictor", value=baseline, skill=0.0)


def reference_rows(data: ReportData) -> tuple[ReferenceRow, ...]:
    """Reference models and rules beside the best configuration."""
    return tuple(
        ReferenceRow(
            one["name"],
            one["metric"],
            one["value"],
            one["ours"],
            None if one["interval"] is None else (one["interval"][0], one["interval"][1]),
            _verdict(data, one),
        )
        for one in data.summary.get("references") or ()
    )


def _verdict(data: ReportData, reference: Mapping[str, Any]) -> str:
    if reference["interval"] is None:
        return ""
    low, high = reference["interval"]
    if low <= 0 <= high:
        return "no clear difference"
    if reference["metric"].split("/", 1)[1:] != data.objective.metric.split("/", 1)[1:]:
        return "ours is higher" if low > 0 else "ours is lower"
    return "ours is better" if (low > 0) == (data.objective.direction == "maximize") else "ours is worse"


def _start_rows(data: ReportData) -> Iterator[StandingRow]:
    for record in data.trials:
        if record.name is None:
            continue
        value = data.value_of(record)
        skill = (record.metrics or {}).get(f"{data.objective.metric}:skill")
        ended = "ran to its end" if record.state == "complete" else _ended(record)
        note = f"trial {record.number}, {ended}"
        yield StandingRow(kind="start point", name=record.name, value=value, skill=skill, note=note)


def _ended(record: TrialRecord) -> str:
    if record.state == "pruned":
        return f"stopped by {record.pruned_by} at epoch {record.epochs}"
    return f"{record.state} at epoch {record.epochs}"


def metric_rows(data: ReportData) -> tuple[MetricRow, ...]:
    """Validation scores of the best configuration that have a trivial baseline."""
    metrics = data.expected
    return tuple(
        MetricRow(
            name,
            value,
            data.baselines[name],
            metrics.get(f"{name}:skill"),
            data.test.get(tested(name)),
        )
        for name, value in metrics.items()
        if name.startswith("val/") and name in data.baselines and not COUNTS.search(name)
    )


def stop_rows(data: ReportData) -> tuple[StopRow, ...]:
    """Why trials ended early, the most frequent reason first."""
    groups: dict[str, list[TrialRecord]] = {}
    saved = data.summary.get("saved_by") or {}
    for record in data.trials:
        if record.state == "pruned":
            groups.setdefault(record.pruned_by or "unknown", []).append(record)
        elif record.state == "failed":
            groups.setdefault("failed", []).append(record)
    rows = (
        StopRow(
            rule,
            outcome(records[0], None),
            len(records),
            sum(record.epochs for record in records),
            saved.get(rule),
            median(record.epochs for record in records),
            records[0].number,
            records[0].why or records[0].error or "no reason was recorded",
        )
        for rule, records in groups.items()
    )
    return tuple(sorted(rows, key=lambda row: -row.trials))


def trial_rows(data: ReportData, records: Sequence[TrialRecord]) -> tuple[TrialRow, ...]:
    """Trials: what each tried, how far it got, why it ended."""
    best = data.best
    return tuple(
        TrialRow(
            record.number,
            record.name or "",
            outcome(record, best),
            record.pruned_by or OUTCOMES[outcome(record, best)],
            data.value_of(record),
            record.epochs,
            record.seconds,
            _why(record),
            parameters(record.params),
        )
        for record in records
    )


def _why(record: TrialRecord) -> str:
    said = [record.why or record.error or "", audit_of(record)]
    missed = [f"{name} by {number(by)}" for name, by in record.violations.items() if by > 0]
    if missed and record.state == "complete":
        said.append(f"misses {', '.join(missed)}")
    return "; ".join(filter(None, said))


def environment_rows(environment: Mapping[str, Any]) -> tuple[tuple[str, str], ...]:
    """`environment.json` as dotted names and values."""
    return tuple(_flat("", environment))


def _flat(prefix: str, content: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for key, value in content.items():
        name = f"{prefix}.{key}" if prefix else str(key)
        if isinstance(value, Mapping):
            yield from _flat(name, value)
        elif value is not None:
            yield name, CREDENTIALS.sub("://…@", brief(value))


def settings(data: ReportData) -> tuple[tuple[str, str], ...]:
    """The searched values of the best configuration."""
    best = data.best
    return () if best is None else tuple((path, brief(value)) for path, value in best.params.items())
