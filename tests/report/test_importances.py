"""Importances: compared at one epoch, and absent with a reason."""

from __future__ import annotations

import random

import optuna
from optuna.distributions import BaseDistribution, FloatDistribution
from optuna.trial import FrozenTrial, TrialState, create_trial

from abr_tune.report.importances import FEWEST, collapse_importances, importances
from abr_tune.search.records import CURVE
from core.tasks.task import Objective

OBJECTIVE = Objective("val/class/f1_macro")
BOX: dict[str, BaseDistribution] = {"a": FloatDistribution(0, 1), "b": FloatDistribution(0, 1)}


def trial(a: float, b: float, values: dict[int, float]) -> FrozenTrial:
    return create_trial(state=TrialState.PRUNED, params={"a": a, "b": b}, distributions=BOX, intermediate_values=values)


def trials(count: int, *, late: int = 0) -> list[FrozenTrial]:
    """At epoch 1 the score is `a`; the `late` first trials also have epoch 4, where it is `b`."""
    rng = random.Random(0)
    found = []
    for index in range(count):
        a, b = rng.random(), rng.random()
        found.append(trial(a, b, {1: a, 4: b} if index < late else {1: a}))
    return found


def test_the_setting_that_decides_comes_first() -> None:
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    result = importances(trials(30), OBJECTIVE)
    assert (result.epoch, result.trials, result.absent) == (1, 30, "")
    assert result.shares["a"] > 0.8
    assert abs(sum(result.shares.values()) - 1) < 1e-9


def test_trials_are_compared_at_the_latest_epoch_enough_of_them_reached() -> None:
    assert importances(trials(40, late=FEWEST - 1), OBJECTIVE).epoch == 1
    late = importances(trials(40, late=FEWEST + 5), OBJECTIVE)
    assert (late.epoch, late.trials) == (4, FEWEST + 5)
    assert late.shares["b"] > 0.8


def test_too_few_trials_are_said() -> None:
    result = importances(trials(FEWEST - 1), OBJECTIVE)
    assert result.shares == {}
    assert result.absent == "Importances need 20 trials with a score at the same epoch; this run has 19."


def test_equal_scores_are_said() -> None:
    rng = random.Random(1)
    result = importances([trial(rng.random(), rng.random(), {1: 0.178}) for _ in range(25)], OBJECTIVE)
    assert "no setting told them apart" in result.absent


def test_trials_outside_the_space_take_no_part() -> None:
    outside = create_trial(state=TrialState.COMPLETE, value=1.0, intermediate_values={1: 1.0, 9: 1.0})
    assert importances([*trials(25), *[outside] * 30], OBJECTIVE).trials == 25


def test_of_several_objectives_each_has_its_own() -> None:
    """The first objective is `a`, the second `b`; both at age 4, whatever the epoch."""
    rng = random.Random(2)
    found = []
    for _ in range(30):
        a, b = rng.random(), rng.random()
        found.append(
            create_trial(
                state=TrialState.COMPLETE,
                params={"a": a, "b": b},
                distributions=BOX,
                values=[a, b],
                system_attrs={CURVE: [[6, 4, 0.0, a, b]]},
            )
        )
    assert importances(found, OBJECTIVE).shares["a"] > 0.8
    second = importances(found, Objective("val/threshold/mae_db", "minimize"), 1)
    assert (second.epoch, second.shares["b"] > 0.8) == (4, True)


def test_what_makes_runs_collapse() -> None:
    """Those with a small `b` collapse; the score of the others is `a`, which has nothing to do with it."""
    rng = random.Random(3)
    found = []
    for number in range(60):
        a, b = rng.random(), rng.random()
        attributes = {"pruned_by": "class_collapse"} if b < 0.4 else {}
        state = TrialState.PRUNED if b < 0.4 else TrialState.COMPLETE
        made = create_trial(
            state=state,
            params={"a": a, "b": b},
            distributions=BOX,
            value=a,
            user_attrs={**attributes, "epoch": 4},
            intermediate_values={4: a},
        )
        made.number = number
        found.append(made)
    told = collapse_importances(found)
    assert (told.trials, told.absent) == (60, "")
    assert told.shares["b"] > 0.8
    healthy = [trial for trial in found if trial.state is TrialState.COMPLETE]
    assert f"{len(healthy)} trials show whether they do, 0 of them" in collapse_importances(healthy).absent
