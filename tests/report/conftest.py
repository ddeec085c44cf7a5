"""A synthetic run folder: made-up curves by formula, laid out exactly as a real search lays them out."""

from __future__ import annotations

import json
import math
import random
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution

from abr_tune.plan.yaml import dump
from abr_tune.runs import RunFolder, write_json
from abr_tune.search.fidelity import Point
from abr_tune.search.ledger import Ending
from abr_tune.search.storage import sqlite_url
from abr_tune.search.study import Study
from core.report import EpochReport
from core.tasks.task import Objective

ROOT = Path(__file__).parents[2]
# What these tests share is found from the project's root.
if str(ROOT) not in sys.path:
    sys.path.insert(0, str(ROOT))

from tests.report.made import scores  # noqa: E402

METRIC = "val/class/f1_macro"
MAJORITY = 0.178
EPOCHS = 20
DISTRIBUTIONS = {
    "optimizer.lr": FloatDistribution(1e-5, 3e-3, log=True),
    "loss.weights.class": FloatDistribution(1, 30, log=True),
    "loss.class_loss": CategoricalDistribution(["cross_entropy", "focal"]),
}


@dataclass
class SyntheticRun:
    """Writes a run folder trial by trial."""

    folder: RunFolder
    study: Study
    classes: tuple[str, ...] = ("NORMAL", "SNİK")
    heads: tuple[str, ...] = ("class", "signal")

    def start(self, params: Mapping[str, Any], name: str | None = None) -> int:
        known = {path: value for path, value in params.items() if path in DISTRIBUTIONS}
        return self.study.begin(known, {path: DISTRIBUTIONS[path] for path in known}, params, name)

    def train(self, number: int, values: list[float]) -> dict[str, float]:
        folder = self.folder.trial(number)
        folder.mkdir(parents=True)
        metrics: dict[str, float] = {}
        with (folder / "history.jsonl").open("w", encoding="utf-8") as file:
            for epoch, value in enumerate(values, 1):
                metrics = {METRIC: value, f"{METRIC}:skill": (value - MAJORITY) / (1 - MAJORITY)}
                metrics |= {f"val/class/share/{name}": share for name, share in self._shares(value)}
                metrics |= {"val/class/accuracy": 0.5 + value / 2, "val/threshold/mae_db": 15 - 8 * value}
                report = EpochReport(epoch=epoch, phase="all", metrics=metrics, health=self._health(value), seconds=0.4)
                file.write(json.dumps(report.to_json()) + "\n")
                self.study.report(number, Point(epoch, epoch, (value,)))
        return metrics

    def _shares(self, value: float) -> Iterator[tuple[str, float]]:
        """The better the score, the more of the last class; nothing of it at the majority's."""
        rare = max(0.0, min(0.4, value - MAJORITY))
        yield from zip(self.classes, (1 - rare, rare), strict=True)

    def _health(self, value: float) -> dict[str, float]:
        return {"loss/class": 1.6 - value, "grad_norm": 2 * value} | {f"grad_norm/{head}": value for head in self.heads}

    def end(self, number: int, values: list[float], *, by: str | None = None, why: str = "") -> None:
        metrics = self.train(number, values)
        said: dict[str, Any] = {"metrics": metrics, "epoch": len(values), "seconds": 0.4 * len(values)}
        if by is None:
            self.study.finish(number, Ending(state="complete", values=(values[-1],), attributes=said))
        else:
            said |= {"pruned_by": by, "why": why, "evidence": {}}
            self.study.finish(number, Ending(state="pruned", attributes=said))

    def fail(self, number: int, error: str) -> None:
        self.study.finish(number, Ending(state="failed", attributes={"error": error}))


def learning(lr: float, weight: float, seed: int, epochs: int) -> list[float]:
    """A saturating curve, best at lr 5e-4 and weight 8."""
    rng = random.Random(seed)
    top = 0.56 - 0.10 * math.log10(lr / 5e-4) ** 2 - 0.05 * math.log10(weight / 8) ** 2
    return [
        MAJORITY + max(0.0, top - MAJORITY) * (1 - math.exp(-epoch / 5)) + rng.gauss(0, 0.006)
        for epoch in range(1, epochs + 1)
    ]


def begin_run(folder: Path, *, name: str = "synthetic", about: str = "") -> SyntheticRun:
    folder.mkdir(parents=True)
    run = RunFolder(folder)
    plan = {
        "name": name,
        "about": about or "Synthetic curves for the tests of the report; nothing was trained.",
        "task": "abr",
        "data": {"source": "simulated", "train": 1500, "val": 2000, "test": 4000, "seed": 7},
        "objective": {"maximize": METRIC},
    }
    run.space.write_text(dump(plan), encoding="utf-8")
    run.plan.write_text(dump(plan | {"train": {"epochs": EPOCHS}}), encoding="utf-8")
    return SyntheticRun(run, Study(sqlite_url(run.study), name, (Objective(METRIC),)))


