"""A study kept in PostgreSQL: does the server answer, and may this user do what a search does there?"""

from __future__ import annotations

import os
import secrets
import time
from collections.abc import Iterator
from typing import Any, Final

from abr_tune.doctor.child import NoAnswer, ask
from abr_tune.doctor.finding import Finding, Place, note, ok, problem, warning
from abr_tune.doctor.standing import SECONDS_TO_CONNECT
from abr_tune.errors import Exit

SECONDS_TO_ANSWER: Final = 30.0
SLOW: Final = 0.05
"""Seconds of a round trip from which on every commit is felt."""
SKEW: Final = 30.0
"""Seconds between the server's clock and this machine's."""
ABOUT: Final = (
    "SELECT current_user AS name, extract(epoch FROM clock_timestamp()) AS now, "
    "current_setting('server_version_num') AS version, "
    "current_setting('max_connections')::int - (SELECT count(*) FROM pg_stat_activity) AS free"
)
FEWEST: Final = 5
"""Connections a driver may hold at a time."""


def storage(place: Place) -> Iterator[Finding]:
    """The storage that was named with --storage."""
    if place.storage is None:
        yield ok("study.db in the run folder; --storage URL looks at a database")
        return
    if not place.storage.startswith("postgresql"):
        yield note(f"{place.storage} is not asked; a database that several drivers share is PostgreSQL")
        return
    try:
        seen = ask(try_server, place.storage, seconds=SECONDS_TO_ANSWER)
    except NoAnswer as why:
        yield problem(f"{place.storage} does not answer: {why}", _advice(str(why)))
        return
    yield from judge_server(place.storage, seen)


def judge_server(url: str, seen: dict[str, Any]) -> Iterator[Finding]:
    """What a server said and allowed."""
    for what, error in seen["refused"].items():
        yield problem(
            f"{url}: {seen['user']} may not {what}: {error}", "have the right granted, or name another database"
        )
    if not seen["refused"]:
        yield ok(
            f"{url}: PostgreSQL {seen['version']} answers in {seen['seconds'] * 1e3:.1f} ms; {seen['user']} may make "
            "tables and take locks"
        )
    if seen["seconds"] > SLOW:
        yield warning(
            f"a round trip takes {seen['seconds'] * 1e3:.0f} ms, and every commit several", "use a nearer server"
        )
    if abs(seen["skew"]) > SKEW:
        yield note(f"the server's clock is {seen['skew']:+.0f} s from this machine's; heartbeats go by the server's")
    if seen["free"] < FEWEST:
        yield warning(f"only {seen['free']} more connections fit", "end others, or raise max_connections")


def try_server(url: str) -> dict[str, Any]:
    """In a process of its own: connect, make a table and take a lock in a transaction that is undone."""
    from sqlalchemy import create_engine
    from sqlalchemy.exc import DBAPIError

    name = f"abr_tune_doctor_{secrets.token_hex(4)}"
    tries = {
        "make tables": f"CREATE TABLE {name} (number integer)",
        "take locks": f"SELECT pg_advisory_xact_lock({os.getpid()}, 1)",
    }
    refused = {}
    engine = create_engine(url, connect_args={"connect_timeout": SECONDS_TO_CONNECT})
    with engine.connect() as connection:
        began = time.perf_counter()
        connection.exec_driver_sql("SELECT 1")
        took = time.perf_counter() - began
        row = connection.exec_driver_sql(ABOUT).one()
        connection.rollback()
        for what, statement in tries.items():
            try:
                connection.exec_driver_sql(statement)
            except DBAPIError as fault:
                refused[what] = str(fault.orig).splitlines()[0]
            connection.rollback()
    return {
        "version": str(int(row.version) // 10000),
        "user": row.name,
        "seconds": took,
        "skew": float(row.now) - time.time(),
        "free": int(row.free),
        "refused": refused,
    }


def _advice(why: str) -> str:
    if "password" in why:
        return "give the password in PGPASSWORD or in a pgpass file (PGPASSFILE, ~/.pgpass)"
    if "does not exist" in why:
        return "createdb NAME makes a database, createuser NAME a user"
    if "No module named" in why or "ImportError" in why:
        return "python -m pip install 'abr-tune[postgresql]'"
    return f"is the server running, and does it listen there? a run would wait for it and exit {Exit.STORAGE.value}"
