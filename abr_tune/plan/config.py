"""A training configuration: what `abr-tune train` takes, and what `best.yaml` is."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import BaseModel
from pydantic_core import to_jsonable_python

from abr_tune import __version__
from abr_tune.borders import refuse_links_around
from abr_tune.errors import UserError
from abr_tune.plan.arguments import apply_overrides, apply_pins
from abr_tune.plan.begun import StartWeights
from abr_tune.plan.describe import describe_objectives
from abr_tune.plan.fit import Doubts
from abr_tune.plan.health import read_health
from abr_tune.plan.named_metrics import refuse_unknown_metrics
from abr_tune.plan.origin import told_otherwise, writer_of
from abr_tune.plan.overrides import faults_of, path_of, resolve, strict_json
from abr_tune.plan.relocate import code_folder, relocated
from abr_tune.plan.schema import ConfigFile
from abr_tune.plan.sections import check_keys, read_data, read_objectives, read_task
from abr_tune.plan.source import Source, sentence
from abr_tune.plan.training import read_options, refuse_misfits
from abr_tune.plan.yaml import dump, read
from abr_tune.runs import RunFolder
from abr_tune.stages.folder import one_search
from core.health import HealthOptions
from core.tasks.task import Objective, Task


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """One training run, resolved, and what is claimed of it."""

    file: Path
    task_name: str
    """A name in `core.tasks.TASKS`, or `module:attribute`."""
    task: Task
    code: Path
    """Where the module of a task of one's own is looked for first."""
    data: Any
    """Checked data options; None for a task without data."""
    options: BaseModel
    """The task's options, every default filled in."""
    seed: int = 0
    start: StartWeights | None = None
    """Weights the training begins from; looked at when it begins."""
    objectives: tuple[Objective, ...] = ()
    """What it was found by; the task's own when the file names none, empty when neither does."""
    health: HealthOptions
    """The rules that watch it."""
    claims: Mapping[str, float] = field(default_factory=dict)
    tolerance: Mapping[str, float] = field(default_factory=dict)
    """How far the objective may be from its claim: `same_seed`, and `fresh_seed` after confirmation."""
    provenance: Mapping[str, Any] = field(default_factory=dict)
    remarks: tuple[str, ...] = field(default=(), compare=False)
    """What is otherwise now than when the file was written, in sentences."""

    @property
    def folder(self) -> Path:
        """Relative paths of the data section are relative to this."""
        return self.file.parent

    @property
    def objective(self) -> Objective | None:
        """The first objective, which leads wherever one number is asked for."""
        return self.objectives[0] if self.objectives else None

    def data_from(self, folder: Path) -> dict[str, Any] | None:
        """The data section as a file in `folder` must say it; None for a task without data."""
        return None if self.data is None else relocated(self.data, old=self.folder, new=folder)

    def start_from_folder(self, folder: Path) -> dict[str, str] | None:
        """The start weights as a file in `folder` must say them; None for a training that begins with random ones."""
        return None if self.start is None else self.start.said_from(folder)

    def code_from(self, folder: Path) -> str | None:
        """Where a file in `folder` finds the module of a task of one's own; None for a task of this package."""
        return code_folder(self.task_name, old=self.code, new=folder)


