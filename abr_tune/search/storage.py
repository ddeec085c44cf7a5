"""Where a study is kept: SQLite for one driver, PostgreSQL for several; passwords never stay in a URL.

PostgreSQL's client reads a password from PGPASSWORD or from a pgpass file (PGPASSFILE, by default ~/.pgpass). One that
was given in a URL is moved to PGPASSWORD when a command begins, so that nothing that is written or printed afterwards
can hold it; a later command gets it in one of those two ways.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, TypeVar
from weakref import WeakSet

from optuna.exceptions import StorageInternalError
from optuna.storages import RDBStorage
from optuna.storages._rdb import models
from sqlalchemy import create_engine, inspect
from sqlalchemy.engine import URL, Engine, make_url
from sqlalchemy.exc import ArgumentError, SQLAlchemyError

from abr_tune.errors import EnvironmentFault, StorageFault, UserError
from abr_tune.filesystems import sqlite_file
from abr_tune.search.guards import attentive, guard_file
from abr_tune.search.meanings import fault_of, meaning_of

SECONDS_TO_WAIT: Final = 60.0
"""How long a PostgreSQL that went away and a SQLite that is locked are waited for before the command ends."""
SECONDS_IN_SQLITE: Final = 1.0
"""Of that, how long SQLite itself waits, deaf to signals, before it is asked again."""
SECONDS_BETWEEN_TRIES: Final = 0.5
PASSWORD: Final = "PGPASSWORD"  # noqa: S105 - the name of an environment variable
EXTRAS: Final = {"postgresql": "postgresql"}
"""Database -> the extra of this package that installs what speaks to it."""
UNREADABLE: Final = re.compile(r"^((?:[\w+]+:)?(?://)?).*@")
"""Of a URL that cannot be read, what may hold a user and a password."""
NAMED: Final = re.compile(r"([?&][^=&]*password[^=&]*=)[^&]*", re.IGNORECASE)
Answer = TypeVar("Answer")


def sqlite_url(path: Path) -> str:
    """The storage URL of a SQLite file."""
    return f"sqlite:///{path}"


def several_may_write(engine: Engine) -> bool:
    """Whether a database lets several drivers work on one study: PostgreSQL does, SQLite has one writer."""
    return engine.dialect.name == "postgresql"


def without_password(storage: str) -> str:
    """The URL as it may be written down and printed; one that cannot be read loses user and password."""
    try:
        url = make_url(storage)
    except (ArgumentError, ValueError):
        return NAMED.sub(r"\1...", UNREADABLE.sub(r"\1...@", storage))
    return _bare(url).render_as_string(hide_password=False)


def absolute(storage: str) -> str:
    """The URL, where a SQLite file in it that is named from this folder on is named from everywhere."""
    file = sqlite_file(storage)
    if file is None or file.is_absolute() or "/file:" in storage:
        return storage
    return make_url(storage).set(database=str(file.absolute())).render_as_string(hide_password=False)


def admitted(storage: str) -> str:
    """A URL somebody gave, without its password, which goes where PostgreSQL's client looks for it.

    One of a SQLite file means the same in every folder afterwards.

    Raises:
        UserError: it holds a password for a database that has no such place.
    """
    try:
        url = make_url(storage)
    except (ArgumentError, ValueError):
        return storage
    bare = _bare(url)
    if bare == url:
        return absolute(storage)
    if url.get_backend_name() != "postgresql":
        raise UserError(
            f"--storage {without_password(storage)!r} had a password in it, which would be written down; "
            "a study is kept in SQLite, or in PostgreSQL with the password in PGPASSWORD or a pgpass file"
        )
    password = url.password or url.query.get("password")
    if password is not None:
        os.environ[PASSWORD] = str(password)
    return bare.render_as_string(hide_password=False)


def _bare(url: URL) -> URL:
    query = {name: value for name, value in url.query.items() if "password" not in name.lower()}
    return URL.create(url.drivername, url.username, None, url.host, url.port, url.database, query)


def connect(storage: str, *, busy: float = SECONDS_TO_WAIT) -> RDBStorage:
    """The storage at a URL; SQLite waits `busy` seconds for a lock at each statement.

    Raises:
        UserError: the URL is none.
        EnvironmentFault: the package that speaks to such a storage is not installed, or the disk is full.
        StorageFault: the storage does not answer, stays locked, or holds something else.
    """
    file = sqlite_file(storage)
    if file is not None:
        return patiently(lambda _tries: _connected(storage, {"connect_args": {"timeout": busy}}, file), file=file)
    arguments: dict[str, Any] = {"pool_pre_ping": True}
    with as_fault():
        return _connected(storage, arguments, None)


def _connected(storage: str, arguments: dict[str, Any], file: Path | None) -> RDBStorage:
    made: WeakSet[Any] = WeakSet()
    try:
        if storage.startswith("postgresql+psycopg:"):
            arguments = arguments | {"creator": _remembered(attentive(storage), made)}
        with _closed_on_failure(made):
            connected = RDBStorage(
                storage, engine_kwargs=arguments, skip_table_creation=file is not None and _has_tables(storage, file)
            )
    except (ArgumentError, ValueError) as mistake:
        raise UserError(
            f"--storage {without_password(storage)!r} is not the URL of a database, such as sqlite:///study.db or "
            "postgresql+psycopg://user@host/database"
        ) from mistake
    except ImportError as missing:
        raise EnvironmentFault(_not_installed(storage)) from missing
    except RuntimeError as other:
        # Optuna compares the version of its tables with its own.
        upgrade = str(other).replace("$STORAGE_URL", without_password(storage))
        raise StorageFault(f"{file or without_password(storage)} is left as it is. {upgrade}") from other
    if file is not None:
        guard_file(connected.engine, file)
    return connected


def _remembered(connect: Callable[[], Any], made: WeakSet[Any]) -> Callable[[], Any]:
    def creator() -> Any:
        made.add(connection := connect())
        return connection

    return creator


@contextmanager
def _closed_on_failure(made: WeakSet[Any]) -> Iterator[None]:
    """A storage that cannot be built keeps its pool of connections to itself: nobody else could close them."""
    try:
        yield
    except BaseException:
        for connection in list(made):
            connection.close()
        raise


def _has_tables(storage: str, file: Path) -> bool:
    """Make Optuna's tables in a SQLite file, all or none of them, unless they are there; True.

    Raises `StorageFault` when it holds other tables: they are somebody else's.
    """
    engine = create_engine(storage, connect_args={"timeout": SECONDS_IN_SQLITE})
    try:
        tables = set(inspect(engine).get_table_names())
        if tables and "studies" not in tables:
            raise StorageFault(
                f"{file} is a database of something else and is left as it is: it holds "
                f"{', '.join(sorted(tables)[:3])} and no studies"
            )
        # Optuna writes this one last: without it, whoever made the tables may have been killed half way.
        if "alembic_version" not in tables:
            with engine.begin() as connection:
                connection.exec_driver_sql("BEGIN IMMEDIATE")  # else each table would be a transaction of its own
                models.BaseModel.metadata.create_all(connection)
    finally:
        engine.dispose()
    return True


@contextmanager
def opened(storage: str) -> Iterator[RDBStorage]:
    """The storage at a URL for as long as this is entered; raises as `connect` does, and its faults later on."""
    connected = connect(storage)
    try:
        with as_fault(sqlite_file(storage)):
            yield connected
    finally:
        connected.remove_session()
        connected.engine.dispose()


def _not_installed(storage: str) -> str:
    url = make_url(storage)
    said = f"the driver of this storage is not installed: {url.drivername}"
    if (extra := EXTRAS.get(url.get_backend_name())) is None:
        return said
    return f"{said}; pip install 'abr-tune[{extra}]' brings it for URLs that begin with postgresql+psycopg://"


@contextmanager
def as_fault(file: Path | None = None) -> Iterator[None]:
    """What a database raises as the fault a command ends with; `file` is where SQLite keeps the study."""
    try:
        yield
    except (SQLAlchemyError, StorageInternalError) as error:
        raise fault_of(error, file) from error


def patiently(call: Callable[[int], Answer], *, file: Path | None = None, budget: float | None = None) -> Answer:
    """What `call` returns; tried again while a server is gone or a file is locked, for `budget` seconds or as usual.

    `call` gets the number of tries before that may have been done all the same: whoever lost the connection while
    committing does not know. `file` is where SQLite keeps the study.

    Raises:
        StorageFault: waiting did not help, or something else is wrong.
        EnvironmentFault: the disk is full or fails.
    """
    until, tries = time.monotonic() + (SECONDS_TO_WAIT if budget is None else budget), 0
    with as_fault(file):
        while True:
            try:
                return call(tries)
            except (SQLAlchemyError, StorageInternalError) as error:
                meaning = meaning_of(error)
                if not meaning.passes or time.monotonic() >= until:
                    raise
                tries += meaning.unsure
            time.sleep(SECONDS_BETWEEN_TRIES)
