"""Which process is meant, and whether it still runs: a number alone is given to another process one day."""

from __future__ import annotations

import os
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Any, Final, Self

PROC = Path("/proc")
ENDED: Final = frozenset("ZXx")
"""States of a process that runs no more: a zombie, or dead."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Process:
    """A process of some machine, told apart from every other one that ever had its number."""

    host: str
    boot: str
    """The machine's start and, in a container, the space of process numbers; empty where a system tells neither."""
    pid: int
    began: str
    """When the system started the process, in its own ticks; empty where it does not tell."""

    def to_json(self) -> dict[str, Any]:
        """Plain words and numbers."""
        return asdict(self)

    @classmethod
    def from_json(cls, record: dict[str, Any]) -> Self:
        """What `to_json` wrote."""
        return cls(host=record["host"], boot=record["boot"], pid=int(record["pid"]), began=record["began"])

    @property
    def here(self) -> bool:
        """Whether its number means something to this process."""
        return (self.host, self.boot) == (os.uname().nodename, boot())

    @property
    def gone(self) -> bool:
        """Whether it has certainly ended; False where that cannot be told from here."""
        return self.here and bool(self.boot) and not (exists(self.pid) and began(self.pid) == self.began)

    def __str__(self) -> str:
        return f"process {self.pid} on {self.host}"


def process(pid: int) -> Process:
    """The process that has this number now."""
    return Process(host=os.uname().nodename, boot=boot(), pid=pid, began=began(pid))


def this_process() -> Process:
    """The process that asks."""
    return process(os.getpid())


def exists(pid: int) -> bool:
    """Whether some process has this number."""
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):  # a file may say any number
        return False
    except PermissionError:
        return True
    return True


def began(pid: int) -> str:
    """When the system started a process, in ticks since its own start; empty for none, or where it does not tell.

    One that has ended, and only waits for its parent to notice, is none.
    """
    try:
        said = (PROC / str(pid) / "stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
    # The name in brackets may hold spaces and brackets; the 3rd field is the state, the 22nd the start.
    fields = said.rpartition(")")[2].split()
    return "" if fields[0] in ENDED else fields[19]


@cache
def boot() -> str:
    """The machine's start and the space of process numbers; empty where the system tells neither."""
    try:
        start = (PROC / "sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        return f"{start} {(PROC / 'self/ns/pid').readlink()}"
    except OSError:
        return ""
