"""What watching costs: the same training with and without looks at its steps, epoch by epoch in turn.

    python -m benchmarks.watching [--backbones encoder unet] [--repeats N]

Both runs train the same batches of simulated recordings from the same weights, an epoch each by turns, so that whatever
else the machine does meets both; counted is the processor's time of this process, which waits for nobody. An epoch has
as many steps as lie between two looks at the default `watch.every`: one look in each. The share is the median over
repeats.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any, Final, get_args

from benchmarks.checks import Measured

BAR: Final = 0.05
"""Share of the training time that watching may cost."""
BATCH: Final = 64
REPEATS: Final = 7


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """What watching costs one kind of network."""

    name: str
    share: float
    """Of the time without it, that it adds."""
    seconds: float
    """Of an epoch without it."""
    steps: int
    """Of an epoch."""
    repeats: int
    bar: float = BAR

    @property
    def holds(self) -> bool:
        """Whether it costs no more than it may."""
        return self.share <= self.bar

    def __str__(self) -> str:
        milliseconds = 1000 * self.seconds / self.steps
        return (
            f"{self.name}: watching adds {self.share:+.1%} (at most {self.bar:.0%}) to {milliseconds:.1f} ms a step; "
            f"median of {self.repeats} pairs of epochs of {self.steps} steps"
        )


def measure(backbone: str, *, repeats: int = REPEATS, size: str = "tiny") -> Cost:
    """The cost of the default watching for one backbone and size."""
    import torch

    from core.config import WatchOptions

    torch.set_num_threads(1)
    steps = WatchOptions().every
    with tempfile.TemporaryDirectory() as folder:
        watched, unwatched = (
            _epochs(
                {"epochs": repeats + 1, "model": {"backbone": backbone, "size": size}, "watch": {"every": every}},
                recordings=steps * BATCH,
                folder=Path(folder) / str(every),
            )
            for every in (steps, 0)
        )
        _seconds(watched), _seconds(unwatched)  # the first epoch warms up caches
        pairs = [(_seconds(watched), _seconds(unwatched)) for _ in range(repeats)]
    return Cost(
        name=f"{size} {backbone}",
        share=median(on / off for on, off in pairs) - 1,
        seconds=median(off for _, off in pairs),
        steps=steps,
        repeats=repeats,
    )


def _epochs(settings: dict[str, Any], *, recordings: int, folder: Path) -> Iterator[object]:
    """A training on simulated recordings."""
    from core.tasks.abr import AbrTask
    from core.tasks.abr_options import AbrOptions, SimulatedData

    task = AbrTask()
    data = task.load(SimulatedData(train=recordings, val=40, test=40), folder=folder)
    options = AbrOptions.model_validate({"batch_size": BATCH, "device": "cpu"} | settings)
    return task.train(options, seed=1, checkpoint=folder, data=data)


def _seconds(reports: Iterator[object]) -> float:
    began = time.process_time()
    next(reports)
    return time.process_time() - began


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
