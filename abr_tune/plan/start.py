"""The `start_from:` section: configurations tried before the sampler's own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from pydantic import BaseModel

from abr_tune.plan.fit import Doubts
from abr_tune.plan.ordered import Simplex
from abr_tune.plan.overrides import faults_of, path_of, resolve, value_at
from abr_tune.plan.plan import Plan, StartPoint
from abr_tune.plan.source import Source, sentence
from abr_tune.plan.space import OutsideSpace, Space
from abr_tune.plan.training import read_options, refuse_misfits

LONGEST_NAME: Final = 120
"""Characters; it stands in tables."""


def read_start_points(
    source: Source, options: type[BaseModel], train: Mapping[str, Any], space: Space, settled: frozenset[str]
) -> tuple[StartPoint, ...]:
    """The start points, without values of the paths in `settled`, which the command line decided.

    Mistakes are noted in `source`. A value outside the space is none: it runs, but does not train the sampler.
    """
    section = source.data.get("start_from")
    points: list[StartPoint] = []
    named: set[str] = set()
    for i, entry in enumerate(section if isinstance(section, list) else ()):
        if not isinstance(entry, dict):
            continue
        name = entry.get("name", f"start {i + 1}")
        if (fault := _fault_of_name(name, named)) is not None:
            source.add(("start_from", i, "name"), fault)
        named.add(str(name))
        values = read_options(source, ("start_from", i), options, skip=frozenset({"name"}))
        values = {path: value for path, value in values.items() if not _is_settled(path, settled)}
        if _is_possible(source, i, options, train, values):
            points.append(StartPoint(str(name), _by_searched_path(options, train, values, space)))
    return tuple(points)


def _fault_of_name(name: Any, others: set[str]) -> str | None:
    if not isinstance(name, str):
        return "name must be text"
    if not name.isprintable() or not 1 <= len(name) <= LONGEST_NAME:
        return f"name must be 1 to {LONGEST_NAME} characters that can be seen"
    return f"{name} is the name of an earlier start point" if name in others else None


def outside(plan: Plan) -> dict[str, tuple[str, ...]]:
    """Name -> reasons, for the start points that lie outside the space: they run, but do not teach the sampler."""
    found: dict[str, tuple[str, ...]] = {}
    for point in plan.start_from:
        options = resolve(plan.task.options, {**plan.train, **point.values})
        values = {path: value_at(options, path) for path in plan.space.paths}
        try:
            plan.space.encode({**values, **point.values})
        except OutsideSpace as fault:
            found[point.name] = fault.reasons
    return found


def _is_settled(path: str, settled: frozenset[str]) -> bool:
    return any(path == other or path.startswith(f"{other}.") for other in settled)


def _is_possible(
    source: Source, i: int, options: type[BaseModel], train: Mapping[str, Any], values: Mapping[str, Any]
) -> bool:
    all_faults = faults_of(options, {**train, **values})
    if refuse_misfits(source, ("start_from", i), values, all_faults):
        return False
    doubts = Doubts.about(source, section=("start_from", i))
    for fault in all_faults:
        if any(path_of(fault) == path or path_of(fault).startswith(f"{path}.") for path in (*train, *values)):
            continue
        if doubts.touch(path_of(fault), options):
            continue
        group = path_of(fault)
        text, hint = sentence(group, fault)
        source.add(("start_from", i), text if text.startswith(group) else f"{group}: {text}", hint)
    return not all_faults


def _by_searched_path(
    options: type[BaseModel], train: Mapping[str, Any], values: Mapping[str, Any], space: Space
) -> dict[str, Any]:
    """The values with those below a searched group gathered under its path, completed from the defaults."""
    gathered = dict(values)
    for parameter in space.parameters:
        below = [path for path in values if path.startswith(f"{parameter.path}.")]
        if below:
            whole = value_at(resolve(options, {**train, **values}), parameter.path)
            names = parameter.distribution.names if isinstance(parameter.distribution, Simplex) else whole
            for path in below:
                if path.rpartition(".")[2] in names:
                    del gathered[path]
            # A name that the group has not is told where it is searched.
            gathered[parameter.path] = {name: whole[name] for name in names if name in whole}
    return gathered
