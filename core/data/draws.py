"""What the examples of training batches are drawn from, and what is to be expected of the draws."""

# N examples, K classes.

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from core.config import BalanceOptions
from core.data.balancing import Floats, class_shares, presence, sampling_probabilities
from core.schedules import Sampling

Classes = NDArray[np.int64]


def drawing(balance: BalanceOptions, sampling: Sampling | None) -> BalanceOptions:
    """The options of a phase that draws otherwise; None draws as they say."""
    return balance if sampling is None else balance.model_copy(update={"sampling": sampling})


def draws(class_N: Classes, balance: BalanceOptions, *, names: Sequence[str]) -> Floats | None:
    """(N,) probabilities where examples are drawn, None where each comes once an epoch."""
    if balance.sampling == "natural" and not balance.sampling_fractions:
        return None
    return sampling_probabilities(class_N, balance, names=names)


def drawn_shares(class_N: Classes, balance: BalanceOptions, *, names: Sequence[str]) -> Floats:
    """(K,) expected share of each class among what is drawn."""
    return class_shares(class_N, sampling_probabilities(class_N, balance, names=names), len(names))


def draw_signals(
    folds: Sequence[Classes], balance: BalanceOptions, *, names: Sequence[str], batch_size: int
) -> dict[str, float]:
    """`draw_share/<CLASS>` and `in_batch/<CLASS>`: expected share of the draws, chance to be in a batch, over folds."""
    shares = [drawn_shares(class_N, balance, names=names) for class_N in folds]
    share_K = np.mean(shares, axis=0)
    chance_K = np.mean([presence(each, batch_size) for each in shares], axis=0)
    found = {f"draw_share/{name}": float(share) for name, share in zip(names, share_K, strict=True)}
    return found | {f"in_batch/{name}": float(chance) for name, chance in zip(names, chance_K, strict=True)}


def own_draw_signals(
    folds: Sequence[Classes], balance: BalanceOptions, *, names: Sequence[str], batch_size: int
) -> dict[str, float]:
    """As `draw_signals`; empty where each example comes once an epoch, in every fold."""
    if all(draws(class_N, balance, names=names) is None for class_N in folds):
        return {}
    return draw_signals(folds, balance, names=names, batch_size=batch_size)
