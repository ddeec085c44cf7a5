"""The rule about attention that no longer looks around."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from statistics import median
from typing import Final

from core.health.history import History, streak
from core.health.numbers import SKIPPED
from core.health.options import AttentionCollapse
from core.health.verdict import Level, Verdict, lasting
from core.report import EpochReport

ENTROPY: Final = "attention_entropy"
"""Mean over attention modules of the entropy of their weights over the logarithm of the keys."""


def attention_collapse(history: History, rule: AttentionCollapse, baselines: Mapping[str, float]) -> Iterator[Verdict]:
    """Warn when attention narrows to few places or to half of what it was; stop when the loss is unstable as well.

    Low entropy goes before divergence (Zhai et al. 2023, 2303.06296); by itself it may be what the task asks for.
    """
    last = history.last
    if ENTROPY not in last.health:
        return
    seen = [report for report in history.reports if ENTROPY in report.health]
    now, first = last.health[ENTROPY], median(report.health[ENTROPY] for report in seen[: rule.first])
    row = streak(seen, lambda report: report.health[ENTROPY] < rule.stop and _unstable(history, report, rule))
    halved = len(seen) > rule.first and now < first / 2
    if now >= rule.warn and not halved:
        return
    level: Level = "stop" if row >= rule.patience else "warn"
    why = f"attention has an entropy of {now:.3f} of what is possible"
    if halved:
        why += f", less than half of the {first:.3f} it began with"
    if level == "stop":
        why += f", under {rule.stop:g} {lasting(row)} with a loss that rises or breaks: it looks at single places only"
    evidence: dict[str, float | str] = {"attention_entropy": now, "at_first": first, "epochs": float(row)}
    yield Verdict(level=level, rule="attention_collapse", why=why, epoch=last.epoch, evidence=evidence)


def _unstable(history: History, report: EpochReport, rule: AttentionCollapse) -> bool:
    """Whether steps were skipped, or a trained term's loss lies well above the lowest of the epochs before."""
    if report.health.get(SKIPPED, 0) > 0:
        return True
    before = [each for each in history.reports if report.epoch - rule.window <= each.epoch < report.epoch]
    for name in (f"loss/{term}" for term, age in report.active.items() if age >= 1):
        losses = [each.health[name] for each in before if name in each.health]
        if losses and name in report.health and report.health[name] - min(losses) > rule.rise * abs(min(losses)):
            return True
    return False
