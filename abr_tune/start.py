"""The weights a run begins from, kept in its folder: it goes on, and is repeated, without the run they come from."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from abr_tune.borders import SHAPES
from abr_tune.errors import UserError
from abr_tune.plan.begun import WEIGHTS, StartWeights, sha256_of
from abr_tune.plan.config import load_config
from abr_tune.plan.plan import Plan
from abr_tune.runs import RunFolder
from abr_tune.trial import HISTORY, read_history


def kept(plan: Plan, run: RunFolder) -> Plan:
    """The plan with the copy of its start weights in the run folder, which is made where it is missing.

    Raises:
        UserError: the weights are gone meanwhile.
        OSError: the disk refuses.
    """
    if plan.start is None:
        return plan
    place = run.start / WEIGHTS
    if not place.is_file() or sha256_of(place) != plan.start.sha256:
        run.start.mkdir(exist_ok=True)
        new = run.start / f".{WEIGHTS}.new"
        shutil.copyfile(plan.start.checked(), new)
        new.replace(place)
    return replace(plan, start=StartWeights(place, plan.start.sha256))


def unlike_its_data(plan: Plan, fingerprint: str) -> str | None:
    """A remark where the earlier run was not trained on these data: what validates here may have trained there."""
    if plan.start is None or plan.since is None:
        return None
    try:
        told = json.loads(RunFolder(plan.since).environment.read_text(encoding="utf-8"))["data_fingerprint"]
    except (OSError, *SHAPES):
        told = None
    if told == fingerprint or not _may_overlap(plan, plan.since):
        return None
    return (
        f"the weights of {plan.since} were trained on other data than these: recordings that validate here may have "
        "trained there; divide the same data by the same seed if they are the same"
    )


def _may_overlap(plan: Plan, since: Path) -> bool:
    """What the task says of the data of both; true where the earlier run does not say what its data were."""
    try:
        earlier = load_config(RunFolder(since).best_config).data
    except UserError:
        return True
    return earlier is None or plan.task.may_overlap(plan.data, earlier)


def begun_with(plan: Plan, run: RunFolder, trial: int) -> dict[str, Any] | None:
    """What a trial began with: whose weights, and how many tensors fitted, as its reports say; None: random weights.

    A task need not say how many.
    """
    if plan.start is None:
        return None
    told: dict[str, Any] = {"run": None if plan.since is None else str(plan.since), "sha256": plan.start.sha256}
    for report in read_history(run.trial(trial) / HISTORY):
        if {"start/tensors_taken", "start/tensors"} <= report.health.keys():
            taken, known = report.health["start/tensors_taken"], report.health["start/tensors"]
            return told | {"tensors_taken": int(taken), "tensors": int(known)}
    return told


def in_words(begun: Mapping[str, Any]) -> str:
    """`68 of 68 tensors of results/phase1`."""
    whose = "an earlier run" if begun["run"] is None else begun["run"]
    if "tensors" not in begun:
        return f"weights of {whose}"
    return f"{begun['tensors_taken']} of {begun['tensors']} tensors of {whose}"
