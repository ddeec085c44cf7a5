"""Optuna's own samplers at work over a study in memory, which holds only what may teach them.

No sampler ever sees the durable study: what CMA-ES pickles into its study is unpickled from this process's memory.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import optuna
from optuna.samplers import BaseSampler, RandomSampler
from optuna.trial import TrialState, create_trial

from abr_tune.plan.space import Categorical, Coordinate, Int, Raw
from abr_tune.search.observation import Curve, Observation, Setting
from abr_tune.search.samplers.coordinates import distribution, seed_of

POPULATION: Final = 20
"""NSGA-II: trials of a generation. With Optuna's 50 a search of 40 trials would be random to its end."""


@dataclass(frozen=True, slots=True)
class Kind:
    """What has to be known of one of Optuna's samplers."""

    make: Callable[[int, int], BaseSampler]
    """(seed, start-up trials) -> the sampler."""
    constraints: bool = True
    """Whether it takes violations into account."""
    several: bool = True
    """Whether it seeks a Pareto front; if not, it improves the first objective alone."""
    generations: bool = False
    """Whether it notes something at each trial it proposes, so that it has to be asked for those of others too."""


class Stock:
    """One of Optuna's samplers, made anew for each proposal with a seed of its own.

    Stopped trials are PRUNED with their curve, if there is one objective: what they mean is the sampler's own business
    (TPE ranks them behind the complete ones, by the age they reached; the others learn from complete ones alone).
    """

    def __init__(self, setting: Setting, kind: Kind) -> None:
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self._setting = setting
        self._kind = kind
        self._objectives = setting.objectives if kind.several else setting.objectives[:1]
        self._study = optuna.create_study(directions=[objective.direction for objective in self._objectives])
        self._distributions = {side.name: distribution(side) for side in setting.space.coordinates}
        self._open: dict[int, optuna.Trial] = {}
        for raw, observation in setting.earlier:
            self._remember(raw, observation)

    def running(self, number: int, raw: Mapping[str, Raw]) -> None:
        """Let the sampler keep away from a configuration that is being tried."""
        self._study.enqueue_trial(dict(raw))
        self._study.sampler = self._sampler(number) if self._kind.generations else RandomSampler(seed=0)
        self._ask(number)

    def progress(self, number: int, curve: Curve) -> None:
        """Optuna's samplers look at trials that have ended."""

    def learn(self, number: int, observation: Observation | None) -> None:
        """Tell the study in memory; what taught nothing is told as failed, which samplers ignore."""
        trial = self._open.pop(number, None)
        if trial is None:
            return
        if observation is None:
            self._study.tell(trial, state=TrialState.FAIL)
            return
        for name, missed in self._violations(observation).items():
            trial.set_constraint(name, missed)
        if observation.values is not None:
            self._study.tell(trial, observation.values[: len(self._objectives)])
            return
        if len(self._objectives) == 1:
            for age, values in observation.curve.items():
                trial.report(values[0], age)
        self._study.tell(trial, state=TrialState.PRUNED)

    def propose(self, number: int) -> dict[str, Raw]:
        """Ask the sampler, seeded for this number."""
        self._study.sampler = self._sampler(number)
        return dict(self._ask(number).params)

    def _ask(self, number: int) -> optuna.Trial:
        trial = self._open[number] = self._study.ask()
        _ = trial.relative_params  # made now: where the values are given, nobody would ask the sampler for its own
        self._setting.space.propose(lambda coordinate: _suggest(trial, coordinate))
        return trial

    def _sampler(self, number: int) -> BaseSampler:
        return self._kind.make(seed_of(self._setting.seed, number), self._setting.options.startup_trials)

    def _violations(self, observation: Observation) -> Mapping[str, float]:
        return observation.violations if self._kind.constraints else {}

    def _remember(self, raw: Mapping[str, Raw], observation: Observation) -> None:
        values = observation.values
        single = len(self._objectives) == 1
        trial = create_trial(
            state=TrialState.PRUNED if values is None else TrialState.COMPLETE,
            values=None if values is None else values[: len(self._objectives)],
            params=dict(raw),
            distributions={name: self._distributions[name] for name in raw},
            intermediate_values={age: at[0] for age, at in observation.curve.items()} if single else {},
            constraints=dict(self._violations(observation)),
        )
        self._study.add_trial(trial)


def _suggest(trial: optuna.Trial, coordinate: Coordinate) -> Any:
    domain = coordinate.domain
    if isinstance(domain, Categorical):
        return trial.suggest_categorical(coordinate.name, domain.choices)
    if isinstance(domain, Int):
        return trial.suggest_int(coordinate.name, domain.low, domain.high, log=domain.log)
    return trial.suggest_float(coordinate.name, domain.low, domain.high, log=domain.log)


def _tpe(seed: int, startup_trials: int) -> BaseSampler:
    return optuna.samplers.TPESampler(seed=seed, n_startup_trials=startup_trials)


def _gp(seed: int, startup_trials: int) -> BaseSampler:
    return optuna.samplers.GPSampler(seed=seed, n_startup_trials=startup_trials, warn_independent_sampling=False)


def _cmaes(seed: int, startup_trials: int) -> BaseSampler:
    return optuna.samplers.CmaEsSampler(seed=seed, n_startup_trials=startup_trials, warn_independent_sampling=False)


def _nsga2(seed: int, _startup_trials: int) -> BaseSampler:
    return optuna.samplers.NSGAIISampler(seed=seed, population_size=POPULATION)


TPE: Final = Kind(_tpe)
GP: Final = Kind(_gp)
CMAES: Final = Kind(_cmaes, constraints=False, several=False, generations=True)
NSGA2: Final = Kind(_nsga2, generations=True)
