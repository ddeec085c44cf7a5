"""What a training does when it is told to lower its learning rate instead of being stopped."""

from __future__ import annotations

from collections.abc import Callable

from core.report import Intervention
from core.training.run import Run


class GoBack(Exception):
    """An epoch in which something broke is to begin again from the last checkpoint."""

    def __init__(self, asked: Intervention) -> None:
        super().__init__(asked)
        self.asked = asked


class NothingToGoBackTo(RuntimeError):
    """The checkpoint of the epoch before is gone or damaged."""


def intervene(run: Run, asked: Intervention | None, epoch: int) -> None:
    """Lower the learning rate of all learners from here on; `epoch` is the one it happens in, or after."""
    if asked is None:
        return
    for learner in run.learners:
        progress = learner.progress
        progress.rate *= asked.lower_rate
        progress.lowered.append(epoch)
        progress.streak = 0


def begin_again(run: Run, asked: Intervention, epoch: int, restore: Callable[[], int | None]) -> None:
    """Put the learners back to before `epoch` by `restore`, which says to where, and lower the rate they had.

    Raises NothingToGoBackTo when it leads elsewhere.
    """
    rates = [(learner.progress.rate, list(learner.progress.lowered)) for learner in run.learners]
    if restore() != epoch - 1:
        raise NothingToGoBackTo(f"epoch {epoch} cannot begin again: the checkpoint before it is gone or damaged")
    for learner, (rate, lowered) in zip(run.learners, rates, strict=True):
        learner.progress.rate, learner.progress.lowered = rate, lowered
    intervene(run, asked, epoch)


def signals(run: Run, epoch: int) -> dict[str, float]:
    """`rate_factor`, 1 without interventions; after one also `interventions` and `since_intervention`, in epochs.

    That `rate_factor` is there says that this training does what it is asked.
    """
    progress = run.learners[0].progress
    found = {"rate_factor": progress.rate}
    if progress.lowered:
        found |= {
            "interventions": float(len(progress.lowered)),
            "since_intervention": float(epoch - progress.lowered[-1]),
        }
    return found
