"""Working beside the driver of a run: what must be so before, and what is said after."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

from abr_tune.errors import UserError
from abr_tune.folder import differences
from abr_tune.plan import yaml
from abr_tune.plan.describe import describe_plan
from abr_tune.plan.plan import Plan
from abr_tune.runs import RunFolder, driver_of
from abr_tune.search.archive import named_study
from abr_tune.search.leases import Holder, read_holders, refuse_held
from abr_tune.search.storage import opened

SECONDS_BETWEEN_LOOKS: Final = 0.5


def refuse_unshared(storage: str | None, *, fresh: bool) -> None:
    """Raise `UserError` for a `--join` that cannot be: SQLite has one writer."""
    if storage is None or not storage.startswith("postgresql"):
        raise UserError(
            "--join needs a study that several processes may write: give all drivers the same PostgreSQL with "
            "--storage postgresql+psycopg://user@host/database; SQLite has one writer"
        )
    if fresh:
        raise UserError("--join works beside a run, --fresh sets it aside: leave one of them out")


def leader(storage: str | None, name: str) -> Holder | None:
    """The living first driver of the study called `name`, on whatever machine; None without one.

    Raises `StorageFault` when the storage cannot be reached.
    """
    if storage is None or not storage.startswith("postgresql"):
        return None
    with opened(storage) as connected:
        study = named_study(connected, name)
        holders = [] if study is None else read_holders(connected.engine, study)
    return next((holder for holder in holders if holder.first and not holder.dead), None)


def refuse_led(storage: str | None, name: str) -> None:
    """Raise `UserError` when a first driver lives, on another machine for instance, where this lock is not seen."""
    if (holder := leader(storage, name)) is not None:
        refuse_held([holder])


def await_first(folder: RunFolder, plan: Plan, storage: str | None, say: Callable[[str], None]) -> bool:
    """Wait until the first driver has begun the search; False when it ended instead.

    Raises:
        UserError: it searches something else.
    """
    told = False
    while leader(storage, plan.name) is None:
        if driver_of(folder.path) is None:
            return False
        if not told:
            say("waiting for the first driver of this run to begin ...")
            told = True
        time.sleep(SECONDS_BETWEEN_LOOKS)
    if not folder.plan.exists():
        raise UserError(f"{folder.path} is not the folder of this run: drivers that join it need the same one")
    found = list(differences(yaml.read(folder.plan, limits=yaml.WRITTEN_OUT).data, describe_plan(plan)))
    if found:
        lines = "\n".join(f"  {path}: there {old!r}, here {new!r}" for path, old, new in found)
        raise UserError(f"{folder.path} searches something else than this command:\n{lines}")
    return True
