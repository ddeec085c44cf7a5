"""A PostgreSQL of the tests' own: in a temporary folder, on a socket in it and on no port, ended with the tests."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from urllib.parse import quote

PASSWORD = "p@ss/word"
SETTINGS = ("listen_addresses=", "fsync=off", "max_connections=40", "log_min_messages=fatal")
"""Nothing is to outlive a power cut here; what a killed driver wrote is safe without fsync."""


def programs() -> Path | None:
    """The folder of the server's programs, the newest where there are several; None where none is installed."""
    if found := shutil.which("postgres"):
        return Path(found).resolve().parent
    return max(Path("/usr/lib/postgresql").glob("*/bin"), default=None, key=lambda path: int(path.parent.name))


@dataclass
class Server:
    bin: Path
    folder: Path

    def __post_init__(self) -> None:
        self._numbers = count()

    @property
    def url(self) -> str:
        """Of a new, empty database, with the password in it."""
        name = f"study_{next(self._numbers)}"
        self.sql(f"CREATE DATABASE {name}")
        return f"postgresql+psycopg://abr:{quote(PASSWORD, safe='')}@/{name}?host={self.folder}"

    def sql(self, statement: str) -> None:
        import psycopg

        place = {"host": str(self.folder), "user": "abr", "password": PASSWORD, "dbname": "postgres"}
        with psycopg.connect(**place, autocommit=True) as connection:
            connection.execute(statement.encode())

    def control(self, *words: str) -> None:
        """`pg_ctl`, as a user other than root."""
        self._run("pg_ctl", "-D", str(self.folder / "data"), "-w", "-s", *words)

    def start(self) -> None:
        options = " ".join(f"-c {each}" for each in (*SETTINGS, f"unix_socket_directories={self.folder}"))
        self.control("-o", options, "-l", str(self.folder / "log"), "start")

    def make(self) -> None:
        words = ("-A", "scram-sha-256", "-U", "abr", "-E", "UTF8", "--locale", "C", "--no-sync")
        secret = self.folder / "secret"
        secret.write_text(PASSWORD)
        if os.geteuid() == 0:
            shutil.chown(self.folder, "nobody")
            shutil.chown(secret, "nobody")
        self._run("initdb", "-D", str(self.folder / "data"), f"--pwfile={secret}", *words)

    def _run(self, program: str, *words: str) -> None:
        other = {"user": "nobody", "group": "nogroup", "extra_groups": []} if os.geteuid() == 0 else {}
        subprocess.run(
            [str(self.bin / program), *words],
            check=True,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            cwd=self.folder,
            start_new_session=True,
            **other,
        )


@contextmanager
def running(programs: Path) -> Iterator[Server]:
    folder = Path(tempfile.mkdtemp(prefix="pg-"))
    server = Server(programs, folder)
    try:
        server.make()
        server.start()
        yield server
    finally:
        pid = folder / "data/postmaster.pid"
        if pid.exists():
            os.kill(int(pid.read_text().split()[0]), signal.SIGQUIT)
        shutil.rmtree(folder, ignore_errors=True)
