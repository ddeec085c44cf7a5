"""Samplers that do not look at results: they fill the box evenly."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from abr_tune.plan.space import Raw
from abr_tune.search.observation import Curve, Observation, Setting
from abr_tune.search.samplers.coordinates import from_shares, seed_of


class Random:
    """Independent uniform points of the box."""

    def __init__(self, setting: Setting) -> None:
        self._space = setting.space
        self._seed = setting.seed

    def running(self, number: int, raw: Mapping[str, Raw]) -> None:
        """Nothing depends on other trials."""

    def progress(self, number: int, curve: Curve) -> None:
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
