"""Which searched settings mattered, compared between trials at the same epoch only."""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Sequence
from typing import Final

from optuna import create_study, logging
from optuna.search_space import intersection_search_space
from optuna.trial import FrozenTrial, create_trial

from abr_tune.report.collapse import fates
from abr_tune.report.data import Importances
from abr_tune.search.fidelity import by_age
from abr_tune.search.records import points_of, record_of
from core.tasks.task import Objective

FEWEST: Final = 20
"""Trials below which the best quarter is a handful and importances are noise."""
QUARTER: Final = 0.25
"""PED-ANOVA (Watanabe et al. 2023, 2304.10255) separates this share of best trials from all; Optuna's default of a
tenth would be two or three trials in a search of this size."""


def importances(trials: Sequence[FrozenTrial], objective: Objective, place: int = 0) -> Importances:
    """PED-ANOVA at the latest age that enough trials reached: only there can their scores be compared.

    `place` is that of `objective` among the objectives of the study. Stopped trials take part with their value at that
    age: leaving them out would keep only good settings, and taking their last values would compare early with late.
    """
    within = [(trial, curve) for trial in trials if trial.params and (curve := _curve(trial, place))]
    reached = Counter(age for _, curve in within for age in curve)
    age = max((age for age, count in reached.items() if count >= FEWEST), default=None)
    if age is None:
        most = max(reached.values(), default=0)
        return Importances(
            absent=f"Importances need {FEWEST} trials with a score at the same epoch; this run has {most}."
        )
    chosen = [trial for trial, curve in within if age in curve]
    values = [curve[age] for _, curve in within if age in curve]
    if len(set(values)) == 1:
        return Importances(
            absent=f"All {len(chosen)} trials score the same at epoch {age}: no setting told them apart."
        )
    sign = -1 if objective.direction == "maximize" else 1
    return _ped_anova(chosen, [sign * value for value in values], QUARTER, age)


def collapse_importances(trials: Sequence[FrozenTrial]) -> Importances:
    """PED-ANOVA of who stays healthy: which settings set the trials that did not collapse apart from all."""
    by_number = {trial.number: trial for trial in trials if trial.params}
    fate = {
        number: gone for number, gone in fates([record_of(trial) for trial in trials]).items() if number in by_number
    }
    collapsed = sum(fate.values())
    if len(fate) < FEWEST or collapsed in {0, len(fate)}:
        told = f"{len(fate)} trials show whether they do, {collapsed} of them collapsed"
        return Importances(absent=f"What makes runs collapse needs {FEWEST} trials of both kinds: {told}.")
    losses = [float(gone) for gone in fate.values()]
    healthy = 1 - collapsed / len(fate)
    return _ped_anova([by_number[number] for number in fate], losses, healthy, 0)


def _ped_anova(trials: Sequence[FrozenTrial], losses: Sequence[float], share: float, age: int) -> Importances:
    """Which settings set the `share` of trials with the smallest losses apart."""
    # It imports scikit-learn: a second of every command, which a run of few trials never needs.
    from optuna.importance import PedAnovaImportanceEvaluator, get_param_importances

    logging.set_verbosity(logging.WARNING)
    study = create_study(direction="minimize")
    study.add_trials(
        create_trial(params=trial.params, distributions=trial.distributions, value=loss)
        for trial, loss in zip(trials, losses, strict=True)
    )
    shared = [name for name, choice in intersection_search_space(study.get_trials()).items() if not choice.single()]
    if not shared:
        return Importances(absent="No setting was searched in every trial.")
    evaluator = PedAnovaImportanceEvaluator(target_quantile=share)
    with warnings.catch_warnings():
        # A conditional setting that is on in one trial only is no news to somebody who reads a page.
        warnings.filterwarnings("ignore", message="Some regimes", category=UserWarning)
        shares = get_param_importances(study, evaluator=evaluator, params=shared)
    return Importances(shares={name: float(part) for name, part in shares.items()}, epoch=age, trials=len(trials))


def _curve(trial: FrozenTrial, place: int) -> dict[int, float]:
    """Age -> one of the objectives."""
    return {age: point.values[place] for age, point in by_age(points_of(trial)).items()}
