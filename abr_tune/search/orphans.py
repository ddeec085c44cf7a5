"""What runs that were killed left on this machine: temporary folders, and processes that Ray did not end with them.

Each temporary folder says whose it is, and so does the environment of every process of a Ray that was started here.
What belongs to a living process, or to one of which that cannot be told, is never touched.
"""

from __future__ import annotations

import errno
import json
import os
import re
import shutil
import signal
import stat
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Final

from abr_tune.processes import PROC, Process, exists, process, this_process

PREFIX: Final = "at-"
"""Our temporary folders: this, our process id, a number. Short, because paths of sockets end at 107 characters."""
LONGEST: Final = 107
"""Bytes that the path of a socket may have."""
NAMES: Final = 65
"""Of them for our folder's name and those of Ray's session below it, but for the process ids in both."""
SHORT: Final = Path("/tmp")  # noqa: S108 - folders are made there that nobody else can look into
NAME: Final = re.compile(rf"{PREFIX}\d+-\w+")
TAKEN: Final = frozenset({errno.EEXIST, errno.ENOTEMPTY, errno.ENOTDIR})
"""What the system says of a folder that is to get a name which another one has."""
OWNER: Final = "owner.json"
"""In a temporary folder: whose it is."""
MARK: Final = "ABR_TUNE_OWNER"
"""In the environment of Ray's processes, and of whatever they start: whose they are."""
SECONDS_TO_DIE: Final = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Orphan:
    """What one process that has ended left behind."""

    owner: Process
    processes: tuple[Process, ...]
    folders: tuple[Path, ...]

    @property
    def size(self) -> int:
        """Bytes in its folders."""
        return sum(path.lstat().st_size for folder in self.folders for path in folder.rglob("*"))

    def end(self) -> bool:
        """End its processes and remove its folders; whether nothing of it is left."""
        ended = _end(self.processes)
        for folder in self.folders:
            shutil.rmtree(folder, ignore_errors=True)
        return ended and not any(folder.exists() for folder in self.folders)

    def __str__(self) -> str:
        numbers = ", ".join(str(each.pid) for each in self.processes)
        left = ([f"processes {numbers}"] if numbers else []) + [str(folder) for folder in self.folders]
        return f"process {self.owner.pid}, which has ended, left {' and '.join(left)}"


def find_orphans() -> list[Orphan]:
    """What dead processes of this user left on this machine, one for each of them; nothing is changed."""
    folders: defaultdict[Process, list[Path]] = defaultdict(list)
    for place in _places():
        for folder in place.glob(f"{PREFIX}*-*"):
            with suppress(FileNotFoundError):  # its owner takes it away just now
                if NAME.fullmatch(folder.name) and _is_own(folder) and folder.is_dir():
                    folders[_owner(folder)].append(folder)
    processes: defaultdict[Process, list[Process]] = defaultdict(list)
    for each in _own_processes():
        # A driver that one of the dead run's own processes started is no part of it.
        if (owner := _owner_of(each)) is not None and each not in folders:
            processes[owner].append(each)
    return [
        Orphan(owner=owner, processes=tuple(processes[owner]), folders=tuple(sorted(folders[owner])))
        for owner in sorted({*folders, *processes}, key=lambda owner: owner.pid)
        if _dead(owner)
    ]


def sweep() -> None:
    """End and remove what dead processes left."""
    for orphan in find_orphans():
        orphan.end()


def end_processes() -> bool:
    """End whatever Ray started for this process, at once; whether it has ended."""
    mine, until = this_process(), time.monotonic() + SECONDS_TO_DIE
    # What one of them starts while they are looked for is found the next time.
    while left := [each for each in _own_processes() if _owner_of(each) == mine]:
        if not _end(left) or time.monotonic() > until:
            return False
    return True


