"""The folder of a file of stages: which stages it has, and which of them stands for the whole."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from abr_tune.borders import within
from abr_tune.errors import FileMistakes, UserError
from abr_tune.plan import yaml
from abr_tune.plan.schema import check_name
from abr_tune.runs import RunFolder


def stages_in(folder: Path) -> tuple[RunFolder, ...] | None:
    """The folders of the stages of a run, begun or not, in their order; None for the folder of a single search.

    Raises:
        UserError: its plan is damaged.
    """
    plan = RunFolder(folder).plan
    if not plan.is_file():
        return None
    try:
        written = yaml.read(plan, limits=yaml.WRITTEN_OUT).data
    except FileMistakes:  # whoever needs a plan says what is wrong with it
        return None
    if not isinstance(written, Mapping) or "stages" not in written:
        return None
    try:
        names = [check_name(str(stage["name"])) for stage in written["stages"]]
    except (TypeError, KeyError, ValueError) as damage:
        raise UserError(f"{plan} is damaged: it does not name its stages ({damage})") from damage
    return tuple(RunFolder(within(folder, name)) for name in names)


def one_search(folder: Path) -> Path:
    """The folder itself, or, of one of stages, that of the last stage that has a best configuration.

    Raises:
        UserError: no stage has one yet.
    """
    stages = stages_in(folder)
    if stages is None:
        return folder
    finished = [stage for stage in stages if stage.best_config.is_file()]
    if not finished:
        raise UserError(f"{folder} is a run of stages, and none of {_named(stages)} has a best configuration yet")
    return finished[-1].path


def _named(stages: tuple[RunFolder, ...]) -> str:
    return ", ".join(stage.name for stage in stages)
