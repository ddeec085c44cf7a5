"""Reading a run folder for its report; a run that was interrupted early has little to read, and that is no mistake."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from abr_tune.errors import UserError
from abr_tune.plan import yaml
from abr_tune.report.data import ReportData
from abr_tune.report.importances import importances
from abr_tune.runs import RunFolder
from abr_tune.search.study import record_of, storage_of, stored_trials
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
    plan: Mapping[str, Any] = yaml.read(run.plan).data
    summary = run.read_summary() or {}
    objective = _objective(summary.get("objective") or plan["objective"])
    environment = json.loads(run.environment.read_text(encoding="utf-8")) if run.environment.is_file() else {}
    storage = storage_of(folder)
    trials = [] if storage is None else stored_trials(storage, str(plan["name"]))
    records = tuple(record_of(trial) for trial in sorted(trials, key=lambda trial: trial.number))
    return ReportData(
        name=str(plan["name"]),
        about=str(plan.get("about") or ""),
        task=str(plan["task"]),
        objective=objective,
        data=plan.get("data"),
        space_text=run.space.read_text(encoding="utf-8") if run.space.is_file() else "",
        trials=records,
        curves={record.number: _curve(run.trial(record.number) / HISTORY) for record in records},
        summary=summary,
        environment=environment,
        importances=importances(trials, objective),
    )


def _curve(path: Path) -> tuple[EpochReport, ...]:
    """The complete reports of a history, each epoch once: a restart repeats the last one."""
    by_epoch = {report.epoch: report for report in read_history(path) if report.complete}
    return tuple(by_epoch[epoch] for epoch in sorted(by_epoch))


def _objective(written: Mapping[str, Any]) -> Objective:
    """`{maximize: metric}` of a plan, or `{metric, direction}` of a summary."""
    if "metric" in written:
        return Objective(**written)
    if "maximize" in written:
        return Objective(written["maximize"], "maximize")
    return Objective(written["minimize"], "minimize")
