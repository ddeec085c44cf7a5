"""The joint distribution of what stands beside a recording: static parameters, class, threshold, wave V.

A Gaussian copula for each pair of class and visibility of wave V (Sklar's theorem; as the nonparanormal of Liu et al.
2009, 0903.0649): the labels of a pair are taken to normal scores by their ranks, and the scores are jointly Gaussian.
It is fitted in closed form, keeps ranges and steps of every label exactly, and knows every conditional distribution. A
diffusion over so few numbers would need many times the steps of a short training to get as far (2209.15421); the
signal, which has hundreds, is drawn by diffusion given these. By the chain rule both come from the joint.
"""

# N recordings, C columns, K classes, G = 2 K groups (class, visible), Q quantiles, L levels.

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.special import ndtr, ndtri
from scipy.stats import kendalltau
from torch import Tensor, nn

from core.data.recordings import STATIC, Recordings

COLUMNS: Final = (*STATIC, "threshold_db", "peak_latency_ms", "peak_amplitude_uv")
"""What is drawn besides class and visibility."""
LEVEL: Final = COLUMNS.index("intensity_db_nhl")
THRESHOLD: Final = COLUMNS.index("threshold_db")
LATENCY: Final = COLUMNS.index("peak_latency_ms")
AMPLITUDE: Final = COLUMNS.index("peak_amplitude_uv")
QUANTILES: Final = 129
PER_QUANTILE: Final = 4
"""Recordings behind each quantile that is kept: no table lists the recordings of a small group one by one."""
SMALL: Final = 3 * PER_QUANTILE
"""A group with fewer recordings has the quantiles of its class, and a class with fewer those of all."""
LEVELS: Final = 33
"""Intensities at most at which the earliest and latest latency are kept."""
PRIOR: Final = 20.0
"""Recordings that the correlations of all groups together count for in those of one."""
STEPS: Final = 64
"""A label with fewer different values than this, in many more recordings, is taken to come in steps."""
ATTEMPTS: Final = 200
"""Rounds of drawing anew what is not lawful."""
EDGE: Final = 1e-3
"""Least probability of a rank: a fixed value at the end of a range is no proof."""
Doubles = NDArray[np.float64]


class Impossible(ValueError):
    """A condition that no recording like those of the training split meets."""


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Parameters:
    """N drawn sets of parameters; NaN where a label does not exist."""

    hearing_class: NDArray[np.int64]
    """-1 for data without classes."""
    peak_exist: Doubles
    """1 or 0."""
    values: Doubles
    """(N, C) the COLUMNS in their units."""

    def __len__(self) -> int:
        return len(self.hearing_class)

    def take(self, index: NDArray[np.int64] | NDArray[np.bool_]) -> Parameters:
        """Those at the index."""
        return Parameters(
            hearing_class=self.hearing_class[index], peak_exist=self.peak_exist[index], values=self.values[index]
        )


