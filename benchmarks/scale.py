"""Whether a search stays quick as it grows, and whether anything acknowledged is lost when it is killed.

    python benchmarks/scale.py [--trials 10000] [--json]     one search, looked at with 1,000, 3,000 and 10,000 trials
    python benchmarks/scale.py --kill 20 [--storage URL]     a driver killed at random moments, each time gone on with

The task trains nothing: three epochs of a formula over four numbers, inline, SQLite unless --storage names another
database. At each size, in processes of their own:

- `trial`: a whole trial of the search itself, the median of the last hundred before that size; of that the time in
  `ask` (sampler, study, folder) and in `tell` (`report` and `finish`: the study); `cpu`: processor time of all of it,
  which a busy machine does not change. Sampler: random, so that what is measured is the harness; `tpe` is one proposal
  of the default sampler that knows as many trials, by itself.
- `continue`: from starting the search again to its first trial, without imports.
- `show`, `trials`, `report`: the commands, as somebody would wait for them, imports included.
- `memory`: of the process that searches (resident, highest); `files`: of the run folder.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import resource
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import Any

ROOT = Path(__file__).parents[1]
if str(ROOT) not in sys.path:
    sys.path.insert(0, str(ROOT))

from abr_tune.plan.plan import Plan, Sampler, StartPoint  # noqa: E402
from benchmarks.overhead import METRIC, Toy, ToyOptions, plan_of, score  # noqa: E402
from core.report import EpochReport  # noqa: E402

EPOCHS = 3
SIZES = (1000, 3000, 10000)
POINTS = tuple(StartPoint(f"point {i}", {"a": i / 10}) for i in range(3))


class Slow(Toy):
    """Each epoch takes long enough to be killed in; it goes on from its checkpoint as a task should."""

    def train(self, options: ToyOptions, *, seed: int, checkpoint: Path) -> Iterator[EpochReport]:
        saved = checkpoint / "epoch"
        done = int(saved.read_text()) if saved.exists() else 0
        for epoch in range(max(done, 1), options.epochs + 1):
            if epoch > done:
                time.sleep(0.002)
                checkpoint.mkdir(parents=True, exist_ok=True)
                new = checkpoint / "new"
                new.write_text(str(epoch))
                new.replace(saved)
            value = {METRIC: score(options.model_dump(), epoch)}
            yield EpochReport(epoch=epoch, phase="all", metrics=value, seconds=0.0, active={"toy": epoch})


def plan(trials: int, *, sampler: str = "random", task: Any = None) -> Plan:
    settings: dict[str, Any] = {"train": {"epochs": EPOCHS}, "sampler": Sampler(kind=sampler), "name": "scale"}  # type: ignore[arg-type]
    return replace(plan_of(trials), **settings, **({} if task is None else {"task": task}))


def grow(folder: Path, trials: int) -> dict[str, Any]:
    """Search from what the folder holds to so many trials; times are in seconds."""
    from abr_tune.runs import RunFolder
    from abr_tune.search.driver import Driver
    from abr_tune.search.executor import Shared
    from abr_tune.search.inline import run_inline
    from abr_tune.search.storage import sqlite_url
    from abr_tune.search.study import Study

    began = time.perf_counter()
    chosen = plan(trials)
    study = Study(sqlite_url(RunFolder(folder).study), chosen.name, chosen.objectives)
    spent: Counter[str] = Counter()
    rows: list[dict[str, float]] = []
    first: list[float] = []

    class Timed(Driver):
        def ask(self) -> Any:
            at = time.perf_counter()
            if rows or first:
                rows.append(dict(spent) | {"at": at, "cpu": time.process_time()})
            job = super().ask()
            if not first:
                first.append(time.perf_counter() - began)
            spent["ask"] += time.perf_counter() - at  # type: ignore[assignment]
            return job

        def report(self, key: int, step: Any) -> Any:
            at = time.perf_counter()
            try:
                return super().report(key, step)
            finally:
                spent["tell"] += time.perf_counter() - at  # type: ignore[assignment]

        def finish(self, key: int) -> None:
            at = time.perf_counter()
            super().finish(key)
            spent["tell"] += time.perf_counter() - at  # type: ignore[assignment]

    driver = Timed(chosen, study, folder, lambda _event: None)
    shared = Shared(task=chosen.task, dataset=None, health=chosen.health, baselines={}, objectives=chosen.objectives)
    run_inline(driver, shared)
    study.close()
    last = rows[-101:]

    def per_trial(name: str) -> float:
        pairs = list(pairwise(last))
        return median(b.get(name, 0.0) - a.get(name, 0.0) for a, b in pairs) if pairs else 0.0

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {
        "size": trials,
        "continue": first[0],
        "trial": per_trial("at"),
        "ask": per_trial("ask"),
        "tell": per_trial("tell"),
        "cpu": per_trial("cpu"),
        "memory": peak,
        "files": sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) / 2**20,
    }


def propose(folder: Path) -> float:
    """Seconds for one proposal of the default sampler that knows the folder's trials."""
    from abr_tune.runs import RunFolder
    from abr_tune.search.driver import Driver
    from abr_tune.search.storage import sqlite_url
    from abr_tune.search.study import Study

    chosen = plan(10**6, sampler="tpe")
    study = Study(sqlite_url(RunFolder(folder).study), chosen.name, chosen.objectives)
    driver = Driver(chosen, study, folder, lambda _event: None)
    times = []
    for number in range(study.next_number, study.next_number + 5):
        at = time.perf_counter()
        driver._proposals.next(number)
        times.append(time.perf_counter() - at)
    study.close()
    return median(times)


