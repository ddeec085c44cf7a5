"""What a run has to say beside its trials, put where Optuna's dashboard shows it: notes, and plots of its own.

Written when a run ends and when the dashboard is opened, never while a trial is waited for. The notes of all trials go
in one transaction: the dashboard's own call takes two for each and reads all notes again every time. A note that a
person has changed is kept.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from optuna.storages import RDBStorage
from optuna.storages._rdb import models
from sqlalchemy import delete, insert
from sqlalchemy.orm import Session

from abr_tune.report import figures, notes
from abr_tune.report.data import ReportData
from abr_tune.report.read import read_run
from abr_tune.report.tables import stop_rows
from abr_tune.report.thinning import thinned
from abr_tune.runs import RunFolder
from abr_tune.search.archive import storage_of, study_id
from abr_tune.search.storage import opened

MOST_NOTES: Final = 1000
"""Trials that get a note; of more, those a reader looks for and an even share of the rest."""
WRITTEN: Final = "[//]: # (abr-tune "
"""Begins the last line of a note of ours; Markdown shows nothing of it. A hash of the note follows."""


def annotate(folder: Path, data: ReportData | None = None) -> None:
    """Write the notes and plots of the run in `folder` into its study; nothing for a run that never began.

    `data` is what `read_run` says of it, where that was asked already.

    Raises:
        StorageFault: the study cannot be reached, or not written to.
    """
    url = storage_of(folder)
    if url is None or not RunFolder(folder).plan.is_file():
        return
    data = data or read_run(folder)
    with opened(url) as storage:
        study = study_id(storage, folder.resolve().name)
        if study is not None:
            _write(storage, study, _attributes(storage, study, data, str(folder)))


def _attributes(storage: RDBStorage, study: int, data: ReportData, folder: str) -> dict[str, Any]:
    """System attributes of the study, as the dashboard keeps notes and plots."""
    known = storage.get_study_system_attrs(study)
    ids = {trial.number: trial._trial_id for trial in storage.get_all_trials(study, deepcopy=False)}
    found = _note(known, None, notes.study_note(data, folder, study))
    for record in thinned(data, data.trials, MOST_NOTES).records:
        if record.number in ids:
            found |= _note(known, ids[record.number], notes.trial_note(data, record))
    plots = {
        "abr-tune-collapse-map": figures.collapse_map_figure(data.collapses) if data.collapses.levers else None,
        "abr-tune-savings": figures.savings_figure(rows) if (rows := stop_rows(data)) else None,
    }
    for name, drawn in plots.items():
        if drawn is not None:
            found |= _plot(known, name, drawn)
    return found


def _note(known: Mapping[str, Any], trial: int | None, body: str) -> dict[str, Any]:
    """The attributes of one note; none where a person has written or changed it, or where it says so already."""
    from optuna_dashboard._note import get_note_from_system_attrs, note_str_key_prefix, note_ver_key, split_body

    there = get_note_from_system_attrs(dict(known), trial)
    signed = f"{body}\n\n{WRITTEN}{_digest(body)})"
    if there["body"] == signed or (there["body"] and not _ours(there["body"])):
        return {}
    stale = (key for key in known if key.startswith(note_str_key_prefix(trial)))
    parts: dict[str, Any] = split_body(signed, trial)
    return dict.fromkeys(stale, "") | {note_ver_key(trial): there["version"] + 1} | parts


def _ours(note: str) -> bool:
    body, mark, end = note.rpartition(f"\n\n{WRITTEN}")
    return bool(mark) and end == f"{_digest(body)})"


def _digest(body: str) -> str:
    return hashlib.sha256(body.encode()).hexdigest()[:16]


def _plot(known: Mapping[str, Any], name: str, drawn: str) -> dict[str, Any]:
    from optuna_dashboard._custom_plot_data import SYSTEM_ATTR_PLOT_DATA, split_plot_data

    prefix = f"{SYSTEM_ATTR_PLOT_DATA}{name}:"
    parts: dict[str, Any] = split_plot_data(drawn, prefix)
    return dict.fromkeys((key for key in known if key.startswith(prefix)), "") | parts


def _write(storage: RDBStorage, study: int, attributes: Mapping[str, Any]) -> None:
    """Set system attributes of a study in one transaction."""
    model = models.StudySystemAttributeModel
    rows = [{"study_id": study, "key": key, "value_json": json.dumps(value)} for key, value in attributes.items()]
    if not rows:
        return
    with Session(storage.engine) as session, session.begin():
        for start in range(0, len(rows), 500):
            keys = [row["key"] for row in rows[start : start + 500]]
            session.execute(delete(model).where(model.study_id == study, model.key.in_(keys)))
        session.execute(insert(model), rows)
