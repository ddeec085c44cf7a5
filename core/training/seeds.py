"""Random numbers that depend on the seed and on where they are used, and on nothing that ran before."""

from __future__ import annotations

from typing import Final, Literal

import numpy as np

Purpose = Literal["init", "order", "dropout", "augment"]
PURPOSES: Final[dict[Purpose, int]] = {"init": 0, "order": 1, "dropout": 2, "augment": 3}


def sequence(seed: int, purpose: Purpose, *, fold: int, epoch: int = 0) -> np.random.SeedSequence:
    """The source of randomness of one purpose in one epoch of one fold.

    Because it is a function of these numbers alone, a resumed run needs no stored generator state, and an earlier
    training in the same process changes nothing.
    """
    return np.random.SeedSequence((seed, PURPOSES[purpose], fold, epoch))


def torch_seed(seed: int, purpose: Purpose, *, fold: int, epoch: int = 0) -> int:
    """The same as one number for `torch.manual_seed`."""
    return int(sequence(seed, purpose, fold=fold, epoch=epoch).generate_state(1, np.uint64)[0] >> np.uint64(1))
