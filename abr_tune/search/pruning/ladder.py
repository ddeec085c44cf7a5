"""The ages at which trials are compared, and which trials are compared with one another."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache
from typing import Final

from abr_tune.plan.plan import Pruner

ENDLESS: Final = 1_000_000
"""Epochs of a trial whose options do not say how long it is."""


def rungs(pruner: Pruner, epochs: int | None) -> tuple[int, ...]:
    """Ages at which successive halving compares: `min_epochs * reduction^k`, those before the last epoch.

    `epochs` is the length of the trial, None where its options do not say: then up to a million.
    Raises `ValueError` when the rungs would not grow.
    """
    if pruner.reduction < 2 or pruner.min_epochs < 1:
        raise ValueError(f"successive halving cannot grow from {pruner.min_epochs} by {pruner.reduction}")
    found, rung = [], pruner.min_epochs
    while rung < (epochs if epochs is not None else ENDLESS):
        found.append(rung)
        rung *= pruner.reduction
    return tuple(found)


def none(_pruner: Pruner, _epochs: int | None) -> tuple[int, ...]:
    """Trials are compared at no age in particular."""
    return ()


def first(pruner: Pruner, epochs: int | None) -> tuple[int, ...]:
    """Screening compares once, at `min_epochs`."""
    return (pruner.min_epochs,) if epochs is None or pruner.min_epochs < epochs else ()


def brackets(pruner: Pruner, epochs: int | None) -> int:
    """How many brackets Hyperband has: one that begins at each rung, and at least one."""
    return max(1, len(rungs(pruner, epochs)))


def bracket(pruner: Pruner, epochs: int | None, number: int) -> int:
    """The Hyperband bracket of the trial with this number; bracket b is first compared at the b-th rung.

    Li et al. 2018 (JMLR 18-185) begin bracket b of B with ceil(B / (B - b) * reduction^(B - b - 1)) trials. Here they
    are interleaved in the same proportion, so that a search that ends early has tried all brackets.
    """
    count = brackets(pruner, epochs)
    shares = [math.ceil(count / (count - b) * pruner.reduction ** (count - b - 1)) for b in range(count)]
    pattern = _interleaved(tuple(shares))
    return pattern[number % len(pattern)]


@lru_cache
def _interleaved(shares: Sequence[int]) -> tuple[int, ...]:
    """Each index as often as its share, spread evenly; the largest share comes first.

    At every place the index that is farthest behind its share of the places so far (Hamilton's method, step by step).
    Beyond a thousand places the shares are scaled down: trials of the same search are far fewer.
    """
    scale = max(1.0, sum(shares) / 1000)
    wanted = [max(1, round(share / scale)) for share in shares]
    given = [0] * len(wanted)
    places = []
    for place in range(1, sum(wanted) + 1):
        behind = [want * place / sum(wanted) - have for want, have in zip(wanted, given, strict=True)]
        chosen = max(range(len(wanted)), key=lambda i: (behind[i], -i))
        given[chosen] += 1
        places.append(chosen)
    return tuple(places)
