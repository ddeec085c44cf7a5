"""The `search:` section: from what is written to the space, with every mistake noted where it stands."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from graphlib import CycleError
from typing import Any

from pydantic import BaseModel

from abr_tune.plan.conditions import read_conditions, refuse_never
from abr_tune.plan.distributions import Distribution, as_text
from abr_tune.plan.explain import suggest
from abr_tune.plan.fit import refuse_misfit
from abr_tune.plan.guess import read_guess
from abr_tune.plan.overrides import faults_in, leaves, missing_key, option_paths
from abr_tune.plan.source import Source
from abr_tune.plan.space import Guess, Parameter, Space
from abr_tune.plan.spread import BESIDE, DISTRIBUTIONS, ListEnds, PairEnds
from abr_tune.plan.yaml import Loc


@dataclass(frozen=True, slots=True)
class _Entry:
    """One path under `search:` whose distribution can be read."""

    path: str
    distribution: Distribution
    when: Mapping[str, Any]
    guess: Guess | None
    points: int | None


def read_space(source: Source, options: type[BaseModel], train: Mapping[str, Any], pinned: Mapping[str, Any]) -> Space:
    """The space under `search:`, without the paths in `pinned`, which the command line fixed.

    Mistakes are noted in `source`; the space then holds what could be read.
    """
    section = source.data.get("search")
    entries = [] if not isinstance(section, dict) else [_entry(source, path, options, train) for path in section]
    readable = {entry.path: entry for entry in entries if entry is not None}
    _refuse_overlaps(source, options)
    spread = {path: entry.distribution for path, entry in readable.items()}
    parameters = {}
    for path, entry in readable.items():
        refuse_misfit(source, path, entry.distribution, options, train)
        conditions = read_conditions(source, path, entry.when, options, spread=spread, pinned=pinned)
        if conditions is not None:
            parameters[path] = Parameter(path, entry.distribution, conditions, entry.guess, entry.points)
    while lost := [path for path, item in parameters.items() if any(one.path not in parameters for one in item.when)]:
        for path in lost:  # what they depend on was decided by the command line, or is a mistake itself
            del parameters[path]
    try:
        space = Space(tuple(parameters.values()))
    except CycleError as fault:
        circle = [str(path) for path in fault.args[1]]
        source.add(("search", circle[-1], "when"), f"conditions in a circle: {' needs '.join(circle)}")
        return Space()
    refuse_never(source, space.parameters)
    return space


def _entry(source: Source, path: str, options: type[BaseModel], train: Mapping[str, Any]) -> _Entry | None:
    loc: Loc = ("search", path)
    if _is_unknown(source, loc, options, train):
        return None
    written = source.data["search"][path]
    if not isinstance(written, dict):
        source.add(
            loc, f"{path} needs a way to search it, such as {{log: [1e-4, 1e-2]}}", "fix it under train instead?"
        )
        return None
    inside = [known for known in option_paths(options) if known.startswith(f"{path}.")]
    if inside and written and all(f"{path}.{key}" in inside for key in written):
        source.add(loc, f"{path} is a group of options; name one of them, such as {inside[0]}", at_key=True)
        return None
    kind = _kind(source, loc, written)
    if kind is None:
        return None
    faults = faults_in(DISTRIBUTIONS[kind], written)
    source.faults(faults, loc, lambda where: _keys_beside(kind, where), f"a key of {kind}")
    if faults:
        return None
    section = DISTRIBUTIONS[kind].model_validate(written)
    distribution = section.distribution()
    guess = read_guess(source, loc, section, distribution)
    return _Entry(path, distribution, section.when, guess, getattr(section, "points", None))


def _is_unknown(source: Source, loc: Loc, options: type[BaseModel], train: Mapping[str, Any]) -> bool:
    """Whether there is no such option, or none in what `train` holds, which is noted."""
    path = str(loc[-1])
    if path not in option_paths(options):
        source.unknown(loc, "a training option", option_paths(options).near(path))
        return True
    if (missing := missing_key(options, train, path)) is None:
        return False
    mapping, key, there = missing
    source.add(loc, f"{mapping} has no {key} under train", suggest(key, there), at_key=True)
    return True


def _kind(source: Source, loc: Loc, written: Mapping[str, Any]) -> str | None:
    """The key that says how values are spread; `log: true` beside `int` is a setting."""
    kinds = [key for key in written if key in DISTRIBUTIONS]
    if "log" in kinds and isinstance(written["log"], bool) and len(written) > 1:
        kinds.remove("log")
    if len(kinds) == 1:
        return kinds[0]
    names = ", ".join(DISTRIBUTIONS)
    if {*kinds} == {"int", "log"} and not isinstance(written["log"], list):
        message = f"log must be true or false beside int, not {as_text(written['log'])}"
        source.add((*loc, "log"), message)
        return None
    if kinds:
        source.add((*loc, kinds[1]), f"{loc[-1]} is spread in two ways: {' and '.join(kinds)}", at_key=True)
        return None
    others = [key for key in written if key not in BESIDE and key != "log"]
    if len(others) == 1:
        source.unknown((*loc, others[0]), f"one of {names}", DISTRIBUTIONS)
    else:
        source.add(loc, f"{loc[-1]} must have one of {names}", at_key=True)
    return None


def _keys_of(kind: str) -> list[str]:
    return [field.alias or name for name, field in DISTRIBUTIONS[kind].model_fields.items()]


def _keys_beside(kind: str, where: Loc) -> list[str]:
    inside = where[2:-1]
    return [*PairEnds.model_fields, *ListEnds.model_fields] if inside == ("ordered",) else _keys_of(kind)


def _refuse_overlaps(source: Source, options: type[BaseModel]) -> None:
    section = source.data.get("search")
    paths = [path for path in section if path in option_paths(options)] if isinstance(section, dict) else []
    for path in paths:
        for other in paths:
            if path.startswith(f"{other}."):
                source.add(("search", path), f"{path} is already searched as part of {other}", at_key=True)


def searched_leaves(space: Space, options: type[BaseModel]) -> Sequence[str]:
    """The single options that every configuration of the space sets."""
    draw = random.Random(0)  # noqa: S311 - only which paths there are matters
    always = [item for item in space.parameters if not item.when]
    values = Space(tuple(always)).propose(lambda side: side.at(draw.random()))
    return [leaf for path, value in values.items() for leaf in leaves(options, path, value)]
