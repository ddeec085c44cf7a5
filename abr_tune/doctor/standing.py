"""The folders of runs and trainings, and who, if anybody, is at work in them."""

from __future__ import annotations

import json
import os
import shlex
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from abr_tune.borders import refuse_links
from abr_tune.doctor.child import NoAnswer, ask
from abr_tune.doctor.finding import Place
from abr_tune.errors import UserError
from abr_tune.runs import LOCK, RunFolder, driver_of

DEPTH: Final = 2
"""Folders of stages, and of single trainings, lie so far below the results folder."""
INSIDE: Final = frozenset({"trials", "confirm", "best"})
"""Folders of a run, in which there is no other run."""
SECONDS_TO_SURVEY: Final = 10.0
SECONDS: Final = 30.0
"""For a storage to answer."""
SECONDS_TO_CONNECT: Final = 10


@dataclass(frozen=True, slots=True)
class Survey:
    """The folders below a results folder that are, or were, driven: of runs, their stages, and single trainings."""

    runs: tuple[RunFolder, ...]
    """Those that nothing leads out of."""
    foreign: Mapping[Path, str]
    """The others, and why: they came from a stranger, and are not looked into."""
    unseen: int
    """Folders that were not looked at for want of time, the oldest ones."""


def survey(place: Place) -> Survey:
    """What there is in the results folder; found out once for all checks."""
    if (known := place.told.get(place.out)) is None:
        known = place.told[place.out] = _survey(place.out)
    assert isinstance(known, Survey)  # noqa: S101 - other answers stand under the URLs of storages
    return known


def _survey(out: Path) -> Survey:
    until = time.monotonic() + SECONDS_TO_SURVEY
    folders = sorted(_folders(out), key=lambda run: run.path.stat().st_mtime, reverse=True)
    runs: list[RunFolder] = []
    foreign: dict[Path, str] = {}
    for run in folders:
        if time.monotonic() > until:
            break
        try:
            refuse_links(run.path)
        except UserError as refused:
            foreign[run.path] = str(refused)
        except OSError as refused:
            foreign[run.path] = f"{refused.filename}: {refused.strerror}"
        else:
            runs.append(run)
    ordered = tuple(sorted(runs, key=lambda run: run.path))
    return Survey(ordered, foreign, len(folders) - len(runs) - len(foreign))


def _folders(out: Path) -> Iterator[RunFolder]:
    """Links to folders are not followed."""
    if not out.is_dir():
        return
    for folder, below, files in os.walk(out):
        here = Path(folder)
        if LOCK in files or "space.yaml" in files:
            yield RunFolder(here)
        deep = len(here.relative_to(out).parts) >= DEPTH
        below[:] = [] if deep else sorted(name for name in below if name not in INSIDE and not name.startswith("."))


def closed_folders(out: Path) -> list[Path]:
    """Folders in `out` that this user may not look into."""
    found = sorted(out.iterdir()) if out.is_dir() else []
    return [path for path in found if path.is_dir() and not os.access(path, os.R_OK | os.X_OK)]


def reach(out: str) -> bool:
    """Whether a results folder is there; a disk that does not answer keeps this waiting."""
    return os.access(out, os.R_OK) and bool(os.scandir(out))


def launch_of(run: RunFolder) -> dict[str, Any]:
    """How a run was started, as its environment.json says; empty where it does not, or is damaged."""
    try:
        said = json.loads(run.environment.read_text(encoding="utf-8"))
        return dict(said.get("launch") or {})
    except (OSError, ValueError, AttributeError, TypeError, RecursionError):
        return {}


def command_of(run: RunFolder) -> str | None:
    """What was typed to begin a run, as its folder says; None where that is not `abr-tune run` with plain words.

    A folder may come from anybody, and what is said here is pasted into a shell. Of a copy under another name nothing
    is said: its command goes on with the original.
    """
    said = launch_of(run).get("command")
    if not isinstance(said, str) or _renamed(run):
        return None
    try:
        words = shlex.split(said)
    except ValueError:
        return None
    return said if words[:2] == ["abr-tune", "run"] and shlex.join(words) == said and said.isprintable() else None


def _renamed(run: RunFolder) -> bool:
    """Whether the plan in a run's folder is that of a run with another name."""
    try:
        lines = run.plan.read_text(encoding="utf-8").splitlines()
    except (OSError, ValueError):
        return False
    return f"name: {run.path.resolve().name}" not in lines


def shared_storage(run: RunFolder) -> str | None:
    """The URL of the storage elsewhere that a run's study is kept in; None when it is its own."""
    storage = launch_of(run).get("storage")
    return str(storage) if storage is not None else None


def at_work(run: RunFolder, place: Place) -> str | None:
    """Who drives a run, or may do so for all that is known here; None when certainly nobody does.

    What dead processes left in it may be taken away only then.
    """
    try:
        if (driving := driver_of(run.path)) is not None:
            return str(driving)
    except UserError as unreadable:
        return f"nobody knows who: {unreadable}"
    if (url := shared_storage(run)) is None:
        return None
    try:
        study = studies_at(url, run.path, place).get(run.path.resolve().name, {})
    except NoAnswer as why:
        return f"nobody knows who: {url} does not answer ({why})"
    return next((holder["who"] for holder in study.get("holders", ()) if not holder["dead"]), None)


def studies_at(url: str, folder: Path, place: Place) -> dict[str, Any]:
    """Name -> states of trials and holders of leases, of the studies in the storage that a run's folder names.

    Raises `NoAnswer`, also for a storage that the user has never named: nobody goes there on a folder's word.
    """
    if url not in place.told:
        try:
            place.told[url] = ask(read_studies, url, None if url == place.storage else str(folder), seconds=SECONDS)
        except NoAnswer as why:
            place.told[url] = why
    answer = place.told[url]
    if isinstance(answer, NoAnswer):
        raise answer
    return dict(answer)


def read_studies(url: str, folder: str | None) -> dict[str, Any]:
    """In a process of its own: what the studies of a storage hold, and who drives them; nothing is written there.

    `folder` is the run's on whose word it is asked; None: the user's.
    """
    from optuna.storages._rdb import models
    from sqlalchemy import create_engine, func, inspect, select
    from sqlalchemy.orm import Session

    from abr_tune.search.known import refuse_unknown
    from abr_tune.search.leases import read_holders
    from abr_tune.search.storage import several_may_write

    if folder is not None:
        refuse_unknown(url, Path(folder))
    engine = create_engine(url, connect_args={"connect_timeout": SECONDS_TO_CONNECT})
    if not several_may_write(engine) or not inspect(engine).has_table(models.StudyModel.__tablename__):
        return {}
    trial, found = models.TrialModel, {}
    with Session(engine) as session:
        for study, name in session.execute(select(models.StudyModel.study_id, models.StudyModel.study_name)).all():
            query = select(trial.state, func.count()).where(trial.study_id == study).group_by(trial.state)
            states = {state.name: count for state, count in session.execute(query).all()}
            holders = [
                {"who": str(each), "dead": each.dead, "silent": each.silent} for each in read_holders(engine, study)
            ]
            found[name] = {"states": states, "holders": holders}
    return found
