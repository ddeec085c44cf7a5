"""Which of many trials are best: with one objective by its value, with several front by front."""

from __future__ import annotations

import numpy as np

from abr_tune.search.pruning.order import crowding
from abr_tune.search.samplers.box import Flags, Floats, Places

# Shapes: N trials, M objectives. Losses: smaller is better.


def leaders(losses_NM: Floats, count: int) -> Places:
    """The `count` best, the best first; of the last front that does not fit whole, those with the most room.

    Only as many fronts are told apart as are needed, so that 10,000 trials take milliseconds.
    """
    if losses_NM.shape[1] == 1:
        return np.argsort(losses_NM[:, 0], kind="stable")[:count]
    chosen: list[int] = []
    left = np.arange(len(losses_NM))
    while len(left) and len(chosen) < count:
        on = front(losses_NM[left])
        members = left[on]
        room = np.array(crowding([tuple(losses) for losses in losses_NM[members].tolist()]))
        chosen += members[np.argsort(-room, kind="stable")].tolist()
        left = left[~on]
    return np.array(chosen[:count], dtype=np.intp)


def front(losses_NM: Floats) -> Flags:
    """Which trials no other one dominates: is nowhere worse than and somewhere better. Shape: (N,)."""
    left = np.lexsort(losses_NM.T[::-1])
    best = np.zeros(len(losses_NM), dtype=bool)
    while len(left):
        # In this order nothing dominates the first of those that are left.
        first = losses_NM[left[0]]
        equal = (losses_NM[left] == first).all(axis=1)
        best[left[equal]] = True
        left = left[~equal & (losses_NM[left] < first).any(axis=1)]
    return best
