"""A run's reports as the rules read them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Self, TypeVar

from core.report import EpochReport


@dataclass(frozen=True, slots=True)
class History:
    """The reports of one run in the order of their epochs, each epoch once; never empty."""

    reports: tuple[EpochReport, ...]
    """Complete reports; a report repeated after a restart replaces the first."""
    broken: EpochReport | None = None
    """The last report when it was sent from within an epoch: something was not finite."""
    length: int | None = None
    """Epochs the run is going to train; None where nobody says."""

    @classmethod
    def of(cls, reports: Sequence[EpochReport], length: int | None = None) -> Self:
        """Order `reports`, which holds at least one."""
        by_epoch = {report.epoch: report for report in reports if report.complete}
        broken = None if reports[-1].complete else reports[-1]
        return cls(tuple(by_epoch[epoch] for epoch in sorted(by_epoch)), broken, length)

    @property
    def last(self) -> EpochReport:
        """The report being judged."""
        return self.broken or self.reports[-1]

    def judged(self, term: str, grace: int) -> tuple[EpochReport, ...]:
        """The unbroken run of latest reports in which `term` had been trained for more than `grace` epochs."""
        return self.while_true(lambda report: report.active.get(term, 0) > grace)

    def while_true(self, test: Callable[[EpochReport], bool]) -> tuple[EpochReport, ...]:
        """The latest reports that pass `test` without a gap, in order."""
        return _tail(self.reports, test)

    def stalled(self, report: EpochReport, term: str, *, window: int, fall: float) -> bool:
        """Whether the loss of `term` fell by less than the share `fall` in the `window` epochs before `report`."""
        change = self.fall_of(report, term, window)
        return change is not None and change < fall

    def fall_ahead(self, report: EpochReport, term: str, window: int) -> float | None:
        """By which share the loss of `term` would still fall at the pace of the last `window` epochs, in a line.

        A line is generous: losses flatten out, and learning rates are lowered towards the end. None when it cannot be
        told.
        """
        change = self.fall_of(report, term, window)
        return None if change is None or self.length is None else change / window * (self.length - report.epoch)

    def rise_of(self, report: EpochReport, metric: str, window: int) -> float | None:
        """How much a metric rose in the `window` epochs before `report`; None when it cannot be told."""
        before = next((each for each in self.reports if each.epoch == report.epoch - window), None)
        if before is None or metric not in before.metrics or metric not in report.metrics:
            return None
        return report.metrics[metric] - before.metrics[metric]

    def fall_of(self, report: EpochReport, term: str, window: int) -> float | None:
        """By which share of its size the loss of `term` fell in `window` epochs; None when it cannot be told.

        Measured against the absolute value, because a likelihood loss may be negative.
        """
        before = next((earlier for earlier in self.reports if earlier.epoch == report.epoch - window), None)
        name = f"loss/{term}"
        if before is None or term not in before.active or name not in before.health or name not in report.health:
            return None
        return (before.health[name] - report.health[name]) / max(abs(before.health[name]), TINY)


TINY = 1e-12
"""Keeps a share of a loss that is exactly 0 finite."""


Item = TypeVar("Item")


def streak(items: Iterable[Item], test: Callable[[Item], bool]) -> int:
    """How many of the latest reports, or numbers of reports, pass `test` without a gap."""
    return len(_tail(tuple(items), test))


def _tail(reports: Sequence[Item], test: Callable[[Item], bool]) -> tuple[Item, ...]:
    start = len(reports)
    while start > 0 and test(reports[start - 1]):
        start -= 1
    return tuple(reports[start:])