class JointParameters(nn.Module):
    """The fitted distribution, in buffers that are stored with the weights."""

    quantiles_GCQ: Tensor
    share_G: Tensor
    correlation_GCC: Tensor
    labelled_C: Tensor
    stepped_C: Tensor
    earliest_L: Tensor
    latest_L: Tensor
    levels_L: Tensor
    softest_seen: Tensor
    largest_signal: Tensor

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.classes = classes
        groups, columns = 2 * max(1, classes), len(COLUMNS)
        for name, value in {
            "quantiles_GCQ": torch.zeros(groups, columns, QUANTILES),
            "share_G": torch.zeros(groups),
            "correlation_GCC": torch.eye(columns).repeat(groups, 1, 1),
            "labelled_C": torch.zeros(columns),
            "stepped_C": torch.zeros(columns),
            "earliest_L": torch.zeros(LEVELS),
            "latest_L": torch.zeros(LEVELS),
            "levels_L": torch.zeros(LEVELS),
            "softest_seen": torch.zeros(()),
            "largest_signal": torch.zeros(()),
        }.items():
            self.register_buffer(name, value.double())

    @property
    def fitted(self) -> bool:
        """Whether there were recordings to fit it to."""
        return bool(self.share_G.sum() > 0)

    def fit(self, train: Recordings) -> None:
        """Take the distribution of a training split; recordings nobody searched for a wave V are left out."""
        kept = np.isfinite(train.peak_exist) & ((train.hearing_class >= 0) | (self.classes == 0))
        if not kept.any():
            return
        train = train.take(kept)
        values_NC = values_of(train)
        group_N = 2 * np.maximum(train.hearing_class, 0) + (train.peak_exist > 0.5)
        stepped_C = np.array([_stepped(column_N) for column_N in values_NC.T])
        self.stepped_C.copy_(torch.from_numpy(stepped_C.astype(np.float64)))
        self.labelled_C.copy_(torch.from_numpy(np.isfinite(values_NC).any(0).astype(np.float64)))
        for group in range(len(self.share_G)):
            wider = (values_NC[group_N == group], values_NC[group_N // 2 == group // 2], values_NC)
            for column in range(len(COLUMNS)):
                table_Q = _table([rows[:, column] for rows in wider], stepped=bool(stepped_C[column]))
                self.quantiles_GCQ[group, column] = torch.from_numpy(table_Q)
        self._fit_groups(values_NC, group_N)
        self._fit_limits(train, values_NC)

    def _fit_groups(self, values_NC: Doubles, group_N: NDArray[np.int64]) -> None:
        """Shares, and correlations of the normal scores, those of few recordings drawn towards those of all groups."""
        score_NC = np.full_like(values_NC, np.nan)
        for group in np.unique(group_N):
            here = group_N == group
            for column in range(len(COLUMNS)):
                score_NC[here, column] = _scores(values_NC[here, column])
        counts = np.bincount(group_N, minlength=len(self.share_G))
        pooled = _concordance(score_NC)
        self.share_G.copy_(torch.from_numpy(counts / counts.sum()))
        for group, count in enumerate(counts):
            mixed = (count * _concordance(score_NC[group_N == group]) + PRIOR * pooled) / (count + PRIOR)
            self.correlation_GCC[group] = torch.from_numpy(_correlation(mixed))

    def _fit_limits(self, train: Recordings, values_NC: Doubles) -> None:
        """How early and late wave V was at each level, how soft it was seen, how large a response was."""
        level_N, latency_N = values_NC[:, LEVEL], values_NC[:, LATENCY]
        both = np.isfinite(level_N) & np.isfinite(latency_N)
        if both.any():
            level_N, latency_N = level_N[both], latency_N[both]
            knots = np.unique(level_N)
            if len(knots) > LEVELS:
                knots = np.unique(np.quantile(level_N, np.linspace(0, 1, LEVELS), method="inverted_cdf"))
            # Of levels up to the next knot, and of those from the one before: nothing that was seen is unlawful.
            softer_LN = level_N < np.append(knots[1:], np.inf)[:, None]
            louder_LN = level_N > np.append(-np.inf, knots[:-1])[:, None]
            for name, found in {
                "levels_L": knots,
                "earliest_L": np.where(softer_LN, latency_N, np.inf).min(1),
                "latest_L": np.where(louder_LN, latency_N, -np.inf).max(1),
            }.items():
                self.get_buffer(name).copy_(torch.from_numpy(np.pad(found, (0, LEVELS - len(knots)), mode="edge")))
        over = (values_NC[:, LEVEL] - values_NC[:, THRESHOLD])[train.peak_exist > 0.5]
        over = over[np.isfinite(over)]
        self.softest_seen.fill_(float(over.min()) if over.size else -1e9)
        clean = train.clean if train.clean is not None else train.signal
        self.largest_signal.fill_(float(np.abs(clean[np.isfinite(clean)]).max(initial=0.0)))

    def draw(
        self,
        random: np.random.Generator,
        count: int,
        *,
        temperature: float = 1.0,
        constrained: bool = True,
        hearing_class: int | None = None,
        peak_exist: bool | None = None,
        given: Mapping[str, float] | None = None,
    ) -> Parameters:
        """`count` sets of parameters with those of the condition fixed: the rest are drawn given them.

        `temperature` multiplies the spread of the scores about the middle of each group; classes keep their shares.
        Constrained, `lawful` holds for each. Raises Impossible when the condition leaves nothing to draw.
        """
        fixed = {COLUMNS.index(name): value for name, value in (given or {}).items()}
        share_G = self._shares(fixed, hearing_class, peak_exist)
        parts, missing = [], count
        for _ in range(ATTEMPTS):
            if not missing:
                break
            drawn = self._drawn(random, random.choice(len(share_G), missing, p=share_G), fixed, temperature)
            kept = drawn.take(self.lawful(drawn)) if constrained else drawn
            parts.append(kept)
            missing -= len(kept)
        if missing:
            raise Impossible("no recording like those of the training split meets this condition")
        return Parameters(
            hearing_class=np.concatenate([part.hearing_class for part in parts]),
            peak_exist=np.concatenate([part.peak_exist for part in parts]),
            values=np.concatenate([part.values for part in parts]),
        )

    def lawful(self, drawn: Parameters) -> NDArray[np.bool_]:
        """(N,) whether a set could be that of a real recording.

        Every number lies in the range of the training labels and no amplitude is negative. A wave V that is visible
        comes no earlier than any did at that level or a softer one, no later than any at that level or a louder one
        (so both limits fall with the level), and is not softer against the threshold than any that was seen.
        """
        low_C, high_C = self._ranges()
        values_NC = drawn.values
        outside_NC = (values_NC < low_C - 1e-6) | (values_NC > high_C + 1e-6)
        seen = drawn.peak_exist > 0.5
        level_N, latency_N = values_NC[:, LEVEL], values_NC[:, LATENCY]
        levels_L, earliest_L, latest_L = (
            each.cpu().numpy() for each in (self.levels_L, self.earliest_L, self.latest_L)
        )
        at_or_below_N = np.searchsorted(levels_L, level_N, "right") - 1
        at_or_above_N = np.searchsorted(levels_L, level_N, "left")
        early_N = latency_N < earliest_L[at_or_below_N.clip(0)] - 1e-6
        late_N = latency_N > latest_L[at_or_above_N.clip(max=LEVELS - 1)] + 1e-6
        unheard_N = level_N - values_NC[:, THRESHOLD] < float(self.softest_seen) - 1e-6
        negative_N = values_NC[:, AMPLITUDE] < 0
        return np.asarray(~(outside_NC.any(1) | negative_N | (seen & (early_N | late_N | unheard_N))))

    def _ranges(self) -> tuple[Doubles, Doubles]:
        table_GCQ = self.quantiles_GCQ.cpu().numpy()[self.share_G.cpu().numpy() > 0]
        return table_GCQ.min((0, 2)), table_GCQ.max((0, 2))

    def _drawn(
        self, random: np.random.Generator, group_N: NDArray[np.int64], fixed: Mapping[int, float], temperature: float
    ) -> Parameters:
        score_NC, table_GCQ = np.empty((len(group_N), len(COLUMNS))), self.quantiles_GCQ.cpu().numpy()
        for group in np.unique(group_N):
            here = group_N == group
            score_NC[here] = self._scores_of(random, int(group), int(here.sum()), fixed, temperature)
        place_NC = ndtr(score_NC) * (QUANTILES - 1)
        place_NC = np.where(self.stepped_C.cpu().numpy() > 0, np.round(place_NC), place_NC)
        values_NC, all_of_them = np.empty_like(score_NC), np.arange(QUANTILES)
        for group in np.unique(group_N):
            here = group_N == group
            for column in range(len(COLUMNS)):
                values_NC[here, column] = np.interp(place_NC[here, column], all_of_them, table_GCQ[group, column])
        for column, value in fixed.items():
            values_NC[:, column] = value
        exists_N = (group_N % 2).astype(np.float64)
        values_NC[exists_N < 1, LATENCY] = values_NC[exists_N < 1, AMPLITUDE] = np.nan
        values_NC[:, self.labelled_C.cpu().numpy() == 0] = np.nan
        kind_N = group_N // 2 if self.classes else np.full(len(group_N), -1)
        return Parameters(hearing_class=kind_N.astype(np.int64), peak_exist=exists_N, values=values_NC)

    def _scores_of(
        self, random: np.random.Generator, group: int, count: int, fixed: Mapping[int, float], temperature: float
    ) -> Doubles:
        """Gaussian scores given those of the fixed columns."""
        correlation_CC = self.correlation_GCC[group].cpu().numpy()
        known = np.array(sorted(fixed), dtype=np.int64)
        free = np.setdiff1d(np.arange(len(COLUMNS)), known)
        score_NC = np.empty((count, len(COLUMNS)))
        told = np.array([self._score(group, column, fixed[column]) for column in known])
        weight = np.linalg.solve(correlation_CC[np.ix_(known, known)], correlation_CC[np.ix_(known, free)])
        rest = correlation_CC[np.ix_(free, free)] - correlation_CC[np.ix_(free, known)] @ weight
        root = np.linalg.cholesky(_definite(rest))
        score_NC[:, known] = told
        score_NC[:, free] = told @ weight + temperature * random.standard_normal((count, len(free))) @ root.T
        return score_NC

    def _score(self, group: int, column: int, value: float) -> float:
        """Normal score of a value in its group: the middle of the ranks it has there."""
        table_Q = self.quantiles_GCQ[group, column].cpu().numpy()
        rank = (np.searchsorted(table_Q, value, "left") + np.searchsorted(table_Q, value, "right")) / (2 * QUANTILES)
        return float(ndtri(np.clip(rank, EDGE, 1 - EDGE)))

    def _shares(self, fixed: Mapping[int, float], hearing_class: int | None, peak_exist: bool | None) -> Doubles:
        """(G,) probability of each group given the condition.

        Proportional to its share and to the density of each fixed value in it, as if these were independent.
        """
        share_G = self.share_G.cpu().numpy().copy()
        groups = np.arange(len(share_G))
        if hearing_class is not None:
            share_G[groups // 2 != hearing_class] = 0.0
        if peak_exist is not None:
            share_G[groups % 2 != int(peak_exist)] = 0.0
        if fixed.keys() & {LATENCY, AMPLITUDE}:
            share_G[groups % 2 == 0] = 0.0
        low_C, high_C = self._ranges()
        for column, value in fixed.items():
            if not self.labelled_C[column] or not low_C[column] - 1e-6 <= value <= high_C[column] + 1e-6:
                labels = f"{low_C[column]:g} to {high_C[column]:g}"
                raise Impossible(f"{COLUMNS[column]} {value:g} is outside the training labels: {labels}")
        for group in np.flatnonzero(share_G):
            for column, value in fixed.items():
                share_G[group] *= self._density(int(group), column, value, high_C[column] - low_C[column])
        if not share_G.sum() > 0:
            raise Impossible("the training split holds no recording of this class with wave V so")
        return np.asarray(share_G / share_G.sum())

    def _density(self, group: int, column: int, value: float, width: float) -> float:
        """Share of a group within a small window about a value."""
        table_Q = self.quantiles_GCQ[group, column].cpu().numpy()
        return float(np.mean(np.abs(table_Q - value) <= width / 32 + 1e-9) + EDGE)


def values_of(recordings: Recordings) -> Doubles:
    """(N, C) the COLUMNS of a table."""
    labels = (recordings.threshold_db, recordings.peak_latency_ms, recordings.peak_amplitude_uv)
    return np.column_stack([recordings.static, *labels]).astype(np.float64)


def _stepped(values_N: Doubles) -> bool:
    """Whether a label takes few values, as a level does that is set in steps: none is drawn between them then."""
    known = values_N[np.isfinite(values_N)]
    return len(np.unique(known)) < min(STEPS, known.size / PER_QUANTILE)


def _table(wider: Sequence[Doubles], *, stepped: bool) -> Doubles:
    """(Q,) quantiles of the first of several ever wider sets of labels that is not small; zeros where all are empty."""
    known_sets = [labels[np.isfinite(labels)] for labels in wider]
    known = next((labels for labels in known_sets if labels.size >= SMALL), known_sets[-1])
    if not known.size:
        return np.zeros(QUANTILES)
    knots = np.linspace(0, 1, int(np.clip(known.size // PER_QUANTILE, 3, QUANTILES)))
    all_of_them = np.linspace(0, 1, QUANTILES)
    if stepped:
        nearest = knots[np.abs(all_of_them[:, None] - knots).argmin(1)]
        return np.asarray(np.quantile(known, nearest, method="inverted_cdf"), dtype=np.float64)
    return np.asarray(np.interp(all_of_them, knots, np.quantile(known, knots)))


def _scores(values_N: Doubles) -> Doubles:
    """(N,) normal scores of the ranks, ties in random order: only so do steps in the labels keep their shares."""
    score_N, known = np.full(len(values_N), np.nan), np.isfinite(values_N)
    ties = np.random.default_rng(0).random(int(known.sum()))
    rank = np.empty(len(ties))
    rank[np.lexsort((ties, values_N[known]))] = np.arange(len(ties)) + 0.5
    score_N[known] = ndtri(rank / max(1, len(ties)))
    return score_N


def _concordance(score_NC: Doubles) -> Doubles:
    """(C, C) correlations of the scores from Kendall's tau, sin(pi tau / 2); 0 where nothing is known of a pair.

    Marks that strayed to another peak hardly move it (the nonparanormal SKEPTIC, Liu et al. 2012, 1202.2169).
    """
    found_CC = np.eye(score_NC.shape[1])
    for one, other in combinations(range(score_NC.shape[1]), 2):
        both = np.isfinite(score_NC[:, one]) & np.isfinite(score_NC[:, other])
        if both.sum() > 1:
            tau = kendalltau(score_NC[both, one], score_NC[both, other]).statistic
            found_CC[one, other] = found_CC[other, one] = np.sin(np.pi / 2 * tau)
    return found_CC


def _correlation(wanted_CC: Doubles) -> Doubles:
    """A matrix of correlations near another: no eigenvalue at 0 or below, ones on the diagonal."""
    definite_CC = _definite(wanted_CC)
    sd_C = np.sqrt(np.diag(definite_CC))
    return np.asarray(definite_CC / np.outer(sd_C, sd_C))


def _definite(wanted_CC: Doubles) -> Doubles:
    """The nearest symmetric matrix without negative eigenvalues, a little above."""
    values, vectors = np.linalg.eigh((wanted_CC + wanted_CC.T) / 2)
    return np.asarray((vectors * np.maximum(values, 1e-6)) @ vectors.T)
