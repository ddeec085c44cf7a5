"""What the errors of a database mean: whether waiting helps, how the command ends, and what a person is told.

SQLite names its errors (https://sqlite.org/rescode.html), PostgreSQL numbers them (SQLSTATE, appendix A of its manual);
Optuna and SQLAlchemy hide them behind errors of their own. One table for each database says the rest.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from sqlalchemy.exc import DBAPIError, NoResultFound

from abr_tune.errors import AbrTuneError, EnvironmentFault, StorageFault, chain_of

AGAIN: Final = "then give the same command again"


@dataclass(frozen=True, slots=True, kw_only=True)
class Meaning:
    """What one kind of error is."""

    said: str
    """What is wrong, of `{file}`, the study's, and what to do about it."""
    passes: bool = False
    """Waiting helps."""
    unsure: bool = False
    """What was being written may have been written all the same."""
    fault: type[AbrTuneError] = StorageFault


UNKNOWN: Final = Meaning(said="the study's storage does not answer")
DELETED: Final = Meaning(said="somebody deleted from the study while it was searched; put {file} back, " + AGAIN)
DAMAGED: Final = Meaning(
    said="{file} is damaged and is left as it is: put a copy of it back, or set this run aside with --fresh"
)
SQLITE: Final[Mapping[str, Meaning]] = {
    "SQLITE_BUSY": Meaning(said="{file} is locked by {holder}; end that, " + AGAIN, passes=True),
    "SQLITE_LOCKED": Meaning(said="{file} is locked by {holder}; end that, " + AGAIN, passes=True),
    "SQLITE_FULL": Meaning(said="the disk of {file} is full; free some, " + AGAIN, fault=EnvironmentFault),
    "SQLITE_IOERR": Meaning(said="the disk of {file} fails; mend that, " + AGAIN, fault=EnvironmentFault),
    "SQLITE_READONLY_DBMOVED": Meaning(said="{file} was moved or deleted while it was in use; put it back, " + AGAIN),
    "SQLITE_READONLY": Meaning(said="{file} may only be read; let it and its folder be written to, " + AGAIN),
    "SQLITE_PERM": Meaning(said="{file} may not be used; let it and its folder be written to, " + AGAIN),
    "SQLITE_CANTOPEN": Meaning(said="{file} cannot be opened; is its folder there, and may it be written to?"),
    "SQLITE_CORRUPT": DAMAGED,
    "SQLITE_NOTADB": DAMAGED,
    "SQLITE_FORMAT": DAMAGED,
    "SQLITE_ERROR": Meaning(said="{file} is not a study as this version keeps it; is it another program's?"),
}
"""By the beginning of the error's name; the longest that fits counts."""
GONE: Final = Meaning(said="the study's storage does not answer", passes=True, unsure=True)
POSTGRESQL: Final[Mapping[str, Meaning]] = {
    "08": GONE,
    "25006": Meaning(
        said="the server only reads, as a standby does; name the one that writes with --storage", passes=True
    ),
    "25P": GONE,
    "28": Meaning(said="the server refuses the user; give the password in PGPASSWORD or in a pgpass file"),
    "3D": Meaning(said="the database of the study is not there; make or restore it, " + AGAIN),
    "40": Meaning(said="the server gave up on what was to be written", passes=True),
    "42501": Meaning(said="the user may not write to the study; have the rights granted, " + AGAIN),
    "42P01": Meaning(said="the tables of the study are not there any more; restore the database, " + AGAIN),
    "53100": Meaning(said="the disk of the server is full; free some there, " + AGAIN, passes=True),
    "53": Meaning(said="the server has no room for another connection; end some, " + AGAIN, passes=True),
    "55P03": Meaning(said="another driver of this study took no end of its turn", passes=True),
    "57": GONE,
    "58": Meaning(said="the server's own disk fails; mend that, " + AGAIN),
}
"""By the beginning of the SQLSTATE; the longest that fits counts."""


def meaning_of(error: BaseException) -> Meaning:
    """What an error of the database means, however it is wrapped."""
    for each in chain_of(error):
        if isinstance(each, NoResultFound):
            return DELETED
        if isinstance(each, DBAPIError):
            return _of_dbapi(each)
    return UNKNOWN


def _of_dbapi(error: DBAPIError) -> Meaning:
    if (name := getattr(error.orig, "sqlite_errorname", None)) is not None:
        return _longest(SQLITE, str(name)) or UNKNOWN
    if type(error.orig).__module__.partition(".")[0] != "psycopg":
        return UNKNOWN
    state = getattr(error.orig, "sqlstate", None)
    if state is None:
        # Without a state the connection itself was lost or refused.
        import psycopg

        lost = error.connection_invalidated or isinstance(error.orig, psycopg.OperationalError)
        return GONE if lost else UNKNOWN
    return _longest(POSTGRESQL, str(state)) or (GONE if error.connection_invalidated else UNKNOWN)


def _longest(table: Mapping[str, Meaning], name: str) -> Meaning | None:
    fitting = [begin for begin in table if name.startswith(begin)]
    return table[max(fitting, key=len)] if fitting else None


def fault_of(error: BaseException, file: Path | None) -> AbrTuneError:
    """What a command ends with for an error of the database; `file` is SQLite's."""
    meaning = meaning_of(error)
    words = _words(error)
    said = meaning.said.format(file=file or "the study", holder=_holder(file) if "{holder}" in meaning.said else "")
    if "password" in words and meaning in {GONE, UNKNOWN}:
        words += "; give the password in PGPASSWORD or in a pgpass file (PGPASSFILE, ~/.pgpass)"
    return meaning.fault(f"{said}: {words}" if meaning in {GONE, UNKNOWN} else f"{said} ({words})")


def _words(error: BaseException) -> str:
    """What the database itself said, on one line: SQLAlchemy adds the statement and everything in it."""
    for each in chain_of(error):
        if isinstance(each, DBAPIError):
            error = each.orig or each
            break
    else:
        error = error.__cause__ or error
    return " ".join(str(error).split()) or type(error).__name__


def _holder(file: Path | None) -> str:
    """Who has a file locked, as the kernel knows it."""
    holders = [] if file is None else lockers(file)
    return " and ".join(holders) or "another process"


def lockers(file: Path) -> list[str]:
    """The processes of this machine that hold a lock on a file and have it open, this one left out."""
    import psutil

    locks, me = Path("/proc/locks"), psutil.Process().pid
    if not (file.exists() and locks.exists()):
        return []
    inode = str(file.stat().st_ino)
    pids = {line.split()[-4] for line in locks.read_text().splitlines() if line.split()[-3].endswith(f":{inode}")}
    found = []
    for pid in sorted(int(pid) for pid in pids if pid.isdecimal() and int(pid) != me):
        try:
            process = psutil.Process(pid)
            # Numbers of files are unique on their own filesystem only.
            if any(Path(each.path) == file.resolve() for each in process.open_files()):
                found.append(f"process {pid} ({process.name()})")
        except psutil.Error:
            continue
    return found
