"""The trials of one driver that have not ended: who is in training, who is to be, who is paused."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from abr_tune.search.ending import OpenTrial


class Roster:
    """Open trials by their numbers."""

    def __init__(self) -> None:
        self.open: dict[int, OpenTrial] = {}
        self.training: set[int] = set()
        """Those that are not paused."""
        self.queue: deque[int] = deque()
        """Those of them that nobody trains at the moment."""

    def add(self, trial: OpenTrial, *, queued: bool = False) -> None:
        """A trial that somebody is about to train, or, `queued`, that waits to be trained unless it is paused."""
        self.open[trial.number] = trial
        if trial.stage != "paused":
            self.training.add(trial.number)
            if queued:
                self.queue.append(trial.number)

    def next_queued(self, ready: Callable[[int], bool]) -> OpenTrial | None:
        """The trial that has waited longest to be trained, of those that are ready; it waits no longer."""
        number = next(filter(ready, self.queue), None)
        if number is None:
            return None
        self.queue.remove(number)
        return self.open[number]

    def pause(self, trial: OpenTrial) -> None:
        """Nobody trains it until it is woken."""
        trial.stage = "paused"
        self.training.discard(trial.number)

    def wake(self, number: int) -> OpenTrial:
        """A paused trial is to be trained again."""
        trial = self.open[number]
        trial.stage, trial.cleared = "training", trial.epoch
        self.training.add(number)
        return trial

    def drop(self, number: int) -> OpenTrial:
        """It has ended, or another driver trains it."""
        self.training.discard(number)
        if number in self.queue:
            self.queue.remove(number)
        return self.open.pop(number)

    def clear(self) -> None:
        """Forget all."""
        self.open.clear()
        self.training.clear()
        self.queue.clear()
