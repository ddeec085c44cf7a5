"""Where the trials of a search compute: what `device: auto` comes to under the resources they are given."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any, Final

from pydantic import BaseModel

from abr_tune.plan.overrides import option_paths
from abr_tune.plan.source import Source
from core.config import ComputeOptions, Device
from core.tasks.task import Task

PATH: Final = "device"


def device_of(options: type[BaseModel], train: Mapping[str, Any]) -> Device | None:
    """The device that a task's options name; None for options that cannot name one."""
    if not issubclass(options, ComputeOptions):
        return None
    device: Device = train.get(PATH, option_paths(options)[PATH].default)
    return device


def settled(
    options: type[BaseModel], train: Mapping[str, Any], searched: Collection[str], *, gpus: float
) -> dict[str, Any]:
    """The fixed options with `auto` decided, so that a trial computes in the same place in whatever process it runs.

    Workers may see cards that they were not given; the best configuration must train again where it was trained.
    """
    if PATH in searched or device_of(options, train) != "auto":
        return dict(train)
    return {**train, PATH: "cuda" if gpus else "cpu"}


def refuse_device(source: Source, task: Task, train: Mapping[str, Any]) -> None:
    """Note a card that is asked for and given to no trial; warn of one that is given and would stand idle."""
    section = source.data.get("resources")
    gpus = section.get("gpus", 0) if isinstance(section, dict) else 0
    if isinstance(gpus, bool) or not isinstance(gpus, int | float):
        return
    device = device_of(task.options, train)
    if gpus <= 0 and device == "cuda":
        hint = "resources: {gpus: 1} gives each its own, 0.5 one to two"
        source.add(("train", PATH), "the trials are to compute on a graphics card, but are given none", hint)
    if gpus > 0 and device == "cpu":
        message = f"task {task.name} is told to train on the CPU: a GPU would stand idle"
        source.warn(("resources", "gpus"), message, f"gpus: 0, or {PATH}: auto")
