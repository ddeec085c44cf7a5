"""Which searched settings mattered, compared between trials at the same epoch only."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Final

from optuna import create_study, logging
from optuna.importance import PedAnovaImportanceEvaluator, get_param_importances
from optuna.search_space import intersection_search_space
from optuna.trial import FrozenTrial, create_trial

from abr_tune.report.data import Importances
from abr_tune.search.study import points_of
from core.tasks.task import Objective

FEWEST: Final = 20
"""Trials below which the best quarter is a handful and importances are noise."""
QUARTER: Final = 0.25
"""PED-ANOVA (Watanabe et al. 2023, 2304.10255) separates this share of best trials from all; Optuna's default of a
tenth would be two or three trials in a search of this size."""


def importances(trials: Sequence[FrozenTrial], objective: Objective) -> Importances:
    """PED-ANOVA at the latest age that enough trials reached: only there can their scores be compared.

    Stopped trials take part with their value at that epoch: leaving them out would keep only good settings, and taking
    their last values would compare early epochs with late ones.
    """
    within = [(trial, curve) for trial in trials if trial.params and (curve := _by_age(trial))]
    reached = Counter(age for _, curve in within for age in curve)
    epoch = max((epoch for epoch, count in reached.items() if count >= FEWEST), default=None)
    if epoch is None:
        most = max(reached.values(), default=0)
        return Importances(
            absent=f"Importances need {FEWEST} trials with a score at the same epoch; this run has {most}."
        )
    chosen = [trial for trial, curve in within if epoch in curve]
    values = [curve[epoch] for _, curve in within if epoch in curve]
    if len(set(values)) == 1:
        return Importances(
            absent=f"All {len(chosen)} trials score the same at epoch {epoch}: no setting told them apart."
        )
    logging.set_verbosity(logging.WARNING)
    study = create_study(direction=objective.direction)
    study.add_trials(
        create_trial(params=trial.params, distributions=trial.distributions, value=value)
        for trial, value in zip(chosen, values, strict=True)
    )
    shared = [name for name, choice in intersection_search_space(study.get_trials()).items() if not choice.single()]
    if not shared:
        return Importances(absent="No setting was searched in every trial.")
    evaluator = PedAnovaImportanceEvaluator(target_quantile=QUARTER)
    shares = get_param_importances(study, evaluator=evaluator, params=shared)
    return Importances(shares={name: float(share) for name, share in shares.items()}, epoch=epoch, trials=len(chosen))


def _by_age(trial: FrozenTrial) -> dict[int, float]:
    """Age -> first objective; the last epoch counts where the age stands still."""
    return {point.age: point.values[0] for point in points_of(trial) if point.age > 0}
