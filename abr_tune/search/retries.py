"""Whether a training whose worker died, or that ran out of memory, is tried again, and when.

A fault of the machine is retried twice after a growing pause; exhausted memory once, when others may have given theirs
back; what the task's code raises never, for it would raise it again.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping
from typing import Final, Literal

from abr_tune.exhaustion import HINT

Loss = Literal["infrastructure", "memory"]
"""Its worker or machine died; memory could not be had, or its process was ended because memory was short."""
PAUSES: Final[Mapping[Loss, tuple[float, ...]]] = {"infrastructure": (1.0, 5.0), "memory": (5.0,)}
"""Seconds before each further try."""


class Retries:
    """What the trainings of one driver have lost so far. `clock` tells seconds."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._losses: defaultdict[int, Counter[Loss]] = defaultdict(Counter)
        self._due: dict[int, float] = {}
        """Training -> when it may go on; only of those that lost something."""

    def again(self, key: int, loss: Loss) -> float | None:
        """Note a loss. How many seconds later the training may go on; None: it was tried often enough."""
        tried = self._losses[key][loss]
        self._losses[key][loss] += 1
        if tried == len(PAUSES[loss]):
            return None
        pause = PAUSES[loss][tried]
        self._due[key] = self._clock() + pause
        return pause

    def ready(self, key: int) -> bool:
        """Whether a training need not wait, or no longer."""
        return self._due.get(key, 0.0) <= self._clock()

    def any_waits(self, keys: Iterable[int]) -> bool:
        """Whether one of these trainings will be ready later."""
        return not all(map(self.ready, keys))

    def verdict(self, key: int, loss: Loss, error: str) -> str:
        """Why a training that is not tried again has failed."""
        if loss == "memory":
            return f"{error}; {HINT}"
        return f"its worker died {self._losses[key][loss]} times: {error}"


def told(loss: Loss, error: str, pause: float) -> str:
    """What is said of a training that is tried again."""
    if loss == "memory":
        return f"{error}; {HINT}; it is tried once more in {pause:g} s"
    return f"its worker died, and it goes on from its checkpoint in {pause:g} s: {error}"
