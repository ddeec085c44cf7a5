"""The `search:` section: from what is written to the space, with every mistake noted where it stands."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from graphlib import CycleError
from typing import Any, Final

from pydantic import BaseModel

from abr_tune.plan.distributions import Choice, Distribution, IntRange, OrderedPair, Simplex, as_text, same
from abr_tune.plan.explain import suggest
from abr_tune.plan.overrides import faults_in, faults_of, leaves, option_paths, path_of
from abr_tune.plan.schema import DISTRIBUTIONS, LATER
from abr_tune.plan.source import Source, sentence
from abr_tune.plan.space import Condition, Parameter, Space
from abr_tune.plan.yaml import Loc

SAMPLES: Final = 200
"""Configurations drawn to find combinations that no training run could take."""
_GOLDEN: Final = 0.381966
"""A share that is no round number: a range over whole-number options shows itself there."""


@dataclass(frozen=True, slots=True)
class _Entry:
    """One path under `search:` whose distribution can be read."""

    path: str
    loc: Loc
    distribution: Distribution
    when: Mapping[str, Any]


def read_space(source: Source, options: type[BaseModel], train: Mapping[str, Any], pinned: Mapping[str, Any]) -> Space:
    """The space under `search:`, without the paths in `pinned`, which the command line fixed.

    Mistakes are noted in `source`; the space then holds what could be read.
    """
    section = source.data.get("search")
    entries = [] if not isinstance(section, dict) else [_entry(source, path, options) for path in section]
    readable = {entry.path: entry for entry in entries if entry is not None}
    _refuse_overlaps(source, readable)
    parameters = []
    for entry in readable.values():
        if _fits(source, entry, options, train):
            conditions = _conditions(source, entry, readable, options, pinned)
            if conditions is not None:
                parameters.append(Parameter(entry.path, entry.distribution, conditions))
    try:
        return Space(tuple(parameters))
    except CycleError as fault:
        circle = [str(path) for path in fault.args[1]]
        source.add(("search", circle[-1], "when"), f"conditions in a circle: {' needs '.join(circle)}")
        return Space()


def refuse_impossible(source: Source, options: type[BaseModel], train: Mapping[str, Any], space: Space) -> None:
    """Note rules between options that configurations of the space break, each once."""
    draw = random.Random(0)  # noqa: S311 - a fixed sample, no secret
    told: dict[str, int] = {}
    examples: dict[str, Mapping[str, Any]] = {}
    for _ in range(SAMPLES if space.paths else 1):
        values = space.propose(lambda side: side.at(draw.random()))
        for fault in faults_of(options, {**train, **values}):
            group = path_of(fault)
            text = sentence(group, fault)[0]
            text = text if text.startswith(group) else f"{group}: {text}" if group else text
            told[text] = told.get(text, 0) + 1
            examples.setdefault(text, {"group": group, "values": values})
    for text, times in told.items():
        group, values = examples[text]["group"], examples[text]["values"]
        loc, culprit = _culprit(source, options, train, group, values)
        share = f"so in {times} of {SAMPLES} configurations" if space.paths and times < SAMPLES else None
        example = f", for instance with {culprit}: {as_text(values[culprit])}" if culprit and share else ""
        source.add(loc, text, f"{share}{example}" if share else None, at_key=True)


def _culprit(
    source: Source, options: type[BaseModel], train: Mapping[str, Any], group: str, values: Mapping[str, Any]
) -> tuple[Loc, str | None]:
    """Where to point for a broken rule between the options of `group`: what breaks it by itself, else what is near."""
    related = [path for path in values if _touches(path, group)]
    for path in related:
        if any(path_of(fault) == group for fault in faults_of(options, {**train, path: values[path]})):
            return ("search", path), path
    if related:
        return ("search", related[0]), related[0]
    fixed = next((path for path in train if _touches(path, group)), None)
    return source.place_of_option(("train",), fixed) if fixed else ("train",), None


def _touches(path: str, group: str) -> bool:
    return group in {"", path} or path.startswith(f"{group}.") or group.startswith(f"{path}.")


def _entry(source: Source, path: str, options: type[BaseModel]) -> _Entry | None:
    loc: Loc = ("search", path)
    if path not in option_paths(options):
        source.unknown(loc, "a training option", option_paths(options))
        return None
    written = source.data["search"][path]
    if not isinstance(written, dict):
        source.add(
            loc, f"{path} needs a way to search it, such as {{log: [1e-4, 1e-2]}}", "fix it under train instead?"
        )
        return None
    inside = [known for known in option_paths(options) if known.startswith(f"{path}.")]
    if inside and not written.keys() & DISTRIBUTIONS.keys():
        source.add(loc, f"{path} is a group of options; name one of them, such as {inside[0]}", at_key=True)
        return None
    kind = _kind(source, loc, written)
    if kind is None:
        return None
    later = [key for key in written if f"search.{key}" in LATER and key not in _keys_of(kind)]
    for key in later:
        source.add((*loc, key), f"this version does not have {LATER[f'search.{key}']} yet", at_key=True)
    known = {key: value for key, value in written.items() if key not in later}
    faults = faults_in(DISTRIBUTIONS[kind], known)
    source.faults(faults, loc, lambda _: _keys_of(kind), f"a key of {kind}")
    if faults or later:
        return None
    section = DISTRIBUTIONS[kind].model_validate(known)
    return _Entry(path, loc, section.distribution(), section.when)


def _kind(source: Source, loc: Loc, written: Mapping[str, Any]) -> str | None:
    """The key that says how values are spread; `log: true` beside `int` is a setting."""
    kinds = [key for key in written if key in DISTRIBUTIONS]
    if "int" in kinds and isinstance(written.get("log"), bool):
        kinds.remove("log")
    if len(kinds) == 1:
        return kinds[0]
    names = ", ".join(DISTRIBUTIONS)
    if kinds:
        source.add((*loc, kinds[1]), f"{loc[-1]} is spread in two ways: {' and '.join(kinds)}", at_key=True)
        return None
    others = [key for key in written if key != "when" and f"search.{key}" not in LATER]
    if len(others) == 1:
        source.unknown((*loc, others[0]), f"one of {names}", DISTRIBUTIONS)
    else:
        source.add(loc, f"{loc[-1]} must have one of {names}", at_key=True)
    return None


def _keys_of(kind: str) -> list[str]:
    return [field.alias or name for name, field in DISTRIBUTIONS[kind].model_fields.items()]


def _refuse_overlaps(source: Source, entries: Mapping[str, _Entry]) -> None:
    for path in entries:
        for other in entries:
            if path.startswith(f"{other}."):
                source.add(("search", path), f"{path} is already searched as part of {other}", at_key=True)


def _fits(source: Source, entry: _Entry, options: type[BaseModel], train: Mapping[str, Any]) -> bool:
    """Note where the distribution leaves what the option takes; only the first such end of each is told."""
    if isinstance(entry.distribution, Simplex):
        known = {path.removeprefix(f"{entry.path}.") for path in option_paths(options) if path.startswith(entry.path)}
        wrong = [i for i, name in enumerate(entry.distribution.names) if name not in known]
        for i in wrong:
            name = entry.distribution.names[i]
            source.add((*entry.loc, "simplex", i), f"{entry.path} has no {name}", suggest(name, known))
        if wrong:
            return False
    fits = True
    for below, value in _probes(entry.distribution):
        for fault in faults_of(options, {**train, entry.path: value}):
            if not any(_is_in(path_of(fault), leaf) for leaf in leaves(options, entry.path, value)):
                continue
            if below == () and not fits:
                continue
            message, hint = sentence(entry.path, fault)
            source.add((*entry.loc, *below), message, hint)
            fits = False
            break
    return fits


def _probes(distribution: Distribution) -> Iterator[tuple[Loc, Any]]:
    """Values that reach into the corners of a distribution, each with the place in the entry that it comes from."""
    if isinstance(distribution, Choice):
        for i, value in enumerate(distribution.values):
            yield ("choice", i), value
        return
    if isinstance(distribution, OrderedPair):
        (a, b), (c, d) = distribution.low, distribution.high
        yield ("ordered", "low", 0), {"low": a, "high": max(a, c)}
        yield ("ordered", "low", 1), {"low": min(b, d), "high": d}
        yield ("ordered", "high", 0), {"low": a, "high": max(a, c)}
        yield ("ordered", "high", 1), {"low": a, "high": d}
        return
    sides = distribution.coordinates("")
    low, high = ([side.at(share) for side in sides] for share in (0.0, 1.0))
    key = "" if len(sides) != 1 else "int" if isinstance(distribution, IntRange) else _range_key(distribution)
    yield ((key, 0) if key else ()), distribution.decode(low)
    yield ((key, 1) if key else ()), distribution.decode(high)
    yield (), distribution.decode([side.at(_GOLDEN) for side in sides])


def _range_key(distribution: Distribution) -> str:
    log = getattr(distribution, "log", None)
    return "" if log is None else "log" if log else "uniform"


def _is_in(path: str, given: str) -> bool:
    return path == given or path.startswith(f"{given}.")


def _conditions(
    source: Source,
    entry: _Entry,
    entries: Mapping[str, _Entry],
    options: type[BaseModel],
    pinned: Mapping[str, Any],
) -> tuple[Condition, ...] | None:
    """The conditions of an entry; None when the command line fixed a value that makes one of them false for good."""
    conditions = []
    for path, written in entry.when.items():
        loc = (*entry.loc, "when", path)
        if path in pinned:
            if not any(same(pinned[path], value) for value in _as_values(written, pinned[path])):
                return None
        elif path not in entries:
            _refuse_unsearched(source, loc, entries, options)
        elif path == entry.path:
            source.add(loc, f"{path} cannot depend on itself", at_key=True)
        else:
            values = _reachable(source, loc, entries[path].distribution, written)
            conditions.append(Condition(path, values))
    return tuple(conditions)


def _refuse_unsearched(source: Source, loc: Loc, entries: Mapping[str, _Entry], options: type[BaseModel]) -> None:
    path = str(loc[-1])
    if path in source.data["search"]:
        return  # its own entry has been found wanting already
    if path in option_paths(options):
        source.add(loc, f"{path} is not searched, so the condition never changes", at_key=True)
    else:
        source.unknown(loc, "a searched path", [*entries, *option_paths(options)])


def _reachable(source: Source, loc: Loc, distribution: Distribution, written: Any) -> tuple[Any, ...]:
    """The values of a condition; notes those its path can never have."""
    path = loc[-1]
    if not isinstance(distribution, Choice | IntRange):
        source.add(loc, f"{path} takes values from a range; a condition needs a choice or whole numbers")
        return ()
    known = distribution.values if isinstance(distribution, Choice) else None
    values = _as_values(written, *(known or ()))
    for i, value in enumerate(values):
        place = (*loc, i) if isinstance(written, list) and len(values) == len(written) > 0 else loc
        if known is not None and not any(same(value, one) for one in known):
            names = [as_text(one) for one in known]
            hint = suggest(as_text(value), names)
            source.add(place, f"{path} is never {as_text(value)}; it is one of {', '.join(names)}", hint)
        elif isinstance(distribution, IntRange) and not (
            isinstance(value, int) and not isinstance(value, bool) and distribution.low <= value <= distribution.high
        ):
            source.add(
                place, f"{path} is never {as_text(value)}; it goes from {distribution.low} to {distribution.high}"
            )
    return values


def _as_values(written: Any, *known: Any) -> tuple[Any, ...]:
    """A list means any of its entries, unless the list itself is a value."""
    if isinstance(written, list) and not any(same(written, one) for one in known):
        return tuple(written)
    return (written,)


def searched_leaves(space: Space, options: type[BaseModel]) -> Sequence[str]:
    """The single options that every configuration of the space sets."""
    draw = random.Random(0)  # noqa: S311 - only which paths there are matters
    always = [item for item in space.parameters if not item.when]
    values = Space(tuple(always)).propose(lambda side: side.at(draw.random()))
    return [leaf for path, value in values.items() for leaf in leaves(options, path, value)]
