"""A task of a user's own that can begin from weights: one number walks towards a goal, a share of the way each epoch.

From 0, at rate r and goal 1, it stands at 1 - (1 - r)^n after n epochs: every score can be reckoned by hand.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
from pydantic import BaseModel, model_validator
from safetensors.numpy import load_file, save_file

from core.config import Options
from core.report import EpochReport
from core.tasks.task import Objective, Scores, Task

METRIC = "val/walk/near"
SCORED: list[str] = []
"""The splits that were scored, in order; cleared by whoever looks."""


class WalkOptions(Options):
    epochs: int = 2
    rate: float = 0.25
    goal: float = 0.5
    width: int = 2
    """Size of a tensor that means nothing; another width fits no other's weights."""
    nap: float = 0.0
    """Seconds of each epoch."""
    narrow: bool = False
    """Refuses a width above 3."""

    @model_validator(mode="after")
    def _width(self) -> Self:
        if self.narrow and self.width > 3:
            raise ValueError("a narrow walk is at most 3 wide")
        return self


class WalkData(BaseModel):
    seed: int = 0


class Walk(Task):
    name: ClassVar[str] = "walk"
    options: ClassVar[type[BaseModel]] = WalkOptions
    data: ClassVar[Any] = WalkData
    objective: ClassVar[Objective | None] = Objective(METRIC)

    def load(self, data: Any, *, folder: Path) -> int:
        if data.seed < 0:
            raise ValueError(f"no walk begins at {data.seed}")
        return int(data.seed)

    def fingerprint(self, dataset: int) -> str:
        return f"walk {dataset}"

    def baselines(self, _dataset: int) -> dict[str, float]:
        return {METRIC: 0.0}

    def train(
        self, options: Any, *, seed: int, checkpoint: Path, start: Path | None = None, **_data: Any
    ) -> Iterator[EpochReport]:
        weights = {"here": np.zeros(1), "width": np.zeros(options.width)}
        health, done = {}, 0
        if start is not None:
            there = load_file(start)
            fitting = [name for name in weights if name in there and there[name].shape == weights[name].shape]
            weights |= {name: there[name] for name in fitting}
            health = {"start/tensors_taken": float(len(fitting)), "start/tensors": 2.0}
        state = checkpoint / "state.json"
        if state.exists():
            weights = load_file(checkpoint / "model.safetensors")
            last = EpochReport.from_json(json.loads(state.read_text()))
            done = last.epoch
            yield last
        for epoch in range(done + 1, options.epochs + 1):
            time.sleep(options.nap)
            weights["here"] += options.rate * (options.goal - weights["here"])
            near = 1 - abs(1 - float(weights["here"][0]))
            report = EpochReport(epoch=epoch, phase="walk", metrics={METRIC: near}, health=health)
            checkpoint.mkdir(parents=True, exist_ok=True)
            save_file(weights, checkpoint / "model.safetensors")
            state.write_text(json.dumps(report.to_json()))
            yield report

    def splits(self, _dataset: int) -> tuple[str, ...]:
        return ("val", "test")

    def evaluate(self, weights: Path, *, data: int, split: str) -> Scores:
        SCORED.append(split)
        near = 1 - abs(1 - float(load_file(weights)["here"][0]))
        return Scores(metrics={f"{split}/walk/near": near}, baselines={f"{split}/walk/near": 0.0})


OTHER = Walk()
