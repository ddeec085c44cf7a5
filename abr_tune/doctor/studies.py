"""What became of the runs in the results folder: studies that can be read, trials that wait for somebody to go on."""

from __future__ import annotations

import json
import shutil
import sqlite3
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Final

from abr_tune.doctor.child import NoAnswer
from abr_tune.doctor.finding import Finding, Place, note, ok, problem, warning
from abr_tune.doctor.packages import WAL_IS_SAFE
from abr_tune.doctor.standing import (
    at_work,
    closed_folders,
    command_of,
    shared_storage,
    studies_at,
    survey,
)
from abr_tune.errors import UserError
from abr_tune.plan import yaml
from abr_tune.report.wording import counted
from abr_tune.runs import RunFolder

SECONDS_FOR_A_LOCK: Final = 2.0
SECONDS_FOR_ALL: Final = 10.0
"""Of looking into studies; what is left unread then is said."""
SECONDS_FOR_ONE: Final = 5.0
STEPS: Final = 100_000
"""Of SQLite between two looks at the time."""
HEADER: Final = b"SQLite format 3\0"
WAL: Final = (2, 2)
"""Bytes 18 and 19 of a database that keeps a write-ahead log."""
COUNTING: Final = "SELECT state, count(*) FROM trials GROUP BY state"
AGAIN: Final = "the same `abr-tune run` that began it"


class Unread(Exception):
    """A study was not looked at; the message says why."""


def unfinished(place: Place) -> Iterator[Finding]:
    """Runs with trials that are running or waiting, though nobody drives them."""
    found = 0
    for run in survey(place).runs:
        states = _states(run, place)
        running, waiting = states.get("RUNNING", 0), states.get("WAITING", 0)
        if not running + waiting or at_work(run, place) is not None:
            continue
        found += 1
        again = command_of(run) or AGAIN
        told = f"{run.path}: {counted(running, 'trial')} running and {waiting} waiting, and nobody drives it"
        if running:
            yield warning(f"{told}: its driver was killed", f"continue with: {again}")
        else:
            yield note(told, f"continue with: {again}")
    if not found:
        yield ok("no run waits for somebody to go on with it")


def _states(run: RunFolder, place: Place) -> dict[str, int]:
    """State -> trials of a run; empty where its study cannot be read, which is for another check to say."""
    try:
        if (url := shared_storage(run)) is not None:
            study = studies_at(url, run.path, place).get(run.path.resolve().name, {})
            return dict(study.get("states", {}))
        if not run.study.is_file():
            return {}
        with reading(run.study, time.monotonic() + SECONDS_FOR_ONE) as database:
            return dict(database.execute(COUNTING).fetchall())
    except (NoAnswer, sqlite3.Error, OSError):
        return {}


def studies(place: Place) -> Iterator[Finding]:
    """Whether the database of every run is whole."""
    until, runs = time.monotonic() + SECONDS_FOR_ALL, survey(place).runs
    sound = unread = 0
    for run in runs:
        try:
            wrong = list(_wrong_with(run, until))
        except Unread:
            unread += 1
            continue
        sound += not wrong and run.study.exists()
        yield from wrong
    if unread:
        said = counted(unread, "study", "studies")
        yield note(f"{said} in use, or too large to be looked at in {SECONDS_FOR_ALL:g} s")
    if sound or not runs:
        yield ok(f"{counted(sound, 'study', 'studies')} in {place.out}: whole" if sound else f"no runs in {place.out}")


def _wrong_with(run: RunFolder, until: float) -> Iterator[Finding]:
    """What is wrong with a run's own study. Raises `Unread` when it could not be looked at in time."""
    if not run.study.exists():
        if shared_storage(run) is None and run.trial(0).is_dir():
            yield problem(f"{run.path} has trials but no study.db, which says what became of them", _fresh(run))
        return
    if time.monotonic() > until:
        raise Unread
    try:
        damage = damage_of(run.study, until)
    except OSError as refused:
        yield warning(f"{run.study} cannot be read: {refused.strerror}", "whose is it, and may you read it?")
        return
    if damage is not None:
        yield problem(f"{run.study} is damaged: {damage}", _fresh(run))
    elif _keeps_wal(run.study) and sqlite3.sqlite_version_info < WAL_IS_SAFE:
        yield warning(
            f"{run.study} keeps a write-ahead log, which this SQLite may lose writes in",
            f"sqlite3 {run.study} 'PRAGMA journal_mode=DELETE', while nobody uses it",
        )


