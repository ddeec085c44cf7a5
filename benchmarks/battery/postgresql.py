"""A study in PostgreSQL whose server restarts, goes away, hangs, refuses, or cuts connections in the middle of a word.

The server is one of the battery's own, on a socket in a temporary folder and on no port.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager, suppress
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

import psutil

from benchmarks.battery.aftermath import happened
from benchmarks.battery.row import Row
from benchmarks.battery.struck import INLINE, ON_RAY, Ending, Quarry, Struck, quarry
from tests.postgres import PASSWORD, Server, programs, running

NAME: Final = "PostgreSQL as the storage"
AS_IN_PEACE: Final = "as in an uninterrupted run"
AWAY, SILENT = 20.0, 30.0
"""Seconds without a server, and with one that says nothing."""


def postgresql(folder: Path) -> Iterator[Row]:
    """Everything of this part; without a server installed nothing is tried, and that is no promise kept."""
    found = programs()
    if found is None or find_spec("psycopg") is None:
        said = "not tried: no PostgreSQL is installed (Debian: postgresql), or not the extra `postgresql`"
        yield Row(fault=NAME, times=0, promised="a whole run on it", happened=said, holds=False)
        return
    os.environ["XDG_STATE_HOME"] = str(folder / "state")
    os.environ["PGPASSWORD"] = PASSWORD
    inline = quarry(folder / "q")
    with running(found) as server, running(found) as other, ThreadPoolExecutor(1) as waiting:
        long = waiting.submit(_too_long, inline.run(folder / "l", *INLINE, "--storage", other.url), other)
        yield _whole(folder / "w", server)
        yield _restarted(inline.run(folder / "r", *INLINE, "--storage", server.url), server)
        yield _cut(inline.run(folder / "c", *INLINE, "--storage", server.url), server)
        yield _away(inline.run(folder / "a", *INLINE, "--storage", server.url), server)
        yield _silent(inline.run(folder / "s", *INLINE, "--storage", server.url), server)
        yield _refused(folder / "x", inline, server)
        yield long.result()


def _whole(folder: Path, server: Server) -> Row:
    """A run with its password in the URL, under Ray; then every file and word of it is searched for the password."""
    known = quarry(folder / "p", words=ON_RAY)
    struck = known.run(folder / "r", *ON_RAY, "--storage", server.url)
    ending = struck.live()
    counts = struck.become()
    files = [path for path in folder.rglob("*") if path.is_file() and not path.is_symlink()]
    leaks = [path.name for path in files if any(word in path.read_bytes() for word in SECRETS)]
    said = f"exit {ending.code}, {len(leaks)} of {len(files)} files with the password; {happened([counts])}"
    return Row(
        fault=f"{NAME} of a whole run under Ray, its password in the URL",
        times=1,
        promised=f"{AS_IN_PEACE} on SQLite; no file and no word of it holds the password",
        happened=said,
        holds=ending.code == 0 and not leaks and counts.faultless,
    )


SECRETS: Final = (PASSWORD.encode(), b"p%40ss%2Fword", b"p%40ss/word", b"p@ss%2Fword")


def _restarted(struck: Struck, server: Server, *, times: int = 3) -> Row:
    """Restarted at once, as an upgrade does, several times in one run."""
    done: list[None] = []

    def restart() -> None:
        for _ in range(times):
            server.control("-m", "immediate", "restart")
            done.append(None)
            time.sleep(0.5)

    ending = struck.live(struck.after(3, 12), lambda: _beside(restart))
    return _goes_on("PostgreSQL restarted in the middle of a run", struck, ending, len(done))


def _cut(struck: Struck, server: Server, *, seconds: float = 4.0) -> Row:
    """Connections are ended by the server again and again, in the middle of commits for some of them."""
    ended: list[int] = []

    def cut() -> None:
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            ended.append(_end_connections(server))
            time.sleep(0.03)

    ending = struck.live(struck.after(1, 3), lambda: _beside(cut))
    return _goes_on("connections to PostgreSQL ended at any moment (pg_terminate_backend)", struck, ending, sum(ended))


def _away(struck: Struck, server: Server) -> Row:
    """Stopped, and started again within a minute."""

    def stop() -> None:
        server.control("-m", "immediate", "stop")
        time.sleep(AWAY)
        server.start()

    ending = struck.live(struck.after(3, 12), lambda: _beside(stop))
    return _goes_on(f"PostgreSQL away for {AWAY:.0f} s", struck, ending, struck.strikes, least=AWAY)


def _silent(struck: Struck, server: Server) -> Row:
    """Every process of the server stands still: connections stand and nothing comes through them."""

    def hang() -> None:
        with _still(server):
            time.sleep(SILENT)

    ending = struck.live(struck.after(3, 12), lambda: _beside(hang))
    return _goes_on(f"PostgreSQL silent for {SILENT:.0f} s (SIGSTOP)", struck, ending, struck.strikes, least=SILENT)


def _too_long(struck: Struck, server: Server) -> Row:
    """Away for longer than it is waited for; the same command goes on when it is back."""
    ending = struck.live(struck.after(3, 12), lambda: server.control("-m", "immediate", "stop"))
    server.start()
    told = ending.told(5, "the study's storage does not answer")
    counts = struck.become()
    return Row(
        fault="PostgreSQL away for longer than it is waited for",
        times=struck.strikes,
        promised=f"exit 5 after 60 s, then {AS_IN_PEACE}",
        happened=f"exit {ending.code} after {ending.seconds:.0f} s, told: {told}; {happened([counts])}",
        holds=told and ending.seconds > 60 and counts.faultless,
    )


def _refused(folder: Path, inline: Quarry, server: Server) -> Row:
    """What a server says no to, from the beginning or in the middle of a run."""
    told = tried = 0
    for number, (refusing, word) in enumerate(REFUSALS.values()):
        with refusing(server, server.url) as url:
            struck = inline.run(folder / str(number), *INLINE, "--storage", url)
            ending = struck.live()
            struck.lives.left_lying()
        tried += 1
        told += ending.told(5, word) and not any(secret.decode() in ending.said for secret in SECRETS)
    return Row(
        fault=f"PostgreSQL refuses: {', '.join(REFUSALS)}",
        times=tried,
        promised="exit 5 and what to do",
        happened=f"{told} of {tried} told",
        holds=told == tried,
    )


@contextmanager
def _wrong_password(_server: Server, url: str) -> Iterator[str]:
    yield url.replace(quote(PASSWORD, safe=""), "wrong")


@contextmanager
def _dropped(server: Server, url: str) -> Iterator[str]:
    server.sql(f"DROP DATABASE {_name(url)}")
    yield url


@contextmanager
def _crowded(server: Server, url: str) -> Iterator[str]:
    """Somebody else has every connection there is."""
    import psycopg

    held: list[Any] = []
    with suppress(psycopg.OperationalError):
        while len(held) < 200:
            held.append(_connected(server))
    yield url
    for each in held:
        each.close()


@contextmanager
def _read_only(server: Server, url: str) -> Iterator[str]:
    """As a standby is."""
    server.sql(f"ALTER DATABASE {_name(url)} SET default_transaction_read_only = on")
    yield url


REFUSALS: Final[Mapping[str, tuple[Callable[[Server, str], AbstractContextManager[str]], str]]] = {
    "a wrong password": (_wrong_password, "PGPASSWORD"),
    "no such database": (_dropped, "does not exist"),
    "no connection left": (_crowded, "too many clients"),
    "only reading": (_read_only, "only reads"),
}
"""What is wrong -> how it is made so, and a word of what is said."""


def _name(url: str) -> str:
    return url.rpartition("@/")[2].partition("?")[0]


def _connected(server: Server) -> Any:
    import psycopg

    place = {"host": str(server.folder), "user": "abr", "password": PASSWORD, "dbname": "postgres"}
    return psycopg.connect(**place, autocommit=True)


def _end_connections(server: Server) -> int:
    """End all but the one that asks; returns how many there were."""
    theirs = "pid <> pg_backend_pid() AND backend_type = 'client backend'"
    with _connected(server) as connection:
        answer = connection.execute(f"SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE {theirs}")
        return int(answer.fetchone()[0])


@contextmanager
def _still(server: Server) -> Iterator[None]:
    """Every process of the server stands still."""
    first = psutil.Process(int((server.folder / "data/postmaster.pid").read_text().split()[0]))
    stopped = [first, *first.children(recursive=True)]
    for each in stopped:
        each.suspend()
    try:
        yield
    finally:
        for each in stopped:
            each.resume()


def _goes_on(fault: str, struck: Struck, ending: Ending, times: int, *, least: float = 0.0) -> Row:
    counts = struck.become()
    return Row(
        fault=fault,
        times=times,
        promised=f"waited for, the run finishes {AS_IN_PEACE}, no trial told twice",
        happened=f"exit {ending.code} after {ending.seconds:.0f} s; {happened([counts])}",
        holds=ending.code == 0 and ending.seconds >= least and counts.faultless,
    )


def _beside(call: Callable[[], object]) -> None:
    threading.Thread(target=call).start()