def scratch_place() -> Path:
    """Where temporary folders of this process go: where those of Ray's sockets below them have short enough paths."""
    room = LONGEST - NAMES - 2 * len(str(os.getpid()))
    return next((place for place in _places() if len(os.fsencode(place)) <= room), _places()[0])


def make_scratch() -> Path:
    """A temporary folder of this process, which nobody else can look into; whoever finds it knows whose it is."""
    place = scratch_place()
    # Other containers and machines may see the place, to whom the name alone says nothing.
    new = Path(tempfile.mkdtemp(prefix=f".{PREFIX}", dir=place))
    (new / OWNER).write_text(json.dumps(this_process().to_json()), encoding="utf-8")
    for number in count():
        try:
            return new.rename(place / f"{PREFIX}{os.getpid()}-{number}")
        except OSError as taken:
            if taken.errno not in TAKEN:
                raise
    raise AssertionError("there is always another number")


@contextmanager
def marking() -> Iterator[None]:
    """Processes that are started in this context say that they belong to this one, and so do theirs."""
    os.environ[MARK] = json.dumps(this_process().to_json())
    try:
        yield
    finally:
        del os.environ[MARK]


def _end(processes: Sequence[Process]) -> bool:
    for each in processes:
        if not each.gone:
            with suppress(ProcessLookupError):
                os.kill(each.pid, signal.SIGKILL)
    until = time.monotonic() + SECONDS_TO_DIE
    while not all(each.gone for each in processes) and time.monotonic() < until:
        time.sleep(0.02)
    return all(each.gone for each in processes)


def _own_processes() -> Iterator[Process]:
    """Processes of this user, but this one; none where the system does not tell."""
    for folder in PROC.glob("[0-9]*"):
        with suppress(OSError):
            if _is_own(folder) and int(folder.name) != os.getpid():
                yield process(int(folder.name))


def _owner_of(each: Process) -> Process | None:
    """Whose a process is: by its mark or, as some of Ray's write their title over that, by the folder it writes in."""
    folder = PROC / str(each.pid)
    with suppress(OSError):
        marks = [said for said in (folder / "environ").read_bytes().split(b"\0") if said.startswith(MARK.encode())]
        if marks and (owner := _read(marks[0].decode(errors="replace").partition("=")[2])) is not None:
            return owner
        places = [place.resolve() for place in _places()]  # as the system names what is open
        for path in _written(folder / "fd"):
            for place in filter(path.is_relative_to, places):
                if NAME.fullmatch(name := path.relative_to(place).parts[0]):
                    return _owner(place / name)
    return None


def _written(handles: Path) -> Iterator[Path]:
    """The files that a process holds open to write in."""
    for handle in handles.iterdir():
        with suppress(OSError):
            if handle.lstat().st_mode & stat.S_IWUSR:
                yield handle.readlink()


def _owner(folder: Path) -> Process:
    """Whose a temporary folder is; by its name alone where nothing in it says so."""
    said = folder / OWNER
    owner = _read(said.read_text(encoding="utf-8", errors="replace")) if said.is_file() else None
    return owner or Process(host=os.uname().nodename, boot="", pid=int(folder.name.split("-")[1]), began="")


def _places() -> list[Path]:
    """Where temporary folders may lie: where they belong, or where their paths are short enough."""
    return list(dict.fromkeys((Path(tempfile.gettempdir()), SHORT)))


def _is_own(path: Path) -> bool:
    return path.lstat().st_uid == os.getuid()


def _read(said: str) -> Process | None:
    try:
        return Process.from_json(json.loads(said))
    except (ValueError, KeyError, TypeError):
        return None


def _dead(owner: Process) -> bool:
    """Whether it has certainly ended: the machine was started anew since, or it runs no more."""
    if owner.host != os.uname().nodename:
        return False
    if not owner.boot:
        return not exists(owner.pid)
    start, here = owner.boot.partition(" ")[0], this_process().boot.partition(" ")[0]
    return here not in {"", start} or owner.gone
