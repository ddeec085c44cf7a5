"""A run that has not ended: who drives it and since when, or how somebody goes on with it, and what it has so far."""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from abr_tune.report.wording import counted
from abr_tune.runs import Driving, RunFolder, driver_of

if TYPE_CHECKING:
    from abr_tune.search.leases import Holder


def under_way(run: RunFolder) -> dict[str, Any] | None:
    """What can be said of a run while it is driven, as plain data; None when nobody drives it.

    Raises:
        StorageFault: its study cannot be reached.
    """
    driving = driver_of(run.path) or _leader(run)
    if driving is None:
        return None
    from abr_tune.search.archive import read_records, storage_of

    records = read_records(run.path) if storage_of(run.path) is not None else []
    return {
        "name": run.name,
        "state": "running",
        "driver": str(driving.process),
        "since": driving.since,
        "trials": dict(Counter(record.state for record in records)),
        "epochs": sum(record.epochs for record in records),
    }


def _leader(run: RunFolder) -> Driving | Holder | None:
    """The driver that a study in PostgreSQL names, of a run that has not ended; its lock may be another machine's."""
    if run.summary.exists():
        return None
    from abr_tune.join import leader
    from abr_tune.search.archive import storage_of

    return leader(storage_of(run.path), run.name)


def left_behind(run: RunFolder) -> dict[str, Any]:
    """What can be said of a run that ended without a summary, as plain data.

    Raises:
        StorageFault: its study cannot be reached, or is damaged.
    """
    from abr_tune.search.archive import read_records, storage_of

    records = read_records(run.path) if storage_of(run.path) is not None else []
    return {
        "name": run.name,
        "state": "unfinished",
        "trials": dict(Counter(record.state for record in records)),
        "epochs": sum(record.epochs for record in records),
        "continue": how_to_go_on(run),
    }


def how_to_go_on(run: RunFolder) -> str:
    """The command that goes on with a run, or in words which it is where its folder does not tell."""
    from abr_tune.doctor.standing import command_of

    return command_of(run) or f"the `abr-tune run` that began it, with --name {shlex.quote(run.name)}"


def sentences_left(told: Mapping[str, Any]) -> Iterator[str]:
    """What `left_behind` found, for a person."""
    yield f"{told['name']}: unfinished, and nobody drives it: it was killed, or a fault ended it"
    yield _so_far(told)
    yield f"continue   {told['continue']}"


def sentences_now(told: Mapping[str, Any], folder: str) -> Iterator[str]:
    """What `under_way` found, for a person."""
    yield f"{told['name']}: being worked on right now, by {told['driver']} since {told['since']}"
    yield _so_far(told)
    yield f"more       abr-tune trials {shlex.quote(folder)}; how it went is said here when it has ended"


def _so_far(told: Mapping[str, Any]) -> str:
    counts = told["trials"]
    if not counts:
        return "so far     no trial has begun"
    states = ", ".join(f"{count} {state}" for state, count in counts.items())
    total = counted(sum(counts.values()), "trial")
    return f"so far     {total}: {states}; {counted(told['epochs'], 'epoch')} trained"
