"""A training's files on their way between the driver's folder and a worker that cannot see it.

The driver puts a marker beside the trials' folders; a worker that finds it writes there itself. One that does not
trains in a folder of its own and sends what has to outlive it: at every ruling, at the end, and in between as often as
is worth it. Names that come from elsewhere reach only the places listed here.
"""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import Final

from abr_tune.search.orphans import make_scratch
from abr_tune.trial import CHECKPOINT, CONFIG, HISTORY, TRACEBACK

Parcel = Mapping[str, bytes]
"""Path within the training's folder, with slashes -> content."""
SINGLE: Final = (CONFIG, HISTORY, TRACEBACK)
"""Files that travel, beside whatever lies in the checkpoint's folder."""
LARGEST: Final = 2**30
"""Bytes of one parcel: it is held in memory on its way."""
SECONDS_BETWEEN: Final = 20.0
"""How old what the driver holds may be while nothing is to be ruled: what a dead worker's training may lose."""


class TooLarge(ValueError):
    """A training's files do not fit a parcel."""


def pack(folder: Path) -> dict[str, bytes]:
    """The files of a training; empty when it has none yet. Raises `TooLarge`."""
    paths = [folder / name for name in SINGLE] + sorted((folder / CHECKPOINT).rglob("*"))
    found = [path for path in paths if path.is_file() and not path.is_symlink()]
    if (size := sum(path.stat().st_size for path in found)) > LARGEST:
        raise TooLarge(
            f"its checkpoint and history are {size / 2**20:.0f} MiB, too large to be sent to the driver (at most "
            f"{LARGEST / 2**20:.0f}); give all machines of the cluster the same results folder"
        )
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in found}


def unpack(parcel: Parcel, folder: Path) -> None:
    """Put a parcel's files into a training's folder; its checkpoint replaces the one there as a whole.

    The history comes first: a checkpoint is never newer than the reports that lead to it.

    Raises:
        ValueError: a name in it leads elsewhere; nothing was written.
    """
    for name in parcel:
        _check(name)
    folder.mkdir(parents=True, exist_ok=True)
    restore(folder)
    for name in SINGLE:
        if name in parcel:
            _write(folder / f".{name}.new", parcel[name])
            (folder / f".{name}.new").replace(folder / name)
    inner = {name: content for name, content in parcel.items() if name not in SINGLE}
    if inner:
        _replace_checkpoint(inner, folder)


def restore(folder: Path) -> None:
    """Undo what a crash between the two steps of replacing a checkpoint left."""
    old, here = folder / f".{CHECKPOINT}.old", folder / CHECKPOINT
    if old.exists() and not here.exists():
        old.rename(here)


def put_marker(folder: Path, token: str) -> Path:
    """Leave a marker in a folder of trainings, by which a worker knows that it sees the driver's files."""
    folder.mkdir(parents=True, exist_ok=True)
    marker = folder / f".seen-{token}"
    marker.touch()
    return marker


class Away:
    """A training's folder on a machine that does not see the driver's."""

    def __init__(self, parcel: Parcel | None) -> None:
        self._scratch = make_scratch()
        self.folder = self._scratch / "training"
        self.folder.mkdir()
        self._sent = time.monotonic()
        if parcel:
            unpack(parcel, self.folder)

    def due(self, *, ruling: bool) -> dict[str, bytes] | None:
        """What is to be sent now: before a ruling or an end everything, otherwise now and then. Raises `TooLarge`."""
        if not ruling and time.monotonic() - self._sent < SECONDS_BETWEEN:
            return None
        self._sent = time.monotonic()
        return pack(self.folder)

    def keep(self, name: str, content: bytes) -> Path:
        """A file beside the training's folder, as long as the training lasts; it is not sent back."""
        path = self._scratch / name
        path.write_bytes(content)
        return path

    def remove(self) -> None:
        """The training is over, or goes on elsewhere."""
        shutil.rmtree(self._scratch, ignore_errors=True)


def _check(name: str) -> None:
    path = PurePosixPath(name)
    inside = path.parts[:1] == (CHECKPOINT,) and len(path.parts) > 1
    if path.is_absolute() or ".." in path.parts or "\0" in name or not (name in SINGLE or inside):
        raise ValueError(f"a worker sent a file called {name!r}, which is none of a training's")


def _replace_checkpoint(inner: Parcel, folder: Path) -> None:
    new, old, here = (folder / f".{CHECKPOINT}.new", folder / f".{CHECKPOINT}.old", folder / CHECKPOINT)
    for leftover in (new, old):
        shutil.rmtree(leftover, ignore_errors=True)
    for name, content in inner.items():
        _write(new / PurePosixPath(name).relative_to(CHECKPOINT), content)
    for made in _folders(new):
        _sync(made)
    if here.exists():
        here.rename(old)
    new.rename(here)
    _sync(folder)
    shutil.rmtree(old, ignore_errors=True)


def _folders(top: Path) -> Iterator[Path]:
    yield top
    yield from (path for path in top.rglob("*") if path.is_dir())


def _write(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def _sync(folder: Path) -> None:
    """Make renames in a folder last."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
