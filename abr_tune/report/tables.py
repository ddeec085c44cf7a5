"""The rows of the report's tables and its sentences: pure functions of the run's data."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any, Final

from abr_tune.console import brief, clock, parameters
from abr_tune.report.data import ReportData
from abr_tune.report.outcomes import OUTCOMES, Outcome, outcome
from abr_tune.search.events import TrialRecord

CREDENTIALS: Final = re.compile(r"://[^/@]*@")
"""User and password in the URL of a storage: the report is meant to be passed on."""


def number(value: float | None) -> str:
    """A score for people: three decimals, more for small ones, a dash for none."""
    if value is None:
        return "–"
    return f"{value:.3f}" if value == 0 or abs(value) >= 0.01 else f"{value:.2g}"


def counted(count: int, noun: str) -> str:
    """`1 seed`, `3 seeds`."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def percent(share: float) -> str:
    """`0.612` -> `61 %`."""
    return f"{share * 100:.0f} %"


@dataclass(frozen=True, slots=True)
class Tile:
    """One number to be seen first."""

    label: str
    value: str
    note: str = ""


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


def data_line(data: ReportData) -> str:
    """Where the recordings come from; simulated ones are called so."""
    if data.data is None:
        return "The task brings its own data."
    if data.simulated:
        counts = ", ".join(
            f"{data.data[split]} {word}"
            for split, word in (("train", "to train"), ("val", "to validate"), ("test", "to test"))
            if split in data.data
        )
        return f"Simulated recordings ({counts}, seed {data.data.get('seed', '?')}). No real recording was used."
    return f"Recordings from {data.data.get('source')}."


def headline(data: ReportData) -> Iterator[str]:
    """The overview in sentences: what was found, how sure it is, what was stopped, what to do next."""
    yield from _about_best(data)
    yield from _about_stops(data)
    yield from _about_gate(data)


def _about_best(data: ReportData) -> Iterator[str]:
    best, metric = data.best, data.objective.metric
    if best is None or best.value is None:
        yield "No trial has run to its end, so there is no best configuration yet."
        return
    name = f" ({best.name})" if best.name else ""
    baseline = _baseline(data, metric)
    sentence = f"Trial {best.number}{name} is best: {metric} {number(best.value)} on the validation recordings"
    if baseline is not None:
        sentence += f", where the trivial predictor scores {number(baseline)}"
    skill = (best.metrics or {}).get(f"{metric}:skill")
    if skill is not None and skill > 0:
        sentence += f": {percent(skill)} of the way from it to a perfect score"
    yield sentence + "."
    if skill is not None and skill <= 0:
        yield "That is no better than the trivial predictor: nothing useful was found."
    confirmed = (data.summary.get("best") or {}).get("confirmed")
    if confirmed:
        spread = f" ± {number(confirmed['sd'])} (sd)" if confirmed.get("sd") is not None else ""
        seeds = counted(confirmed["seeds"], "fresh seed")
        yield (
            f"Trained again with {seeds} it reaches {number(confirmed['mean'])}{spread}; "
            f"this, and not the searched value, is what to expect."
        )
    elif data.summary.get("state") == "finished":
        yield "It was not trained again with fresh seeds: expect a little less than the searched value."
    test = (data.summary.get("test") or {}).get(metric.replace("val/", "test/", 1))
    if test is not None:
        yield f"On test recordings that nothing was chosen by it scores {number(test)}."
    for row in reference_rows(data):
        if row.ours is not None and row.verdict:
            difference = f"{number(row.ours)} against {number(row.value)} on {row.metric}"
            yield f"Beside the {row.name.removeprefix('the ')}: {difference}, {row.verdict}."


