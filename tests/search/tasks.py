"""A small task such as a user would write: logistic regression by gradient descent on two unequal classes.

Nothing is injected: a huge learning rate overflows to NaN, a tiny one leaves it at the majority class.
"""

from __future__ import annotations

import json
import math
import os
import signal
import time
from dataclasses import replace
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from abr_tune.plan.distributions import Choice, Range
from abr_tune.plan.plan import Budget, Confirm, Plan, Pruner, Resources, Sampler
from abr_tune.plan.space import Parameter, Space
from core.config import Options
from core.health import HealthOptions
from core.report import EpochReport
from core.tasks.task import Objective

METRIC = "val/class/f1_macro"
MAJORITY = 4 / 9  # always the majority: F1 2 * 0.8 / 1.8 = 8/9 for one class and 0 for the other
BASELINES = {METRIC: MAJORITY}


class RareOptions(Options):
    epochs: int = 6
    lr: float = 0.5
    power: float = 1.0
    """Exponent of the loss's weight on the rare class."""
    act: Literal[
        "train",
        "raise",
        "silent",
        "kill_once",
        "sleep",
        "where",
        "hang",
        "grow",
        "deaf",
        "nan",
        "starve",
        "starve_once",
    ] = "train"


class Rare:
    """Not a subclass of Task: a user's task need not be one."""

    name = "rare"
    options = RareOptions

    def train(self, options: RareOptions, *, seed: int, checkpoint: Path, data: NDArray[np.float64] | None = None):
        x, y = points(data)
        saved = checkpoint / "state.json"
        # The bias begins at the share of the rare class, so an untrained model always says majority.
        prior = np.array([0, 0, math.log(20 / 80)])
        weights, done = np.random.default_rng(seed).normal(0, 0.01, 3) + prior, 0
        if saved.exists():
            state = json.loads(saved.read_text())
            weights, done = np.array(state["weights"]), state["report"]["epoch"]
            yield EpochReport.from_json(state["report"])
        emphasis = np.where(y == 1, 4.0**options.power, 1.0)
        for epoch in range(done + 1, options.epochs + 1):
            _act(options, epoch, checkpoint)
            losses = []
            for step in range(20):
                with np.errstate(over="ignore", invalid="ignore"):
                    score = x @ weights
                    loss = float(np.mean(emphasis * (np.logaddexp(0, score) - y * score)))
                    weights = weights - options.lr * x.T @ (emphasis * (1 / (1 + np.exp(-score)) - y)) / len(y)
                    weights = weights * (1 - 0.01 * options.lr)
                if not math.isfinite(loss):
                    yield EpochReport(
                        epoch=epoch, phase="all", complete=False, evidence={"what": "loss", "step": step, "streak": 1}
                    )
                    return
                losses.append(loss)
            report = _report(options, epoch, losses, score, y)
            if options.act == "where":
                health = {**report.health, "pid": os.getpid(), "copied": float(data.flags.writeable)}
                report = replace(report, health=health)
            checkpoint.mkdir(parents=True, exist_ok=True)
            new = saved.with_suffix(".new")
            new.write_text(json.dumps({"weights": weights.tolist(), "report": report.to_json()}))
            new.replace(saved)
            yield report


def points(data: NDArray[np.float64] | None) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    if data is None:
        data = make_data()
    return data[:, :3], data[:, 3]


def make_data() -> NDArray[np.float64]:
    rng = np.random.default_rng(0)
    y = np.repeat([0.0, 1.0], [80, 20])
    x = rng.normal(0, 1, (100, 2)) + 1.2 * y[:, None]
    return np.column_stack([x, np.ones(100), y])


def _act(options: RareOptions, epoch: int, checkpoint: Path) -> None:
    if options.act == "raise" and epoch == 2:
        raise RuntimeError("a bug in the user's code")
    if options.act == "sleep":
        time.sleep(0.3)
    if options.act == "deaf" and epoch == 3:  # as code would that never returns to Python
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGXCPU})
    if options.act in {"hang", "deaf"} and epoch == 3:
        time.sleep(60)
    if options.act == "grow" and epoch == 3:
        held = []
        while len(held) < 3000:
            held.append(b"x" * 2**20)
            time.sleep(0.002)
    marker = checkpoint.parent / "starved"
    if epoch == 3 and (options.act == "starve" or (options.act == "starve_once" and not marker.exists())):
        marker.touch()
        np.empty(2**55)  # more than any machine has: numpy's own MemoryError
    marker = checkpoint.parent / "killed"
    if options.act == "kill_once" and epoch == 3 and not marker.exists():
        marker.touch()
        os.kill(os.getpid(), 9)


def _report(
    options: RareOptions, epoch: int, losses: list[float], score: NDArray[np.float64], y: NDArray[np.float64]
) -> EpochReport:
    guess = score > 0
    f1 = [2 * np.sum((guess == c) & (y == c)) / (np.sum(guess == c) + np.sum(y == c)) for c in (0, 1)]
    metrics = {METRIC: float(np.mean(f1)), "val/class/accuracy": float(np.mean(guess == y))}
    absent = {}
    if options.act == "nan" and epoch == 3:
        metrics[METRIC] = math.nan
    if options.act == "silent":
        absent[METRIC] = "nobody was there to score it"
        del metrics[METRIC]
    return EpochReport(
        epoch=epoch,
        phase="all",
        metrics=metrics,
        health={"loss/class": losses[-1]},
        active={"class": epoch},
        absent=absent,
        seconds=0.01,
    )


SPACE = Space(
    (
        Parameter("lr", Range(1e-3, 1.0, log=True)),
        Parameter("power", Range(0.0, 2.0)),
        Parameter("act", Choice(("train", "raise"))),
    )
)
SMOOTH = Space((Parameter("lr", Range(1e-3, 1.0, log=True)), Parameter("power", Range(0.0, 2.0))))


def plan(**changes) -> Plan:
    settings = {
        "name": "rare",
        "about": "",
        "file": Path("rare.yaml"),
        "task_name": "tests.search.tasks:task",
        "task": Rare(),
        "data": None,
        "train": {"epochs": 6},
        "space": SMOOTH,
        "start_from": (),
        "objectives": (Objective(METRIC),),
        "health": HealthOptions(),
        "pruner": Pruner(kind="none"),
        "sampler": Sampler(kind="random"),
        "budget": Budget(trials=4),
        "confirm": Confirm(),
        "gate": (),
        "resources": Resources(),
        "seed": 0,
    }
    return Plan(**(settings | changes))
