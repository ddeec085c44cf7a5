"""Leaders are chosen by the search and ranked by fresh seeds alone."""

from __future__ import annotations

import pytest

from abr_tune.finalists import finalist, leaders, rank
from abr_tune.search.events import TrialRecord, TrialState
from core.report import EpochReport
from core.tasks import Objective

METRIC = "val/class/f1_macro"
UP = Objective(METRIC)
DOWN = Objective(METRIC, "minimize")


def record(number: int, value: float | None, state: TrialState = "complete") -> TrialRecord:
    metrics = {} if value is None else {METRIC: value}
    return TrialRecord(number=number, name=None, state=state, value=value, params={}, metrics=metrics)


def report(value: float, **more: float) -> EpochReport:
    return EpochReport(epoch=1, phase="all", metrics={METRIC: value} | more)


def test_leaders_are_the_best_complete_trials() -> None:
    """A pruned trial never leads, whatever its last value; ties go to the earlier trial."""
    records = [record(0, 0.5), record(1, 0.9, "pruned"), record(2, 0.7), record(3, 0.5), record(4, None, "failed")]
    assert [each.number for each in leaders(records, UP, 3)] == [2, 0, 3]
    assert [each.number for each in leaders(records, DOWN, 1)] == [0]


def test_the_fresh_seeds_decide() -> None:
    """The searched winner was lucky: 0.9 once, 0.5 on average afterwards."""
    lucky = finalist(record(0, 0.9), [report(0.4), report(0.6)], UP)
    steady = finalist(record(1, 0.7), [report(0.65), report(0.75)], UP)
    assert [each.trial for each in rank([lucky, steady], UP)] == [1, 0]
    assert steady.mean == pytest.approx(0.7)
    # Standard deviation of 0.65 and 0.75 around 0.7: sqrt(2 * 0.05^2 / 1).
    assert steady.sd == pytest.approx(0.0707107, abs=1e-6)


def test_the_reach_of_a_fresh_run_follows_from_the_spread() -> None:
    """Values 0.65 and 0.75 around 0.7, searched 0.72: 0.02 + t(0.975, 1) * 0.0707107 * sqrt(1.5) = 1.1204."""
    steady = finalist(record(1, 0.72), [report(0.65), report(0.75)], UP)
    # t(0.975, 1) is 12.7062.
    assert steady.reach == pytest.approx(0.02 + 12.7062 * 0.0707107 * 1.2247449, abs=1e-4)
    assert finalist(record(1, 0.72), [report(0.65)], UP).reach is None


def test_a_leader_that_broke_on_a_fresh_seed_comes_last() -> None:
    """One run without a value weighs more than a high mean of the rest."""
    broken = finalist(record(0, 0.9), [report(0.9), None], UP)
    steady = finalist(record(1, 0.3), [report(0.3), report(0.3)], UP)
    assert [each.trial for each in rank([broken, steady], UP)] == [1, 0]
    assert broken.values == (0.9, None)


def test_without_confirmation_the_searched_value_ranks() -> None:
    """`confirm: {top: 0}` leaves the search's own order and metrics."""
    first, second = (finalist(record(number, value), [], UP) for number, value in ((0, 0.2), (1, 0.6)))
    assert [each.trial for each in rank([first, second], UP)] == [1, 0]
    assert second.metrics == {METRIC: 0.6}
    assert second.mean is None


def test_metrics_are_means_of_what_every_fresh_run_has() -> None:
    """A metric one run could not compute is not averaged over the others."""
    ranked = finalist(record(0, 0.5), [report(0.4, extra=1.0), report(0.6)], UP)
    assert ranked.metrics == {METRIC: pytest.approx(0.5)}