def _about_stops(data: ReportData) -> Iterator[str]:
    if not data.trials:
        yield "No trial has started."
        return
    rows = stop_rows(data)
    stopped = sum(row.trials for row in rows if row.outcome != "failed")
    if stopped:
        reasons = ", ".join(f"{row.trials} by {row.rule}" for row in rows if row.outcome != "failed")
        were = "was" if stopped == 1 else "were"
        sentence = f"{stopped} of {counted(len(data.trials), 'trial')} {were} stopped early: {reasons}."
        epochs = data.summary.get("epochs") or {}
        spent, unpruned = epochs.get("spent", 0), epochs.get("unpruned", 0)
        if unpruned > spent:
            sentence += f" {spent} epochs were trained of {unpruned}: {percent(1 - spent / unpruned)} saved."
        yield sentence
    else:
        yield f"Of {counted(len(data.trials), 'trial')} none was stopped early."
    failed = sum(record.state == "failed" for record in data.trials)
    if failed:
        yield f"{failed} failed; the reasons are in the list of trials."
    unfinished = sum(record.state in {"running", "waiting"} for record in data.trials)
    if unfinished:
        are = "is" if unfinished == 1 else "are"
        yield f"{unfinished} {are} not finished: the same `abr-tune run` command continues."


def _about_gate(data: ReportData) -> Iterator[str]:
    gate = data.summary.get("gate")
    if not gate:
        return
    missed = [row["metric"] for row in gate["criteria"] if row["result"] != "go"]
    tail = f"; missed: {', '.join(missed)}" if missed else ": every criterion is met"
    yield f"The gate says {gate['verdict']}{tail}."


def next_steps(data: ReportData, folder: str) -> Iterator[tuple[str, str]]:
    """Commands that go on from here, each with what it does."""
    quoted = shlex.quote(folder)
    if data.summary.get("state") != "finished" and (data.simulated or data.data is None):
        # Paths in a space file are relative to its place: a copy of one that names a file of recordings may not work.
        parent = shlex.quote(str(Path(folder).parent))
        yield f"abr-tune run {quoted}/space.yaml --out {parent} --name {shlex.quote(data.name)}", "continue this run"
    if data.summary.get("best"):
        yield f"abr-tune train {quoted}/best.yaml", "train the best configuration again"
        yield f"abr-tune train {quoted}/best.yaml --seeds 3", "the same with fresh seeds"
    yield f"abr-tune dashboard {quoted}", "look into every trial"


def tiles(data: ReportData) -> Iterator[Tile]:
    """The numbers to be seen first."""
    best, summary = data.best, data.summary
    confirmed = (summary.get("best") or {}).get("confirmed")
    if confirmed:
        spread = f"± {number(confirmed['sd'])} on " if confirmed.get("sd") is not None else ""
        yield Tile(
            data.objective.metric, number(confirmed["mean"]), f"{spread}{counted(confirmed['seeds'], 'fresh seed')}"
        )
    elif best is not None:
        yield Tile(data.objective.metric, number(best.value), "one seed")
    baseline = _baseline(data, data.objective.metric)
    if baseline is not None:
        yield Tile("trivial predictor", number(baseline), "the same metric")
    skill = expected_metrics(data).get(f"{data.objective.metric}:skill")
    if skill is not None:
        yield Tile("skill", number(skill), "0 trivial, 1 perfect")
    yield Tile("trials", str(len(data.trials)), _states(data))
    epochs = summary.get("epochs") or {}
    if epochs.get("unpruned", 0) > epochs.get("spent", 0):
        saved = percent(1 - epochs["spent"] / epochs["unpruned"])
        yield Tile("epochs saved", saved, f"{epochs['spent']} of {epochs['unpruned']} trained")
    seconds = summary.get("seconds") or {}
    if "total" in seconds:
        yield Tile("time", clock(seconds["total"]), f"{clock(seconds.get('training', 0))} of training")


def _states(data: ReportData) -> str:
    counts: dict[str, int] = {}
    for record in data.trials:
        counts[record.state] = counts.get(record.state, 0) + 1
    return ", ".join(f"{count} {state}" for state, count in counts.items())


def _baseline(data: ReportData, metric: str) -> float | None:
    value = (data.summary.get("baselines") or {}).get(metric)
    return None if value is None else float(value)


