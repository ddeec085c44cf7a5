"""The sections that space files and training configurations share: keys, task, data, objective."""

from __future__ import annotations

import os
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any, get_args

from pydantic import BaseModel, TypeAdapter, ValidationError

from abr_tune.plan.explain import nearest, suggest
from abr_tune.plan.metric_names import fault_of
from abr_tune.plan.overrides import faults_in, option_paths, strict_json
from abr_tune.plan.schema import CriterionSection, ObjectiveSection, Section
from abr_tune.plan.source import Source
from abr_tune.plan.tasks import UnknownTask, find_task
from abr_tune.plan.yaml import Loc
from core.tasks import TASKS
from core.tasks.task import Objective, Task


def refuse_stages(source: Source) -> None:
    """Note a file of stages where one search is wanted. Raises `FileMistakes`: of a search it says nothing."""
    if "stages" in source.data:
        hint = "give one of the files it names; `abr-tune run` and `abr-tune validate` take it whole"
        source.add(("stages",), "this is a file of stages, which is several searches", hint, at_key=True)
        source.finish()


def check_keys(source: Source, model: type[Section]) -> None:
    """Note unknown keys and values of the wrong kind in the sections that do not depend on the task."""
    source.faults(faults_in(model, source.data), (), partial(_keys_beside, model))


def read_task(source: Source, *, trust_code: bool, folder: Path) -> Task | None:
    """The task, or the one whose name is nearly this; None when none can be had. A name that is no task's is noted."""
    name = source.data.get("task")
    if not isinstance(name, str):
        return None
    try:
        return find_task(name, trust_code=trust_code, folders=(folder, Path()))
    except UnknownTask as fault:
        source.add(("task",), fault.message, fault.hint)
        return TASKS.get(nearest(name, TASKS) or "")


def read_data(source: Source, task: Task, *, folder: Path) -> Any:
    """The checked data options; None when the task has none, or when they are wrong, which is noted.

    Their relative paths start at `folder`.
    """
    written = source.data.get("data")
    if task.data is None:
        if written is not None:
            source.add(("data",), f"task {task.name} has no data options", at_key=True)
        return None
    adapter: TypeAdapter[Any] = TypeAdapter(task.data)
    try:
        return adapter.validate_json(strict_json(written or {}), strict=True)
    except ValidationError as fault:
        if written is None:
            source.add(("data",), f"data is missing: task {task.name} needs it")
        elif isinstance(written, dict) and not _is_mistyped(source, task.data, written.get("source"), folder):
            keys = _keys_of_data(task.data)
            source.faults(fault.errors(include_url=False), ("data",), lambda _: keys, "a data option")
        return None


def read_objectives(source: Source, task: Task) -> tuple[Objective, ...]:
    """What is to be improved, one or several; empty when that cannot be told, which is noted."""
    written = source.data.get("objective")
    if written == []:
        source.add(("objective",), "objective names no metric", at_key=True)
    if written is None or written == []:
        if task.objective is None:
            source.add(("objective",), f"objective is missing: task {task.name} has none of its own")
        return () if task.objective is None else (task.objective,)
    if not isinstance(written, list):
        found = _objective(source, ("objective",), written)
        return () if found is None else (found,)
    objectives: list[Objective] = []
    for i, entry in enumerate(written):
        found = _objective(source, ("objective", i), entry)
        if found is None:
            continue
        if any(found.metric == other.metric for other in objectives):
            source.add(("objective", i, found.direction), f"{found.metric} is an objective already")
        objectives.append(found)
    return tuple(objectives)


def _objective(source: Source, loc: Loc, written: Any) -> Objective | None:
    faults = faults_in(ObjectiveSection, written)
    source.faults(faults, loc, partial(_keys_of, ObjectiveSection), "a direction")
    if faults:
        return None
    direction, metric = next((key, value) for key, value in written.items() if value is not None)
    refuse_metric(source, (*loc, direction), metric)
    return Objective(metric, direction)


def refuse_metric(source: Source, loc: Loc, metric: str, *, at_key: bool = False) -> None:
    """Note a name that is no metric to search or judge by."""
    fault = fault_of(metric, known_task=":" not in str(source.data.get("task")))
    if fault is not None:
        source.add(loc, *fault, at_key=at_key)


def _keys_beside(model: type[Section], loc: Loc) -> Sequence[str]:
    if loc[0] == "gate" and len(loc) == 3:
        return _keys_of(CriterionSection, loc)
    above = ".".join(str(part) for part in loc[:-1])
    return [path.rpartition(".")[2] for path in option_paths(model) if path.rpartition(".")[0] == above]


def _keys_of(model: type[BaseModel], _: Loc) -> Sequence[str]:
    return [field.alias or name for name, field in model.model_fields.items()]


def _keys_of_data(annotation: Any) -> Sequence[str]:
    """Keys of every alternative of the data options."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return _keys_of(annotation, ())
    return list(dict.fromkeys(key for part in get_args(annotation) for key in _keys_of_data(part)))


def _is_mistyped(source: Source, annotation: Any, written: Any, folder: Path) -> bool:
    """Whether `source` is nearly one of its words and no file, which is noted: the keys beside it may well be right."""
    words = _sources_of_data(annotation)
    if not isinstance(written, str) or written in words or Path(written).name != written or Path(written).suffix:
        return False
    hint = suggest(written, words)
    if hint is None or os.path.lexists(folder / written):
        return False
    source.add(("data", "source"), f"{written} is no file and not {' or '.join(words)}", hint)
    return True


def _sources_of_data(annotation: Any) -> Sequence[str]:
    """The words that `source` takes in the alternatives of the data options."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        field = annotation.model_fields.get("source")
        return [word for word in get_args(field.annotation) if isinstance(word, str)] if field else []
    return list(dict.fromkeys(word for part in get_args(annotation) for word in _sources_of_data(part)))
