"""What the search costs beside the training: start-up and overhead per trial, ours and stock Ray Tune's.

    python benchmarks/overhead.py [--rounds 3] [--trials 100] [--json]

The task trains nothing (20 epochs of a formula), so that whatever takes time is overhead. Every case runs in a process
of its own, one trial at a time, and the cases take turns in each round, so that a busy machine is busy for all of them.

- `start-up`: from the call of `search` to the first epoch report, Ray's start and import included.
- `per trial`: time from the end of the first trial to the end of the last one, divided by the trials between, less the
  bare loop over the same task in the same way.
- `stock`: Ray Tune's `Tuner` with its `OptunaSearch` on SQLite and a class trainable, one epoch a step, Ray's defaults.
"""

from __future__ import annotations

import argparse
import json
import logging
import math
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import median
from typing import Any

ROOT = Path(__file__).parents[1]
if str(ROOT) not in sys.path:
    sys.path.insert(0, str(ROOT))

from abr_tune.plan.distributions import Range  # noqa: E402
from abr_tune.plan.plan import Budget, Confirm, Plan, Pruner, Resources, Sampler  # noqa: E402
from abr_tune.plan.space import Parameter, Space  # noqa: E402
from core.config import Options  # noqa: E402
from core.health import HealthOptions  # noqa: E402
from core.report import EpochReport  # noqa: E402
from core.tasks.task import Objective  # noqa: E402

METRIC = "val/toy/score"
EPOCHS = 20
DIMENSIONS = ("a", "b", "c", "d")
BAR_PER_TRIAL, BAR_START_UP = 0.1, 15.0


class ToyOptions(Options):
    """Four numbers, best at 0.5."""

    epochs: int = EPOCHS
    a: float = 0.5
    b: float = 0.5
    c: float = 0.5
    d: float = 0.5


def score(values: dict[str, float], epoch: int) -> float:
    """A saturating curve whose height depends on the values."""
    return (1 - sum((values[name] - 0.5) ** 2 for name in DIMENSIONS)) * (1 - math.exp(-epoch / 5))


class Toy:
    """Trains nothing."""

    name = "toy"
    options = ToyOptions

    def train(self, options: ToyOptions, *, seed: int, checkpoint: Path) -> Iterator[EpochReport]:
        """One report an epoch, at once."""
        for epoch in range(1, options.epochs + 1):
            yield EpochReport(
                epoch=epoch, phase="all", metrics={METRIC: score(options.model_dump(), epoch)}, seconds=0.0
            )


def plan_of(trials: int) -> Plan:
    return Plan(
        name="overhead",
        about="",
        file=Path("overhead.yaml"),
        task_name="benchmarks.overhead:Toy",
        task=Toy(),  # type: ignore[arg-type]
        data=None,
        train={},
        space=Space(tuple(Parameter(name, Range(0.0, 1.0)) for name in DIMENSIONS)),
        start_from=(),
        objectives=(Objective(METRIC),),
        health=HealthOptions(),
        pruner=Pruner(kind="none"),
        sampler=Sampler(),
        budget=Budget(trials=trials),
        confirm=Confirm(top=0),
        gate=(),
        resources=Resources(),
        seed=0,
    )


def ours(executor: str, trials: int, folder: Path) -> dict[str, float]:
    began = time.perf_counter()
    from abr_tune.search.events import EpochDone, Event, TrialFinished
    from abr_tune.search.search import search

    first: list[float] = []
    ends: list[float] = []

    def listen(event: Event) -> None:
        if isinstance(event, EpochDone) and not first:
            first.append(time.perf_counter() - began)
        if isinstance(event, TrialFinished):
            ends.append(time.perf_counter())

    outcome = search(
        plan_of(trials), folder=folder, dataset=None, baselines={}, executor=executor, jobs=1, listener=listen
    )
    assert all(record.state == "complete" and record.epochs == EPOCHS for record in outcome.records)
    return {"start_up": first[0], "per_trial": (ends[-1] - ends[0]) / (trials - 1)}


def bare(trials: int, folder: Path) -> dict[str, float]:
    began = time.perf_counter()
    for _ in range(trials):
        for _report in Toy().train(ToyOptions(), seed=0, checkpoint=folder):
            pass
    return {"per_trial": (time.perf_counter() - began) / trials}


