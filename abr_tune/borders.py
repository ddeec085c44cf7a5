"""What belongs to a run lies in its folder: no link in it, and no name in its files, leads anywhere else.

Run folders are passed on. What is read for one run and written for it must not be another file of whoever got it.
"""

from __future__ import annotations

import os
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from abr_tune.errors import UserError

SPACE: Final = "space.yaml"
"""The file that every run folder has."""
SHAPES: Final = (LookupError, TypeError, ValueError, AttributeError, ArithmeticError, RecursionError)
"""What is raised by working with text, numbers and lists that stand where others were expected."""


class Damaged(UserError):
    """The files of a run say what cannot be worked with."""

    def __init__(self, folder: str, what: str) -> None:
        super().__init__(folder, what)

    def __str__(self) -> str:
        folder, what = self.args
        return f"{folder} is damaged, or is not a run of this version of abr-tune: {what}"


@contextmanager
def as_damage(folder: Path) -> Iterator[None]:
    """Working with what the files of a run folder say, which may be anything.

    Raises:
        Damaged: something has not the shape it must have.
    """
    try:
        yield
    except SHAPES as fault:
        if isinstance(fault, UserError):
            raise
        place = traceback.extract_tb(fault.__traceback__)[-1]
        said = f"{type(fault).__name__}: {fault}" if str(fault) else type(fault).__name__
        raise Damaged(str(folder), f"{said} ({Path(place.filename).name}, line {place.lineno})") from fault


def refuse_links(folder: Path) -> None:
    """Look through a run folder before anything of it is read or written; one that is not there has nothing.

    Raises:
        UserError: it holds a link that leads out of it, or something that is neither a file nor a folder.
    """
    for entry in _entries(folder):
        if entry.is_symlink():
            whither = Path(entry.path).resolve()
            if not whither.is_relative_to(folder.resolve()):
                raise UserError(
                    f"{entry.path} is a link to {whither}: what is read or written there would lie outside of the run "
                    "folder; put the files themselves into it, or take the link away"
                )
        elif not (entry.is_file(follow_symlinks=False) or entry.is_dir(follow_symlinks=False)):
            raise UserError(f"{entry.path} is neither a file nor a folder: a run folder holds nothing else")


def refuse_links_around(file: Path, levels: int = 3) -> None:
    """`refuse_links` for the run folder that a file lies in, so many levels above it at most, if it lies in one."""
    for folder in file.absolute().parents[:levels]:
        if (folder / SPACE).is_file():
            refuse_links(folder)


def _entries(folder: Path | str) -> Iterator[os.DirEntry[str]]:
    """Everything below a folder; a driver that works there may take things away meanwhile."""
    try:
        with os.scandir(folder) as found:
            entries = list(found)
    except (FileNotFoundError, NotADirectoryError):
        return
    yield from entries
    for entry in entries:
        if entry.is_dir(follow_symlinks=False):
            yield from _entries(entry.path)


def within(folder: Path, name: str) -> Path:
    """The file or folder that a file of the run calls `name`.

    Raises:
        UserError: it would lie outside of the run folder.
    """
    path = folder / name
    if not path.resolve().is_relative_to(folder.resolve()):
        raise UserError(f"{folder} is damaged: {name!r} would lie outside of it")
    return path
