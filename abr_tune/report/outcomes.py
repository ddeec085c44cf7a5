"""How a trial ended, in the few words the whole report uses."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Literal

from abr_tune.search.events import TrialRecord
from abr_tune.search.pruning import PRUNERS
from core.health.severity import SEVERITIES

Outcome = Literal["best", "complete", "ranking", "health", "other", "failed", "unfinished"]

OUTCOMES: Final[Mapping[Outcome, str]] = {
    "best": "best configuration",
    "complete": "ran to its end",
    "ranking": "stopped: behind other trials",
    "health": "stopped: broke a health rule",
    "other": "stopped: a limit, or no score",
    "failed": "failed",
    "unfinished": "not finished",
}
"""Outcome -> how legends and tables call it, in the order of the legend."""

KEPT: Final[frozenset[Outcome]] = frozenset({"best", "complete", "unfinished"})
"""Outcomes of trials that nothing stopped."""


def outcome(record: TrialRecord, best: TrialRecord | None) -> Outcome:
    """How `record` ended, seen beside the best trial."""
    if best is not None and record.number == best.number:
        return "best"
    if record.state == "pruned":
        return "health" if record.pruned_by in SEVERITIES else "ranking" if record.pruned_by in PRUNERS else "other"
    return {"complete": "complete", "failed": "failed"}.get(record.state, "unfinished")  # type: ignore[return-value]
