"""Rules about what the terms do to the weights they share: one dominates, two pull apart, one does not pull at all.

They read what `core.training.watch` sees every few steps, so an epoch without a look is passed over, and so is warm-up.
None of them stops a run.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from statistics import fmean
from typing import Final

from core.health.history import History, streak
from core.health.options import GradientConflict, NoGradient, TaskDominance
from core.health.verdict import Verdict, lasting
from core.report import EpochReport

NORM: Final = "grad_norm/"
"""+ term: norm of its weighted gradient on the last layer that the terms share."""
COSINE: Final = "grad_cosine/"
"""+ term-term: of the angle between two of those gradients."""
PART: Final = "part_grad_norm/"
"""+ part of the network: norm of the joint gradient there, absent for a part that nothing trains at the time."""
NOTHING: Final = 1e-6
"""Share of all gradients under which there is none: rounding leaves such remains."""


def task_dominance(history: History, rule: TaskDominance, baselines: Mapping[str, float]) -> Iterator[Verdict]:
    """Warn when one term makes up nearly all of the gradient on what the terms share."""
    for term in history.last.active:
        shares = [share for report in _looked_at(history) if (share := _share(report, term)) is not None]
        row = streak(shares, lambda share: share > rule.share)
        if row >= rule.patience and _share(history.last, term) is not None:
            others = ", ".join(name for name in _norms(history.last) if name != term)
            why = (
                f"{term} makes up {shares[-1]:.0%} of the gradient on the last shared layer, {lasting(row)}: "
                f"{others} hardly count there; lower its loss.weights, raise theirs, or choose a loss.weighting"
            )
            evidence: dict[str, float | str] = {"term": term, "share": shares[-1], "epochs": float(row)}
            yield _warning(history, "task_dominance", why, evidence)


def gradient_conflict(history: History, rule: GradientConflict, baselines: Mapping[str, float]) -> Iterator[Verdict]:
    """Warn when the gradients of two terms point away from one another, epoch after epoch."""
    for name in (each for each in history.last.health if each.startswith(COSINE)):
        cosines = [report.health[name] for report in _looked_at(history) if name in report.health][-rule.epochs :]
        if len(cosines) == rule.epochs and fmean(cosines) < rule.cosine:
            pair = name.removeprefix(COSINE)
            why = (
                f"the gradients of {pair.replace('-', ' and ')} pull against each other on the last shared layer: "
                f"cosine {fmean(cosines):.2f} over {rule.epochs} epochs; gradient surgery (loss.weighting) or separate "
                "phases keep them apart"
            )
            yield _warning(history, "gradient_conflict", why, {"terms": pair, "cosine": fmean(cosines)})


def no_gradient(history: History, rule: NoGradient, baselines: Mapping[str, float]) -> Iterator[Verdict]:
    """Warn when a term sends no gradient to what the terms share, or a part that is trained gets none."""
    for term in history.last.active:
        shares = [share for report in _looked_at(history) if (share := _share(report, term)) is not None]
        row = streak(shares, lambda share: share < NOTHING)
        if row >= rule.patience and _share(history.last, term) is not None:
            why = f"{term} sends no gradient to the last shared layer, {lasting(row)}: the network does not learn it"
            yield _warning(history, "no_gradient", why, {"term": term, "epochs": float(row)})
    for name in (each for each in history.last.health if each.startswith(PART)):
        sizes = [report.health[name] for report in _looked_at(history) if name in report.health]
        row = streak(sizes, lambda size: size == 0)
        if row >= rule.patience:
            part = name.removeprefix(PART)
            why = f"{part} gets no gradient, {lasting(row)}: nothing in it learns"
            yield _warning(history, "no_gradient", why, {"part": part, "epochs": float(row)})


def _looked_at(history: History) -> tuple[EpochReport, ...]:
    """The reports of the present phase in which anything was looked at: another phase has other terms."""
    phase = history.last.phase
    return tuple(report for report in history.while_true(lambda each: each.phase == phase) if _norms(report))


def _norms(report: EpochReport) -> dict[str, float]:
    """Term -> norm, of the terms whose warm-up is over."""
    return {
        name.removeprefix(NORM): value
        for name, value in report.health.items()
        if name.startswith(NORM) and report.active.get(name.removeprefix(NORM), 0) > 0
    }


def _share(report: EpochReport, term: str) -> float | None:
    """Of all terms' norms; None where the term was not seen, or there is no other."""
    norms = _norms(report)
    total = sum(norms.values())
    return norms[term] / total if len(norms) > 1 and term in norms and total > 0 else None


def _warning(history: History, rule: str, why: str, evidence: dict[str, float | str]) -> Verdict:
    return Verdict(level="warn", rule=rule, why=why, epoch=history.last.epoch, evidence=evidence)
