"""Folders of trials that the study does not know: it was put back from an older copy, or is another's."""

from __future__ import annotations

import logging
from itertools import count
from pathlib import Path
from typing import Final

from abr_tune.errors import StorageFault

ASIDE: Final = "aside"
"""What the names of folders end with that were set aside."""

log = logging.getLogger(__name__)


def trials_in(folder: Path) -> int:
    """One more than the highest number of a trial that has a folder in the run's folder; 0 without any."""
    return max((number + 1 for number in _numbers(folder)), default=0)


def refuse_emptied(folder: Path, study: Path) -> None:
    """Raise `StorageFault` where a run has folders of trials but the file of its study is empty."""
    if study.is_file() and study.stat().st_size == 0 and trials_in(folder):
        raise StorageFault(emptied(folder))


def emptied(folder: Path) -> str:
    """What is said when the study lost all trials."""
    return (
        f"the study of {folder} holds no trial, but the folder does: it was emptied or replaced; put a copy of it "
        "back, or set this run aside with --fresh"
    )


def set_strays_aside(folder: Path, found: int, known: int) -> list[str]:
    """Rename the folders of trials from number `known` on, so that no new trial goes on from another's checkpoint.

    `found` is what `trials_in` said before the study, which has `known` trials, was read. Says what was renamed.

    Raises:
        StorageFault: the study knows none at all.
    """
    if found and not known:
        raise StorageFault(emptied(folder))
    said = []
    for number in sorted(number for number in _numbers(folder) if known <= number < found):
        stray = folder / "trials" / str(number)
        target = _free(stray)
        stray.rename(target)
        said.append(f"{stray} belongs to no trial of the study, which may be an older copy; it is {target.name} now")
        log.warning("%s", said[-1])
    return said


def _numbers(folder: Path) -> list[int]:
    trials = folder / "trials"
    names = [path.name for path in trials.iterdir()] if trials.is_dir() else []
    return [int(name) for name in names if name.isdecimal() and name == str(int(name))]


def _free(path: Path) -> Path:
    """A name beside `path` that nothing has yet."""
    candidates = (path.with_name(f"{path.name}.{ASIDE}{number or ''}") for number in count())
    return next(candidate for candidate in candidates if not candidate.exists())
