"""How long nothing better has come."""

from __future__ import annotations

from abr_tune.search.improvement import Improvement
from core.tasks.task import Objective

UP, DOWN = Objective("score"), Objective("cost", "minimize")


def counts(improvement: Improvement, *endings: tuple[float, ...]) -> list[int]:
    found = []
    for values in endings:
        improvement.ended(values)
        found.append(improvement.since)
    return found


def test_only_a_better_end_starts_the_count_again() -> None:
    #                                        pruned  best   pruned worse  equal  better
    assert counts(Improvement([UP]), (), (0.5,), (), (0.4,), (0.5,), (0.6,)) == [1, 0, 1, 2, 3, 0]


def test_smaller_is_better_where_it_is_minimized() -> None:
    assert counts(Improvement([DOWN]), (5.0,), (6.0,), (4.0,)) == [0, 1, 0]


def test_with_several_objectives_the_front_must_change() -> None:
    endings = ((0.5, 5.0), (0.4, 4.0), (0.4, 4.5), (0.5, 5.0), (0.3, 3.0), (0.6, 3.0), (0.4, 4.0))
    #           first        a trade     covered    equal       a trade    beats all   covered now
    assert counts(Improvement([UP, DOWN]), *endings) == [0, 0, 1, 2, 0, 0, 1]


def test_a_trial_that_misses_a_constraint_improves_nothing() -> None:
    improvement = Improvement([UP])
    improvement.ended((0.9,), feasible=False)
    assert improvement.since == 1
    assert counts(improvement, (0.5,)) == [0]
