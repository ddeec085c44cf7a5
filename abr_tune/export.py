"""The best configuration as a file that trains again: what to train, what it claims, where it comes from."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from abr_tune.environment import commit, versions
from abr_tune.errors import UserError
from abr_tune.finalists import Finalist
from abr_tune.plan.overrides import resolve
from abr_tune.plan.plan import Plan
from abr_tune.plan.yaml import dump
from abr_tune.runs import RunFolder, find_run, write_atomically, write_json
from abr_tune.search.events import TrialRecord


def relocated(options: BaseModel, *, old: Path, new: Path) -> dict[str, Any]:
    """Options as plain data, relative paths in them rewritten so that they mean the same from folder `new`."""

    def moved(value: Any) -> Any:
        if isinstance(value, Path):
            return str(value) if value.is_absolute() else os.path.relpath(old.resolve() / value, new.resolve())
        if isinstance(value, dict):
            return {name: moved(item) for name, item in value.items()}
        return [moved(item) for item in value] if isinstance(value, list | tuple) else value

    plain: dict[str, Any] = moved(options.model_dump())
    return plain


def configuration(
    plan: Plan, record: TrialRecord, *, folder: Path, fingerprint: str, finalist: Finalist | None = None
) -> dict[str, Any]:
    """The content of a training configuration for one trial, as it lies in `folder`.

    `claims` holds the metrics of the trial's last epoch: training again with the same seed on a CPU gives them exactly.
    `tolerance` says how far the objective may lie from its claim: 0 on the same seed, and on a fresh seed the largest
    distance any confirmation run had.
    """
    options = resolve(plan.task.options, {**plan.train, **record.params})
    claim = record.value
    content: dict[str, Any] = {"task": plan.task_name}
    if isinstance(plan.data, BaseModel):
        content["data"] = relocated(plan.data, old=plan.folder, new=folder)
    content["train"] = options.model_dump(mode="json")
    content["seed"] = plan.seed
    content["objective"] = {plan.objective.direction: plan.objective.metric}
    content["claims"] = {name: value for name, value in (record.metrics or {}).items() if not name.endswith(":skill")}
    content["tolerance"] = {"same_seed": 0.0}
    if finalist is not None and claim is not None and finalist.values:
        fresh = [abs(value - claim) for value in finalist.values if value is not None]
        content["tolerance"]["fresh_seed"] = max(fresh, default=0.0)
    content["provenance"] = {
        "run": plan.name,
        "trial": record.number,
        "start_point": record.name,
        "made": datetime.now(UTC).isoformat(timespec="seconds"),
        "commit": commit(),
        "versions": versions(),
        "data_fingerprint": fingerprint,
    }
    if finalist is not None and finalist.mean is not None:
        content["provenance"]["confirmed"] = {
            "seeds": len(finalist.values),
            "mean": finalist.mean,
            "sd": finalist.sd,
        }
    return content


def write_best(run: RunFolder, plan: Plan, record: TrialRecord, finalist: Finalist, fingerprint: str) -> Path | None:
    """Write `best.yaml` and `best/`; returns the weights, None for a task that saves none."""
    content = configuration(plan, record, folder=run.path, fingerprint=fingerprint, finalist=finalist)
    write_atomically(run.best_config, dump(content))
    run.best.mkdir(exist_ok=True)
    write_json(run.best / "metrics.json", dict(record.metrics or {}))
    weights = newest_weights(run.trial(record.number))
    if weights is None:
        return None
    target = run.best / "model.safetensors"
    shutil.copyfile(weights, target)
    return target


def newest_weights(folder: Path) -> Path | None:
    """The weights a training left in its checkpoint folder last."""
    found = list((folder / "checkpoint").rglob("model.safetensors"))
    return max(found, key=lambda path: path.stat().st_mtime_ns, default=None)


def export_trial(name: str, trial: str, *, out: Path, to: Path | None) -> str:
    """The configuration of one trial of a run as YAML, written to `to` when that is given.

    Raises:
        UserError: no such run or trial.
    """
    from abr_tune.plan.load import load_plan
    from abr_tune.search.study import read_records

    run = RunFolder(find_run(name, out))
    number = _number(run, trial)
    records = {record.number: record for record in read_records(run.path)}
    if number not in records:
        raise UserError(f"run {run.name} has no trial {number}; it has {len(records)}, counted from 0")
    plan = load_plan(run.space, trust_code=True)
    fingerprint = _fingerprint(run)
    text = dump(configuration(plan, records[number], folder=to.parent if to else Path(), fingerprint=fingerprint))
    if to is not None:
        write_atomically(to, text)
    return text


def _number(run: RunFolder, trial: str) -> int:
    if trial == "best":
        best = (run.read_summary() or {}).get("best")
        if best is None:
            raise UserError(f"run {run.name} has no best trial; see: abr-tune trials {run.path}")
        return int(best["trial"])
    if not trial.isdigit():
        raise UserError(f"--trial takes `best` or a number, not {trial!r}")
    return int(trial)


def _fingerprint(run: RunFolder) -> str:
    import json

    environment: Mapping[str, Any] = json.loads(run.environment.read_text(encoding="utf-8"))
    return str(environment["data_fingerprint"])
