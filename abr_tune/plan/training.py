"""The sections that name training options by path: `train:` and the entries of `start_from:`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from pydantic import BaseModel
from pydantic_core import ErrorDetails

from abr_tune.plan.explain import suggest
from abr_tune.plan.overrides import option_paths, path_of
from abr_tune.plan.source import Source, sentence
from abr_tune.plan.yaml import Loc


def read_options(
    source: Source, at: Loc, options: type[BaseModel], *, skip: frozenset[str] = frozenset()
) -> dict[str, Any]:
    """Path -> value of a section whose keys are option paths, dotted or nested or both; notes unknown ones.

    A mapping given for a group is taken apart. Keys at the top that are in `skip` are left out.
    """
    section = source.data_at(at)
    known = option_paths(options)
    values: dict[str, Any] = {}

    def walk(tree: Mapping[str, Any], prefix: str, loc: Loc) -> None:
        for key, value in tree.items():
            path, place = prefix + key, (*loc, key)
            if path not in known:
                source.add(
                    place,
                    f"{path} is not a training option",
                    suggest(path, [*known.near(path), *(() if prefix else skip)]),
                    at_key=True,
                )
            elif known[path].models and isinstance(value, Mapping) and value:
                walk(value, f"{path}.", place)
            elif path in values:
                source.add(place, f"{path} is given twice", at_key=True)
            else:
                values[path] = value

    if isinstance(section, dict):
        walk({key: value for key, value in section.items() if key not in skip}, "", at)
    return values


def refuse_misfits(source: Source, at: Loc, values: Mapping[str, Any], faults: Iterable[ErrorDetails]) -> bool:
    """Note which of `values` their own options do not take, of all the `faults` that options with them have.

    Rules between options are another matter. Returns whether any was noted.
    """
    misfits = False
    for fault in faults:
        found = path_of(fault)
        given = next((path for path in values if found == path or found.startswith(f"{path}.")), None)
        if given is None:
            continue
        place = source.place_of_option(at, given)
        inside = fault["loc"][len(given.split(".")) :]
        index = "".join(f"[{part + 1}]" if isinstance(part, int) else f".{part}" for part in inside)
        source.add(source.existing(inside, place), *sentence(given + index, fault))
        misfits = True
    return misfits
