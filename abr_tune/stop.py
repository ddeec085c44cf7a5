"""Asking a running driver to end, from another terminal."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from abr_tune.errors import UserError
from abr_tune.processes import Process
from abr_tune.runs import driver_of
from abr_tune.search.archive import storage_of, study_id
from abr_tune.search.leases import Holder, read_holders
from abr_tune.search.storage import opened, several_may_write

SECONDS_TO_END: Final = 15.0
"""How long an answer is waited for: a driver ends within ten seconds."""


def stop_run(folder: Path) -> Iterator[str]:
    """Ask whoever drives the run in `folder` to stop as Ctrl-C does; says what was done.

    The first driver takes those that joined it along; where it is dead, they are asked themselves.

    Raises:
        UserError: nobody drives it, or only processes of other machines do.
        StorageFault: its study cannot be reached to learn who does.
    """
    asked = [process for process in _drivers(folder) if _ask(process)]
    for process in asked:
        yield f"asked {process} to stop"
    until = time.monotonic() + SECONDS_TO_END
    while asked and time.monotonic() < until:
        asked = [process for process in asked if not process.gone]
        time.sleep(0.05)
    for process in asked:
        yield f"{process} is still ending"


def _drivers(folder: Path) -> list[Process]:
    """The processes to ask: the first driver, or else those that joined it and live here."""
    driving = driver_of(folder)
    if driving is not None and driving.process.here:
        return [driving.process]
    living = [holder for holder in _holders(folder) if not holder.dead]
    chosen = [holder.process for holder in living if holder.first] or [holder.process for holder in living]
    here = [process for process in chosen if process.here]
    if here:
        return here
    others = chosen or ([driving.process] if driving is not None else [])
    if others:
        raise UserError(f"{folder} is being driven by {', '.join(map(str, others))}: stop it there")
    raise UserError(f"nobody drives {folder} at the moment")


def _holders(folder: Path) -> list[Holder]:
    storage = storage_of(folder)
    if storage is None:
        return []
    with opened(storage) as connected:
        study = study_id(connected, folder.resolve().name)
        if study is None or not several_may_write(connected.engine):
            return []
        return read_holders(connected.engine, study)


def _ask(process: Process) -> bool:
    """Signal a process, if it is still the one that is meant."""
    if process.gone:
        return False
    try:
        os.kill(process.pid, signal.SIGINT)
    except PermissionError as refused:
        raise UserError(f"{process} belongs to another user, who alone can stop it") from refused
    return True
