"""The pruners and samplers a space file may name, each with the settings it reads and no others."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Final

from pydantic import Field

from abr_tune.plan.plan import Pruner, Sampler
from abr_tune.plan.schema import Count, Section

Natural = Annotated[int, Field(ge=0)]
Share = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]


class NoPruner(Section):
    """Every trial that stays healthy runs to its end."""


class Median(Section):
    """Trials worse than the median of the earlier ones at the same epoch are stopped."""

    startup_trials: Natural = Pruner().startup_trials
    """Trials that run in full before any is stopped."""
    min_epochs: Count = Pruner().min_epochs
    """First epoch at which a trial may be stopped by ranking."""


class Halving(Section):
    """One in `reduction` trials goes on from each rung."""

    promote: bool = Pruner().promote
    """Trials pause at each rung and the best go on from their checkpoints; false: stopped for good at a rung."""
    reduction: Annotated[int, Field(ge=2)] = Pruner().reduction
    """How many trials compete for one place on the next rung."""
    min_epochs: Count = Pruner().min_epochs
    """Epoch of the first rung."""


class Hyperband(Section):
    """Successive halvings side by side, each with a later first rung: safe where good trials start slowly."""

    promote: bool = Pruner().promote
    """Trials pause at each rung and the best go on from their checkpoints; false: stopped for good at a rung."""
    reduction: Annotated[int, Field(ge=2)] = Pruner().reduction
    """How many trials compete for one place on the next rung."""
    min_epochs: Count = Pruner().min_epochs
    """Epoch of the earliest first rung."""


class Screening(Section):
    """All trials are trained for `min_epochs`; then the best share of them is trained to the end."""

    keep: Annotated[float, Field(gt=0, le=1, allow_inf_nan=False)] = Pruner().keep
    """Share of the budget's trials that is trained to the end."""
    min_epochs: Count = Pruner().min_epochs
    """Epoch at which all are compared."""


class Wilcoxon(Section):
    """For tasks whose reports are folds or seeds of one configuration, scored in the same order in every trial.

    Stops a trial that the best one beats on the reports they share (Wilcoxon's signed-rank test). Each report is one
    fold or seed, and the trial's value is the mean over its reports, not the last of them.
    """

    p_value: Annotated[float, Field(gt=0, lt=1, allow_inf_nan=False)] = Pruner().p_value
    """Chance of stopping a trial that is as good as the best, under which one is stopped."""
    min_epochs: Count = Pruner().min_epochs
    """First report after which a trial may be stopped."""


PRUNERS: Final[Mapping[str, type[Section]]] = {
    "none": NoPruner,
    "median": Median,
    "successive_halving": Halving,
    "hyperband": Hyperband,
    "screening": Screening,
    "wilcoxon": Wilcoxon,
}
"""Rankings between trials."""


class Tpe(Section):
    """Tree-structured Parzen estimators, one for each rung: values of different age are never mixed."""

    startup_trials: Natural = Sampler().startup_trials
    """Random proposals before the model is used."""
    random_share: Share = Sampler().random_share
    """Share of the later proposals that is random all the same."""


class OptunaTpe(Section):
    """Optuna's own tree-structured Parzen estimator, which ranks stopped trials by the epoch they reached."""

    startup_trials: Natural = Sampler().startup_trials
    """Random proposals before the model is used."""


class Gp(Section):
    """A Gaussian process; strong with few trials and few paths."""

    startup_trials: Natural = Sampler().startup_trials
    """Random proposals before the model is used."""


class CmaEs(Section):
    """Covariance matrix adaptation, for many trials over numbers; choices are drawn at random beside it."""

    startup_trials: Natural = Sampler().startup_trials
    """Random proposals before the model is used."""


class Nsga2(Section):
    """A genetic algorithm, for several objectives and many trials."""


class RandomSampler(Section):
    """Independent random proposals."""


class Qmc(Section):
    """A low-discrepancy sequence: random proposals that leave no gaps."""


class Grid(Section):
    """Every combination once; a range says with `points` how many of its values are tried."""


SAMPLERS: Final[Mapping[str, type[Section]]] = {
    "tpe": Tpe,
    "optuna_tpe": OptunaTpe,
    "gp": Gp,
    "cmaes": CmaEs,
    "nsga2": Nsga2,
    "random": RandomSampler,
    "qmc": Qmc,
    "grid": Grid,
}
"""Who proposes configurations."""