def describe(folder: Path, trials: int) -> None:
    """The files beside the study that the commands read; what `run` writes at its end."""
    from abr_tune.plan import yaml
    from abr_tune.plan.describe import describe_plan
    from abr_tune.runs import RunFolder, write_json
    from abr_tune.search.archive import read_records
    from abr_tune.summary import Spent, summarise

    run, chosen = RunFolder(folder), plan(trials)
    run.space.write_text("name: scale\n")
    run.plan.write_text(yaml.dump(describe_plan(chosen)))
    write_json(run.environment, {"launch": {"storage": None}})
    records = read_records(folder)
    spent = Spent(total=1.0, first_report=1.0, unpruned_epochs=EPOCHS * trials)
    common = {"baselines": {}, "finalists": (), "gate": None, "references": (), "test": {}}
    write_json(run.summary, summarise(chosen, state="finished", records=records, spent=spent, **common))  # type: ignore[arg-type]


def command(*words: object) -> float:
    """Seconds of an `abr-tune` command."""
    at = time.perf_counter()
    done = subprocess.run(
        [str(Path(sys.executable).with_name("abr-tune")), *map(str, words)], capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise SystemExit(f"abr-tune {' '.join(map(str, words))} failed:\n{done.stderr}")
    return time.perf_counter() - at


def alone(*words: object) -> Any:
    """What this file prints when called with these words: in a process of its own, so that its memory is its own."""
    command = [sys.executable, __file__, *map(str, words)]
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, env=os.environ | {"OMP_NUM_THREADS": "1"}
    )
    if done.returncode:
        raise SystemExit(f"{words} failed:\n{done.stderr}")
    return json.loads(done.stdout.splitlines()[-1])


def measure(sizes: list[int]) -> list[dict[str, Any]]:
    rows = []
    with tempfile.TemporaryDirectory(prefix="scale-") as top:
        folder = Path(top) / "scale"
        folder.mkdir()
        for size in sizes:
            row = alone("--grow", folder, "--trials", size)
            again = alone("--grow", folder, "--trials", size + 1)
            row["continue"] = again["continue"]
            row["tpe"] = alone("--propose", folder)
            describe(folder, size)
            row |= {name: command(name, folder) for name in ("show", "trials", "report")}
            rows.append(row)
    return rows


COLUMNS = {
    "size": ("trials", 1, "d"),
    "trial": ("trial ms", 1000, ".1f"),
    "ask": ("ask ms", 1000, ".1f"),
    "tell": ("tell ms", 1000, ".1f"),
    "cpu": ("cpu ms", 1000, ".1f"),
    "tpe": ("tpe ms", 1000, ".1f"),
    "continue": ("continue s", 1, ".2f"),
    "show": ("show s", 1, ".2f"),
    "trials": ("trials s", 1, ".2f"),
    "report": ("report s", 1, ".2f"),
    "memory": ("memory MiB", 1, ".0f"),
    "files": ("files MiB", 1, ".0f"),
}


