"""What this report does not hold, and why: a line each in place of an empty box."""

from __future__ import annotations

from collections.abc import Iterator

from abr_tune.report.data import ReportData
from abr_tune.report.epochs import class_shares, gradient_norms
from abr_tune.report.levers import strands
from abr_tune.report.pareto import pareto_rows
from abr_tune.report.scores import confusion, reliability
from abr_tune.report.tables import finalist_rows


def absences(data: ReportData) -> tuple[tuple[str, str], ...]:
    """Section -> why it is missing, in the order of the page."""
    return (*_of_result(data), *_of_training(data), *_of_search(data))


def _of_result(data: ReportData) -> Iterator[tuple[str, str]]:
    if not data.summary.get("gate"):
        ended = data.summary.get("state") == "finished"
        yield "Gate", "the space file names no criteria" if ended else "it is judged when the run is finished"
    if not finalist_rows(data):
        yield "Finalists", _why_no_finalists(data)
    if not pareto_rows(data):
        several = len(data.objectives) > 1
        yield "Pareto front", "no trial has run to its end" if several else "the search has one objective"


def _of_search(data: ReportData) -> Iterator[tuple[str, str]]:
    if not any(data.value_of(record) is not None for record in data.trials):
        yield "Curves, history, settings", "no trial has a score yet"
    elif not strands(data, data.trials)[0]:
        yield "All settings side by side", "fewer than two settings took different values"
    audit = data.summary.get("audit") or {}
    if not audit.get("rows"):
        yield "Audit of the stops", audit.get("absent") or "the run has not said how its stops were audited"
    yield from _of_levers(data)
    if not data.environment:
        yield "Environment", "the run folder holds no environment.json"


def _of_levers(data: ReportData) -> Iterator[tuple[str, str]]:
    if data.ablation is None or data.ablation.absent:
        yield "The way to the best", data.ablation.absent if data.ablation else "nothing is known of the trials"
    yield from _said("What mattered", data.importances.absent)
    for what, found in data.further.items():
        yield from _said(f"What mattered for {what}", found.absent)
    yield from _said("Where trials collapse", data.collapses.absent)


def _said(title: str, reason: str) -> Iterator[tuple[str, str]]:
    if reason:
        yield title, reason


def _why_no_finalists(data: ReportData) -> str:
    if data.summary.get("state") != "finished":
        return "the leaders are trained again when the search is over"
    return "no leader was trained again with fresh seeds" if data.best else "no trial has run to its end"


def _of_training(data: ReportData) -> Iterator[tuple[str, str]]:
    weights = "the best weights were not scored on held-out data"
    if confusion(data) is None:
        yield "Confusion matrix", "the task predicts no class" if data.scores else weights
    if reliability(data) is None:
        yield "Calibration", "the task predicts no class" if data.scores else weights
    nobody = "" if data.watched else "there is no trial to look into: "
    if not class_shares(data):
        yield "Predicted classes", f"{nobody}no report holds val/<task>/share/<class>"
    norms = gradient_norms(data)
    if not norms:
        yield "Gradient norms", f"{nobody}no report holds the signal grad_norm"
    elif all(trace.name == "all" for found in norms for trace in found.traces):
        yield "Gradient norms of each head", "the reports hold grad_norm of all weights together, none by head"
