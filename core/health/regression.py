"""Rules about regression heads that answer worse than a constant, or cannot answer at all."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

from core.health.history import History, streak
from core.health.options import NegativeR2, OutOfReach
from core.health.verdict import Level, Verdict, lasting

R2: Final[Mapping[str, str]] = {
    "threshold": "val/threshold/r2",
    "peak_latency": "val/peak/latency_r2",
    "peak_amplitude": "val/peak/amplitude_r2",
}
"""Regression term -> explained variance; 0 is what the mean of the labels reaches."""
BEYOND: Final = "beyond_reach/"
"""+ term: share of its training labels that lie outside what its head can answer."""


def negative_r2(history: History, rule: NegativeR2, baselines: Mapping[str, float]) -> Iterator[Verdict]:
    """Warn when a head stays worse than the mean of its labels; stop where that is asked for."""
    last = history.last
    for term, metric in R2.items():
        row = streak(history.judged(term, rule.grace), lambda report: report.metrics.get(metric, 0.0) < 0)  # noqa: B023
        if row < rule.epochs:
            continue
        level: Level = "stop" if rule.patience is not None and row >= rule.patience else "warn"
        value = last.metrics[metric]
        why = f"{term} is worse than the mean of its labels: R² {value:.2f}, below 0 {lasting(row)}"
        evidence: dict[str, float | str] = {"term": term, "r2": value, "epochs": float(row)}
        yield Verdict(level=level, rule="negative_r2", why=why, epoch=last.epoch, evidence=evidence)


def out_of_reach(history: History, rule: OutOfReach, baselines: Mapping[str, float]) -> Iterator[Verdict]:
    """Warn from the first epoch on when labels lie where a head cannot answer; stop where that is asked for."""
    last = history.last
    for name in (each for each in last.health if each.startswith(BEYOND)):
        term, share = name.removeprefix(BEYOND), last.health[name]
        if term not in last.active or share < rule.warn:
            continue
        level: Level = "stop" if rule.stop is not None and share >= rule.stop else "warn"
        why = f"{share:.0%} of the labels of {term} lie beyond the bounds of its head, which can never answer them"
        evidence: dict[str, float | str] = {"term": term, "share": share}
        yield Verdict(level=level, rule="out_of_reach", why=why, epoch=last.epoch, evidence=evidence)
