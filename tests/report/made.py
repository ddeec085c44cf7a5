"""Small runs made by hand, for the rows of the report."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from abr_tune.report.data import Importances, ReportData
from abr_tune.search.events import TrialRecord, TrialState
from core.tasks.task import Objective

METRIC = "val/class/f1_macro"


def record(number: int, state: TrialState = "complete", **changes: Any) -> TrialRecord:
    defaults: dict[str, Any] = {"name": None, "value": None, "params": {}, "epochs": 3}
    return TrialRecord(number=number, state=state, **(defaults | changes))


def run(
    *trials: TrialRecord,
    curves: Mapping[int, tuple[float, ...]] | None = None,
    objective: Objective | None = None,
    **changes: Any,
) -> ReportData:
    points = {number: dict(enumerate(values, 1)) for number, values in (curves or {}).items()}
    defaults: dict[str, Any] = {
        "name": "toy",
        "about": "",
        "task": "abr",
        "objectives": (objective or Objective(METRIC),),
        "data": {"source": "simulated", "train": 15, "val": 20, "test": 40, "seed": 7},
        "space_text": "",
        "summary": {},
        "environment": {},
        "importances": Importances(absent="too few"),
    }
    return ReportData(trials=trials, curves=points, **(defaults | changes))


def scores(*classes: str) -> dict[str, Any]:
    """`best/scores.json` of a classifier of two classes: invented counts."""
    calibration = [
        {"low": 0.5, "high": 0.75, "confidence": 0.6, "accuracy": 0.5, "count": 30},
        {"low": 0.75, "high": 1.0, "confidence": 0.9, "accuracy": 0.7, "count": 10},
    ]
    return {
        "test": {"confusion": {"classes": list(classes), "counts": [[26, 4], [3, 7]]}, "calibration": calibration},
    }