def damage_of(path: Path, until: float) -> str | None:
    """What is wrong with a study's database; None when nothing is. Raises `Unread` when that takes too long."""
    if path.stat().st_size == 0:
        return "it is empty"
    with path.open("rb") as file:
        if file.read(len(HEADER)) != HEADER:
            return "it is no SQLite database"
    try:
        with reading(path, until) as database:
            said = str(database.execute("PRAGMA quick_check(1)").fetchone()[0])
            if said != "ok":
                return said
            database.execute(COUNTING).fetchall()
    except sqlite3.OperationalError as fault:
        if any(word in str(fault) for word in ("locked", "interrupted")):
            raise Unread from fault
        return str(fault)
    except sqlite3.DatabaseError as fault:
        return str(fault)
    return None


@contextmanager
def reading(path: Path, until: float) -> Iterator[sqlite3.Connection]:
    """A study's database, opened so that nothing in its folder changes, and what is asked of it ends in time.

    What a killed driver had begun to write is undone by SQLite when it opens a database: in a copy, here.
    """
    with tempfile.TemporaryDirectory() as apart:
        if _left_open(path):
            for suffix in ("", "-journal"):
                shutil.copyfile(f"{path}{suffix}", Path(apart, f"study.db{suffix}"))
            address = str(Path(apart, "study.db"))
        else:
            address = f"{path.absolute().as_uri()}?mode=ro"
        with closing(sqlite3.connect(address, timeout=SECONDS_FOR_A_LOCK, uri=address.startswith("file:"))) as database:
            database.set_progress_handler(lambda: time.monotonic() > until, STEPS)
            yield database


def _left_open(path: Path) -> bool:
    """Whether a transaction was cut off: its journal is there, and nobody holds the lock that goes with it."""
    if not Path(f"{path}-journal").is_file():
        return False
    try:
        with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", timeout=0, uri=True)) as database:
            database.execute("SELECT count(*) FROM sqlite_master").fetchone()
    except sqlite3.OperationalError as fault:
        return "locked" not in str(fault)
    except sqlite3.DatabaseError:
        return False
    return False


def _keeps_wal(path: Path) -> bool:
    with path.open("rb") as file:
        return tuple(file.read(20)[18:20]) == WAL


def _fresh(run: RunFolder) -> str:
    return f"keep a copy of {run.path} for whoever may save it; {AGAIN} sets it aside and starts anew with --fresh"


def records(place: Place) -> Iterator[Finding]:
    """Whether the files that say how runs went, and what they were made with, can be read."""
    count = 0
    for folder in closed_folders(place.out):
        yield warning(f"{folder} may not be looked into", "whose is this folder?")
    seen = survey(place)
    for path, why in seen.foreign.items():
        yield warning(f"{path} was not looked into: {why.partition(';')[0]}", "whose is this folder?")
    if seen.unseen:
        yield note(f"{counted(seen.unseen, 'folder')}, the oldest, were not looked into: there are too many")
    for run in seen.runs:
        count += 1
        try:
            run.read_summary()
            if run.environment.exists():
                json.loads(run.environment.read_text(encoding="utf-8"))
            if run.plan.exists():
                yaml.read(run.plan, limits=yaml.WRITTEN_OUT)
        except (UserError, ValueError, OSError, RecursionError) as mistake:
            said = str(mistake).splitlines()[0]
            told = said if str(run.path) in said else f"{run.path}: a file is damaged: {said}"
            yield warning(told.partition("; ")[0], f"{AGAIN} writes it anew")
    if count:
        yield ok(f"plans, environments and summaries of {counted(count, 'folder')} were read")
    else:
        yield ok(f"no runs in {place.out}")


def leases(place: Place) -> Iterator[Finding]:
    """Dead drivers that studies in shared storages still name."""
    shared = {url: run.path for run in survey(place).runs if (url := shared_storage(run)) is not None}
    if place.storage is not None:
        shared[place.storage] = place.out
    living, silent = 0, False
    for url, folder in sorted(shared.items()):
        try:
            known = studies_at(url, folder, place) if url.startswith("postgresql") else {}
        except NoAnswer as why:
            silent = True
            yield warning(f"{url} was not read: {why}", "its runs cannot be continued meanwhile")
            continue
        for name, holder in ((name, holder) for name, study in known.items() for holder in study["holders"]):
            living += not holder["dead"]
            if holder["dead"]:
                yield note(
                    f"{name} in {url} is still held by {holder['who']}, who is dead",
                    "nothing: the next driver takes its trials over",
                )
    if not silent:
        yield ok(f"{counted(living, 'living driver')} of shared studies" if shared else "no study is shared")
