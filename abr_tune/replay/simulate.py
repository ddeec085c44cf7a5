"""Training in simulated time: an executor over recorded reports, in which every epoch takes one unit."""

from __future__ import annotations

import heapq
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Literal, Protocol

from abr_tune.replay.ground import Ground, Run
from abr_tune.search.executor import Ruling
from abr_tune.trial import NO_LEAVE, Leave, TrialStep

Ended = Literal["complete", "rule", "ranking", "non_finite", "failed", "paused", "open"]
"""paused: for good, as it turned out; open: still running when the budget was spent."""


class Stretch(Protocol):
    """What an executor is asked to train: which trial, from where."""

    @property
    def key(self) -> int:
        """The trial."""
        ...

    @property
    def since(self) -> int:
        """Epochs it has behind it."""
        ...

    @property
    def leave(self) -> Leave:
        """Which stops by health rules it need not obey."""
        ...


class Player(Protocol):
    """A method under test: the same calls as a `Source` hears from a real executor."""

    def ask(self) -> Stretch | None:
        """The next stretch of training; None when there is none now."""
        ...

    def report(self, key: int, step: TrialStep) -> Ruling:
        """An epoch has ended."""
        ...

    def finish(self, key: int) -> None:
        """The training has ended, by itself or because of a ruling."""
        ...

    def crash(self, key: int, error: str) -> None:
        """The task's code raised."""
        ...


class Adviser(Protocol):
    """What a method's own records would recommend at any moment."""

    def hear(self, run: Run, epoch: int, value: float | None, ended: Ended) -> None:
        """A trial has reported; `ended` is `open` while it goes on."""
        ...

    @property
    def choice(self) -> Run | None:
        """The configuration it would recommend now."""
        ...


@dataclass(slots=True)
class Course:
    """What became of one trial of a simulated search."""

    run: Run
    epochs: int = 0
    """Trained."""
    ended: Ended = "open"
    leave: Leave = NO_LEAVE


@dataclass(slots=True)
class Played:
    """A simulated search, whole."""

    spent: int = 0
    """Epochs trained, those of a run that broke off included."""
    elapsed: int = 0
    """Units of simulated time; with one worker the same."""
    courses: dict[int, Course] = field(default_factory=dict)
    """By trial, in the order they were begun."""
    choices: list[tuple[int, Run | None]] = field(default_factory=list)
    """(epochs spent, what the records recommend from then on), whenever that changes."""
    ran_out: bool = False
    """The method stopped asking before its budget was spent: every recorded configuration had been taken."""

    def choice_at(self, spent: int) -> Run | None:
        """What the records recommended when so many epochs had been spent."""
        before = [run for at, run in self.choices if at <= spent]
        return before[-1] if before else None


def simulate(
    player: Player,
    run_of: Callable[[int], Run],
    adviser: Adviser,
    *,
    budget: int,
    workers: int = 1,
    rules: bool = True,
    guarded: bool = True,
) -> Played:
    """Let a method spend `budget` epochs of recorded training.

    Without `rules` it never hears what the health rules say. Without `guarded` nobody notices that a number is not
    finite: such a run reports, and costs, every epoch to its end.
    """
    played = Played()
    due: list[tuple[int, int, int, int]] = []
    order = 0
    while played.spent < budget:
        while len(due) < workers and (job := player.ask()) is not None:
            course = played.courses.setdefault(job.key, Course(run_of(job.key)))
            course.ended, course.leave = "open", job.leave
            heapq.heappush(due, (played.elapsed + 1, order, job.key, job.since + 1))
            order += 1
        if not due:
            played.ran_out = True
            break
        played.elapsed, _, key, epoch = heapq.heappop(due)
        course = played.courses[key]
        if epoch > _last(course.run, guarded=guarded):
            _over(player, course, key)
            continue
        played.spent += 1
        course.epochs = epoch
        step = _step(course, epoch, rules=rules)
        ruling = player.report(key, step)
        if ruling != "go_on":
            course.ended = "paused" if ruling == "pause" else "rule" if step.stop else "ranking"
            player.finish(key)
        elif step.stop is not None:
            # The worker has obeyed the rule; a method that knows better hands the trial out again.
            player.finish(key)
        elif epoch >= _last(course.run, guarded=guarded):
            _over(player, course, key)
        else:
            heapq.heappush(due, (played.elapsed + 1, order, key, epoch + 1))
            order += 1
        adviser.hear(course.run, epoch, course.run.curve.get(epoch), course.ended)
        choice = adviser.choice
        if not played.choices or played.choices[-1][1] is not choice:
            played.choices.append((played.spent, choice))
    return played


def _last(run: Run, *, guarded: bool) -> int:
    """The last epoch a run costs."""
    broke = bool(run.steps) and not run.steps[-1].report.complete
    return run.length if broke and not guarded else len(run.steps)


def _step(course: Course, epoch: int, *, rules: bool) -> TrialStep:
    """What a worker says of an epoch; of one that comes after a run broke off, that it is still broken."""
    steps = course.run.steps
    if epoch > len(steps):
        return TrialStep(replace(steps[-1].report, epoch=epoch))
    report, verdicts = steps[epoch - 1].report, steps[epoch - 1].verdicts
    return TrialStep(report, verdicts, course.leave.spares(report, verdicts)) if rules else TrialStep(report)


def _over(player: Player, course: Course, key: int) -> None:
    """A training has come to its own end."""
    if course.run.fate == "failed":
        course.ended = "failed"
        player.crash(key, "it failed when it was recorded")
        return
    course.ended = "non_finite" if course.run.fate == "non_finite" else "complete"
    player.finish(key)


class BestComplete:
    """The best of the trials that ran to their end; before there is any, the best of those that got furthest."""

    def __init__(self, ground: Ground) -> None:
        self._ground = ground
        self._complete: tuple[float, Run] | None = None
        self._furthest: tuple[int, float, Run] | None = None

    @property
    def choice(self) -> Run | None:
        """The configuration it would recommend now."""
        if self._complete is not None:
            return self._complete[1]
        return self._furthest[2] if self._furthest else None

    def hear(self, run: Run, epoch: int, value: float | None, ended: Ended) -> None:
        """Compare complete trials by their last value, others at the furthest epoch anybody reached."""
        if value is None:
            return
        better = self._ground.better
        leads = self._complete is None or better(value, self._complete[0])
        if ended == "complete" and leads:
            self._complete = value, run
        far = (0, value) if self._furthest is None else self._furthest[:2]
        if epoch > far[0] or (epoch == far[0] and better(value, far[1])):
            self._furthest = (epoch, value, run)


class BestLast:
    """The trial with the best last value, however short it was trained: what Ray Tune's `get_best_result` says."""

    def __init__(self, ground: Ground) -> None:
        self._ground = ground
        self._last: dict[int, tuple[float, Run]] = {}

    @property
    def choice(self) -> Run | None:
        """The configuration it would recommend now."""
        chosen: tuple[float, Run] | None = None
        for value, run in self._last.values():
            if chosen is None or self._ground.better(value, chosen[0]):
                chosen = (value, run)
        return None if chosen is None else chosen[1]

    def hear(self, run: Run, epoch: int, value: float | None, ended: Ended) -> None:
        """The last result of a trial is the one that counts; one that is not finite does not."""
        if value is None:
            self._last.pop(run.number, None)
        else:
            self._last[run.number] = (value, run)
