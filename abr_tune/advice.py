"""What to try next where a criterion of the gate is missed, read off the run's own trials."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any, Final

from abr_tune.console import brief
from abr_tune.finalists import Finalist
from abr_tune.plan.plan import Bound, Criterion, Plan
from abr_tune.report.collapse import CollapseLever, collapse_map, flat
from abr_tune.search.constraints import missed
from abr_tune.search.events import TrialRecord
from core.report import EpochReport

MOST: Final = 4
"""Steps for one criterion; more would not be read."""
FEWEST: Final = 10
"""Complete trials below which a correlation is a handful."""
CHANCE: Final = 0.05
EDGE: Final = 0.05
"""Share of a lever's range at either end that counts as its end."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """What the run knows."""

    plan: Plan
    best: Finalist
    params: Mapping[str, Any]
    """Of the best trial."""
    records: Sequence[TrialRecord]
    histories: Sequence[Sequence[EpochReport]]
    """Of the best's fresh runs, or of its trial where there are none."""
    baselines: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Miss:
    """A criterion that was missed."""

    metric: str
    bound: Bound
    """What it takes to go."""
    value: float | None

    def by(self, value: float) -> float:
        """By how much a value misses it; 0 where it meets it."""
        return missed(self.bound, value)

    def nearer(self, one: float, other: float) -> bool:
        """Whether `one` comes nearer than `other`."""
        return self.by(one) < self.by(other)


def next_steps(criterion: Criterion, value: float | None, evidence: Evidence) -> tuple[str, ...]:
    """Sentences on what to try, the most telling first; where the run shows nothing else, whether to search on."""
    miss = Miss(criterion.metric, criterion.go, value)
    steps = [step for rule in RULES for step in rule(miss, evidence)] or list(search_on(miss, evidence))
    return tuple(steps[:MOST])


def never_trained(miss: Miss, evidence: Evidence) -> Iterator[str]:
    """The metric's loss term was off, or on for too short."""
    parts = miss.metric.split("/")
    reports = [history[-1] for history in evidence.histories if history]
    if len(parts) < 3 or not reports or not reports[0].active:
        return
    group = parts[1]
    own = [
        age
        for report in reports
        for term, age in report.active.items()
        if term == group or term.startswith(f"{group}_")
    ]
    if not own:
        yield f"{group} was not trained in the best run: give its loss a weight above 0, or let its phase begin earlier"
    elif max(own) * 2 < reports[0].epoch:
        yield (
            f"{group} was trained for only {max(own)} of {reports[0].epoch} epochs in the best run: let its phase "
            "begin earlier, or train longer"
        )


def met_and_lost(miss: Miss, evidence: Evidence) -> Iterator[str]:
    """The best met it on the way and not at its end."""
    curve = mean_curve(miss.metric, evidence.histories)
    met = [epoch for epoch, value in curve.items() if miss.by(value) <= 0]
    if met and met[-1] != max(curve):
        best = min(met, key=lambda epoch: (miss.by(curve[epoch]), -epoch))
        yield (
            f"the best met it at epoch {best} with {curve[best]:.4g} and lost it by the end: "
            f"--set train.epochs={best}, or a lower rate towards the end"
        )


