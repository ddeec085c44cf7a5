"""A run that somebody drives right now: who, since when, and what it has so far."""

from __future__ import annotations

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


def sentences_now(told: Mapping[str, Any], folder: str) -> Iterator[str]:
    """What `under_way` found, for a person."""
    yield f"{told['name']}: being worked on right now, by {told['driver']} since {told['since']}"
    counts = told["trials"]
    if counts:
        states = ", ".join(f"{count} {state}" for state, count in counts.items())
        total = counted(sum(counts.values()), "trial")
        yield f"so far     {total}: {states}; {counted(told['epochs'], 'epoch')} trained"
    else:
        yield "so far     no trial has begun"
    yield f"more       abr-tune trials {folder}; how it went is said here when it has ended"
