"""Which searched settings mattered, compared between trials at the same epoch only."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Final

from optuna import create_study
from optuna.importance import PedAnovaImportanceEvaluator, get_param_importances
from optuna.search_space import intersection_search_space
from optuna.trial import FrozenTrial, create_trial

from abr_tune.report.data import Importances
from core.tasks.task import Objective

FEWEST: Final = 20
"""Trials below which the best quarter is a handful and importances are noise."""
QUARTER: Final = 0.25
"""PED-ANOVA (Watanabe et al. 2023, 2304.10255) separates this share of best trials from all; Optuna's default of a
tenth would be two or three trials in a search of this size."""


def importances(trials: Sequence[FrozenTrial], objective: Objective) -> Importances:
    """PED-ANOVA at the latest epoch that enough trials reached.

    Stopped trials take part with their value at that epoch: leaving them out would keep only good settings, and taking
    their last values would compare early epochs with late ones.
    """
    within = [trial for trial in trials if trial.params and trial.intermediate_values]
    reached = Counter(epoch for trial in within for epoch in trial.intermediate_values)
    epoch = max((epoch for epoch, count in reached.items() if count >= FEWEST), default=None)
    if epoch is None:
        most = max(reached.values(), default=0)
        return Importances(
            absent=f"Importances need {FEWEST} trials with a score at the same epoch; this run has {most}."
        )
    chosen = [trial for trial in within if epoch in trial.intermediate_values]
    values = [trial.intermediate_values[epoch] for trial in chosen]
    if len(set(values)) == 1:
        return Importances(
            absent=f"All {len(chosen)} trials score the same at epoch {epoch}: no setting told them apart."
        )
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
