"""Leaders are chosen by the search and ranked by fresh seeds alone."""

from __future__ import annotations

from dataclasses import replace

import pytest

from abr_tune.finalists import confirmed, finalist, leaders, mean_optimism, rank, unfinished_leaders
from abr_tune.plan.plan import Bound, Constraint
from abr_tune.repeats import folds_interval
from abr_tune.search.events import TrialRecord, TrialState
from core.report import EpochReport
from core.tasks import Objective

METRIC = "val/class/f1_macro"
UP = (Objective(METRIC),)
DOWN = (Objective(METRIC, "minimize"),)
TWO = (Objective(METRIC), Objective("val/threshold/mae_db", "minimize"))
MAE = TWO[1].metric


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


def pair(number: int, f1: float, mae: float, **missed: float) -> TrialRecord:
    """A complete trial of a search with two objectives."""
    values = (f1, mae)
    return TrialRecord(
        number=number, name=None, state="complete", value=f1, values=values, params={}, violations=missed
    )


def test_the_search_flatters_its_winner_and_says_by_how_much() -> None:
    """Searched 0.9 and 0.7, fresh means 0.5 and 0.7: 0.4 and 0.0, 0.2 on average; less error than searched is worse."""
    lucky = finalist(record(0, 0.9), [report(0.4), report(0.6)], UP)
    steady = finalist(record(1, 0.7), [report(0.65), report(0.75)], UP)
    assert lucky.score.optimism == pytest.approx(0.4)
    assert mean_optimism([lucky, steady]) == pytest.approx(0.2)
    assert finalist(record(0, 0.9), [report(0.4), report(0.6)], DOWN).score.optimism == pytest.approx(-0.4)
    told = confirmed([steady, lucky])
    assert (told["seeds"], told["folds"], told["mean"]) == (2, 0, pytest.approx(0.7))
    # 0.7 +- t(0.975, 1) * 0.0707107 / sqrt(2) = 0.7 +- 12.7062 * 0.05.
    assert told["interval"] == pytest.approx([0.06469, 1.33531], abs=1e-4)
    assert (told["optimism"], told["optimism_of_finalists"]) == (pytest.approx(0.0), pytest.approx(0.2))


def test_the_front_leads_thinned_where_it_is_densest() -> None:
    """Six on the front: ends 0 and 5, a crowd of 1, 2, 3 and a lone 4. One of the crowd goes first, then another."""
    front = [
        pair(0, 0.90, 20.0),
        pair(1, 0.82, 12.2),
        pair(2, 0.81, 12.1),
        pair(3, 0.80, 12.0),
        pair(4, 0.50, 8.0),
        pair(5, 0.30, 5.0),
    ]
    behind = pair(6, 0.7, 15.0)
    everyone = [behind, *reversed(front)]
    assert [each.number for each in leaders(everyone, TWO, 5)] == [0, 1, 3, 4, 5]
    assert [each.number for each in leaders(everyone, TWO, 2)] == [0, 5]
    assert [each.number for each in leaders(everyone, TWO, 1)] == [0]
    # With room to spare the next front follows, after the whole first.
    assert [each.number for each in leaders(everyone, TWO, 7)] == [0, 1, 2, 3, 4, 5, 6]


def test_feasible_trials_lead_and_without_any_those_that_miss_least() -> None:
    good, bad, worse = pair(0, 0.5, 9.0), pair(1, 0.9, 5.0, a=0.2), pair(2, 0.95, 4.0, a=0.3)
    assert [each.number for each in leaders([worse, bad, good], TWO, 3)] == [0]
    assert [each.number for each in leaders([worse, bad], TWO, 2)] == [1, 2]


def test_constraints_are_judged_on_the_fresh_means() -> None:
    """The search saw 0.85; fresh runs give 0.7 and 0.8, a mean of 0.75 that misses 0.8 by 0.05."""
    limit = (Constraint("val/peak/exist_auroc", Bound(">", 0.8)),)
    name = limit[0].metric
    runs = [report(0.9, **{name: value}) for value in (0.7, 0.8)]
    good = finalist(record(0, 0.9), runs, UP, constraints=limit)
    assert good.violations == {name: pytest.approx(0.05)}
    kept = finalist(record(1, 0.5), [report(0.5, **{name: 0.9})] * 2, UP, constraints=limit)
    silent = finalist(record(2, 0.9), [report(0.9)] * 2, UP, constraints=limit)
    assert not silent.feasible
    assert [each.trial for each in rank([silent, good, kept], UP)] == [1, 0, 2]


def test_several_objectives_rank_by_the_front_of_their_means_then_by_the_first() -> None:
    runs = {0: [(0.6, 9.0), (0.8, 11.0)], 1: [(0.72, 12.0), (0.72, 14.0)], 2: [(0.75, 20.0), (0.65, 20.0)]}
    given = [
        finalist(pair(number, 0.9, 9.0), [report(f1, **{MAE: mae}) for f1, mae in each], TWO)
        for number, each in runs.items()
    ]
    # Means (0.7, 10), (0.72, 13), (0.7, 20): the last is behind both, whatever else.
    assert [each.trial for each in rank(given, TWO)] == [1, 0, 2]
    assert given[0].others[MAE].mean == pytest.approx(10.0)
    # Less error than fresh runs have: the search flattered by 1 dB.
    assert given[0].others[MAE].optimism == pytest.approx(1.0)
    assert given[0].to_json()["others"][MAE]["searched"] == 9.0


def test_folds_of_several_divisions_are_all_measurements_but_less_sure_than_seeds() -> None:
    """Two divisions in two folds: the spread is that of the four values, the interval that of folds."""
    values = (0.4, 0.6, 0.6, 0.8)
    folded = finalist(record(0, 0.6), [report(value) for value in values], UP, folds=2)
    assert folded.sd == pytest.approx(0.1632993, abs=1e-6)
    assert confirmed([folded])["interval"] == pytest.approx(folds_interval(values, 2))
    assert confirmed([folded])["seeds"] == 2
    # Other data than the search's: nobody can say how much it flattered.
    assert confirmed([folded])["optimism"] is None


def test_when_nothing_is_complete_the_furthest_leads() -> None:
    """Trial 1 trained its classes for 4 epochs, trial 0 for 2: age counts, then the value. The collapsed is out."""

    def history(*values: float, grace: int = 0) -> list[EpochReport]:
        return [
            EpochReport(epoch=epoch, phase="all", metrics={METRIC: value}, active={"class": max(0, epoch - grace)})
            for epoch, value in enumerate(values, 1)
        ]

    waiting = [record(number, None, "waiting") for number in range(3)]
    collapsed = TrialRecord(number=3, name=None, state="pruned", value=None, params={}, pruned_by="class_collapse")
    too_slow = replace(collapsed, number=4, pruned_by="limit_time")
    histories = {
        0: history(0.1, 0.2, 0.9, 0.9, grace=2),
        1: history(0.1, 0.2, 0.3, 0.4),
        2: history(0.1, 0.2, 0.3, 0.5),
        3: history(*[0.9] * 6),
        4: history(*[0.9] * 6),
    }
    found = unfinished_leaders([*waiting, collapsed, too_slow], histories, UP, (), 5)
    assert [(each.number, each.value, each.epochs) for each in found] == [(2, 0.5, 4), (1, 0.4, 4), (0, 0.9, 4)]
    first = finalist(found[0], [report(0.6)], UP)
    assert (first.unfinished, first.searched, first.mean) == (4, 0.5, 0.6)
    assert finalist(record(0, 0.9), [report(0.6)], UP).unfinished is None