def still_moving(miss: Miss, evidence: Evidence) -> Iterator[str]:
    """At the end of the best's runs the metric still moves towards the bound, and would get there."""
    from scipy.stats import linregress

    curve = mean_curve(miss.metric, evidence.histories)
    epochs = sorted(curve)[-max(4, len(curve) // 4) :]
    short = [miss.by(curve[epoch]) for epoch in epochs]
    if len(epochs) < 4 or min(short) <= 0 or len(set(short)) == 1:
        return
    line = linregress(epochs, short)
    if line.slope < 0 and line.pvalue < CHANCE:
        more = math.ceil(round(short[-1] / -line.slope, 6))
        if more <= max(curve):
            yield (
                f"it still moves by {-line.slope:.2g} an epoch towards {miss.bound.value:g} at the end of the best "
                f"runs: about {more} more epochs, --set train.epochs={max(curve) + more}"
            )


def lucky_seed(miss: Miss, evidence: Evidence) -> Iterator[str]:
    """The search's own run met it, fresh ones do not."""
    record = next((each for each in evidence.records if each.number == evidence.best.trial), None)
    searched = None if record is None else (record.metrics or {}).get(miss.metric)
    if searched is None or miss.value is None or not evidence.best.runs or miss.by(searched) > 0:
        return
    values = [
        history[-1].metrics[miss.metric]
        for history in evidence.histories
        if history and miss.metric in history[-1].metrics
    ]
    if len(values) > 1:
        met = sum(miss.by(value) <= 0 for value in values)
        cause = "what is held out" if evidence.best.folds else "the seed"
        yield (
            f"the search's own run met it with {searched:.4g}, and {met} of {len(values)} fresh ones do: it depends on "
            f"{cause}; confirm more leaders (--set confirm.top=10) rather than search on"
        )


def who_did_better(miss: Miss, evidence: Evidence) -> Iterator[str]:
    """A trial that met it, or came nearest, and in what it differs from the best."""
    have = [
        record
        for record in evidence.records
        if record.number != evidence.best.trial and miss.metric in (record.metrics or {})
    ]
    values = {record.number: (record.metrics or {})[miss.metric] for record in have}
    ahead = [record for record in have if miss.value is None or miss.nearer(values[record.number], miss.value)]
    if not ahead:
        return
    met = [record for record in ahead if miss.by(values[record.number]) <= 0]
    if met:
        chosen = min(
            met, key=lambda record: (record.state != "complete", len(differences(record.params, evidence.params)))
        )
    else:
        chosen = min(ahead, key=lambda record: (miss.by(values[record.number]), record.number))
    name = f" ({chosen.name})" if chosen.name else ""
    reached = f"trial {chosen.number}{name} {'met it' if met else 'came nearest'} with {values[chosen.number]:.4g}"
    if chosen.state != "complete":
        reached += f" before {chosen.pruned_by or 'its end'} stopped it at epoch {chosen.epochs}"
    objective = evidence.plan.objective.metric
    if objective != miss.metric and objective in (chosen.metrics or {}):
        reached += f", at {objective} {(chosen.metrics or {})[objective]:.4g}"
    yield f"{reached}; it differs from the best in {told_differences(chosen.params, evidence.params)}"


def which_lever(miss: Miss, evidence: Evidence) -> Iterator[str]:
    """The lever that the metric goes with over the complete trials, if any by more than chance."""
    from scipy.stats import spearmanr

    rows = [
        record for record in evidence.records if record.state == "complete" and miss.metric in (record.metrics or {})
    ]
    found: list[tuple[float, float, str, int]] = []
    levers = {lever for record in rows for lever in _numbers(record.params)}
    for lever in sorted(levers):
        having = [record for record in rows if lever in _numbers(record.params)]
        xs = [_numbers(record.params)[lever] for record in having]
        short = [miss.by((record.metrics or {})[miss.metric]) for record in having]
        if len(having) >= FEWEST and len(set(xs)) > 1 and len(set(short)) > 1:
            result = spearmanr(xs, short)
            found.append((float(result.pvalue), -float(result.statistic), lever, len(having)))
    if not found:
        return
    chance, strength, lever, trials = min(found)
    if chance * len(found) >= CHANCE:
        return
    way = "larger" if strength > 0 else "smaller"
    own = _numbers(evidence.params).get(lever)
    at = "" if own is None else f"; the best has {own:.3g}{_at_an_end(lever, own, strength > 0, rows)}"
    yield (
        f"over {trials} complete trials it comes nearer with a {way} {lever} (rank correlation {abs(strength):.2f}){at}"
    )


def nobody_beats_trivial(miss: Miss, evidence: Evidence) -> Iterator[str]:
    """No trial beats the trivial predictor: then it is about not collapsing."""
    trivial = evidence.baselines.get(miss.metric)
    values = [
        (record.metrics or {})[miss.metric] for record in evidence.records if miss.metric in (record.metrics or {})
    ]
    if trivial is None or any(
        miss.nearer(value, trivial) for value in (*values, *([miss.value] if miss.value is not None else []))
    ):
        return
    collapses = collapse_map(evidence.records)
    said = f"no trial beats the trivial predictor ({trivial:.4g})"
    telling = [lever for lever in collapses.levers if not lever.noise]
    if collapses.absent:
        why = collapses.absent[0].lower() + collapses.absent[1:].rstrip(".")
        yield f"{said}: {why}; search other levers than those of this space"
    elif telling:
        yield f"{said}; {_where_it_lives(telling[0])}"
    else:
        yield f"{said}, and no searched lever tells collapsing trials from others: search other levers"


def mean_curve(metric: str, histories: Sequence[Sequence[EpochReport]]) -> dict[int, float]:
    """Epoch -> mean over the runs that all have the metric there."""
    by_epoch: dict[int, list[float]] = {}
    for history in histories:
        for report in history:
            if report.complete and metric in report.metrics:
                by_epoch.setdefault(report.epoch, []).append(report.metrics[metric])
    return {epoch: fmean(values) for epoch, values in sorted(by_epoch.items()) if len(values) == len(histories)}


def differences(one: Mapping[str, Any], other: Mapping[str, Any]) -> list[str]:
    """The settings in which two trials differ; one that only one of them names is among them."""
    return [path for path in dict.fromkeys((*one, *other)) if one.get(path) != other.get(path)]


def told_differences(one: Mapping[str, Any], other: Mapping[str, Any]) -> str:
    """The differing settings with both values."""
    paths = differences(one, other)
    if not paths:
        return "nothing but chance"
    told = [f"{path} {_value(one, path)} instead of {_value(other, path)}" for path in paths[:MOST]]
    return ", ".join(told) + (f" and {len(paths) - MOST} more" if len(paths) > MOST else "")


def _value(params: Mapping[str, Any], path: str) -> str:
    return brief(params[path]) if path in params else "the default"


def _numbers(params: Mapping[str, Any]) -> dict[str, float]:
    parts = (part for path, value in params.items() for part in flat(path, value))
    return {name: float(v) for name, v in parts if isinstance(v, int | float) and not isinstance(v, bool)}


def _at_an_end(lever: str, own: float, upwards: bool, rows: Sequence[TrialRecord]) -> str:
    """Whether the best lies at that end of what was tried: then the range may be too narrow."""
    tried = sorted(_numbers(record.params)[lever] for record in rows if lever in _numbers(record.params))
    beyond = sum(value > own if upwards else value < own for value in tried)
    if beyond <= EDGE * len(tried):
        return f", at the {'upper' if upwards else 'lower'} end of what was tried: widen the range there"
    return ""


def _where_it_lives(lever: CollapseLever) -> str:
    best, worst = (pick(lever.bins, key=lambda part: part.share) for pick in (min, max))
    return (
        f"{lever.lever} tells most about collapse: {worst.collapsed} of {worst.trials} collapse at {worst.label}, "
        f"{best.collapsed} of {best.trials} at {best.label}: search there"
    )


def search_on(miss: Miss, evidence: Evidence) -> Iterator[str]:
    """Nobody came nearer than the best: whether the search was still getting nearer when it ended."""
    values = [(r.number, (r.metrics or {})[miss.metric]) for r in evidence.records if miss.metric in (r.metrics or {})]
    if not values or miss.value is None:
        return
    nearest = min(values, key=lambda pair: (miss.by(pair[1]), pair[0]))[0]
    trials = len(evidence.records)
    after = sum(record.number > nearest for record in evidence.records)
    if after <= trials // 3:
        yield (
            f"the search was still coming nearer: its nearest is trial {nearest} of {trials}; search on with "
            f"--trials {2 * trials}"
        )
    else:
        yield f"none of the {after} trials after trial {nearest} came nearer: search other levers, or wider ranges"


Rule = Callable[[Miss, Evidence], Iterator[str]]
RULES: Final[tuple[Rule, ...]] = (
    never_trained,
    nobody_beats_trivial,
    met_and_lost,
    still_moving,
    lucky_seed,
    who_did_better,
    which_lever,
)
"""The most telling first."""
