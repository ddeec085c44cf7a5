"""Ranking between trials: pure rules over recorded learning curves that stop the hopeless ones.

A value is only ever compared with other trials' values at the same epoch.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Set
from dataclasses import dataclass
from statistics import median
from typing import Final, Literal

from abr_tune.plan.plan import Pruner
from core.health import Verdict

Direction = Literal["maximize", "minimize"]
PrunerName = Literal["none", "median", "successive_halving"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """A trial among the others, at the epoch it has just finished. All values are finite."""

    number: int
    epoch: int
    value: float
    """Its objective at this epoch."""
    best: float
    """Its best objective up to this epoch."""
    peers: Mapping[int, float]
    """Trial -> objective at this same epoch, of the other trials that got here."""
    complete: Set[int]
    """Trials that ran to their end."""
    direction: Direction

    def better(self, a: float, b: float) -> bool:
        """Whether `a` is strictly better than `b`."""
        return a > b if self.direction == "maximize" else a < b


@dataclass(frozen=True, slots=True)
class Pause:
    """Park the trial with its checkpoint; it goes on when somebody promotes it, and is pruned for `why` otherwise."""

    why: Verdict


Ranking = Callable[[Standing, Pruner], Verdict | Pause | None]
"""A stop with its reason, a pause, or None to go on."""


def rungs(pruner: Pruner, epochs: int | None) -> tuple[int, ...]:
    """Epochs at which successive halving compares: `min_epochs * reduction^k`, those before the last epoch.

    `epochs` is the length of the trial, None where its options do not say: then up to a million.
    Raises `ValueError` when the rungs would not grow.
    """
    if pruner.reduction < 2 or pruner.min_epochs < 1:
        raise ValueError(f"successive halving cannot grow from {pruner.min_epochs} by {pruner.reduction}")
    last = epochs if epochs is not None else 1_000_000
    found, rung = [], pruner.min_epochs
    while rung < last:
        found.append(rung)
        rung *= pruner.reduction
    return tuple(found)


def milestones(pruner: Pruner, epochs: int | None) -> tuple[int, ...]:
    """Epochs at which a trial must wait for its ruling before it trains on."""
    return rungs(pruner, epochs) if pruner.kind == "successive_halving" else ()


def no_ranking(_standing: Standing, _pruner: Pruner) -> Verdict | None:
    """Every trial runs to its end unless a health rule stops it."""
    return None


def below_median(standing: Standing, pruner: Pruner) -> Verdict | None:
    """Stop a trial whose best value so far is worse than the median of the complete trials at this epoch.

    Golovin et al. 2017, Google Vizier, section 3.2.2.
    """
    if standing.epoch < pruner.min_epochs or len(standing.complete) < pruner.startup_trials:
        return None
    values = [value for number, value in standing.peers.items() if number in standing.complete]
    if not values or not standing.better(middle := median(values), standing.best):
        return None
    return Verdict(
        level="stop",
        rule="median",
        why=f"at epoch {standing.epoch} its best, {standing.best:.4g}, is worse than the median {middle:.4g} "
        f"of {len(values)} complete trials",
        epoch=standing.epoch,
        evidence={"best": standing.best, "median": middle, "trials": len(values)},
    )


def outside_top(standing: Standing, pruner: Pruner) -> Verdict | None:
    """Asynchronous successive halving with stopping, Li et al. 2020 (1810.05934): judged when a trial reaches a rung.

    At a rung that n trials have reached, this one included, the best max(1, n // reduction) go on; equals go on too.
    """
    if standing.epoch not in rungs(pruner, standing.epoch + 1):
        return None
    reached = len(standing.peers) + 1
    places = max(1, reached // pruner.reduction)
    ahead = sum(standing.better(value, standing.value) for value in standing.peers.values())
    if ahead < places:
        return None
    return Verdict(
        level="stop",
        rule="successive_halving",
        why=f"at epoch {standing.epoch} {ahead} of the {reached} trials that got there are better than "
        f"{standing.value:.4g}; {places} go on",
        epoch=standing.epoch,
        evidence={"value": standing.value, "ahead": ahead, "reached": reached, "places": places},
    )


RANKINGS: Final[Mapping[PrunerName, Ranking]] = {
    "none": no_ranking,
    "median": below_median,
    "successive_halving": outside_top,
}


class Board:
    """The objective of every trial at every epoch it finished; values that are not finite are refused."""

    def __init__(self, direction: Direction) -> None:
        self.direction: Direction = direction
        self._curves: dict[int, dict[int, float]] = {}
        self._epochs: dict[int, dict[int, float]] = {}

    def curve(self, number: int) -> Mapping[int, float]:
        """Epoch -> objective of one trial."""
        return self._curves.get(number, {})

    def record(self, number: int, epoch: int, value: float) -> None:
        """Note a value. What the trial had at this epoch or later belongs to an earlier attempt and is dropped.

        Raises `ValueError` when the value is not finite.
        """
        if not math.isfinite(value):
            raise ValueError(f"the objective of trial {number} is {value} at epoch {epoch}")
        self.rewind(number, epoch)
        self._curves.setdefault(number, {})[epoch] = value
        self._epochs.setdefault(epoch, {})[number] = value

    def rewind(self, number: int, epoch: int) -> None:
        """Forget what the trial had at `epoch` and later."""
        curve = self._curves.get(number, {})
        for later in [known for known in curve if known >= epoch]:
            del curve[later]
            del self._epochs[later][number]

    def standing(self, number: int, epoch: int, complete: Set[int]) -> Standing | None:
        """Where a trial stands at an epoch; None when it has no value there."""
        curve = self.curve(number)
        if epoch not in curve:
            return None
        so_far = [value for known, value in curve.items() if known <= epoch]
        return Standing(
            number=number,
            epoch=epoch,
            value=curve[epoch],
            best=max(so_far) if self.direction == "maximize" else min(so_far),
            peers={other: value for other, value in self._epochs[epoch].items() if other != number},
            complete=complete,
            direction=self.direction,
        )