def load_config(
    file: Path | str, overrides: Sequence[str] = (), *, trust_code: bool = False, code: Path | None = None
) -> Config:
    """The configuration in a file, changed by `overrides`. Raises `FileMistakes` with everything that is wrong.

    A run folder or a space file is refused with a `UserError` that names the best.yaml that was meant. The
    module of a task of one's own is looked for in `code` or where the file's `code` says, then beside the file.
    """
    file = Path(file)
    _refuse_run_folder(file)
    refuse_links_around(file)
    source = Source(read(file))
    _refuse_space_file(file, source.data)
    written_as = copy.deepcopy(source.data)
    _warn_of_version(source)
    keys = tuple(ConfigFile.model_fields)
    pins = apply_overrides(source, overrides, keys)
    check_keys(source, ConfigFile)
    written = source.data.get("code")
    folder = code or (file.parent / written if isinstance(written, str) else file.parent)
    task = read_task(source, trust_code=trust_code, folder=folder)
    if task is None:
        source.finish()
        raise AssertionError("a file without a task was accepted")
    apply_pins(source, pins, task.options, keys)
    data = read_data(source, task, folder=file.parent)
    values = _read_train(source, task.options)
    named = "objective" in source.data
    objectives = read_objectives(source, task) if named or task.objective is not None else ()
    health = read_health(source, task)
    source.finish()
    text = ConfigFile.model_validate_json(strict_json(source.data), strict=True)
    options = resolve(task.options, values)
    return Config(
        file=file,
        task_name=text.task,
        task=task,
        code=folder,
        data=data,
        options=options,
        seed=text.seed,
        start=None if text.start is None else StartWeights(file.parent / text.start.weights, text.start.sha256),
        objectives=objectives,
        health=health,
        claims=text.claims,
        tolerance=text.tolerance,
        provenance=written_as.get("provenance") or {},
        remarks=tuple(told_otherwise(written_as, values, options)),
    )


def _warn_of_version(source: Source) -> None:
    """Beside mistakes in the file: it may be right for the version that wrote it."""
    writer = writer_of(source.data)
    if writer is not None and writer != __version__:
        message = f"the file was written by abr-tune {writer}; this is {__version__}, which may know other keys"
        source.warn(("provenance", "versions", "abr-tune"), message)


def _refuse_run_folder(file: Path) -> None:
    run = RunFolder(file)
    if not run.space.is_file():
        return
    run = RunFolder(one_search(file))
    if run.best_config.is_file():
        raise UserError(f"{file} is a run folder; give the configuration in it, {run.best_config}")
    raise UserError(f"{file} is a run folder without {run.best_config} yet: the `abr-tune run` that began it writes it")


def _refuse_space_file(file: Path, written: Mapping[str, Any]) -> None:
    if "search" not in written:
        return
    beside = RunFolder(file.parent)
    name = written.get("name", file.stem)
    best = beside.best_config if beside.plan.is_file() else RunFolder(Path("results") / str(name)).best_config
    raise UserError(f"{file} is a space file, whose settings are searched; give the best.yaml its run writes, {best}")


def dump_config(config: Config, *, comment: str = "") -> str:
    """The configuration as text that `load_config` reads back; nothing is left to defaults."""
    content: dict[str, Any] = {"task": config.task_name}
    if (code := config.code_from(config.folder)) is not None:
        content["code"] = code
    if config.data is not None:
        content["data"] = to_jsonable_python(config.data, by_alias=True, inf_nan_mode="constants")
    content["train"] = to_jsonable_python(config.options, by_alias=True, inf_nan_mode="constants")
    content["seed"] = config.seed
    if (start := config.start_from_folder(config.folder)) is not None:
        content["start"] = start
    if config.objectives:
        content["objective"] = describe_objectives(config.objectives)
    content["health"] = to_jsonable_python(config.health, by_alias=True, inf_nan_mode="constants")
    for key in ("claims", "tolerance", "provenance"):
        if getattr(config, key):
            content[key] = dict(getattr(config, key))
    return dump(content, comment=comment)


def _read_train(source: Source, options: type[BaseModel]) -> dict[str, Any]:
    """Path -> value; notes unknown paths, values that do not fit, and broken rules between them."""
    section = source.data.setdefault("train", {})
    values = read_options(source, ("train",), options)
    refuse_unknown_metrics(source, ("train",), options, values)
    faults = faults_of(options, values)
    if not isinstance(section, dict) or refuse_misfits(source, ("train",), values, faults):
        return values
    doubts = Doubts.about(source)
    for fault in faults:
        group = path_of(fault)
        if doubts.touch(group, options):
            continue
        text, hint = sentence(group, fault)
        near = next((path for path in values if path.startswith(f"{group}.")), None)
        loc = source.place_of_option(("train",), near) if near else ("train",)
        source.add(loc, text if text.startswith(group) else f"{group}: {text}", hint, at_key=True)
    return values