def standing_rows(data: ReportData) -> tuple[StandingRow, ...]:
    """The best configuration beside the trivial predictor and the start points, on the objective."""
    return (*_best_rows(data), *_start_rows(data))


def _best_rows(data: ReportData) -> Iterator[StandingRow]:
    best, metric = data.best, data.objective.metric
    if best is not None:
        skill = (best.metrics or {}).get(f"{metric}:skill")
        name = f"trial {best.number}" + (f" ({best.name})" if best.name else "")
        yield StandingRow(kind="best", name=name, value=best.value, skill=skill, note="in the search, one seed")
        confirmed = (data.summary.get("best") or {}).get("confirmed")
        if confirmed:
            note = f"mean of {counted(confirmed['seeds'], 'fresh seed')}"
            note += f", sd {number(confirmed['sd'])}" if confirmed.get("sd") is not None else ""
            skill = expected_metrics(data).get(f"{metric}:skill")
            yield StandingRow(kind="best", name=f"{name}, confirmed", value=confirmed["mean"], skill=skill, note=note)
        test, tested = data.summary.get("test") or {}, metric.replace("val/", "test/", 1)
        if tested in test:
            skill, note = test.get(f"{tested}:skill"), "test recordings, scored once"
            yield StandingRow(kind="best", name=f"{name}, test", value=test[tested], skill=skill, note=note)
    baseline = _baseline(data, metric)
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
        value = record.value if record.value is not None else _last(data, record)
        skill = (record.metrics or {}).get(f"{data.objective.metric}:skill")
        ended = "ran to its end" if record.state == "complete" else _ended(record)
        note = f"trial {record.number}, {ended}"
        yield StandingRow(kind="start point", name=record.name, value=value, skill=skill, note=note)


def _ended(record: TrialRecord) -> str:
    if record.state == "pruned":
        return f"stopped by {record.pruned_by} at epoch {record.epochs}"
    return f"{record.state} at epoch {record.epochs}"


def _last(data: ReportData, record: TrialRecord) -> float | None:
    """The objective of the last epoch that had one; it is not a trial's value unless the trial is complete."""
    values = [report.metrics.get(data.objective.metric) for report in data.curves.get(record.number, ())]
    return next((value for value in reversed(values) if value is not None), None)


def expected_metrics(data: ReportData) -> Mapping[str, float]:
    """Scores of the best configuration: means of its fresh runs where there are any, else of the search's run."""
    best = data.best
    if best is None:
        return {}
    finalists = data.summary.get("finalists") or ()
    confirmed = next((one["metrics"] for one in finalists if one["trial"] == best.number and one["values"]), None)
    return confirmed or best.metrics or {}


def metric_rows(data: ReportData) -> tuple[MetricRow, ...]:
    """Validation scores of the best configuration that have a trivial baseline."""
    metrics, test = expected_metrics(data), data.summary.get("test") or {}
    baselines = data.summary.get("baselines") or {}
    return tuple(
        MetricRow(
            name,
            value,
            baselines[name],
            metrics.get(f"{name}:skill"),
            test.get(name.replace("val/", "test/", 1)),
        )
        for name, value in metrics.items()
        if name.startswith("val/") and name in baselines
    )


def stop_rows(data: ReportData) -> tuple[StopRow, ...]:
    """Why trials ended early, the most frequent reason first."""
    groups: dict[str, list[TrialRecord]] = {}
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
            median(record.epochs for record in records),
            records[0].number,
            records[0].why or records[0].error or "no reason was recorded",
        )
        for rule, records in groups.items()
    )
    return tuple(sorted(rows, key=lambda row: -row.trials))


def trial_rows(data: ReportData) -> tuple[TrialRow, ...]:
    """Every trial: what it tried, how far it got, why it ended."""
    best = data.best
    return tuple(
        TrialRow(
            record.number,
            record.name or "",
            outcome(record, best),
            record.pruned_by or OUTCOMES[outcome(record, best)],
            record.value if record.value is not None else _last(data, record),
            record.epochs,
            record.seconds,
            record.why or record.error or "",
            parameters(record.params),
        )
        for record in data.trials
    )


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
