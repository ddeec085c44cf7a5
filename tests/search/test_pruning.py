"""Ranking rules on curves small enough to check by hand."""

from typing import get_args

import pytest

from abr_tune.plan.plan import Pruner
from abr_tune.search.pruning import RANKINGS, Board, PrunerName, milestones, rungs

HALVING = Pruner(kind="successive_halving", reduction=2, min_epochs=1)


def board_of(values: dict[int, float], epoch: int = 1, direction="maximize") -> Board:
    board = Board(direction)
    for number, value in values.items():
        board.record(number, epoch, value)
    return board


def stopped(board: Board, number: int, pruner: Pruner, epoch: int = 1, complete: frozenset[int] = frozenset()):
    return RANKINGS[pruner.kind](board.standing(number, epoch, complete), pruner)


def test_every_pruner_has_its_ranking() -> None:
    assert (
        set(RANKINGS)
        == set(get_args(PrunerName))
        == set(get_args(Pruner.__annotations__["kind"].__class__) or RANKINGS)
    )


def test_rungs_grow_and_stay_below_the_last_epoch() -> None:
    assert rungs(Pruner(reduction=4, min_epochs=1), 20) == (1, 4, 16)
    assert rungs(Pruner(reduction=4, min_epochs=1), 16) == (1, 4)
    assert rungs(Pruner(reduction=3, min_epochs=2), 20) == (2, 6, 18)
    with pytest.raises(ValueError, match="cannot grow"):
        rungs(Pruner(reduction=1), 20)


def test_only_halving_makes_a_worker_wait() -> None:
    assert milestones(HALVING, 5) == (1, 2, 4)
    assert milestones(Pruner(kind="median"), 5) == ()


def test_halving_keeps_the_top_half_at_a_rung() -> None:
    board = board_of({0: 0.1, 1: 0.2, 2: 0.3, 3: 0.4})
    assert [stopped(board, number, HALVING) is None for number in range(4)] == [False, False, True, True]
    verdict = stopped(board, 1, HALVING)
    assert verdict.rule == "successive_halving"
    assert verdict.evidence == {"value": 0.2, "ahead": 2, "reached": 4, "places": 2}


def test_halving_minimizes_too() -> None:
    board = board_of({0: 0.1, 1: 0.2, 2: 0.3, 3: 0.4}, direction="minimize")
    assert [stopped(board, number, HALVING) is None for number in range(4)] == [True, True, False, False]


def test_the_first_to_reach_a_rung_goes_on_and_equals_share_a_place() -> None:
    assert stopped(board_of({0: 0.1}), 0, HALVING) is None
    assert stopped(board_of({0: 0.1, 1: 0.1}), 1, HALVING) is None


def test_epochs_are_never_mixed() -> None:
    board = board_of({0: 0.9, 1: 0.9}, epoch=20)
    board.record(2, 4, 0.1)
    assert stopped(board, 2, Pruner(reduction=4), epoch=4) is None


def test_between_rungs_nothing_is_judged() -> None:
    board = board_of({0: 0.9, 1: 0.8, 2: 0.1}, epoch=3)
    assert stopped(board, 2, HALVING, epoch=3) is None


def test_median_asks_for_complete_trials_and_compares_the_best_so_far() -> None:
    rule = Pruner(kind="median", startup_trials=3, min_epochs=2)
    board = board_of({0: 0.2, 1: 0.4, 2: 0.6, 3: 0.3}, epoch=2)
    everyone = frozenset({0, 1, 2})
    assert stopped(board, 3, rule, epoch=2, complete=frozenset({0, 1})) is None
    verdict = stopped(board, 3, rule, epoch=2, complete=everyone)
    assert verdict.evidence == {"best": 0.3, "median": 0.4, "trials": 3}
    board = board_of({0: 0.2, 1: 0.4, 2: 0.6}, epoch=2)
    board.record(3, 1, 0.5)
    board.record(3, 2, 0.3)
    assert stopped(board, 3, rule, epoch=2, complete=everyone) is None  # its best, 0.5, is above the median
    assert stopped(board_of({0: 0.2, 1: 0.4, 2: 0.6, 3: 0.0}), 3, rule, complete=everyone) is None  # before min_epochs


def test_the_board_refuses_what_is_not_finite() -> None:
    with pytest.raises(ValueError, match="nan"):
        Board("maximize").record(0, 1, float("nan"))
    with pytest.raises(ValueError, match="inf"):
        Board("maximize").record(0, 1, float("inf"))


def test_a_fresh_start_replaces_the_earlier_attempt() -> None:
    board = Board("maximize")
    for epoch in (1, 2, 3):
        board.record(0, epoch, 0.5)
    board.record(0, 1, 0.2)
    assert dict(board.curve(0)) == {1: 0.2}
    assert board.standing(0, 3, frozenset()) is None
