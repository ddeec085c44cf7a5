"""The same thing measured several times: what its mean, its spread and the next measurement are known to be."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean, stdev, variance
from typing import Any, Literal

Direction = Literal["maximize", "minimize"]
Interval = tuple[float, float]
CONFIDENCE = 0.95


def mean_interval(values: Sequence[float]) -> Interval | None:
    """95 % interval of the mean, mean ± t(0.975, n - 1) sd / sqrt(n); None with fewer than two values."""
    if len(values) < 2:
        return None
    half = _t(1 - (1 - CONFIDENCE) / 2, len(values) - 1) * stdev(values) / len(values) ** 0.5
    return fmean(values) - half, fmean(values) + half


def folds_interval(values: Sequence[float], folds: int) -> Interval | None:
    """95 % interval of the mean over the folds of one or several divisions; None with fewer than two values.

    Folds share most of what they train on, so their mean varies more than sd / sqrt(n) says: its variance is taken as
    sd² (1/n + 1/(folds - 1)), Nadeau and Bengio 2003, Inference for the Generalization Error; for repeated divisions
    Bouckaert and Frank 2004.
    """
    if len(values) < 2:
        return None
    scale = (1 / len(values) + 1 / (folds - 1)) ** 0.5
    half = _t(1 - (1 - CONFIDENCE) / 2, len(values) - 1) * stdev(values) * scale
    return fmean(values) - half, fmean(values) + half


def prediction_interval(mean: float, sd: float, seen: int, runs: int = 1) -> Interval:
    """Where `runs` further measurements all lie in 19 of 20 cases, after `seen` with this mean and deviation.

    mean ± t(1 - 0.05 / (2 runs), seen - 1) sd sqrt(1 + 1 / seen), shared out by Bonferroni. `seen` is at least 2.
    """
    half = _t(1 - (1 - CONFIDENCE) / (2 * runs), seen - 1) * sd * (1 + 1 / seen) ** 0.5
    return mean - half, mean + half


def difference_interval(first: Sequence[float], second: Sequence[float]) -> Interval | None:
    """95 % interval of the mean of `second` less that of `first` by Welch's t; None unless both have two values.

    The two may differ in number and in spread. Degrees of freedom by Welch and Satterthwaite.
    """
    if len(first) < 2 or len(second) < 2:
        return None
    delta = fmean(second) - fmean(first)
    one, two = variance(first) / len(first), variance(second) / len(second)
    if one + two == 0:
        return delta, delta
    freedom = (one + two) ** 2 / (one**2 / (len(first) - 1) + two**2 / (len(second) - 1))
    half = _t(1 - (1 - CONFIDENCE) / 2, freedom) * (one + two) ** 0.5
    return delta - half, delta + half


def paired_interval(first: Sequence[float], second: Sequence[float], *, folds: int = 0) -> Interval | None:
    """95 % interval of the mean of `second` less `first`, measured pair by pair; None with fewer than two pairs.

    Where the pairs are folds, `folds` says how many a division of the data has.
    """
    differences = [after - before for before, after in zip(first, second, strict=True)]
    return folds_interval(differences, folds) if folds else mean_interval(differences)


def _t(quantile: float, freedom: float) -> float:
    from scipy.special import stdtrit

    return float(stdtrit(freedom, quantile))


@dataclass(frozen=True, slots=True, kw_only=True)
class Score:
    """One objective of one configuration: what the search saw, and what fresh runs gave."""

    searched: float
    """On the search's seed."""
    values: tuple[float | None, ...] = ()
    """One for each fresh run; None where a run did not end with one."""
    direction: Direction = "maximize"
    folds: int = 0
    """Of how many folds a division of the data has, each run holding out another; 0: all are of the same data."""

    @property
    def known(self) -> list[float]:
        """The values there are."""
        return [value for value in self.values if value is not None]

    @property
    def stable(self) -> bool:
        """Whether every fresh run ended with a value."""
        return len(self.known) == len(self.values)

    @property
    def mean(self) -> float | None:
        """Mean of the fresh values; None without any."""
        return fmean(self.known) if self.known else None

    @property
    def sd(self) -> float | None:
        """Standard deviation between fresh runs; None with fewer than two."""
        return stdev(self.known) if len(self.known) > 1 else None

    @property
    def interval(self) -> Interval | None:
        """95 % interval of the mean; on folds wider, because they share training data."""
        return folds_interval(self.known, self.folds) if self.folds else mean_interval(self.known)

    @property
    def optimism(self) -> float | None:
        """By how much the search flattered: the searched value less the fresh mean, positive where fresh is worse.

        None without fresh runs, and on folds: those validate on other data than the search did.
        """
        if self.mean is None or self.folds:
            return None
        return self.searched - self.mean if self.direction == "maximize" else self.mean - self.searched

    @property
    def reach(self) -> float | None:
        """How far a further fresh run may lie from the searched value: in 19 of 20 cases no farther; None untold.

        The distance of the mean from the searched value, and half of the 95 % prediction interval of one more run.
        """
        if self.mean is None or self.sd is None:
            return None
        _, high = prediction_interval(self.mean, self.sd, len(self.known))
        return abs(self.mean - self.searched) + high - self.mean

    def to_json(self) -> dict[str, Any]:
        """The numbers and what follows from them."""
        return {
            "searched": self.searched,
            "values": list(self.values),
            "mean": self.mean,
            "sd": self.sd,
            "interval": None if self.interval is None else list(self.interval),
            "optimism": self.optimism,
        }
