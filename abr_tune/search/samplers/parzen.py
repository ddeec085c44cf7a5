"""Densities over the box, made of one kernel per configuration (Bergstra et al. 2011, multivariate as Falkner et al.
2018, widths as in Optuna).

A kernel multiplies, over the coordinates, a normal density cut off at the ends of the range (its mass over the cell,
for whole numbers) or a categorical one. Where its own configuration or the one asked about has no value for a
coordinate, that coordinate counts as evenly spread: this is what Optuna's estimator lacks. All densities are relative
to the even one over the box, whose logarithm is 0 everywhere.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import logsumexp, ndtr, ndtri

from abr_tune.search.samplers.box import Box, Floats

# Shapes: K kernels, N configurations, D coordinates.
SMALLEST = 1e-300


@dataclass(frozen=True, slots=True)
class Parzen:
    """A mixture of kernels, and of the even density over the box with the weight `even`."""

    box: Box
    centres_KD: Floats
    widths_KD: Floats
    """Numbers: standard deviation. Choices: weight of every choice beside 1 for the kernel's own."""
    even: float = 1.0
    """Weight of the even density; each kernel has weight 1."""

    def log_density(self, rows_ND: Floats) -> Floats:
        """Logarithm of the density relative to the even one. Shape: (N,)."""
        logs_NK = np.zeros((len(rows_ND), len(self.centres_KD)))
        for column in range(len(self.box.sides)):
            both = ~np.isnan(rows_ND[:, column])[:, None] & ~np.isnan(self.centres_KD[:, column])[None, :]
            logs_NK += np.where(both, self._column(rows_ND, column), 0.0)
        total = len(self.centres_KD) + self.even
        with_even = np.concatenate([logs_NK, np.full((len(rows_ND), 1), np.log(max(self.even, SMALLEST)))], axis=1)
        return np.asarray(logsumexp(with_even, axis=1) - np.log(total))

    def sample(self, stream: np.random.Generator, count: int) -> Floats:
        """Places drawn from the mixture, all coordinates filled in. Shape: (count, D)."""
        kernels = len(self.centres_KD)
        chances = np.append(np.ones(kernels), self.even) / (kernels + self.even)
        chosen = stream.choice(kernels + 1, size=count, p=chances)
        missing = np.full((1, len(self.box.sides)), np.nan)
        centres = np.concatenate([self.centres_KD, missing])[chosen]
        widths = np.concatenate([self.widths_KD, missing])[chosen]
        drawn = np.empty_like(centres)
        for column, choices in enumerate(self.box.choices):
            shares = stream.random(count)
            draw = _number(centres[:, column], widths[:, column], shares) if not choices else None
            if draw is None:
                draw = _choice(centres[:, column], widths[:, column], choices, shares, stream.random(count))
            even = np.minimum(np.floor(shares * choices), choices - 1) if choices else shares
            drawn[:, column] = np.where(np.isnan(centres[:, column]), even, draw)
        return drawn

    def _column(self, rows_ND: Floats, column: int) -> Floats:
        """Log densities of a coordinate, row by kernel; anything where one of them has no value. Shape: (N, K)."""
        x_N1, centre_1K = rows_ND[:, column, None], self.centres_KD[None, :, column]
        width_1K = self.widths_KD[None, :, column]
        choices = self.box.choices[column]
        if choices:
            own = np.where(x_N1 == centre_1K, 1 + width_1K, width_1K)
            return np.asarray(np.log(own / (1 + choices * width_1K) * choices))
        inside = np.log(ndtr((1 - centre_1K) / width_1K) - ndtr(-centre_1K / width_1K))
        cells = self.box.cells(rows_ND, column)
        if cells is None:
            z = (x_N1 - centre_1K) / width_1K
            return np.asarray(-0.5 * z * z - np.log(width_1K * np.sqrt(2 * np.pi)) - inside)
        low_N1, high_N1 = cells[0][:, None], cells[1][:, None]
        mass = ndtr((high_N1 - centre_1K) / width_1K) - ndtr((low_N1 - centre_1K) / width_1K)
        return np.asarray(np.log(np.maximum(mass, SMALLEST) / (high_N1 - low_N1)) - inside)


def parzen(box: Box, rows_KD: Floats, even: float = 1.0) -> Parzen:
    """The density of some configurations.

    The width of a kernel is the distance to the farther of its neighbours along the coordinate, the end of the range
    counting as one, between 1 / min(100, K + 2) and 1 of the range.
    """
    widths = np.empty_like(rows_KD)
    for column, choices in enumerate(box.choices):
        widths[:, column] = even / (len(rows_KD) + 1) if choices else _widths(rows_KD[:, column])
    return Parzen(box, rows_KD, widths, even)


def _widths(centres_K: Floats) -> Floats:
    known = np.flatnonzero(~np.isnan(centres_K))
    order = known[np.argsort(centres_K[known], kind="stable")]
    gaps = np.diff(np.concatenate([[0.0], centres_K[order], [1.0]]))
    left, right = gaps[:-1], gaps[1:]
    farther = np.maximum(left, right)
    if len(order) >= 2:
        farther[0], farther[-1] = right[0], left[-1]
    widths = np.ones_like(centres_K)
    widths[order] = np.clip(farther, 1 / min(100.0, len(centres_K) + 2.0), 1.0)
    return widths


def _number(centres: Floats, widths: Floats, shares: Floats) -> Floats:
    """A normal number between 0 and 1, by the inverse of its distribution function."""
    low, high = ndtr(-centres / widths), ndtr((1 - centres) / widths)
    return np.clip(centres + widths * ndtri(low + shares * (high - low)), 0.0, 1.0)


def _choice(centres: Floats, widths: Floats, choices: int, shares: Floats, others: Floats) -> Floats:
    """The kernel's own choice, or with the weight of the others any."""
    own = others < 1 / (1 + choices * widths)
    return np.asarray(np.where(own, centres, np.minimum(np.floor(shares * choices), choices - 1)))
