"""What is watched while a study is used: that its file is still the same, and that its server says something."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any, Final

from sqlalchemy import Engine, event
from sqlalchemy.engine import make_url

from abr_tune.errors import StorageFault

SECONDS_TO_CONNECT: Final = 10
SECONDS_OF_SILENCE: Final = 20.0
"""A server that says nothing for so long is gone though the connection stands: its machine hangs, or the network."""


def guard_file(engine: Engine, file: Path) -> None:
    """From now on every use of SQLite's file raises `StorageFault` once another file, or none, is in its place.

    SQLite would write on to the file that was deleted, and begin an empty one where a new connection finds none.
    """
    begun = _identity(file)

    def look(*_connection: object) -> None:
        if _identity(file) != begun:
            raise StorageFault(
                f"{file} was deleted, moved or replaced while it was in use, and nothing more is written; put it back, "
                "then give the same command again"
            )

    event.listen(engine, "checkout", look)


def _identity(file: Path) -> tuple[int, int] | None:
    try:
        found = file.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino


def attentive(storage: str) -> Callable[[], Any]:
    """How SQLAlchemy connects to the PostgreSQL at a URL that begins with `postgresql+psycopg`.

    Such a connection is lost when the server is silent for too long; the client's library would wait for ever.
    """
    import psycopg

    class Attentive(psycopg.Connection[Any]):
        def wait(self, gen: Any, *how: Any, **named: Any) -> Any:
            return super().wait(_unless_silent(gen, self.close), *how, **named)

    url = make_url(storage)
    places, names = url.get_dialect()().create_connect_args(url)
    settings: dict[str, Any] = {"connect_timeout": SECONDS_TO_CONNECT, **names}
    return lambda: Attentive.connect(*places, **settings)


def _unless_silent(conversation: Generator[Any, Any, Any], leave: Callable[[], None]) -> Generator[Any, Any, Any]:
    """A conversation with the server, which whoever carries it on asks many times a second; ended after a silence."""
    import psycopg

    until = time.monotonic() + SECONDS_OF_SILENCE
    try:
        wanted = next(conversation)
        while True:
            ready = yield wanted
            if ready:
                until = time.monotonic() + SECONDS_OF_SILENCE
            elif time.monotonic() >= until:
                leave()
                raise psycopg.OperationalError(f"the server said nothing for {SECONDS_OF_SILENCE:g} s")
            wanted = conversation.send(ready)
    except StopIteration as end:
        return end.value
