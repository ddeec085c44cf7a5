"""Stock combinations under test: Optuna's own sampler and pruner objects, and what Ray Tune makes of them.

Neither has health rules or a guard against NaN, and neither is given one here.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, Final

import optuna
from optuna.distributions import BaseDistribution
from optuna.pruners import BasePruner
from optuna.samplers import BaseSampler
from optuna.study import Study
from optuna.trial import FrozenTrial, TrialState

from abr_tune.plan.space import Categorical, Coordinate, Int, Raw, Space
from abr_tune.replay.ground import Ground, Run
from abr_tune.replay.nearest import Shelf
from abr_tune.search.executor import Ruling
from abr_tune.search.samplers import distribution
from abr_tune.search.samplers.coordinates import collect
from abr_tune.trial import NO_LEAVE, Leave, TrialStep

if TYPE_CHECKING:
    from ray.tune.schedulers import AsyncHyperBandScheduler

TIME: Final = "training_iteration"


@dataclass(frozen=True, slots=True)
class Asked:
    """A trial to be trained from its beginning: neither Optuna nor stock Ray with ASHA pauses any."""

    key: int
    since: int = 0
    leave: Leave = NO_LEAVE


class SnappedSampler(BaseSampler):
    """One of Optuna's samplers, whose every proposal is moved to the nearest recorded configuration.

    The study only ever holds what was trained, under the number the proposal was made for.
    """

    def __init__(self, inner: BaseSampler, space: Space, shelf: Shelf) -> None:
        self._inner = inner
        self._space = space
        self._shelf = shelf
        self._distributions = {side.name: distribution(side) for side in space.coordinates}
        self.taken: dict[int, Run] = {}

    def infer_relative_search_space(self, study: Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        """Everything: a recorded configuration is had whole or not at all."""
        return dict(self._distributions)

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Raw]:
        """What the sampler would suggest, coordinate by coordinate, and then what there is."""
        joint = self._inner.infer_relative_search_space(study, trial)
        relative = self._inner.sample_relative(study, trial, joint)

        def suggested(side: Coordinate) -> Any:
            if side.name in relative:
                return relative[side.name]
            return self._inner.sample_independent(study, trial, side.name, self._distributions[side.name])

        run = self.taken[trial.number] = self._shelf.take(collect(self._space, suggested))
        return dict(run.raw)

    def sample_independent(
        self, study: Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        """Never needed: `sample_relative` has given every active coordinate."""
        raise AssertionError(f"{param_name} of trial {trial.number} was not given")

    def before_trial(self, study: Study, trial: FrozenTrial) -> None:
        """Passed on."""
        self._inner.before_trial(study, trial)

    def after_trial(self, study: Study, trial: FrozenTrial, state: TrialState, values: Any) -> None:
        """Passed on."""
        self._inner.after_trial(study, trial, state, values)


class OptunaPlayer:
    """`study.ask`, `trial.report`, `trial.should_prune`, `study.tell`, as Optuna's documentation has them."""

    def __init__(self, ground: Ground, shelf: Shelf, sampler: BaseSampler, pruner: BasePruner, *, seed: int) -> None:
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self._ground = ground
        self._shelf = shelf
        self._sampler = SnappedSampler(sampler, ground.plan.space, shelf)
        # Hyperband draws a trial's bracket from the study's name.
        self.study = optuna.create_study(
            direction=ground.objective.direction, sampler=self._sampler, pruner=pruner, study_name=f"replay-{seed}"
        )
        self._open: dict[int, optuna.Trial] = {}
        self._pruned: set[int] = set()

    def run_of(self, key: int) -> Run:
        """The recorded configuration of a trial."""
        return self._sampler.taken[key]

    def ask(self) -> Asked | None:
        """Optuna's next trial."""
        if not self._shelf.left:
            return None
        trial = self.study.ask()
        self._ground.plan.space.propose(lambda side: _suggest(trial, side))
        self._open[trial.number] = trial
        return Asked(trial.number)

    def report(self, key: int, step: TrialStep) -> Ruling:
        """Report the value, NaN where a number was not finite, and ask the pruner."""
        trial, epoch = self._open[key], step.report.epoch
        trial.report(self.value(step), epoch)
        if epoch < self.run_of(key).length and trial.should_prune():
            self._pruned.add(key)
            return "stop"
        return "go_on"

    def finish(self, key: int) -> None:
        """Tell the end; Optuna makes a failed trial of a NaN."""
        trial, run = self._open.pop(key), self.run_of(key)
        if key in self._pruned:
            self.study.tell(trial, state=TrialState.PRUNED)
        elif run.final is None:
            self.study.tell(trial, state=TrialState.FAIL)
        else:
            self.study.tell(trial, run.final)

    def crash(self, key: int, error: str) -> None:
        """The trial failed."""
        self.study.tell(self._open.pop(key), state=TrialState.FAIL)

    def value(self, step: TrialStep) -> float:
        """The objective as a training script would report it."""
        return step.report.metrics.get(self._ground.objective.metric, math.nan)


