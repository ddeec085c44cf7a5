"""Rules about predictions that lose their variety: one class for all, one number for all, a class never found."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

from core.health.history import History, streak
from core.health.options import ClassAbsent, ClassCollapse, LiteralOneClass, LiteralZeroF1, RegressionCollapse
from core.health.verdict import Level, Verdict
from core.report import EpochReport

CLASS: Final = "class"
"""The classification term; its metrics are `val/class/...`."""
MACRO_F1: Final = "val/class/f1_macro"
SHARE: Final = "val/class/largest_share"
PREDICTED: Final = "val/class/predicted_classes"
SPREAD: Final = "val/class/probability_sd"
F1: Final = "val/class/f1/"
COUNT: Final = "val/class/count/"
"""+ class name: validation samples of the class, among the metrics or the baselines."""

SPREAD_RATIO: Final[Mapping[str, str]] = {
    "threshold": "val/threshold/spread_ratio",
    "peak_latency": "val/peak/latency_spread_ratio",
    "peak_amplitude": "val/peak/amplitude_spread_ratio",
}
"""Regression term -> sd of its predictions over sd of its labels."""


def class_collapse(history: History, rule: ClassCollapse, baselines: Mapping[str, float]) -> Iterator[Verdict]:
    """Stop at the majority's score with a loss that gets nowhere, or at constant output; warn at one class."""
    last, judged = history.last, history.judged(CLASS, rule.grace)
    stuck = streak(judged, lambda report: _stuck(history, report, rule, baselines))
    flat = streak(judged, lambda report: _flat(report, rule, baselines))
    if stuck >= rule.patience:
        score, majority = last.metrics[MACRO_F1], baselines[MACRO_F1]
        why = (
            f"macro-F1 {score:.3f} has not been above the always-majority score {majority:.3f} for {stuck} epochs "
            f"and {_standstill(history, rule)}{_one_class(last)}"
        )
    elif flat >= rule.flat_patience:
        why = (
            f"the predicted probabilities have not differed between recordings for {flat} epochs "
            f"(spread {last.metrics[SPREAD]:.2g}, under {rule.flat:g}){_one_class(last)}"
        )
    else:
        yield from _class_warning(history, rule)
        return
    evidence = _class_evidence(last) | {"epochs": float(max(stuck, flat))}
    if MACRO_F1 in baselines:
        evidence["majority_f1_macro"] = baselines[MACRO_F1]
    for name, fall in (
        ("loss_fall", history.fall_of(last, CLASS, rule.window)),
        ("loss_fall_ahead", history.fall_ahead(last, CLASS, rule.window)),
    ):
        if fall is not None:
            evidence[name] = fall
    yield Verdict(level="stop", rule="class_collapse", why=why, epoch=last.epoch, evidence=evidence)


def _stuck(history: History, report: EpochReport, rule: ClassCollapse, baselines: Mapping[str, float]) -> bool:
    if not {MACRO_F1} <= baselines.keys() & report.metrics.keys() or not _at_majority(report, rule, baselines):
        return False
    ahead = history.fall_ahead(report, CLASS, rule.window)
    slow = history.stalled(report, CLASS, window=rule.window, fall=rule.slow)
    rising = (history.rise_of(report, MACRO_F1, rule.window) or 0.0) > rule.margin
    leads_nowhere = slow and not rising and ahead is not None and ahead < rule.reach
    return leads_nowhere or history.stalled(report, CLASS, window=rule.window, fall=rule.fall)


def _flat(report: EpochReport, rule: ClassCollapse, baselines: Mapping[str, float]) -> bool:
    """Constant output; small differences that rank the recordings right are none (a linear model at a low rate)."""
    return report.metrics.get(SPREAD, 1.0) < rule.flat and _at_majority(report, rule, baselines)


def _at_majority(report: EpochReport, rule: ClassCollapse, baselines: Mapping[str, float]) -> bool:
    """Whether the score is not above the majority's; true where there is none to compare."""
    known = MACRO_F1 in baselines and MACRO_F1 in report.metrics
    return not known or report.metrics[MACRO_F1] <= baselines[MACRO_F1] + rule.margin


def _standstill(history: History, rule: ClassCollapse) -> str:
    last = history.last
    if history.stalled(last, CLASS, window=rule.window, fall=rule.fall):
        return f"the class loss fell by less than {rule.fall:.0%} in {rule.window} epochs"
    left = (history.length or last.epoch) - last.epoch
    ahead = history.fall_ahead(last, CLASS, rule.window) or 0.0
    return f"at its pace the class loss would fall by {ahead:.1%} in the {left} epochs that are left"


def _one_class(report: EpochReport) -> str:
    share = report.metrics.get(SHARE)
    return "" if share is None else f"; {share:.1%} of the recordings are given the same class"


def _class_evidence(report: EpochReport) -> dict[str, float | str]:
    names = (MACRO_F1, SHARE, PREDICTED, SPREAD)
    evidence: dict[str, float | str] = {
        name.rsplit("/", 1)[1]: report.metrics[name] for name in names if name in report.metrics
    }
    if "loss/class" in report.health:
        evidence["loss"] = report.health["loss/class"]
    return evidence


