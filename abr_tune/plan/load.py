"""From a space file to a plan: every mistake in it at once, or a plan that can be run as it stands."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from pydantic import BaseModel

from abr_tune.plan.arguments import apply_overrides, apply_pins
from abr_tune.plan.choices import read_pruner, read_sampler
from abr_tune.plan.contradictions import refuse_beyond_the_run, refuse_folds, refuse_pruner, refuse_sampler
from abr_tune.plan.device import refuse_device, settled
from abr_tune.plan.earlier import Since, read_since, take_over
from abr_tune.plan.explain import nearest
from abr_tune.plan.fit import Doubts, refuse_impossible
from abr_tune.plan.health import read_health
from abr_tune.plan.machine import warn_of_files, warn_of_machine
from abr_tune.plan.named_metrics import refuse_unknown_metrics
from abr_tune.plan.overrides import faults_of, strict_json
from abr_tune.plan.plan import Budget, Confirm, Constraint, Criterion, Limits, Plan, Resources, StartPoint, Stop
from abr_tune.plan.quantities import parse_bound, parse_bytes, parse_seconds
from abr_tune.plan.schema import CriterionSection, SpaceFile, check_name
from abr_tune.plan.searched import read_space, searched_leaves
from abr_tune.plan.sections import check_keys, read_data, read_objectives, read_task, refuse_metric, refuse_stages
from abr_tune.plan.source import Source
from abr_tune.plan.space import Space
from abr_tune.plan.start import read_start_points
from abr_tune.plan.training import read_options, refuse_misfits
from abr_tune.plan.yaml import Loc, read
from core.tasks.task import Task

KEYS: Final = tuple(field.alias or name for name, field in SpaceFile.model_fields.items())
"""Keys of a space file."""


def load_plan(
    file: Path | str,
    *,
    overrides: Sequence[str] = (),
    name: str | None = None,
    trials: int | None = None,
    seconds: float | str | None = None,
    seed: int | None = None,
    trust_code: bool = False,
    results: Path = Path("results"),
    since: Since | None = None,
) -> Plan:
    """The plan in a space file, changed by `overrides` (`key=value`, as after `--set`) and by the named arguments.

    `seconds` may also be a text such as `10m`. The run under `from:` is looked for in the folder of the file, in
    `results`, and in the working folder; `since` stands for what the file names there. A task `module:attribute` is
    imported only when `trust_code`.
    Imports neither torch nor Ray nor Optuna. Raises `FileMistakes` with everything that is wrong.
    """
    file = Path(file)
    source = Source(read(file))
    pins = apply_overrides(source, overrides, KEYS)
    named: list[tuple[str, Loc, str | float | None]] = [
        ("--name", ("name",), name),
        ("--trials", ("budget", "trials"), trials),
        ("--time", ("budget", "time"), seconds),
        ("--seed", ("seed",), seed),
    ]
    for label, loc, value in named:
        if value is not None:
            source.override(loc, value, label)
    name_after(source, file)
    refuse_stages(source)
    check_keys(source, SpaceFile)
    task = read_task(source, trust_code=trust_code, folder=file.parent)
    if task is None:
        read_pruner(source)
        read_sampler(source)
        source.finish()
        raise AssertionError("a file without a task was accepted")
    pinned = apply_pins(source, pins, task.options, KEYS)
    parts = _Parts(source, task, pinned, folder=file.parent, results=results, since=since)
    source.finish()
    return parts.plan(file)


class _Parts:
    """The sections of a file that depend on its task, read one after another; mistakes are noted in the source."""

    def __init__(
        self,
        source: Source,
        task: Task,
        pinned: Mapping[str, Any],
        *,
        folder: Path,
        results: Path,
        since: Since | None,
    ) -> None:
        self.source, self.task = source, task
        self.data = read_data(source, task, folder=folder)
        self.since = since or read_since(source, task, folder=folder, results=results)
        self.train = _read_train(source, task.options)
        self.inherited = self._take_over()
        self.train = {**self.inherited, **self.train}
        self.space, self.start_from = _read_search(source, task.options, self.train, pinned)
        refuse_impossible(source, task.options, self.train, self.space)
        self.objectives = read_objectives(source, task)
        self.health = read_health(source, task)
        self.pruner = read_pruner(source)
        self.sampler = read_sampler(source)
        self._refuse_contradictions()
        refuse_device(source, task, self.train)
        warn_of_machine(source)
        warn_of_files(source, self.data, folder)
        for key in ("gate", "constraints"):
            section = source.data.get(key)
            for metric in section if isinstance(section, dict) else ():
                refuse_metric(source, (key, metric), metric, at_key=True)

    def _take_over(self) -> Mapping[str, Any]:
        """What the earlier run's best says of what the file leaves open."""
        searched = self.source.data.get("search")
        paths = tuple(searched) if isinstance(searched, dict) else ()
        if self.since is None:
            return {}
        return take_over(self.source, self.since, self.task.options, self.train, paths)

    def _refuse_contradictions(self) -> None:
        if self.sampler is not None and self.space.paths:
            refuse_sampler(self.source, self.sampler, self.space, self.objectives)
        if self.pruner is not None:
            refuse_pruner(self.source, self.pruner, self.task)
        refuse_folds(self.source, self.task, self.data, begun=self.since is not None and self.since.start is not None)
        if self.pruner is not None and not Doubts.about(self.source, self.space).touch("epochs", self.task.options):
            refuse_beyond_the_run(self.source, self.pruner, self.task.options, self.train, self.space)

    def plan(self, file: Path) -> Plan:
        """The plan, once nothing has been found wrong."""
        text = SpaceFile.model_validate_json(strict_json(self.source.data), strict=True)
        if not self.objectives or self.pruner is None or self.sampler is None:
            raise AssertionError("a section was neither read nor refused")
        set_by_search = searched_leaves(self.space, self.task.options)
        train = settled(self.task.options, self.train, set_by_search, gpus=text.resources.gpus)
        return Plan(
            name=text.name or file.stem,
            about=text.about,
            file=file,
            task_name=text.task,
            task=self.task,
            data=self.data,
            train={path: value for path, value in train.items() if path not in set_by_search},
            space=self.space,
            start_from=self.start_from,
            objectives=self.objectives,
            health=self.health,
            pruner=self.pruner,
            sampler=self.sampler,
            budget=Budget(trials=text.budget.trials, seconds=_seconds(text.budget.time), epochs=text.budget.epochs),
            confirm=Confirm(**text.confirm.model_dump()),
            gate=tuple(_criterion(metric, section) for metric, section in text.gate.items()),
            resources=Resources(**text.resources.model_dump()),
            seed=text.seed,
            constraints=tuple(Constraint(metric, parse_bound(bound)) for metric, bound in text.constraints.items()),
            limits=Limits(seconds=_seconds(text.limits.time), bytes=_bytes(text.limits.memory)),
            stop=Stop(no_improvement=text.stop.no_improvement),
            audit=text.audit,
            since=None if self.since is None else self.since.run,
            inherited=self.inherited,
            start=None if self.since is None else self.since.start,
            warnings=tuple(self.source.warnings),
        )