def stock(reuse: bool, trials: int, folder: Path) -> dict[str, float]:
    began = time.perf_counter()
    import optuna
    import ray
    from ray import tune
    from ray.tune.search.optuna import OptunaSearch

    logging.getLogger("ray").setLevel(logging.ERROR)
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    first: list[float] = []
    ends: list[float] = []

    class Stock(tune.Trainable):  # type: ignore[misc]
        def setup(self, config: dict[str, Any]) -> None:
            self.values, self.epoch = config, 0

        def reset_config(self, new_config: dict[str, Any]) -> bool:
            self.values, self.epoch = new_config, 0
            return True

        def step(self) -> dict[str, Any]:
            self.epoch += 1
            return {"score": score(self.values, self.epoch), "done": self.epoch == EPOCHS}

    class Watch(tune.Callback):  # type: ignore[misc]
        def on_trial_result(self, *_args: object, **_named: object) -> None:
            if not first:
                first.append(time.perf_counter() - began)

        def on_trial_complete(self, *_args: object, **_named: object) -> None:
            ends.append(time.perf_counter())

    ray.init(num_cpus=1, include_dashboard=False, log_to_driver=False, logging_level="ERROR", _temp_dir=str(folder))
    storage = optuna.storages.RDBStorage(f"sqlite:///{folder}/study.db")
    searcher = OptunaSearch(
        {name: tune.uniform(0, 1) for name in DIMENSIONS}, metric="score", mode="max", seed=0, storage=storage
    )
    tune.Tuner(
        tune.with_resources(Stock, {"cpu": 1}),
        tune_config=tune.TuneConfig(
            metric="score", mode="max", search_alg=searcher, num_samples=trials, reuse_actors=reuse
        ),
        run_config=tune.RunConfig(
            storage_path=str(folder / "results"),
            callbacks=[Watch()],
            checkpoint_config=tune.CheckpointConfig(checkpoint_at_end=False),
            verbose=0,
        ),
    ).fit()
    ray.shutdown()
    return {"start_up": first[0], "per_trial": (ends[-1] - ends[0]) / (trials - 1)}


CASES: dict[str, tuple[Callable[[int, Path], dict[str, float]], float]] = {
    "bare loop": (bare, 1.0),
    "ours, inline": (lambda trials, folder: ours("inline", trials, folder), 1.0),
    "ours, Ray": (lambda trials, folder: ours("ray", trials, folder), 1.0),
    "stock, actors reused": (lambda trials, folder: stock(True, trials, folder), 0.4),
    "stock": (lambda trials, folder: stock(False, trials, folder), 0.1),
}
"""Name -> case and the share of the trials it is given: without reuse, a hundred trials take minutes."""


def in_own_process(case: str, trials: int) -> dict[str, float]:
    command = [sys.executable, __file__, "--case", case, "--trials", str(max(4, int(trials * CASES[case][1])))]
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, env=os.environ | {"OMP_NUM_THREADS": "1"}
    )
    if done.returncode:
        raise SystemExit(f"{case} failed:\n{done.stderr}")
    result: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return result


def bookkeeping() -> float:
    """Milliseconds of the study per trial of 8 parameters and 50 reports, on SQLite."""
    from optuna.distributions import FloatDistribution

    from abr_tune.search.fidelity import Point
    from abr_tune.search.ledger import Ending
    from abr_tune.search.storage import sqlite_url
    from abr_tune.search.study import Study

    sides = {f"p{i}": FloatDistribution(0, 1) for i in range(8)}
    values = dict.fromkeys(sides, 0.5)
    with tempfile.TemporaryDirectory() as folder:
        study = Study(sqlite_url(Path(folder) / "study.db"), "overhead", (Objective(METRIC),))
        began, trials = time.perf_counter(), 40
        for _ in range(trials):
            number = study.begin(values, sides, values, None)
            for epoch in range(1, 51):
                study.report(number, Point(epoch, epoch, (epoch / 50,)))
            said = {"epoch": 50, "seconds": 1.0, "metrics": {f"val/toy/{i}": 0.5 for i in range(40)}}
            study.finish(number, Ending(state="complete", values=(1.0,), attributes=said))
        spent = time.perf_counter() - began
        study.close()
    return 1000 * spent / trials


def measure(rounds: int, trials: int) -> dict[str, Any]:
    runs: dict[str, list[dict[str, float]]] = {case: [] for case in CASES}
    for _ in range(rounds):
        for case, found in runs.items():
            found.append(in_own_process(case, trials))
    over = {
        case: [one["per_trial"] - base["per_trial"] for one, base in zip(found, runs["bare loop"], strict=True)]
        for case, found in runs.items()
    }
    return {
        case: {
            "start_up": median(one["start_up"] for one in found) if "start_up" in found[0] else None,
            "per_trial": median(over[case]),
            "range": [min(over[case]), max(over[case])],
        }
        for case, found in runs.items()
    } | {"bookkeeping_ms": median(bookkeeping() for _ in range(rounds))}


def main() -> int:
    parser = argparse.ArgumentParser(description="Start-up and overhead per trial.")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--trials", type=int, default=100)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--case", choices=CASES, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.case is not None:
        with tempfile.TemporaryDirectory(prefix="oh-", ignore_cleanup_errors=True) as folder:
            print(json.dumps(CASES[arguments.case][0](arguments.trials, Path(folder))), flush=True)
        return 0
    found = measure(arguments.rounds, arguments.trials)
    if arguments.json:
        print(json.dumps(found, indent=2))
    else:
        print(f"{'':22} start-up   per trial, over the bare loop (median, range of {arguments.rounds} rounds)")
        for case in CASES:
            row = found[case]
            start = f"{row['start_up']:6.2f} s" if row["start_up"] is not None else " " * 8
            low, high = row["range"]
            print(f"{case:22} {start}   {row['per_trial']:7.4f} s   {low:.4f} to {high:.4f}")
        print(f"study alone, per trial of 50 reports on SQLite: {found['bookkeeping_ms']:.1f} ms")
        print(f"bars: per trial {BAR_PER_TRIAL} s, start-up {BAR_START_UP:g} s")
    mine = found["ours, Ray"]
    return 0 if mine["per_trial"] <= BAR_PER_TRIAL and mine["start_up"] <= BAR_START_UP else 1


if __name__ == "__main__":
    sys.exit(main())
