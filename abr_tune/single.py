"""`abr-tune train`: one configuration, trained and held against its claims, without any search."""

from __future__ import annotations

import hashlib
import json
import shutil
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from abr_tune.console import stderr_console
from abr_tune.errors import EnvironmentFault, Exit, UserError
from abr_tune.plan.config import Config, load_config
from abr_tune.runs import sole_driver, write_json
from abr_tune.search.signals import catch_signals
from abr_tune.since import Change, changed
from abr_tune.trial import (
    CHECKPOINT,
    CONFIG,
    HISTORY,
    Crash,
    TrialStep,
    attempt,
    closable,
    length_of,
    read_history,
    run_trial,
    training_config,
)
from core.config import ComputeOptions
from core.report import EpochReport

UNDER_WAY: Final = ".under-way"
"""In the folder of a training whose command has not ended yet, or was killed."""


def train_config(
    file: Path,
    *,
    overrides: Sequence[str],
    seeds: int,
    epochs: int | None,
    out: Path,
    trust_code: bool,
    as_json: bool,
    command: str,
) -> Exit:
    """Train a configuration with its own seed and `seeds - 1` fresh ones; prints scores beside claims.

    Files lie in `out/trained/<name>-<seed>/`, which an interrupted training goes on from when `command` is given again.

    Raises:
        UserError: a mistake in the file or the data.
    """
    if epochs is not None:
        overrides = [*overrides, f"train.epochs={epochs}"]
    config = load_config(file, overrides, trust_code=trust_code)
    dataset = load(config)
    for said in (*config.remarks, *_changes(config, dataset)):
        stderr_console().print(str(said), markup=False)
    trained = train_seeds(config, dataset, range(config.seed, config.seed + seeds), out=out)
    if trained.signal is not None:
        stderr_console().print(f"interrupted; continue with: {command}", markup=False, soft_wrap=True)
        return Exit(128 + trained.signal)
    rows = [_row(config, each.seed, each.folder, each.last, overridden=bool(overrides)) for each in trained.runs]
    if as_json:
        sys.stdout.write(json.dumps(rows, indent=2, ensure_ascii=False) + "\n")
    else:
        sys.stdout.writelines(f"{sentence}\n" for row in rows for sentence in _sentences(row))
    return Exit.DONE if all(row["ended"] == "complete" for row in rows) else Exit.NOTHING_COMPLETE


def _changes(config: Config, dataset: Any) -> Iterator[Change]:
    """What numbers depend on and is otherwise than in the file; nothing where it claims none."""
    if config.claims:
        fingerprint = "none" if config.data is None else config.task.fingerprint(dataset)
        yield from changed(config.provenance, fingerprint)


@dataclass(frozen=True, slots=True)
class SeedRun:
    """One training of a configuration."""

    seed: int
    folder: Path
    last: TrialStep | Crash | None
    """Its last step; None when the task yielded no report."""


@dataclass(frozen=True, slots=True)
class SeedRuns:
    """The trainings that ended, and the signal that came before the others did."""

    runs: tuple[SeedRun, ...]
    signal: int | None = None


def train_seeds(config: Config, dataset: Any, seeds: Iterable[int], *, out: Path) -> SeedRuns:
    """Train a configuration with each seed, in `out/trained/<name>-<seed>/`; one that was interrupted goes on.

    Until all seeds are through, each folder is marked: whoever was killed on the way trains nothing twice.

    Raises:
        EnvironmentFault: it is to compute on a graphics card, and torch can use none here.
    """
    _refuse_missing_card(config)
    runs: list[SeedRun] = []
    with catch_signals() as interruption:
        for seed in seeds:
            folder = out / "trained" / f"{_name(config)}-{seed}"
            with sole_driver(folder):
                _begin_anew_if_told(folder, length_of(config.options))
                (folder / UNDER_WAY).touch()
                last = _train(replace(config, seed=seed), dataset, folder, lambda: bool(interruption))
            if interruption.signal is not None:
                return SeedRuns(tuple(runs), interruption.signal)
            runs.append(SeedRun(seed, folder, last))
    for run in runs:
        (run.folder / UNDER_WAY).unlink(missing_ok=True)
    return SeedRuns(tuple(runs))


def _refuse_missing_card(config: Config) -> None:
    if not isinstance(config.options, ComputeOptions):
        return
    from core.training.device import NoCard, compute_for

    try:
        compute_for(config.options)
    except NoCard as missing:
        raise EnvironmentFault(f"{missing}; on the command line: --set train.device=auto") from missing


def load(config: Config) -> Any:
    """What the task makes of the configuration's data; None for a task without data.

    Raises:
        UserError: the data cannot be used.
    """
    if config.data is None:
        return None
    try:
        return config.task.load(config.data, folder=config.folder)
    except (ValueError, OSError) as mistake:
        raise UserError(f"the data cannot be used: {mistake}") from mistake


