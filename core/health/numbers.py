"""Rules about numbers that run away: not finite, exploding gradients, a loss that does not fall."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from statistics import median
from typing import Final

from core.health.history import History
from core.health.options import GradientExplosion, LiteralGradientNorm, NonFinite, TermNotFalling
from core.health.verdict import Verdict
from core.report import EpochReport

TYPICAL_NORM: Final = "grad_norm"
"""Median over the epoch's optimiser steps of the gradient norm before clipping."""
LARGEST_NORM: Final = "grad_norm_max"
"""Largest norm of the epoch's steps."""
STEPS: Final = "steps"
"""Optimiser steps of the epoch."""
SKIPPED: Final = "non_finite"
"""Steps of the epoch that were skipped because a gradient was not finite."""


def non_finite(history: History, rule: NonFinite, baselines: Mapping[str, float]) -> Iterator[Verdict]:
    """A skipped step warns; a loss or weight that is not finite, or skipped steps in a row, stop at the step."""
    last = history.last
    if history.broken is None:
        skipped = last.health.get(SKIPPED, 0.0)
        if skipped > 0:
            why = f"{skipped:g} steps of epoch {last.epoch} were skipped: their gradient was not finite"
            yield Verdict(level="warn", rule="non_finite", why=why, epoch=last.epoch, evidence={"skipped": skipped})
        return
    what, row = str(last.evidence.get("what", "loss")), float(last.evidence.get("streak", 1))
    stops = what != "gradient" or row >= rule.streak
    why = f"{_place(last)}: the {what}{_of_term(last)} is not finite"
    if what == "gradient":
        why += f", {row:g} step{'s' if row > 1 else ''} in a row"
    if "last_finite_loss" in last.evidence:
        why += f"; the last finite loss was {float(last.evidence['last_finite_loss']):.4g}"
    if stops:
        why += "; a lower learning rate or tighter clipping may keep it finite"
    yield Verdict(
        level="stop" if stops else "warn", rule="non_finite", why=why, epoch=last.epoch, evidence=dict(last.evidence)
    )


def _place(report: EpochReport) -> str:
    step = report.evidence.get("step")
    return f"epoch {report.epoch}" if step is None else f"epoch {report.epoch}, step {float(step):g}"


def _of_term(report: EpochReport) -> str:
    term = report.evidence.get("term")
    return f" of {term}" if term else ""


def gradient_explosion(history: History, rule: GradientExplosion, baselines: Mapping[str, float]) -> Iterator[Verdict]:
    """One far step warns; more than half of the steps for some epochs stop.

    More than half of an epoch's steps exceed a bound exactly when their median does, so the reports need to carry the
    median and not every step. What is usual is the median of the calm epochs of the same phase: a new term may bring
    larger gradients by right.
    """
    last = history.last
    calm: list[float] = []
    exploding: list[EpochReport] = []
    for report in history.while_true(lambda report: report.phase == last.phase and TYPICAL_NORM in report.health):
        norm = report.health[TYPICAL_NORM]
        if _far(norm, calm, rule):
            exploding.append(report)
        else:
            exploding = []
            calm.append(norm)
    before = calm if exploding else calm[:-1]
    if not before:
        return
    usual, typical = median(before), last.health[TYPICAL_NORM]
    largest = last.health.get(LARGEST_NORM, typical)
    evidence: dict[str, float | str] = {"grad_norm": typical, "grad_norm_max": largest, "usual": usual}
    steps = sum(report.health.get(STEPS, math.inf) / 2 for report in exploding)
    if len(exploding) >= rule.epochs and steps >= rule.patience:
        why = (
            f"the gradient norm of most steps has been over {rule.limit:g} and {rule.factor:g} times the usual "
            f"{usual:.3g} for {len(exploding)} epochs; it is {typical:.3g}"
        )
        evidence["epochs"] = float(len(exploding))
        yield Verdict(level="stop", rule="gradient_explosion", why=why, epoch=last.epoch, evidence=evidence)
    elif _far(largest, before, rule):
        why = f"a gradient norm reached {largest:.3g}; usual in this phase is {usual:.3g}"
        yield Verdict(level="warn", rule="gradient_explosion", why=why, epoch=last.epoch, evidence=evidence)


def _far(norm: float, calm: list[float], rule: GradientExplosion) -> bool:
    return bool(calm) and norm > rule.limit and norm > rule.factor * median(calm)


def term_not_falling(history: History, rule: TermNotFalling, baselines: Mapping[str, float]) -> Iterator[Verdict]:
    """Warn when the median loss of a term over a window is hardly below that of the window before."""
    last = history.last
    for term in last.active:
        name = f"loss/{term}"
        losses = [report.health[name] for report in history.judged(term, 0) if name in report.health]
        if len(losses) < 2 * rule.window:
            continue
        now, before = median(losses[-rule.window :]), median(losses[-2 * rule.window : -rule.window])
        if before - now < rule.fall * abs(before):
            why = f"the loss of {term} does not fall: {before:.4g}, {rule.window} epochs later {now:.4g}"
            evidence: dict[str, float | str] = {"term": term, "loss_before": before, "loss": now}
            yield Verdict(level="warn", rule="term_not_falling", why=why, epoch=last.epoch, evidence=evidence)


def literal_gradient_norm(
    history: History, rule: LiteralGradientNorm, baselines: Mapping[str, float]
) -> Iterator[Verdict]:
    """Document 000: stop when any step's norm exceeded the limit."""
    norm = history.last.health.get(LARGEST_NORM, 0.0)
    if norm > rule.limit:
        why = f"a gradient norm reached {norm:.3g}, over {rule.limit:g}"
        evidence = {"grad_norm_max": norm}
        yield Verdict(level="stop", rule="literal_gradient_norm", why=why, epoch=history.last.epoch, evidence=evidence)
