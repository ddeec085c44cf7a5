"""What watching costs: steps of one training by turns with and without a look.

    python -m benchmarks.watching [--backbones encoder unet] [--repeats N]

Counted is the processor's time of this process, which waits for nobody, of whole optimiser steps and of the line that a
look writes; the steps alternate, so that whatever else the machine does meets both. The median step with a look, less
the median step without, is spread over the steps between two looks at the default `watch.every`.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Final, get_args

from benchmarks.checks import Measured

BAR: Final = 0.05
"""Share of the training time that watching may cost."""
BATCH: Final = 64
REPEATS: Final = 25
WARM: Final = 3
"""Steps before any is counted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """What watching costs one kind of network."""

    name: str
    plain: float
    """Seconds of a step without a look."""
    look: float
    """Seconds that a look adds to its step."""
    every: int
    """Steps from one look to the next."""
    repeats: int
    """Pairs of steps."""
    bar: float = BAR

    @property
    def share(self) -> float:
        """Of the time of all steps, what looks add to it."""
        return self.look / (self.every * self.plain)

    @property
    def holds(self) -> bool:
        """Whether it costs no more than it may."""
        return self.share <= self.bar

    def __str__(self) -> str:
        return (
            f"{self.name}: watching adds {self.share:.1%} (at most {self.bar:.0%}): {1000 * self.look:.1f} ms every "
            f"{self.every} steps of {1000 * self.plain:.1f} ms; medians of {self.repeats} pairs of steps"
        )


def measure(backbone: str, *, repeats: int = REPEATS, size: str = "tiny") -> Cost:
    """The cost of the default watching for one backbone and size."""
    import torch

    from core.config import WatchOptions

    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        seconds = _stepper(backbone, size, Path(folder))
        for _ in range(WARM):
            seconds(False), seconds(True)
        pairs = [(seconds(False), seconds(True)) for _ in range(repeats)]
    plain, looked = (median(times) for times in zip(*pairs, strict=True))
    every = WatchOptions().every
    return Cost(name=f"{size} {backbone}", plain=plain, look=looked - plain, every=every, repeats=repeats)


def _stepper(backbone: str, size: str, folder: Path) -> Callable[[bool], float]:
    """Takes the next step of a training, with a look or without, and says how long it took."""
    import torch

    from core.tasks.abr import AbrTask
    from core.tasks.abr_options import TERMS, AbrOptions, SimulatedData
    from core.tasks.abr_run import build_run
    from core.training.step import optimise
    from core.training.watch_log import WatchLog

    data = AbrTask().load(SimulatedData(train=BATCH, val=40, test=40), folder=folder)
    options = AbrOptions.model_validate({"model": {"backbone": backbone, "size": size}, "device": "cpu"})
    [learner] = build_run(options, data, seed=1).learners
    batch, log = learner.examples.take(torch.arange(BATCH)), WatchLog(folder)
    learner.network.train()

    def step(look: bool) -> float:
        began = time.process_time()
        taken = optimise(learner, [batch], TERMS, clip=1.0, floor=0.1, ratio=False, look=look)
        if look:
            log.write({"epoch": 1, "step": learner.progress.step, "fold": 0} | taken.row())
        return time.process_time() - began

    return step


def costs(backbones: Sequence[str] | None = None, *, repeats: int = REPEATS) -> list[Cost]:
    """The cost for every backbone there is, or for those named."""
    from core.tasks.abr_options import Backbone

    return [measure(backbone, repeats=repeats) for backbone in backbones or get_args(Backbone)]


def check() -> Measured:
    """For the list of acceptance: every backbone's cost beside what it may be."""
    found = costs()
    return Measured(all(cost.holds for cost in found), "\n".join(map(str, found)))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--backbones", nargs="*")
    parser.add_argument("--repeats", type=int, default=REPEATS)
    arguments = parser.parse_args()
    measured = []
    for each in arguments.backbones or [None]:
        for cost in costs(None if each is None else [each], repeats=arguments.repeats):
            print(cost, flush=True)
            measured.append(cost)
    sys.exit(0 if all(cost.holds for cost in measured) else 1)
