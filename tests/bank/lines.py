"""A task whose learning curves are straight lines, so that everything about a bank of them can be told beforehand."""

import math
import time
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, Field

from core.report import EpochReport
from core.tasks import Objective

METRIC = "val/class/f1_macro"
MAJORITY = 0.2


class Options(BaseModel, frozen=True, extra="forbid"):
    """A run climbs by `slope` an epoch from `start`; above slope 0.2 it breaks off in epoch 3."""

    epochs: int = 5
    start: float = 0.2
    slope: Annotated[float, Field(ge=-0.1, le=1)] = 0.05
    kind: str = "line"
    wait: float = 0.0
    luck: float = 0.0


class Lines:
    """Nothing is random: a seed adds `luck` times itself to every value."""

    name = "lines"
    options = Options
    objective = Objective(METRIC)

    def baselines(self, dataset: None) -> dict[str, float]:
        """The score of always naming the majority."""
        return {METRIC: MAJORITY}

    def train(self, options: Options, *, seed: int, checkpoint: Path):
        """Goes on from the epoch written in the checkpoint."""
        saved = checkpoint / "epoch"
        done = int(saved.read_text()) if saved.exists() else 0
        for epoch in range(max(1, done), options.epochs + 1):
            if options.slope > 0.2 and epoch == 3:
                yield EpochReport(
                    epoch=3, phase="all", complete=False, evidence={"what": "loss", "step": 7, "streak": 1}
                )
                return
            if options.kind == "raise" and epoch == 2:
                raise RuntimeError("a bug of the task's own")
            time.sleep(options.wait)
            checkpoint.mkdir(parents=True, exist_ok=True)
            saved.write_text(str(epoch))
            value = options.start + options.slope * epoch + options.luck * seed
            yield report(options, epoch, value=math.nan if options.kind == "nan" and epoch == 4 else value)


def report(options: Options, epoch: int, value: float | None = None) -> EpochReport:
    """What an epoch says: the loss falls as fast as the score climbs, and stands still where that does."""
    value = options.start + options.slope * epoch if value is None else value
    return EpochReport(
        epoch=epoch,
        phase="warm" if epoch == 1 else "all",
        metrics={METRIC: value, "val/class/probability_sd": 0.5},
        health={"loss/class": 2.0 - value},
        active={"class": epoch - 1},
        absent={"val/class/auroc_macro": "nobody asked: really"},
        seconds=0.25,
    )


TASK = Lines()