def kill(times: int, storage: str | None, seed: int) -> dict[str, Any]:
    """Start a search, kill it at a random moment, and again; then let it end. What it had said must all be there."""
    from abr_tune.search.storage import sqlite_url
    from abr_tune.search.study import Study

    chance, said = random.Random(seed), {}
    with tempfile.TemporaryDirectory(prefix="kill-") as top:
        folder = Path(top)
        url = storage or sqlite_url(folder / "study.db")
        trials = 12 * times
        for round_ in range(times + 1):
            command = [sys.executable, __file__, "--victim", str(folder), "--trials", str(trials), "--storage", url]
            with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as victim:
                assert victim.stdout is not None
                if round_ < times and victim.stdout.readline() == "begun\n":
                    time.sleep(chance.uniform(0.0, 0.25))
                    victim.send_signal(signal.SIGKILL)
                for line in victim.stdout.read().splitlines(keepends=True):
                    # The last line may be torn.
                    if line.startswith("{") and line.endswith("\n"):
                        record = json.loads(line)
                        assert said.setdefault(record["number"], record) == record, "a trial ended twice"
            assert victim.returncode == (-signal.SIGKILL if round_ < times else 0) or round_ < times
        study = Study(url, "scale", plan(trials).objectives)
        kept = study.trials()
        study.close()
        names = Counter(trial.user_attrs.get("start_point") for trial in kept)
        epochs = [
            [
                json.loads(line)["epoch"]
                for line in (folder / f"trials/{trial.number}/history.jsonl").read_text().splitlines()
            ]
            for trial in kept
        ]
    return {
        "kills": times,
        "trials": len(kept),
        "asked for": trials,
        "acknowledged": len(said),
        "acknowledged and lost": sum(
            number >= len(kept) or kept[number].state.name != "COMPLETE" or kept[number].value != record["value"]
            for number, record in said.items()
        ),
        "not complete": sum(trial.state.name != "COMPLETE" for trial in kept),
        "numbers twice": len(kept) - len({trial.number for trial in kept}),
        "start points not tried once": sum(names[point.name] != 1 for point in POINTS),
        "curves with holes": sum(list(trial.intermediate_values) != list(range(1, EPOCHS + 1)) for trial in kept),
        "histories with holes": sum(each != list(range(1, EPOCHS + 1)) for each in epochs),
    }


FAULTLESS = (
    "acknowledged and lost",
    "not complete",
    "numbers twice",
    "start points not tried once",
    "curves with holes",
    "histories with holes",
)


def victim(folder: Path, trials: int, storage: str) -> None:
    """A search that says each end of a trial once it is acknowledged."""
    from abr_tune.search.events import Event, TrialFinished, TrialStarted
    from abr_tune.search.search import search

    begun: list[None] = []

    def say(event: Event) -> None:
        if isinstance(event, TrialStarted) and not begun:
            begun.append(None)
            print("begun", flush=True)
        if isinstance(event, TrialFinished):
            print(json.dumps({"number": event.record.number, "value": event.record.value}), flush=True)

    chosen = replace(plan(trials, task=Slow()), start_from=POINTS)
    search(chosen, folder=folder, dataset=None, baselines={}, executor="inline", jobs=1, storage=storage, listener=say)


def main() -> int:
    parser = argparse.ArgumentParser(description="Growth, and being killed.")
    parser.add_argument("--trials", type=int, default=max(SIZES))
    parser.add_argument("--kill", type=int, metavar="TIMES")
    parser.add_argument("--storage", metavar="URL")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--grow", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--propose", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--victim", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.grow is not None:
        print(json.dumps(grow(arguments.grow, arguments.trials)))
        return 0
    if arguments.propose is not None:
        print(json.dumps(propose(arguments.propose)))
        return 0
    if arguments.victim is not None:
        victim(arguments.victim, arguments.trials, arguments.storage)
        return 0
    if arguments.kill is not None:
        found = kill(arguments.kill, arguments.storage, arguments.seed)
        print(json.dumps(found, indent=2) if arguments.json else "\n".join(f"{k:28} {v}" for k, v in found.items()))
        whole = found["trials"] == found["asked for"]
        return 0 if whole and not any(found[name] for name in FAULTLESS) else 1
    rows = measure([size for size in SIZES if size < arguments.trials] + [arguments.trials])
    if arguments.json:
        print(json.dumps(rows, indent=2))
    else:
        print("  ".join(f"{title:>10}" for title, _, _ in COLUMNS.values()))
        for row in rows:
            cells = [format(row[name] * scale, form) for name, (_, scale, form) in COLUMNS.items()]
            print("  ".join(f"{cell:>10}" for cell in cells))
    return 0


if __name__ == "__main__":
    sys.exit(main())