def _class_warning(history: History, rule: ClassCollapse) -> Iterator[Verdict]:
    last = history.last
    if last.active.get(CLASS, 0) < 1:
        return
    share, predicted = last.metrics.get(SHARE, 0.0), last.metrics.get(PREDICTED)
    classes = len(_f1_by_class(last))
    if share >= rule.warn_share:
        why = f"{share:.1%} of the recordings are given the same class"
    elif predicted is not None and predicted < classes:
        why = f"only {predicted:g} of {classes} classes are ever predicted"
    else:
        return
    yield Verdict(level="warn", rule="class_collapse", why=why, epoch=last.epoch, evidence=_class_evidence(last))


def regression_collapse(
    history: History, rule: RegressionCollapse, baselines: Mapping[str, float]
) -> Iterator[Verdict]:
    """Stop when a head's answers hardly vary and its loss stands still; warn when they vary little."""
    for term, metric in SPREAD_RATIO.items():
        if history.last.active.get(term, 0) >= 1 and history.last.metrics.get(metric, 1.0) < rule.warn:
            yield _little_spread(history, rule, term, metric)


def _little_spread(history: History, rule: RegressionCollapse, term: str, metric: str) -> Verdict:
    def collapsed(report: EpochReport) -> bool:
        stands_still = history.stalled(report, term, window=rule.window, fall=rule.fall)
        return stands_still and report.metrics.get(metric, 1.0) < rule.stop

    last, epochs = history.last, streak(history.judged(term, rule.grace), collapsed)
    ratio = last.metrics[metric]
    level: Level = "stop" if epochs >= rule.patience else "warn"
    why = f"the predictions of {term} vary {ratio:.1%} as much as its labels"
    evidence: dict[str, float | str] = {"term": term, "spread_ratio": ratio, "epochs": float(epochs)}
    if f"loss/{term}" in last.health:
        evidence["loss"] = last.health[f"loss/{term}"]
    if level == "stop":
        why += (
            f" (under {rule.stop:.0%} for {epochs} epochs) and its loss fell by less than {rule.fall:.0%} "
            f"in {rule.window} epochs"
        )
    return Verdict(level=level, rule="regression_collapse", why=why, epoch=last.epoch, evidence=evidence)


def class_absent(history: History, rule: ClassAbsent, baselines: Mapping[str, float]) -> Iterator[Verdict]:
    """Warn of classes whose F1 is 0; stop when one has enough samples and stays there, if that is asked for."""
    last = history.last
    missing = _at_zero(last) if last.active.get(CLASS, 0) >= 1 else ()
    stops = tuple(verdict for name in missing for verdict in _never_found(history, rule, baselines, name))
    yield from stops
    if missing and not stops:
        names = ", ".join(missing)
        why = f"F1 is 0 for {names}"
        yield Verdict(level="warn", rule="class_absent", why=why, epoch=last.epoch, evidence={"classes": names})


def _at_zero(report: EpochReport) -> tuple[str, ...]:
    return tuple(name for name, value in _f1_by_class(report).items() if value == 0)


def _samples(report: EpochReport, baselines: Mapping[str, float], name: str) -> float:
    """Validation samples of a class, as far as anybody says."""
    return report.metrics.get(COUNT + name, baselines.get(COUNT + name, 0.0))


def _f1_by_class(report: EpochReport) -> dict[str, float]:
    return {
        name.removeprefix(F1): value
        for name, value in report.metrics.items()
        if name.startswith(F1) and not name.endswith(":skill")
    }


def _never_found(history: History, rule: ClassAbsent, baselines: Mapping[str, float], name: str) -> Iterator[Verdict]:
    last = history.last
    count = _samples(last, baselines, name)
    epochs = streak(history.judged(CLASS, rule.grace), lambda report: report.metrics.get(F1 + name, 1.0) == 0)
    if rule.patience is not None and epochs >= rule.patience and count >= rule.min_samples:
        why = f"none of the {count:g} validation samples of {name} was found for {epochs} epochs (F1 0)"
        evidence: dict[str, float | str] = {"class": name, "samples": count, "epochs": float(epochs)}
        yield Verdict(level="stop", rule="class_absent", why=why, epoch=last.epoch, evidence=evidence)


def literal_one_class(history: History, rule: LiteralOneClass, baselines: Mapping[str, float]) -> Iterator[Verdict]:
    """Document 000: stop when everything is predicted as one class, from the first epoch on."""
    last = history.last
    if CLASS in last.active and last.epoch >= rule.after and last.metrics.get(PREDICTED) == 1:
        why = f"all recordings are given the same class at epoch {last.epoch}"
        yield Verdict(level="stop", rule="literal_one_class", why=why, epoch=last.epoch, evidence=_class_evidence(last))


def literal_zero_f1(history: History, rule: LiteralZeroF1, baselines: Mapping[str, float]) -> Iterator[Verdict]:
    """Document 002: stop when some class has F1 0 at the given epoch."""
    last = history.last
    zero = [name for name in _at_zero(last) if _samples(last, baselines, name) >= rule.min_samples]
    names = ", ".join(zero)
    if CLASS in last.active and last.epoch == rule.at and names:
        why = f"F1 is 0 for {names} at epoch {last.epoch}"
        yield Verdict(level="stop", rule="literal_zero_f1", why=why, epoch=last.epoch, evidence={"classes": names})
