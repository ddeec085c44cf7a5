"""What a plan asks for that this machine does not have: warnings, because the file may be meant for another one."""

from __future__ import annotations

import re
from itertools import islice
from pathlib import Path
from typing import Any, Final

from pydantic import BaseModel

from abr_tune.environment import cores
from abr_tune.plan.explain import suggest
from abr_tune.plan.source import Source
from core.config import FoldersToo

DEVICES: Final = Path("/dev")
SHARED: Final = ("kfd", "dxg")
"""Devices that stand for any number of cards: AMD's, and those of a machine around this one."""
ELSEWHERE: Final = "`abr-tune run` refuses it here; another machine may have them"
_LOOKED_AT: Final = 1000
"""Entries of a folder among which a misspelt name is looked for."""


def warn_of_machine(source: Source) -> None:
    """Note cores and cards that a trial is given and that are not there."""
    section = source.data.get("resources")
    given = section if isinstance(section, dict) else {}
    cpus, gpus = (given.get(key, 0) for key in ("cpus", "gpus"))
    if isinstance(cpus, int) and cpus > (there := cores()):
        source.warn(("resources", "cpus"), f"a trial is given {cpus} cores, this machine has {there}", ELSEWHERE)
    if isinstance(gpus, bool) or not isinstance(gpus, int | float) or gpus <= 0:
        return
    cards = cards_here()
    if cards is not None and gpus > cards:
        source.warn(
            ("resources", "gpus"), f"a trial is given {gpus:g} GPUs, this machine has {cards or 'none'}", ELSEWHERE
        )


def cards_here() -> int | None:
    """GPUs of this machine, counted without torch; None where they cannot be."""
    if not DEVICES.is_dir() or any((DEVICES / shared).exists() for shared in SHARED):
        return None
    return sum(re.fullmatch(r"nvidia\d+", entry.name) is not None for entry in DEVICES.iterdir())


def warn_of_files(source: Source, data: Any, folder: Path) -> None:
    """Note files of the data section that are not there; relative paths start at `folder`."""
    if not isinstance(data, BaseModel):
        return
    for name, field in type(data).model_fields.items():
        path = getattr(data, name)
        if not isinstance(path, Path):
            continue
        place = folder / path
        try:
            missing = not place.exists()
        except (OSError, ValueError):  # a name too long for a file, or a folder nobody may look into
            missing = True
        if missing:
            source.warn(("data", field.alias or name), f"there is no file {place} here", _near(place))
        elif place.is_dir() and not any(isinstance(mark, FoldersToo) for mark in field.metadata):
            source.warn(("data", field.alias or name), f"{place} is a folder, not a file")


def _near(place: Path) -> str | None:
    try:
        names = [one.name for one in islice(place.parent.iterdir(), _LOOKED_AT) if one.suffix == place.suffix]
    except (OSError, ValueError):
        return None
    return suggest(place.name, names)
