"""Reading a run folder for its report; a run that was interrupted early has little to read, and that is no mistake."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from optuna.trial import FrozenTrial

from abr_tune.errors import UserError
from abr_tune.plan import yaml
from abr_tune.report.ablation import estimated_ablation, trained_ablation
from abr_tune.report.collapse import collapse_map
from abr_tune.report.data import HEALTHY, ReportData
from abr_tune.report.importances import collapse_importances, importances
from abr_tune.report.lowered import lowered_rates
from abr_tune.runs import RunFolder
from abr_tune.search.archive import storage_of, stored_trials
from abr_tune.search.records import points_of, record_of
from abr_tune.trial import HISTORY, read_history
from core.report import EpochReport
from core.tasks.task import Objective


def read_run(folder: Path) -> ReportData:
    """Everything the report tells of the run in `folder`.

    Raises:
        UserError: the folder holds no plan: it is not a run, or the run never began.
        StorageFault: the study is kept elsewhere and cannot be reached.
    """
    run = RunFolder(folder)
    if not run.plan.is_file():
        raise UserError(f"{folder} has no plan.yaml: it is not a run folder, or the run never began")
    plan: Mapping[str, Any] = yaml.read(run.plan, limits=yaml.WRITTEN_OUT).data
    summary = run.read_summary() or {}
    objectives = tuple(_objectives(summary.get("objectives") or plan["objective"]))
    storage = storage_of(folder)
    trials = [] if storage is None else stored_trials(storage, str(plan["name"]))
    trials = sorted(trials, key=lambda trial: trial.number)
    records = tuple(record_of(trial) for trial in trials)
    known = ReportData(
        name=str(plan["name"]),
        about=str(plan.get("about") or ""),
        task=str(plan["task"]),
        objectives=objectives,
        data=plan.get("data"),
        space_text=run.space.read_text(encoding="utf-8") if run.space.is_file() else "",
        trials=records,
        curves={trial.number: curve for trial in trials if (curve := _curve(trial))},
        summary=summary,
        environment=_json(run.environment),
        scores=_json(run.best / "scores.json"),
        importances=importances(trials, objectives[0]),
        further={
            **{one.metric: importances(trials, one, place) for place, one in enumerate(objectives) if place},
            HEALTHY: collapse_importances(trials),
        },
        collapses=collapse_map(records),
        lowered=lowered_rates(run.events),
    )
    watched = {record.number for record in (known.best, known.collapsed) if record is not None}
    points = {trial.number: points_of(trial) for trial in trials}
    return replace(
        known,
        watched={number: _reports(run.trial(number) / HISTORY) for number in watched},
        ablation=trained_ablation(folder) or estimated_ablation(plan, records, points, objectives[0], known.best),
    )


def _curve(trial: FrozenTrial) -> dict[int, float]:
    return {point.epoch: point.values[0] for point in points_of(trial)}


def _json(path: Path) -> Mapping[str, Any]:
    found: Mapping[str, Any] = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    return found


def _reports(path: Path) -> tuple[EpochReport, ...]:
    """The complete reports of a history, each epoch once: a restart repeats the last one."""
    by_epoch = {report.epoch: report for report in read_history(path) if report.complete}
    return tuple(by_epoch[epoch] for epoch in sorted(by_epoch))


def _objectives(written: Any) -> Iterator[Objective]:
    """`{maximize: metric}` of a plan or `{metric, direction}` of a summary, one or a list of them."""
    for one in written if isinstance(written, list | tuple) else [written]:
        if "metric" in one:
            yield Objective(one["metric"], one["direction"])
        else:
            (direction,) = one
            yield Objective(one[direction], direction)
