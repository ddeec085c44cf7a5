"""What the battery trains while it kills: a walk of a few milliseconds an epoch, each step of which needs the last.

An epoch that is left out, trained twice or begun from the wrong state gives another score from there on.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np

from core.config import Options
from core.report import EpochReport

SCORE = "val/walk/score"
COST = "val/walk/cost"
STATE = "state.json"
TRAINED = "trained.log"
"""Beside the checkpoint: one line for every epoch that was really trained, in whichever process."""


class WalkOptions(Options):
    """Where a walk goes and how fast."""

    epochs: int = 8
    pace: float = 0.1
    aim: float = 0.5
    style: Literal["plain", "bold"] = "plain"
    boldness: float = 0.5
    milliseconds: float = 4.0
    """Each epoch takes so long, a third of it in the middle of a write of its checkpoint."""
    sleepy: int = 0
    """Seeds from here on take ten times as long; 0: none does. Confirmation has other seeds than the search."""


class Walk:
    """A task such as a user would write: a name, options, and `train`."""

    name = "walk"
    options = WalkOptions

    def baselines(self, _dataset: Any) -> Mapping[str, float]:
        """A walk that never begins."""
        return {SCORE: 0.0}

    def train(self, options: WalkOptions, *, seed: int, checkpoint: Path) -> Iterator[EpochReport]:
        """One report an epoch, those from the checkpoint's on."""
        saved = checkpoint / STATE
        place, done = 0.0, 0
        if saved.exists():
            place, done = json.loads(saved.read_text(encoding="utf-8"))
            yield _report(options, place, done)
        for epoch in range(done + 1, options.epochs + 1):
            seconds = options.milliseconds * (10 if options.sleepy and seed >= options.sleepy else 1) / 1000
            time.sleep(seconds * 2 / 3)
            place += _step(options, place, np.random.default_rng((seed, epoch)).normal())
            checkpoint.mkdir(parents=True, exist_ok=True)
            _keep(checkpoint, place, epoch, slowly=seconds / 3)
            yield _report(options, place, epoch)


def _step(options: WalkOptions, place: float, luck: float) -> float:
    """Towards 1, by chance a little aside."""
    speed = options.pace * (1 + options.boldness if options.style == "bold" else 1)
    return speed * (1 - abs(options.aim - 0.6) - place) + 0.01 * luck


def _keep(checkpoint: Path, place: float, epoch: int, *, slowly: float) -> None:
    new, state = checkpoint / f"{STATE}.new", json.dumps([place, epoch])
    with new.open("w", encoding="utf-8") as file:
        file.write(state[:3])
        file.flush()
        time.sleep(slowly)
        file.write(state[3:])
    new.replace(checkpoint / STATE)
    with (checkpoint.parent / TRAINED).open("a", encoding="utf-8") as file:
        file.write(f"{epoch}\n")


def _report(options: WalkOptions, place: float, epoch: int) -> EpochReport:
    cost = options.pace * epoch + (0.5 if options.style == "bold" else 0.0)
    return EpochReport(
        epoch=epoch,
        phase="all",
        metrics={SCORE: place, COST: cost},
        health={"loss/walk": math.exp(-place)},
        active={"walk": epoch},
        seconds=options.milliseconds / 1000,
    )
