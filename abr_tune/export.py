"""The best configuration as a file that trains again: what to train, what it claims, where it comes from."""

from __future__ import annotations

import json
import re
import shlex
import shutil
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from abr_tune.borders import as_damage
from abr_tune.environment import commit, machine, versions
from abr_tune.errors import UserError
from abr_tune.finalists import Finalist, confirmed
from abr_tune.materials import Materials, lenient
from abr_tune.plan.begun import WEIGHTS
from abr_tune.plan.config import load_config
from abr_tune.plan.describe import describe_plan
from abr_tune.plan.origin import seal_of
from abr_tune.plan.yaml import WRITTEN_OUT, dump, read
from abr_tune.runs import RunFolder, find_run, write_atomically, write_json
from abr_tune.search.archive import read_records
from abr_tune.search.events import TrialRecord
from abr_tune.stages.folder import one_search
from abr_tune.summary import trust
from abr_tune.trial import CHECKPOINT, CONFIG, HISTORY, read_history


def without_skills(metrics: Mapping[str, float]) -> dict[str, float]:
    """What training a configuration again must give: the metrics of its last epoch, without the skills."""
    return {name: value for name, value in metrics.items() if not name.endswith(":skill")}


def write_best(materials: Materials, record: TrialRecord, finalists: Sequence[Finalist]) -> Path | None:
    """Write `best.yaml` and `best/` for the first of the finalists; returns the weights, None for a task without.

    `tolerance` in the file says how far the objective may lie from its claim: 0 on the same seed (and on the same CPU
    build of torch), and on a fresh seed where 19 of 20 further runs should lie by the spread of confirmation. A trial
    that the search left unfinished claims what its first fresh run reached at its end, and nothing without one.
    """
    run, plan, finalist = materials.run, materials.plan, finalists[0]
    source, metrics = _source(materials, record, finalist)
    content: dict[str, Any] = dict(read(source / CONFIG).data)
    if plan.data is not None:
        content["data"] = plan.data_from(run.path)
    content |= _begun(plan.start_from_folder(run.path))
    content |= _code(plan.code_from(run.path))
    content |= _judged_by(describe_plan(lenient(materials, record)))
    content["claims"] = without_skills(metrics)
    content["tolerance"] = {"same_seed": 0.0}
    if finalist.reach is not None and not finalist.folds:
        content["tolerance"]["fresh_seed"] = finalist.reach
    content["provenance"] = _provenance(plan.name, record, materials.fingerprint)
    content["provenance"]["seal"] = seal_of(content)
    if finalist.mean is not None:
        content["provenance"] |= {"confirmed": confirmed(finalists), "finalists": [_named(one) for one in finalists]}
    again = f"abr-tune train {shlex.quote(str(run.best_config))}{trust(plan.task_name)}"
    comment = f"The best of {plan.name}. Train it again: {again}"
    write_atomically(run.best_config, dump(content, comment=comment))
    run.best.mkdir(exist_ok=True)
    write_json(run.best / "metrics.json", metrics)
    weights = newest_weights(source)
    if weights is None:
        return None
    new = run.best / f".{WEIGHTS}.new"
    shutil.copyfile(weights, new)
    return new.replace(run.best / WEIGHTS)


def _source(materials: Materials, record: TrialRecord, finalist: Finalist) -> tuple[Path, dict[str, float]]:
    """The folder whose training the best is, and what it reached at its end; nothing for one that has no end."""
    if record.state == "complete":
        return materials.run.trial(record.number), dict(record.metrics or {})
    if not finalist.runs or finalist.folds:
        return materials.run.trial(record.number), {}
    fresh = materials.run.path / finalist.runs[0]
    return fresh, dict(read_history(fresh / HISTORY)[-1].metrics)


def _named(finalist: Finalist) -> dict[str, Any]:
    score = finalist.score
    told = {"trial": finalist.trial, "searched": finalist.searched, "mean": score.mean, "sd": score.sd}
    return told | {"optimism": score.optimism}


def newest_weights(folder: Path) -> Path | None:
    """The weights a training left in its checkpoint folder last: of the highest epoch, where folders are numbered.

    Times of files decide only between the others, because a copied folder has new ones.
    """
    checkpoint = folder / CHECKPOINT

    def age(weights: Path) -> tuple[list[int], int]:
        numbers = re.findall(r"\d+", str(weights.relative_to(checkpoint).parent))
        return [int(number) for number in numbers], weights.stat().st_mtime_ns

    return max(checkpoint.rglob(WEIGHTS), key=age, default=None)


def export_trial(
    name: str, trial: str, *, out: Path, to: Path | None, force: bool = False, trust_code: bool = False
) -> str:
    """The configuration of one trial of a run as YAML, written to `to` when that is given.

    Raises:
        UserError: no such run or trial, the trial never began, or `to` is a file already and not to be overwritten.
    """
    if to is not None and to.is_file() and not force:
        raise UserError(f"{to} is there already; --force overwrites it")
    run = RunFolder(one_search(find_run(name, out)))
    with as_damage(run.path):
        text = _exported(run, trial, to=to, trust_code=trust_code)
    if to is not None:
        to.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(to, text)
    return text


def _exported(run: RunFolder, trial: str, *, to: Path | None, trust_code: bool) -> str:
    number = number_of(run, trial)
    records = {record.number: record for record in read_records(run.path)}
    source = run.trial(number) / CONFIG
    if number not in records or not source.is_file():
        raise UserError(f"run {run.name} has no trial {number} that was trained; see: abr-tune trials {run.typed}")
    content: dict[str, Any] = dict(read(source).data)
    described: Mapping[str, Any] = json.loads(run.environment.read_text(encoding="utf-8"))
    known = described.get("code")
    config = load_config(source, trust_code=trust_code, code=None if known is None else run.path / known)
    target = to.parent if to else Path()
    if config.data is not None:
        content["data"] = config.data_from(target)
    content |= _begun(config.start_from_folder(target))
    content |= _code(config.code_from(target))
    content |= _judged_by(read(run.plan, limits=WRITTEN_OUT).data)
    content["claims"] = without_skills(records[number].metrics or {})
    content["tolerance"] = {"same_seed": 0.0}
    content["provenance"] = _provenance(run.name, records[number], str(described["data_fingerprint"]))
    return dump(content)


def _code(folder: str | None) -> dict[str, str]:
    return {} if folder is None else {"code": folder}


def _begun(start: Mapping[str, str] | None) -> dict[str, Any]:
    return {} if start is None else {"start": dict(start)}


def _judged_by(planned: Mapping[str, Any]) -> dict[str, Any]:
    """The parts of a plan that decide how long its trials are trained and what they score."""
    return {key: planned[key] for key in ("objective", "health")}


def _provenance(name: str, record: TrialRecord, fingerprint: str) -> dict[str, Any]:
    return {
        "run": name,
        "trial": record.number,
        "start_point": record.name,
        "epochs": record.epochs,
        "made": datetime.now(UTC).isoformat(timespec="seconds"),
        "commit": commit(),
        "versions": versions(),
        "machine": machine(),
        "data_fingerprint": fingerprint,
    }


def number_of(run: RunFolder, trial: str) -> int:
    """The number of a trial given as `best` or a number; raises UserError for anything else."""
    if trial == "best":
        best = (run.read_summary() or {}).get("best")
        if best is None:
            raise UserError(f"run {run.name} has no best trial; see: abr-tune trials {run.typed}")
        return int(best["trial"])
    if not trial.isdigit():
        raise UserError(f"--trial takes `best` or a number, not {trial!r}")
    return int(trial)
