"""From a space file to a plan: every mistake in it at once, or a plan that can be run as it stands."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, cast

from pydantic import BaseModel

from abr_tune.plan.arguments import apply_overrides, apply_pins
from abr_tune.plan.explain import suggest
from abr_tune.plan.fit import refuse_impossible
from abr_tune.plan.health import read_health
from abr_tune.plan.overrides import faults_in, strict_json
from abr_tune.plan.plan import (
    Budget,
    Confirm,
    Criterion,
    Plan,
    Pruner,
    PrunerName,
    Resources,
    Sampler,
    SamplerName,
    StartPoint,
)
from abr_tune.plan.quantities import parse_bound, parse_seconds
from abr_tune.plan.schema import LATER, PRUNERS, SAMPLERS, CriterionSection, Section, SpaceFile, check_name
from abr_tune.plan.searched import read_space, searched_leaves
from abr_tune.plan.sections import check_keys, read_data, read_objective, read_task, refuse_later, refuse_metric
from abr_tune.plan.source import Source
from abr_tune.plan.space import Space
from abr_tune.plan.start import read_start_points
from abr_tune.plan.training import read_options, refuse_misfits
from abr_tune.plan.yaml import Loc, read
from core.tasks.task import Task


def load_plan(
    file: Path | str,
    *,
    overrides: Sequence[str] = (),
    name: str | None = None,
    trials: int | None = None,
    seconds: float | str | None = None,
    seed: int | None = None,
    trust_code: bool = False,
) -> Plan:
    """The plan in a space file, changed by `overrides` (`key=value`, as after `--set`) and by the named arguments.

    `seconds` may also be a text such as `10m`. A task `module:attribute` is imported only when `trust_code`.
    Imports neither torch nor Ray nor Optuna. Raises `FileMistakes` with everything that is wrong.
    """
    file = Path(file)
    source = Source(read(file))
    pins = apply_overrides(source, overrides, tuple(SpaceFile.model_fields))
    named: list[tuple[str, Loc, str | float | None]] = [
        ("--name", ("name",), name),
        ("--trials", ("budget", "trials"), trials),
        ("--time", ("budget", "time"), seconds),
        ("--seed", ("seed",), seed),
    ]
    for label, loc, value in named:
        if value is not None:
            source.override(loc, value, label)
    _name_after(source, file)
    refuse_later(source)
    check_keys(source, SpaceFile)
    task = read_task(source, trust_code=trust_code, folder=file.parent)
    if task is None:
        source.finish()
        raise AssertionError("a file without a task was accepted")
    pinned = apply_pins(source, pins, task.options, tuple(SpaceFile.model_fields))
    parts = _Parts(source, task, pinned)
    source.finish()
    return parts.plan(file)


class _Parts:
    """The sections of a file that depend on its task, read one after another; mistakes are noted in the source."""

    def __init__(self, source: Source, task: Task, pinned: Mapping[str, Any]) -> None:
        self.source, self.task = source, task
        self.data = read_data(source, task)
        before = len(source.problems)
        self.train = _read_train(source, task.options)
        self.space, self.start_from = _read_search(source, task.options, self.train, pinned)
        if len(source.problems) == before:  # a value read wrongly would show itself a second time
            refuse_impossible(source, task.options, self.train, self.space)
        self.objective = read_objective(source, task)
        self.health = read_health(source, task)
        self.pruner = _read_kind(source, "pruner", PRUNERS)
        self.sampler = _read_kind(source, "sampler", SAMPLERS)
        gate = source.data.get("gate")
        for metric in gate if isinstance(gate, dict) else ():
            refuse_metric(source, ("gate", metric), metric, at_key=True)

    def plan(self, file: Path) -> Plan:
        """The plan, once nothing has been found wrong."""
        text = SpaceFile.model_validate_json(strict_json(self.source.data), strict=True)
        if self.objective is None or self.pruner is None or self.sampler is None:
            raise AssertionError("a section was neither read nor refused")
        set_by_search = searched_leaves(self.space, self.task.options)
        pruner, sampler = self.pruner, self.sampler
        return Plan(
            name=text.name or file.stem,
            about=text.about,
            file=file,
            task_name=text.task,
            task=self.task,
            data=self.data,
            train={path: value for path, value in self.train.items() if path not in set_by_search},
            space=self.space,
            start_from=self.start_from,
            objectives=(self.objective,),
            health=self.health,
            pruner=Pruner(kind=cast(PrunerName, pruner[0]), **pruner[1].model_dump()),
            sampler=Sampler(kind=cast(SamplerName, sampler[0]), **sampler[1].model_dump()),
            budget=Budget(trials=text.budget.trials, seconds=_seconds(text.budget.time)),
            confirm=Confirm(**text.confirm.model_dump()),
            gate=tuple(_criterion(metric, section) for metric, section in text.gate.items()),
            resources=Resources(**text.resources.model_dump()),
            seed=text.seed,
        )


def _name_after(source: Source, file: Path) -> None:
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
    refuse_misfits(source, ("train",), options, values)
    return values


def _read_search(
    source: Source, options: type[BaseModel], train: Mapping[str, Any], pinned: Mapping[str, Any]
) -> tuple[Space, tuple[StartPoint, ...]]:
    written = source.data.get("search")
    if "search" not in source.data or (written == {} and not pinned):
        source.add(("search",), "search is empty: name at least one path and how to spread its values", at_key=True)
    space = read_space(source, options, train, pinned)
    paths = frozenset(written if isinstance(written, dict) else ())
    settled = frozenset(pinned) | (paths - frozenset(space.paths))
    start_from = read_start_points(source, options, train, space, settled)
    return space, start_from


def _read_kind(source: Source, key: str, table: Mapping[str, type[Section]]) -> tuple[str, Section] | None:
    """A choice by name, or by name with settings, as in `{tpe: {startup_trials: 10}}`."""
    written = source.data.get(key, SpaceFile.model_fields[key].default)
    in_mapping = isinstance(written, dict) and len(written) == 1
    kind = next(iter(written)) if in_mapping else written
    loc = (key, kind) if in_mapping else (key,)
    if not isinstance(kind, str):
        source.add((key,), f"{key} must be one of {', '.join(table)}, by name or with settings")
        return None
    if kind not in table:
        later, known = LATER.get(f"{key}.{kind}"), ", ".join(table)
        message = f"this version does not have {later} yet" if later else f"{kind} is not a {key}; there are {known}"
        source.add(loc, message, None if later else suggest(kind, table), at_key=in_mapping)
        return None
    settings = (written[kind] if in_mapping else None) or {}
    faults = faults_in(table[kind], settings)
    source.faults(faults, loc, partial(_settings, table[kind]), f"a setting of {kind}")
    return None if faults else (kind, table[kind].model_validate(settings))


def _settings(section: type[Section], _: object) -> Sequence[str]:
    return list(section.model_fields)


def _criterion(metric: str, section: CriterionSection) -> Criterion:
    investigate = parse_bound(section.investigate) if section.investigate is not None else None
    return Criterion(metric, parse_bound(section.go), investigate, section.by_epoch)


def _seconds(time: str | float | None) -> float | None:
    return None if time is None else parse_seconds(time)
