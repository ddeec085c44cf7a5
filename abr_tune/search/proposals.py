"""What is tried next: the start points in their order, then the sampler's proposals."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from optuna.distributions import BaseDistribution
from pydantic import BaseModel

from abr_tune.plan.overrides import ImpossibleOptions, resolve, value_at
from abr_tune.plan.plan import Plan, StartPoint
from abr_tune.plan.space import OutsideSpace, Raw
from abr_tune.search.earlier import Earlier
from abr_tune.search.ledger import StoredTrial
from abr_tune.search.observation import Curve, Observation, Proposer, Setting
from abr_tune.search.samplers import SAMPLERS, distribution


@dataclass(frozen=True, slots=True)
class Proposal:
    """A configuration to be tried."""

    values: Mapping[str, Any]
    """Path -> value."""
    raw: Mapping[str, Raw]
    """Coordinate -> value; empty for a start point outside the space, which does not train the sampler."""
    distributions: Mapping[str, BaseDistribution]
    """Coordinate -> distribution, of the coordinates in `raw`."""
    name: str | None = None
    """The start point's."""


class Proposals:
    """Start points and sampler of one plan, with what the sampler has learnt."""

    def __init__(
        self,
        plan: Plan,
        rungs: Sequence[int] = (),
        proposer: Callable[[Setting], Proposer] | None = None,
        earlier: Earlier | None = None,
    ) -> None:
        earlier = earlier or Earlier()
        self._plan = plan
        self._sampler = (proposer or SAMPLERS[plan.sampler.kind])(
            Setting(
                space=plan.space,
                options=plan.sampler,
                seed=plan.seed,
                objectives=plan.objectives,
                rungs=tuple(rungs),
                earlier=earlier.trials,
            )
        )
        self._sides = {side.name: distribution(side) for side in plan.space.coordinates}
        self._waiting = deque([*(() if earlier.start is None else (earlier.start,)), *plan.start_from])
        self._started: list[BaseModel] = []
        """Options of the start points so far: the same configuration is not tried twice for its two names."""

    def options(self, values: Mapping[str, Any]) -> BaseModel:
        """The training options of a configuration. Raises `ImpossibleOptions`."""
        return resolve(self._plan.task.options, {**self._plan.train, **values})

    def known(self, stored: StoredTrial) -> None:
        """Hear of a trial the study holds from an earlier process."""
        record = stored.record
        if record.name is not None:
            # One that made no options in its time, or makes none now, is no reason not to go on.
            with suppress(ImpossibleOptions):
                self._started.append(self.options(record.params))
        raw = self._place_of(stored)
        if raw:
            self._sampler.running(record.number, raw)

    def progress(self, number: int, curve: Curve) -> None:
        """An open trial has reached an age at which trials are compared."""
        self._sampler.progress(number, curve)

    def learn(self, number: int, observation: Observation | None) -> None:
        """A trial has ended; None when nothing can be learnt from it."""
        self._sampler.learn(number, observation)

    def next(self, number: int) -> Proposal:
        """The configuration for the trial with this number.

        Raises `Exhausted` when every configuration has been tried.
        """
        while self._waiting:
            point = self._waiting.popleft()
            options = self.options(point.values)
            if options not in self._started:
                self._started.append(options)
                return self._start_point(point, options, number)
        raw = self._sampler.propose(number)
        return self._inside(raw, self._plan.space.propose(lambda side: raw[side.name]), None)

    def _start_point(self, point: StartPoint, options: BaseModel, number: int) -> Proposal:
        space = self._plan.space
        values = {path: value_at(options, path) for path in space.paths} | dict(point.values)
        try:
            raw = space.encode(values)
        except OutsideSpace:
            return Proposal(values, {}, {}, point.name)
        self._sampler.running(number, raw)
        active = space.propose(lambda side: raw[side.name])
        return self._inside(raw, {path: values[path] for path in active}, point.name)

    def _inside(self, raw: Mapping[str, Raw], values: Mapping[str, Any], name: str | None) -> Proposal:
        return Proposal(values, raw, {side: self._sides[side] for side in raw}, name)

    def _place_of(self, stored: StoredTrial) -> Mapping[str, Raw]:
        """Where an earlier trial lies in the space as it is now; empty when outside."""
        if all(self._sides.get(side) == known for side, known in stored.distributions.items()):
            return stored.raw
        try:
            return self._plan.space.encode(stored.record.params)
        except OutsideSpace:
            return {}
