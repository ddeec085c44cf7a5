"""The leaders of a search, trained again with fresh seeds and ranked by the fresh runs alone."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean, stdev

from abr_tune.search.events import TrialRecord
from core.report import EpochReport
from core.tasks.task import Objective


@dataclass(frozen=True, slots=True, kw_only=True)
class Finalist:
    """One leader and its fresh runs."""

    trial: int
    searched: float
    """The objective in the search, on the search's seed."""
    values: tuple[float | None, ...] = ()
    """The objective of each fresh run; None where it did not end with one."""
    metrics: Mapping[str, float]
    """Mean over the fresh runs of every metric all of them have; of the search's run when there are none."""

    @property
    def stable(self) -> bool:
        """Whether every fresh run ended with a value."""
        return all(value is not None for value in self.values)

    @property
    def mean(self) -> float | None:
        """Mean of the fresh values; None without any."""
        values = [value for value in self.values if value is not None]
        return fmean(values) if values else None

    @property
    def sd(self) -> float | None:
        """Standard deviation of the fresh values; None with fewer than two."""
        values = [value for value in self.values if value is not None]
        return stdev(values) if len(values) > 1 else None

    @property
    def reach(self) -> float | None:
        """How far a further fresh run may lie from the searched value: in 19 of 20 cases no farther; None untold.

        The distance of the mean from the searched value, and half of the 95 % prediction interval of one more run,
        t(0.975, n - 1) sd sqrt(1 + 1/n).
        """
        runs = sum(value is not None for value in self.values)
        if self.mean is None or self.sd is None:
            return None
        from scipy.stats import t

        half = float(t.ppf(0.975, runs - 1)) * self.sd * (1 + 1 / runs) ** 0.5
        reach: float = abs(self.mean - self.searched) + half
        return reach


def leaders(records: Iterable[TrialRecord], objective: Objective, top: int) -> list[TrialRecord]:
    """The `top` complete trials by searched value, best first; equal values in the order they were tried."""
    sign = -1 if objective.direction == "maximize" else 1
    complete = [record for record in records if record.state == "complete" and record.value is not None]
    return sorted(complete, key=lambda record: (sign * (record.value or 0.0), record.number))[:top]


def finalist(record: TrialRecord, last_reports: Sequence[EpochReport | None], objective: Objective) -> Finalist:
    """A leader with the last reports of its fresh runs (None for a run that left none)."""
    found = [report.metrics for report in last_reports if report is not None]
    shared = set.intersection(*(set(metrics) for metrics in found)) if found else set()
    means = {name: fmean(metrics[name] for metrics in found) for name in sorted(shared)}
    return Finalist(
        trial=record.number,
        searched=float(record.value or 0.0),
        values=tuple(None if report is None else report.metrics.get(objective.metric) for report in last_reports),
        metrics=means if found else dict(record.metrics or {}),
    )


def rank(finalists: Iterable[Finalist], objective: Objective) -> list[Finalist]:
    """Best first by the mean of the fresh runs; a leader with a run that ended without a value comes after the rest."""
    sign = -1 if objective.direction == "maximize" else 1

    def place(candidate: Finalist) -> tuple[bool, float]:
        value = candidate.searched if not candidate.values else candidate.mean
        return not candidate.stable, float("inf") if value is None else sign * value

    return sorted(finalists, key=place)
