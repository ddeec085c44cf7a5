"""`abr-tune evaluate --ensemble`: which trained weights of a run predict together."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from abr_tune.borders import within
from abr_tune.errors import UserError
from abr_tune.export import newest_weights
from abr_tune.plan.yaml import read
from abr_tune.runs import RunFolder
from abr_tune.trial import CONFIG


@dataclass(frozen=True, slots=True)
class Member:
    """One training whose weights a run keeps."""

    trial: int
    seed: int
    weights: Path

    @property
    def size(self) -> int:
        """Bytes of its file."""
        return self.weights.stat().st_size

    def to_json(self) -> dict[str, Any]:
        """Plain numbers and words."""
        return {"trial": self.trial, "seed": self.seed, "weights": str(self.weights), "bytes": self.size}


def members_of(run: RunFolder, top: int | None) -> list[Member]:
    """The trainings of the confirmed leaders, best first: each one's own, and those on its fresh seeds.

    Runs on a fold of their own are left out: their networks validated elsewhere. `top`: so many leaders; None: all
    that were confirmed.

    Raises:
        UserError: the run has not finished, or keeps fewer than two weights of its leaders.
    """
    finalists = (run.read_summary() or {}).get("finalists") or []
    if not finalists:
        raise UserError(f"run {run.name} has no confirmed leaders yet; they come when a search has finished")
    found = [member for finalist in finalists[:top] for member in _trained(run, finalist)]
    if len(found) < 2:
        raise UserError(
            f"run {run.name} keeps {len(found)} weights of its leaders ({len(finalists[:top])} asked), and an ensemble "
            "takes at least two: confirm more leaders, or with more seeds"
        )
    return found


def _trained(run: RunFolder, finalist: Mapping[str, Any]) -> Iterator[Member]:
    number = int(finalist["trial"])
    places = [run.trial(number)] if finalist.get("unfinished") is None else []
    if not finalist.get("folds"):
        places += [within(run.path, str(fresh)) for fresh in finalist.get("runs", ())]
    for place in places:
        weights = newest_weights(place)
        if weights is not None:
            yield Member(number, int(read(place / CONFIG).data["seed"]), weights)
