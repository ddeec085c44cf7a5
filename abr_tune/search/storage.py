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

from optuna.exceptions import StorageInternalError
from optuna.storages import RDBStorage
from sqlalchemy.engine import URL, Engine, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, OperationalError, SQLAlchemyError

from abr_tune.errors import EnvironmentFault, StorageFault, UserError

SECONDS_TO_WAIT_FOR_A_LOCK: Final = 60
SECONDS_TO_WAIT_FOR_A_SERVER: Final = 60.0
"""How long a PostgreSQL that went away is waited for before the command ends, continuable."""
SECONDS_TO_CONNECT: Final = 10
SECONDS_BETWEEN_TRIES: Final = 0.5
PASSWORD: Final = "PGPASSWORD"  # noqa: S105 - the name of an environment variable
EXTRAS: Final = {"postgresql": "postgresql"}
"""Database -> the extra of this package that installs what speaks to it."""
UNREADABLE: Final = re.compile(r"://.*@")
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
        return UNREADABLE.sub("://...@", storage)
    return _bare(url).render_as_string(hide_password=False)


def admitted(storage: str) -> str:
    """A URL somebody gave, without its password, which goes where PostgreSQL's client looks for it.

    Raises:
        UserError: it holds a password for a database that has no such place.
    """
    try:
        url = make_url(storage)
    except (ArgumentError, ValueError):
        return storage
    bare = _bare(url)
    if bare == url:
        return storage
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


def connect(storage: str) -> RDBStorage:
    """The storage at a URL, patient with locks.

    Raises:
        UserError: the URL is none.
        EnvironmentFault: the package that speaks to such a storage is not installed.
        StorageFault: the storage does not answer.
    """
    shown = without_password(storage)
    arguments: dict[str, Any] = {"pool_pre_ping": True}
    if storage.startswith("sqlite"):
        arguments = {"connect_args": {"timeout": SECONDS_TO_WAIT_FOR_A_LOCK}}
    elif storage.startswith("postgresql"):
        arguments |= {"connect_args": {"connect_timeout": SECONDS_TO_CONNECT}}
    with as_fault():
        try:
            return RDBStorage(storage, engine_kwargs=arguments)
        except (ArgumentError, ValueError) as mistake:
            raise UserError(
                f"--storage {shown!r} is not the URL of a database, such as sqlite:///study.db or "
                "postgresql+psycopg://user@host/database"
            ) from mistake
        except ImportError as missing:
            raise EnvironmentFault(_not_installed(storage)) from missing


@contextmanager
def opened(storage: str) -> Iterator[RDBStorage]:
    """The storage at a URL for as long as this is entered; raises as `connect` does, and `StorageFault` later on."""
    connected = connect(storage)
    try:
        with as_fault():
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
def as_fault() -> Iterator[None]:
    """What a database raises as the `StorageFault` a command ends with."""
    try:
        yield
    except (SQLAlchemyError, StorageInternalError) as error:
        cause = error.__cause__ if isinstance(error, StorageInternalError) and error.__cause__ else error
        hint = ""
        if "password" in str(cause):
            hint = f"\ngive the password in {PASSWORD} or in a pgpass file (PGPASSFILE, ~/.pgpass)"
        raise StorageFault(f"the study's storage does not answer: {cause}{hint}") from error


def patiently(call: Callable[[int], Answer], *, budget: float = SECONDS_TO_WAIT_FOR_A_SERVER) -> Answer:
    """What `call` returns; tried again while a server is gone, for `budget` seconds.

    `call` gets the number of tries before. Whoever lost the connection while committing does not know whether it was
    done: a second try must be able to tell.

    Raises:
        StorageFault: the server did not come back, or something else is wrong.
    """
    until, tries = time.monotonic() + budget, 0
    with as_fault():
        while True:
            try:
                return call(tries)
            except (DBAPIError, StorageInternalError) as error:
                if not _gone(error) or time.monotonic() >= until:
                    raise
            tries += 1
            time.sleep(SECONDS_BETWEEN_TRIES)


def _gone(error: BaseException | None) -> bool:
    """Whether the server left, or is not there, which Optuna's own errors may hide behind their causes."""
    while error is not None and not isinstance(error, DBAPIError):
        error = error.__cause__ or error.__context__
    if error is None or type(error.orig).__module__.partition(".")[0] != "psycopg":
        return False
    state = getattr(error.orig, "sqlstate", None)
    # Class 57P is a server that shuts down or starts; without a state, the connection itself was lost or refused.
    told = isinstance(error, OperationalError) and (state is None or str(state).startswith(("57P", "08")))
    return error.connection_invalidated or told