def _name(config: Config) -> str:
    """A folder of its own for every configuration: its file's name, and a hash of what is trained."""
    told = json.dumps(
        training_config(
            config.task_name,
            config.options,
            seed=0,
            data=config.data_from(Path()),
            start=None if config.start is None else {"sha256": config.start.sha256},
        ),
        sort_keys=True,
    )
    return f"{config.file.stem}-{hashlib.sha256(told.encode()).hexdigest()[:8]}"


def _begin_anew_if_told(folder: Path, length: int | None) -> None:
    """Take away a training that has come to its end, unless its command was killed before it could say so."""
    history = [] if (folder / UNDER_WAY).exists() else read_history(folder / HISTORY)
    if history and history[-1].epoch >= (length or 0):
        # The history goes last: killed in between, the next command comes here again.
        shutil.rmtree(folder / CHECKPOINT, ignore_errors=True)
        for name in (CONFIG, HISTORY):
            (folder / name).unlink(missing_ok=True)


def _train(config: Config, dataset: Any, folder: Path, interrupted: Any) -> TrialStep | Crash | None:
    """Train to the end, or on to it from where an interrupted training stopped."""
    console = stderr_console()
    options, task = config.options, config.task
    told = training_config(
        config.task_name,
        options,
        seed=config.seed,
        data=config.data_from(folder),
        start=config.start_from_folder(folder),
    )
    steps = run_trial(
        task,
        options,
        seed=config.seed,
        folder=folder,
        data=dataset,
        health=config.health,
        baselines=task.baselines(dataset),
        config=told,
        start=None if config.start is None else config.start.checked(),
    )
    outcome: TrialStep | Crash | None = None
    with console.status(f"training with seed {config.seed} ..."):
        for outcome in closable(attempt(steps, folder)):
            if isinstance(outcome, TrialStep):
                for said in outcome.notes:
                    console.print(said, markup=False)
                console.print(_line(config, outcome.report), markup=False)
                for verdict in outcome.verdicts:
                    console.print(f"  {verdict.level}: {verdict.rule}: {verdict.why}", markup=False)
            if interrupted():
                break
    return outcome


def _line(config: Config, report: EpochReport) -> str:
    total = length_of(config.options)
    metric = config.objective.metric if config.objective else None
    value = report.metrics.get(metric) if metric else None
    shown = f"  {metric} {value:.4f}" if value is not None else ""
    losses = "  ".join(
        f"{name.removeprefix('loss/')} {loss:.3f}" for name, loss in report.health.items() if name.startswith("loss/")
    )
    return f"epoch {report.epoch}{f'/{total}' if total else ''}  {report.phase}{shown}  loss: {losses}"


def _row(
    config: Config, seed: int, folder: Path, last: TrialStep | Crash | None, *, overridden: bool
) -> dict[str, Any]:
    """What became of one training; claims are compared only when exactly what made them was trained."""
    row: dict[str, Any] = {"seed": seed, "folder": str(folder), "ended": "complete"}
    if isinstance(last, Crash):
        return row | {"ended": "failed", "error": last.error}
    if last is None:
        return row | {"ended": "failed", "error": "the task yielded no report"}
    row["metrics"] = dict(last.report.metrics)
    if last.stop is not None:
        row |= {"ended": "stopped", "rule": last.stop.rule, "why": last.stop.why}
    metric = config.objective.metric if config.objective else None
    if metric is not None:
        row |= {"metric": metric, "value": last.report.metrics.get(metric)}
        if not overridden and metric in config.claims:
            same = seed == config.seed
            row |= {
                "claim": config.claims[metric],
                "tolerance": config.tolerance.get("same_seed" if same else "fresh_seed"),
            }
    write_json(folder / "metrics.json", row["metrics"])
    return row


def _sentences(row: dict[str, Any]) -> list[str]:
    head = f"seed {row['seed']}: "
    if row["ended"] == "failed":
        return [head + f"failed: {row['error']}", f"  {row['folder']}"]
    said = "" if row.get("value") is None else f"{row['metric']} {row['value']:.6f}"
    if row["ended"] == "stopped":
        return [head + f"stopped by {row['rule']}: {row['why']}; {said}", f"  {row['folder']}"]
    if row.get("claim") is not None and row.get("value") is not None:
        distance = abs(row["value"] - row["claim"])
        said += f"; claimed {row['claim']:.6f}, {'equal' if distance == 0 else f'{distance:.6f} away'}"
        if row["tolerance"] is not None and distance > row["tolerance"]:
            said += f", more than the {row['tolerance']:.6f} the file states"
    return [head + said, f"  {row['folder']}"]
