"""Who proposes configurations. Each proposal is seeded from the search's seed and the trial's number alone, so that a
continued search proposes what an uninterrupted one would.

The sampler never sees the durable study but observations: what a finished trial taught, at the fidelity it reached.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal, Protocol

import numpy as np
import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.storages import InMemoryStorage
from optuna.trial import TrialState, create_trial

from abr_tune.plan.plan import Sampler
from abr_tune.plan.space import Categorical, Coordinate, Int, Raw, Space
from abr_tune.search.pruning import Direction

SamplerName = Literal["tpe", "random", "qmc"]


@dataclass(frozen=True, slots=True)
class Observation:
    """What a finished trial taught about its configuration."""

    value: float | None = None
    """The objective of a trial that ran to its end; None for one that was stopped."""
    curve: Mapping[int, float] = field(default_factory=dict)
    """Epoch -> objective: a stopped trial counts at the epoch it reached and never as if it had finished."""


class Proposer(Protocol):
    """A sampler at work: it hears of every trial inside the space and is asked for new ones."""

    def running(self, number: int, raw: Mapping[str, Raw]) -> None:
        """A trial that was not proposed here, or not in this process, is being trained."""
        ...

    def learn(self, number: int, observation: Observation | None) -> None:
        """A trial has ended; None when nothing can be learnt from it."""
        ...

    def propose(self, number: int) -> dict[str, Raw]:
        """Coordinate -> raw value for the trial with this number; inactive coordinates are missing."""
        ...


def distribution(coordinate: Coordinate) -> BaseDistribution:
    """The coordinate as Optuna's study and dashboard know it."""
    domain = coordinate.domain
    if isinstance(domain, Categorical):
        return CategoricalDistribution(domain.choices)
    if isinstance(domain, Int):
        return IntDistribution(domain.low, domain.high, log=domain.log)
    return FloatDistribution(domain.low, domain.high, log=domain.log)


def seed_of(seed: int, number: int) -> int:
    """A seed of 32 bits for one trial; equal numbers of different searches do not share it."""
    return int(np.random.SeedSequence([seed, number]).generate_state(1)[0])


def from_shares(space: Space, share: Callable[[int], float]) -> dict[str, Raw]:
    """The configuration at a point of the unit box: `share` of the i-th of `space.coordinates`."""
    place = {coordinate.name: i for i, coordinate in enumerate(space.coordinates)}
    raw: dict[str, Raw] = {}

    def suggest(coordinate: Coordinate) -> Raw:
        raw[coordinate.name] = coordinate.at(share(place[coordinate.name]))
        return raw[coordinate.name]

    space.propose(suggest)
    return raw


class Random:
    """Independent uniform points of the box."""

    def __init__(self, space: Space, _options: Sampler, seed: int, _direction: Direction) -> None:
        self._space = space
        self._seed = seed

    def running(self, number: int, raw: Mapping[str, Raw]) -> None:
        """Nothing depends on other trials."""

    def learn(self, number: int, observation: Observation | None) -> None:
        """Nothing depends on other trials."""

    def propose(self, number: int) -> dict[str, Raw]:
        """A point drawn from this trial's own stream."""
        shares = np.random.default_rng(seed_of(self._seed, number)).random(len(self._space.coordinates))
        return from_shares(self._space, lambda i: float(shares[i]))


class Qmc(Random):
    """Scrambled Sobol points (Owen 1998): the trial's number is its place in the sequence."""

    def propose(self, number: int) -> dict[str, Raw]:
        """The point of this number."""
        from scipy.stats.qmc import Sobol

        if not self._space.coordinates:
            return {}
        sequence = Sobol(len(self._space.coordinates), scramble=True, rng=seed_of(self._seed, 0))
        if number:
            sequence.fast_forward(number)
        shares: Sequence[float] = sequence.random(1)[0]
        return from_shares(self._space, lambda i: float(shares[i]))


class Tpe:
    """Optuna's multivariate TPE with constant liar, over a study in memory that holds only what may teach it.

    Stopped trials rank behind complete ones, by the epoch they reached and their objective there (Optuna's own rule).
    """

    def __init__(self, space: Space, options: Sampler, seed: int, direction: Direction) -> None:
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self._space = space
        self._options = options
        self._seed = seed
        self._storage = InMemoryStorage()
        self._study = optuna.create_study(storage=self._storage, direction=direction)
        self._study_id = self._storage.get_study_id_from_name(self._study.study_name)
        self._distributions = {coordinate.name: distribution(coordinate) for coordinate in space.coordinates}
        self._own: dict[int, int] = {}
        """Our trial number -> the number in the study in memory."""

    def running(self, number: int, raw: Mapping[str, Raw]) -> None:
        """Let the sampler keep away from a configuration that is being tried."""
        distributions = {name: self._distributions[name] for name in raw}
        trial = create_trial(state=TrialState.RUNNING, params=dict(raw), distributions=distributions)
        self._study.add_trial(trial)
        self._own[number] = len(self._own)

    def learn(self, number: int, observation: Observation | None) -> None:
        """Tell the study in memory; what taught nothing is told as failed, which TPE ignores."""
        own = self._own.get(number)
        if own is None:
            return
        if observation is None:
            self._study.tell(own, state=TrialState.FAIL)
        elif observation.value is not None:
            self._study.tell(own, observation.value)
        else:
            trial_id = self._storage.get_trial_id_from_study_id_trial_number(self._study_id, own)
            for epoch, value in observation.curve.items():
                self._storage.set_trial_intermediate_value(trial_id, epoch, value)
            self._study.tell(own, state=TrialState.PRUNED)

    def propose(self, number: int) -> dict[str, Raw]:
        """Ask TPE, seeded for this number."""
        self._study.sampler = optuna.samplers.TPESampler(
            n_startup_trials=self._options.startup_trials, seed=seed_of(self._seed, number)
        )
        trial = self._study.ask()
        self._own[number] = trial.number
        self._space.propose(lambda coordinate: _suggest(trial, coordinate))
        return dict(trial.params)


def _suggest(trial: optuna.Trial, coordinate: Coordinate) -> Any:
    domain = coordinate.domain
    if isinstance(domain, Categorical):
        return trial.suggest_categorical(coordinate.name, domain.choices)
    if isinstance(domain, Int):
        return trial.suggest_int(coordinate.name, domain.low, domain.high, log=domain.log)
    return trial.suggest_float(coordinate.name, domain.low, domain.high, log=domain.log)


SAMPLERS: Final[Mapping[SamplerName, Callable[[Space, Sampler, int, Direction], Proposer]]] = {
    "tpe": Tpe,
    "random": Random,
    "qmc": Qmc,
}
