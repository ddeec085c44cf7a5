"""What to try next follows from what the run's own trials show."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from abr_tune.advice import Evidence, Miss, differences, mean_curve, next_steps
from abr_tune.finalists import Finalist
from abr_tune.plan.plan import Bound, Criterion
from abr_tune.search.events import TrialRecord, TrialState
from core.report import EpochReport
from tests.search.tasks import METRIC, plan

RARE = "val/class/f1/RARE"
GO = Criterion(RARE, Bound(">", 0.4))
BEST = {"lr": 0.5, "power": 1.0}


def trial(
    number: int, rare: float | None, *, name: str | None = None, state: TrialState = "complete", **params: Any
) -> TrialRecord:
    metrics = {} if rare is None else {RARE: rare, METRIC: 0.5}
    return TrialRecord(
        number=number,
        name=name,
        state=state,
        value=0.5 if state == "complete" else None,
        params={**BEST, **params},
        metrics=metrics,
        pruned_by="class_collapse" if state == "pruned" else None,
        epochs=6,
    )


def history(*values: float, active: int | None = None) -> list[EpochReport]:
    return [
        EpochReport(
            epoch=epoch,
            phase="all",
            metrics={RARE: value},
            active={"class": epoch} if active is None else {"other": 1, **({"class": active} if active else {})},
        )
        for epoch, value in enumerate(values, 1)
    ]


def evidence(
    records: Sequence[TrialRecord], *runs: list[EpochReport], baseline: float = 0.0, fresh: bool = True
) -> Evidence:
    best = Finalist(
        trial=0,
        searched=0.5,
        metrics={},
        values=tuple(0.5 for _ in runs) if fresh else (),
        runs=tuple(f"confirm/0-{index}" for index, _ in enumerate(runs, 1)) if fresh else (),
    )
    return Evidence(
        plan=plan(),
        best=best,
        params=BEST,
        records=[trial(0, 0.0), *records],
        histories=runs,
        baselines={RARE: baseline},
    )


FLAT = history(*[0.0] * 8)


def test_a_class_at_zero_points_to_the_trial_that_found_it_and_what_that_one_changed() -> None:
    """Of two that met it, the one that differs in less; one that was stopped comes after those that were not."""
    others = [
        trial(1, 0.5, lr=0.1, power=2.0),
        trial(2, 0.45, name="weights only", power=2.0),
        trial(3, 0.9, state="pruned", power=1.5),
    ]
    [step] = next_steps(GO, 0.0, evidence(others, FLAT))
    assert step == (
        f"trial 2 (weights only) met it with 0.45, at {METRIC} 0.5; it differs from the best in power 2 instead of 1"
    )


def test_when_nobody_met_it_the_nearest_is_named() -> None:
    [step] = next_steps(GO, 0.0, evidence([trial(1, 0.1), trial(2, 0.3, lr=0.1), trial(3, None)], FLAT))
    assert step.startswith("trial 2 came nearest with 0.3")
    assert step.endswith("it differs from the best in lr 0.1 instead of 0.5")


def test_when_nobody_came_nearer_it_says_whether_to_search_on() -> None:
    worse = [trial(number, 0.0) for number in range(1, 9)]
    early = replace(evidence(worse, FLAT), records=[trial(0, 0.35), *worse])
    assert next_steps(GO, 0.35, early) == (
        "none of the 8 trials after trial 0 came nearer: search other levers, or wider ranges",
    )
    late = replace(early, records=[trial(0, 0.1), *worse, trial(9, 0.34)])
    assert next_steps(GO, 0.35, late) == (
        "the search was still coming nearer: its nearest is trial 9 of 10; search on with --trials 20",
    )


def test_what_was_met_on_the_way_and_lost() -> None:
    steps = next_steps(GO, 0.3, evidence([], history(0.2, 0.45, 0.5, 0.3), history(0.2, 0.45, 0.48, 0.3)))
    assert steps == (
        "the best met it at epoch 3 with 0.49 and lost it by the end: --set train.epochs=3, "
        "or a lower rate towards the end",
    )


def test_what_still_moves_is_given_the_epochs_it_needs() -> None:
    """0.02 an epoch with 0.06 to go: three more epochs after the eighth."""
    run = history(*(0.2 + 0.02 * step for step in range(8)))
    steps = next_steps(GO, 0.34, evidence([], run))
    assert steps == (
        "it still moves by 0.02 an epoch towards 0.4 at the end of the best runs: about 3 more epochs, "
        "--set train.epochs=11",
    )
    noisy = next_steps(GO, 0.3, evidence([], history(*[0.3, 0.29, 0.3, 0.3, 0.29, 0.3, 0.29, 0.3])))
    assert not any("moves" in step for step in noisy)


def test_a_lucky_seed_is_called_one() -> None:
    lucky = evidence([], history(0.3), history(0.42))
    lucky = replace(lucky, records=[trial(0, 0.45)])
    [step] = next_steps(GO, 0.36, lucky)
    assert step.startswith("the search's own run met it with 0.45, and 1 of 2 fresh ones do: it depends on the seed")
    folded = replace(lucky, best=replace(lucky.best, folds=2))
    [step] = next_steps(GO, 0.36, folded)
    assert "1 of 2 fresh ones do: it depends on what is held out" in step


@pytest.mark.parametrize(
    ("active", "said"),
    [(0, "class was not trained in the best run"), (2, "class was trained for only 2 of 8 epochs in the best run")],
)
def test_a_term_that_was_off_cannot_score(active: int, said: str) -> None:
    steps = next_steps(GO, 0.0, evidence([], history(*[0.0] * 8, active=active)))
    assert steps[0].startswith(said)


def test_the_lever_it_goes_with_is_named_only_when_that_is_no_chance() -> None:
    rising = [trial(number, 0.02 * number, lr=0.01 * number, power=1.0 + number % 2) for number in range(1, 16)]
    steps = next_steps(GO, 0.0, evidence(rising, FLAT))
    assert steps[-1].startswith("over 16 complete trials it comes nearer with a ")
    # A falling metric with the same lever: the other way round.
    falling = [trial(number, 0.3 - 0.02 * number, lr=0.01 * number) for number in range(1, 14)]
    assert "with a smaller lr" in next_steps(GO, 0.0, evidence(falling, FLAT))[-1]
    # 0.1, 0.2 and 0.3 in turn over a rising rate: a correlation of nearly nothing.
    noise = [trial(number, 0.1 * (1 + number % 3), lr=0.01 * number) for number in range(1, 19)]
    assert not any("rank correlation" in step for step in next_steps(GO, 0.0, evidence(noise, FLAT)))
    few = [trial(number, 0.02 * number, lr=0.01 * number) for number in range(1, 6)]
    assert not any("rank correlation" in step for step in next_steps(GO, 0.0, evidence(few, FLAT)))


def test_when_nobody_beats_the_trivial_predictor_the_way_out_of_collapse_is_sought() -> None:
    """Twenty of forty collapse, all with a large power."""
    records = [
        trial(number, 0.1, state="pruned" if number > 20 else "complete", power=number / 40) for number in range(1, 41)
    ]
    steps = next_steps(GO, 0.05, evidence(records, history(*[0.05] * 8), baseline=0.2))
    assert steps[0].startswith("no trial beats the trivial predictor (0.2); power tells most about collapse: ")
    assert steps[0].endswith("search there")
    healthy = [trial(number, 0.1, power=number / 40) for number in range(1, 41)]
    steps = next_steps(GO, 0.05, evidence(healthy, history(*[0.05] * 8), baseline=0.2))
    assert steps[0].startswith(
        "no trial beats the trivial predictor (0.2): none of 41 trials collapsed; search other levers"
    )
    beaten = next_steps(GO, 0.05, evidence([trial(1, 0.3)], history(*[0.05] * 8), baseline=0.2))
    assert not any("trivial" in step for step in beaten)


def test_smaller_and_equal_bounds_know_their_way() -> None:
    small, equal = Miss("m", Bound("<", 10.0), 12.0), Miss("m", Bound("==", 5.0), 4.0)
    assert small.nearer(11.0, 12.0)
    assert not small.nearer(13.0, 12.0)
    assert equal.nearer(5.0, 6.0)
    assert equal.by(5.0) == 0


def test_differences_and_means() -> None:
    assert differences({"a": 1, "b": 2}, {"a": 1, "b": 3, "c": 4}) == ["b", "c"]
    assert mean_curve(RARE, [history(0.2, 0.4), history(0.4)]) == {1: pytest.approx(0.3)}
