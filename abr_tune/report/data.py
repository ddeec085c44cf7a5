"""What the report is made from, as plain data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Final

from abr_tune.ablation import Ablation
from abr_tune.front import front
from abr_tune.report.collapse import CollapseMap, collapsed_by
from abr_tune.report.lowered import Lowered
from abr_tune.search.events import TrialRecord
from core.report import EpochReport
from core.tasks.task import Objective

HEALTHY: Final = "staying healthy"
"""Key of the importances that tell who did not collapse."""
Curve = Mapping[int, float]
"""Epoch -> the first objective."""


@dataclass(frozen=True, slots=True)
class Importances:
    """How much each searched coordinate mattered for the objective, compared at one epoch."""

    shares: Mapping[str, float] = field(default_factory=dict)
    """Coordinate -> share of the whole; empty when they could not be told."""
    epoch: int = 0
    trials: int = 0
    """How many trials have a value at that epoch."""
    absent: str = ""
    """Why there are none."""


@dataclass(frozen=True, kw_only=True)
class ReportData:
    """One run, finished or not."""

    name: str
    about: str
    task: str
    objectives: tuple[Objective, ...]
    data: Mapping[str, Any] | None
    """The `data:` section; None for a task without data."""
    space_text: str
    """The space file as given."""
    trials: tuple[TrialRecord, ...]
    """In the order of their numbers."""
    curves: Mapping[int, Curve]
    """Trial -> the first objective after each epoch that had it."""
    watched: Mapping[int, tuple[EpochReport, ...]] = field(default_factory=dict)
    """The best trial and the collapsed one shown beside it -> epoch reports in order, each epoch once."""
    summary: Mapping[str, Any]
    """`summary.json`; empty while there is none."""
    environment: Mapping[str, Any]
    """`environment.json`; empty while there is none."""
    scores: Mapping[str, Any] = field(default_factory=dict)
    """`best/scores.json`, split -> scores of the best weights on it; empty while there is none."""
    importances: Importances
    further: Mapping[str, Importances] = field(default_factory=dict)
    """The same for each further objective, and for staying healthy."""
    ablation: Ablation | None = None
    """What each lever brought on the way to the best configuration; estimated unless `abr-tune explain` trained it."""
    collapses: CollapseMap = field(default_factory=CollapseMap)
    lowered: tuple[Lowered, ...] = ()
    """Rules that had learning rates lowered instead of stopping."""

    @property
    def objective(self) -> Objective:
        """The first objective."""
        return self.objectives[0]

    @property
    def simulated(self) -> bool:
        """Whether the recordings come from the simulator."""
        return self.data is not None and self.data.get("source", "simulated") == "simulated"

    @cached_property
    def best(self) -> TrialRecord | None:
        """The best trial: the summary's, or the leader among the complete ones while there is no summary."""
        chosen = self.summary.get("best")
        if chosen is not None:
            return next((record for record in self.trials if record.number == chosen["trial"]), None)
        leaders = front(self.trials, self.objectives)
        return leaders[0] if leaders else None

    @cached_property
    def collapsed(self) -> TrialRecord | None:
        """A trial that collapsed and is shown as the example: a start point if there is one, the longest of them."""
        found = [record for record in self.trials if record.epochs and collapsed_by(record) is not None]
        return max(found, key=lambda record: (record.name is not None, record.epochs, -record.number), default=None)

    @property
    def expected(self) -> Mapping[str, float]:
        """Scores of the best trial: means of its fresh runs where there are any, else those of the search's run."""
        best = self.best
        if best is None:
            return {}
        finalists = self.summary.get("finalists") or ()
        confirmed = next((one["metrics"] for one in finalists if one["trial"] == best.number and one["values"]), None)
        return confirmed or best.metrics or {}

    @property
    def confirmed(self) -> Mapping[str, Any] | None:
        """`seeds`, `mean` and `sd` of the best trial's fresh runs; None without any."""
        return (self.summary.get("best") or {}).get("confirmed")

    @property
    def baselines(self) -> Mapping[str, float]:
        """Metric -> score of the trivial predictor."""
        return self.summary.get("baselines") or {}

    @property
    def test(self) -> Mapping[str, float]:
        """Scores of the best trial on the test split."""
        return self.summary.get("test") or {}

    def value_of(self, record: TrialRecord) -> float | None:
        """The value of a complete trial; of any other the objective of its last epoch that had one."""
        if record.value is not None:
            return record.value
        curve = self.curves.get(record.number) or {}
        return curve[max(curve)] if curve else None


def tested(metric: str) -> str:
    """A validation metric's name on the test split."""
    return metric.replace("val/", "test/", 1)