class RayPlayer(OptunaPlayer):
    """Ray Tune's ASHA with its `OptunaSearch`: every trial that ends is told as complete with its last value.

    So a trial stopped after one epoch counts as one that finished there, and one that ends in NaN stays running for
    ever (Ray 2.60: Optuna refuses the value, Ray logs that and goes on).
    """

    def __init__(
        self, ground: Ground, shelf: Shelf, sampler: BaseSampler, scheduler: AsyncHyperBandScheduler, *, seed: int
    ) -> None:
        super().__init__(ground, shelf, sampler, optuna.pruners.NopPruner(), seed=seed)
        self._scheduler = scheduler
        self._last: dict[int, dict[str, float]] = {}

    def ask(self) -> Asked | None:
        """The next trial, known to the scheduler too."""
        asked = super().ask()
        if asked is not None:
            self._scheduler.on_trial_add(None, _named(asked.key))
        return asked

    def report(self, key: int, step: TrialStep) -> Ruling:
        """Report to Optuna; the scheduler decides."""
        epoch, value = step.report.epoch, self.value(step)
        self._open[key].report(value, epoch)
        result = self._last[key] = {TIME: epoch, self._ground.objective.metric: value}
        if epoch >= self.run_of(key).length:
            return "go_on"
        return "stop" if self._scheduler.on_trial_result(None, _named(key), result) == "STOP" else "go_on"

    def finish(self, key: int) -> None:
        """Complete, whatever stopped it."""
        trial, result = self._open.pop(key), self._last.pop(key)
        self._scheduler.on_trial_complete(None, _named(key), result)
        value = result[self._ground.objective.metric]
        if math.isfinite(value):
            self.study.tell(trial, value, state=TrialState.COMPLETE)


def asha(ground: Ground) -> AsyncHyperBandScheduler:
    """Ray's scheduler with the rungs of the plan's own halving."""
    from ray.tune.schedulers import AsyncHyperBandScheduler

    return AsyncHyperBandScheduler(
        time_attr=TIME,
        metric=ground.objective.metric,
        mode="max" if ground.objective.direction == "maximize" else "min",
        max_t=ground.length,
        grace_period=ground.plan.pruner.min_epochs,
        reduction_factor=ground.plan.pruner.reduction,
    )


def _named(key: int) -> Any:
    """All that the scheduler reads of a Ray trial."""
    return SimpleNamespace(trial_id=str(key))


def _suggest(trial: optuna.Trial, side: Coordinate) -> Any:
    domain = side.domain
    if isinstance(domain, Categorical):
        return trial.suggest_categorical(side.name, domain.choices)
    if isinstance(domain, Int):
        return trial.suggest_int(side.name, domain.low, domain.high, log=domain.log)
    return trial.suggest_float(side.name, domain.low, domain.high, log=domain.log)
