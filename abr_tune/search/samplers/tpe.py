"""The default sampler: a TPE for each rung, that knows where trials collapse and what its user guesses.

Tree-structured Parzen estimators (Bergstra et al. 2011) with the highest rung that has enough observations modelled by
itself (BOHB, Falkner et al. 2018, without its fixed random share of a third); constraints by the ratio of feasible to
infeasible densities (c-TPE, Watanabe & Hutter 2211.14411); guesses as a prior that fades (pi-BO, Hvarfner et al.
2204.11051).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np

from abr_tune.plan.space import Raw
from abr_tune.search.observation import Curve, Observation, Setting
from abr_tune.search.samplers.box import Box, Flags, Floats
from abr_tune.search.samplers.coordinates import seed_of
from abr_tune.search.samplers.guesses import guessed
from abr_tune.search.samplers.knowledge import END, Knowledge, View
from abr_tune.search.samplers.parzen import Parzen, parzen
from abr_tune.search.samplers.split import Split, by_constraint, by_merit, highest_level

# Shapes: N trials, C candidates, D coordinates.


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """The numbers of the model; chosen on recorded curves, see docs."""

    enough: int = 8
    """Trials judged at a level, from which on it is modelled."""
    least: int = 3
    """How many of them must have a value there; the others collapsed before."""
    good: float = 0.1
    """Share of them that counts as good, at least one and at most `most_good`."""
    most_good: int = 25
    kernels: int = 300
    """Most trials a density is made of; of more, so many are drawn: the time of a proposal stays flat."""
    candidates: int = 24
    """Places drawn from the density of the good ones, of which the most promising is proposed."""
    constrained: bool = True
    """Whether places are avoided where trials collapsed or missed a constraint."""
    belief: float = 1.0
    """Weight of a guess, as the exponent belief / trials heard of: with more, a bad one is not recovered from."""

    def good_ones(self, judged: int) -> int:
        """How many of the trials judged at a level count as good."""
        return max(1, min(math.ceil(self.good * judged), self.most_good))


RULES: Final = Rules()


class Tpe:
    """The rung-aware TPE."""

    def __init__(self, setting: Setting, rules: Rules = RULES) -> None:
        self._options = setting.options
        self._seed = setting.seed
        self._rules = rules
        self._box = Box(setting.space)
        self._guess = guessed(self._box)
        self._even = parzen(self._box, np.empty((0, len(self._box.sides))))
        self._knowledge = Knowledge(len(self._box.sides), setting.objectives, (*setting.rungs, END))
        for back, (raw, observation) in enumerate(reversed(setting.earlier), start=1):
            self.running(-back, raw)
            self.learn(-back, observation)

    def running(self, number: int, raw: Mapping[str, Raw]) -> None:
        """Keep away from a configuration that is being tried."""
        self._knowledge.begin(number, self._box.row(raw))

    def progress(self, number: int, curve: Curve) -> None:
        """A trial that is open speaks for itself at the rungs it has reached."""
        self._knowledge.progress(number, curve)

    def learn(self, number: int, observation: Observation | None) -> None:
        """A trial has ended."""
        self._knowledge.end(number, observation)

    def propose(self, number: int) -> dict[str, Raw]:
        """The most promising of some candidates; a random one at first, and now and then."""
        stream = np.random.default_rng(seed_of(self._seed, number))
        raw = self._propose(stream) if self._box.sides else {}
        self.running(number, raw)
        return raw

    def _propose(self, stream: np.random.Generator) -> dict[str, Raw]:
        view = self._knowledge.view()
        own = view.only(view.numbers_N >= 0)
        for known in (own, view) if len(own.numbers_N) < len(view.numbers_N) else (own,):
            level = highest_level(known, self._rules.enough, self._rules.least)
            if level is not None and int(known.heard.sum()) >= self._options.startup_trials:
                break
        else:
            return self._first(stream)
        if stream.random() < self._options.random_share:
            return self._box.raw(self._even.sample(stream, 1)[0])
        return self._best(known, by_merit(known, level, self._rules.good_ones), stream)

    def _first(self, stream: np.random.Generator) -> dict[str, Raw]:
        """A configuration for the start: every other one from the guess, if there is one."""
        density = self._guess if self._guess is not None and stream.random() < 0.5 else self._even
        return self._box.raw(density.sample(stream, 1)[0])

    def _best(self, view: View, merit: Split, stream: np.random.Generator) -> dict[str, Raw]:
        good, bad = self._density(view, merit.wanted_N, stream), self._density(view, merit.unwanted_N, stream)
        drawn = good.sample(stream, self._rules.candidates)
        if self._guess is not None:
            drawn = np.concatenate([drawn, self._guess.sample(stream, self._rules.candidates // 3)])
        candidates = [self._box.raw(row) for row in drawn]
        places_CD = np.array([self._box.row(raw) for raw in candidates])
        promise = log_ratio(good, bad, merit.share, places_CD)
        if self._rules.constrained:
            for split in by_constraint(view):
                met, missed = (self._density(view, which, stream) for which in (split.wanted_N, split.unwanted_N))
                # Safer than average is no merit: with it regret doubles in six dimensions, where densities are rough.
                promise += np.minimum(0.0, log_ratio(met, missed, split.share, places_CD))
        if self._guess is not None:
            promise += self._rules.belief / int(view.heard.sum()) * self._guess.log_density(places_CD)
        return candidates[int(np.argmax(promise))]

    def _density(self, view: View, which: Flags, stream: np.random.Generator) -> Parzen:
        rows = view.rows_ND[which]
        if len(rows) > self._rules.kernels:
            rows = rows[np.sort(stream.choice(len(rows), self._rules.kernels, replace=False))]
        return parzen(self._box, rows)


def log_ratio(wanted: Parzen, unwanted: Parzen, share: float, places_CD: Floats) -> Floats:
    """Logarithm of how much likelier a place is to be wanted than one place is on average. Shape: (C,).

    `1 / (share + (1 - share) unwanted(x) / wanted(x))`, the relative density ratio of c-TPE: it rises with
    wanted / unwanted, as in TPE, but saturates at 1 / share, so that the ratios of several criteria can be multiplied.
    """
    ratio = unwanted.log_density(places_CD) - wanted.log_density(places_CD)
    return np.asarray(-np.logaddexp(math.log(max(share, 1e-12)), math.log(max(1 - share, 1e-12)) + ratio))