def fill(run: SyntheticRun) -> None:
    """40 trials: start points, a collapse, a NaN, a ranking that keeps the best of each rung, a failure."""
    rng = random.Random(3)
    collapsed = run.start(
        {"optimizer.lr": 1e-3, "loss.weights.class": 1.0, "loss.class_loss": "cross_entropy"}, "collapsed baseline"
    )
    run.end(
        collapsed,
        [MAJORITY] * 5,
        by="class_collapse",
        why="macro-F1 0.178 has not been above the always-majority score 0.178 for 2 epochs and the class loss fell by "
        "less than 1% in 3 epochs; 100.0% of the recordings are given the same class",
    )
    fixes = run.start(
        {"optimizer.lr": 1e-4, "loss.weights.class": 10.0, "loss.class_loss": "cross_entropy"}, "emergency fixes"
    )
    run.end(fixes, learning(1e-4, 10.0, 1, EPOCHS))
    for index in range(38):
        lr, weight = 10 ** rng.uniform(-5, math.log10(3e-3)), 10 ** rng.uniform(0, math.log10(30))
        loss = rng.choice(["cross_entropy", "focal"])
        number = run.start({"optimizer.lr": lr, "loss.weights.class": weight, "loss.class_loss": loss})
        values = learning(lr, weight, number, EPOCHS)
        if index == 20:
            run.fail(number, "RuntimeError: worker killed")
        elif index == 12:
            run.end(number, values[:1], by="non_finite", why="epoch 2, step 37: the loss of class is not finite")
        elif lr < 2e-5:
            run.end(number, [MAJORITY] * 6, by="class_collapse", why="macro-F1 stays at the majority's score")
        elif values[3] < 0.34:
            run.end(number, values[:4], by="successive_halving", why="not among the best quarter at epoch 4")
        elif values[15] < 0.50:
            run.end(number, values[:16], by="successive_halving", why="not among the best quarter at epoch 16")
        else:
            run.end(number, values)


def summarise(run: SyntheticRun) -> dict[str, Any]:
    records = run.study.records()
    best = max((record for record in records if record.state == "complete"), key=lambda record: record.value or 0)
    assert best.value is not None
    pruned = [record.pruned_by for record in records if record.state == "pruned"]
    return {
        "name": run.folder.name,
        "task": "abr",
        "state": "finished",
        "objective": {"metric": METRIC, "direction": "maximize"},
        "trials": {"complete": sum(r.state == "complete" for r in records), "pruned": len(pruned), "failed": 1},
        "pruned_by": {str(rule): pruned.count(rule) for rule in sorted(set(map(str, pruned)))},
        "epochs": {"spent": sum(record.epochs for record in records), "unpruned": 39 * EPOCHS},
        "seconds": {"total": 214.0, "training": 385.0, "first_report": 9.1},
        "baselines": {METRIC: MAJORITY, "val/class/accuracy": 0.797, "val/threshold/mae_db": 14.9},
        "best": {
            "trial": best.number,
            "value": best.value,
            "params": dict(best.params),
            "metrics": dict(best.metrics or {}),
            "confirmed": {"seeds": 3, "mean": 0.541, "sd": 0.008},
        },
        "finalists": [
            {"trial": best.number, "searched": best.value, "values": [0.54, 0.55, 0.533], "metrics": best.metrics}
        ],
        "references": [
            reference("tree on static parameters", 0.47, 0.537, (0.03, 0.11)),
            reference("tree on all inputs", 0.60, 0.537, (-0.1, -0.02)),
        ],
        "test": {"test/class/f1_macro": 0.537},
        "saved_by": {"class_collapse": 30, "successive_halving": 280, "non_finite": 19},
        "audit": {
            "rows": [
                {"rule": None, "judged": 10, "false": 1, "share": 0.1, "interval": [0.01, 0.38], "above_baseline": 4},
                {
                    "rule": "class_collapse",
                    "judged": 4,
                    "false": 0,
                    "share": 0.0,
                    "interval": [0.0, 0.4],
                    "above_baseline": 0,
                },
            ]
        },
        "gate": {
            "verdict": "investigate",
            "criteria": [
                criterion(METRIC, "> 0.4", "> 0.3", 0.541, "go"),
                criterion("val/class/accuracy", "> 0.8", "> 0.6", 0.77, "investigate"),
            ],
        },
    }


def reference(name: str, value: float, ours: float, interval: tuple[float, float]) -> dict[str, Any]:
    return {"name": name, "metric": "test/class/f1_macro", "value": value, "ours": ours, "interval": interval}


def criterion(metric: str, go: str, investigate: str, value: float, result: str) -> dict[str, Any]:
    return {"metric": metric, "go": go, "investigate": investigate, "value": value, "result": result, "why": None}


@pytest.fixture
def new_run(tmp_path: Path) -> Callable[..., SyntheticRun]:
    """Makes the run folder of a run that has just begun: `new_run(name, about=...)`."""
    return lambda name, about="": begin_run(tmp_path / name, name=name, about=about)


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished synthetic run."""
    folder = tmp_path_factory.mktemp("results") / "synthetic"
    run = begin_run(folder)
    fill(run)
    write_json(run.folder.summary, summarise(run))
    run.folder.best.mkdir()
    write_json(run.folder.best / "scores.json", scores("NORMAL", "SNİK"))
    write_json(
        run.folder.environment,
        {
            "versions": {"python": "3.11.2", "torch": "2.13.0"},
            "commit": "1be0a5a",
            "seeds": {"search": 0, "confirmation": [1, 2]},
        },
    )
    run.study.close()
    return folder
