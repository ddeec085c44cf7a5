"""Studies from outside: where a run keeps its own, what it holds, and its name; nobody need drive it."""

from __future__ import annotations

import json
from pathlib import Path

from optuna.storages import RDBStorage
from optuna.storages._rdb import models
from optuna.trial import FrozenTrial
from sqlalchemy import update
from sqlalchemy.orm import Session

from abr_tune.errors import UserError
from abr_tune.filesystems import sqlite_file
from abr_tune.runs import RunFolder
from abr_tune.search.bulk import all_trials
from abr_tune.search.events import TrialRecord
from abr_tune.search.known import refuse_unknown
from abr_tune.search.records import record_of
from abr_tune.search.storage import opened, sqlite_url


def storage_of(folder: Path) -> str | None:
    """URL of the storage of the run in `folder`: the one it was started with, or its own `study.db` if it has one.

    Raises `UserError` when that is one of which only the folder speaks.
    """
    run = RunFolder(folder)
    if run.environment.is_file():
        launch = json.loads(run.environment.read_text(encoding="utf-8")).get("launch") or {}
        if launch.get("storage") is not None:
            refuse_unknown(storage := str(launch["storage"]), folder)
            return storage
    return sqlite_url(run.study) if run.study.is_file() else None


def read_records(folder: Path) -> list[TrialRecord]:
    """The trials of the run in `folder`, by number, from its study, which may be in use.

    Raises `UserError` when there is none: the run has not begun.
    """
    storage = storage_of(folder)
    if storage is None:
        raise UserError(f"{folder} holds no study.db")
    return [record_of(trial) for trial in stored_trials(storage, folder.resolve().name)]


def stored_trials(storage: str, name: str) -> list[FrozenTrial]:
    """The trials of the study of the run called `name`, as Optuna reads them, by number; none without a study."""
    if (file := sqlite_file(storage)) is not None and not file.exists():  # which SQLite would make
        return []
    with opened(storage) as connected:
        found = study_id(connected, name)
        return [] if found is None else all_trials(connected, found)


def named_trials(storage: str, name: str) -> int:
    """How many trials the study called `name` has; none without a study."""
    with opened(storage) as connected:
        found = named_study(connected, name)
        return 0 if found is None else connected.get_n_trials(found)


def rename_study(storage: str, name: str, new: str) -> None:
    """Give the study called `name` another name; without one there is nothing to do."""
    model = models.StudyModel
    with opened(storage) as connected, Session(connected.engine) as session, session.begin():
        session.execute(update(model).where(model.study_name == name).values(study_name=new))


def follow_folder(storage: str, name: str) -> None:
    """Give the only study of a run's own storage the name of the run, whose folder may have been renamed or copied."""
    with opened(storage) as connected:
        names = [study.study_name for study in connected.get_all_studies()]
    if len(names) == 1 and names != [name]:
        rename_study(storage, names[0], name)


def study_id(storage: RDBStorage, name: str) -> int | None:
    """Optuna's id of the study of the run called `name`, or of the only study there is: folders may be renamed."""
    studies = storage.get_all_studies()
    named = [study for study in studies if study.study_name == name] or studies
    return named[0]._study_id if len(named) == 1 else None


def named_study(storage: RDBStorage, name: str) -> int | None:
    """Optuna's id of the study that is called just so."""
    return next((study._study_id for study in storage.get_all_studies() if study.study_name == name), None)