def name_after(source: Source, file: Path) -> None:
    """Name a run without a name after its file."""
    if "name" not in source.data:
        try:
            source.data["name"] = check_name(file.stem)
        except ValueError:
            source.add((), f"name is missing, and {file.stem} cannot serve as one")


def _read_train(source: Source, options: type[BaseModel]) -> dict[str, Any]:
    if "train" not in source.data:
        return {}
    values = read_options(source, ("train",), options)
    refuse_misfits(source, ("train",), values, faults_of(options, values))
    refuse_unknown_metrics(source, ("train",), options, values)
    return values


def _read_search(
    source: Source, options: type[BaseModel], train: Mapping[str, Any], pinned: Mapping[str, Any]
) -> tuple[Space, tuple[StartPoint, ...]]:
    written = source.data.get("search")
    misspelt = any(key not in KEYS and nearest(key, KEYS) == "search" for key in source.data)
    if not misspelt and ("search" not in source.data or (written == {} and not pinned)):
        source.add(("search",), "search is empty: name at least one path and how to spread its values", at_key=True)
    space = read_space(source, options, train, pinned)
    paths = frozenset(written if isinstance(written, dict) else ())
    settled = frozenset(pinned) | (paths - frozenset(space.paths))
    start_from = read_start_points(source, options, train, space, settled)
    return space, start_from


def _criterion(metric: str, section: CriterionSection) -> Criterion:
    investigate = parse_bound(section.investigate) if section.investigate is not None else None
    return Criterion(metric, parse_bound(section.go), investigate, section.by_epoch)


def _seconds(time: str | float | None) -> float | None:
    return None if time is None else parse_seconds(time)


def _bytes(size: str | float | None) -> int | None:
    return None if size is None else parse_bytes(size)
