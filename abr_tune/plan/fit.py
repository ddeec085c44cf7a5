"""Whether the searched values fit the training options: each path by itself, then all of them together."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from pydantic import BaseModel
from pydantic_core import ErrorDetails

from abr_tune.plan.distributions import Choice, Distribution, IntRange, Range, as_text
from abr_tune.plan.explain import suggest
from abr_tune.plan.ordered import OrderedList, OrderedPair, Simplex
from abr_tune.plan.overrides import faults_in, faults_of, leaves, option_paths, path_of, strict_json
from abr_tune.plan.source import Source, sentence
from abr_tune.plan.space import Space
from abr_tune.plan.yaml import Loc

SAMPLES: Final = 200
"""Configurations drawn to find combinations that no training run could take."""
READ_AGAIN: Final = 500_000
"""Characters of fixed options that these may read over and over; fewer are drawn where a list is thousands long."""
_GOLDEN: Final = 0.381966
"""A share that is no round number: a range over a whole-number option shows itself there."""


def refuse_misfit(
    source: Source, path: str, distribution: Distribution, options: type[BaseModel], train: Mapping[str, Any]
) -> None:
    """Note where the distribution of a searched path makes values that its option does not take."""
    if isinstance(distribution, Simplex) and _has_strange_names(source, path, distribution, options):
        return
    told: set[str] = set()
    for below, value in _probes(distribution):
        faults = _faults_at(options, path, value, train)
        if not faults or (told and not below):
            continue
        message, hint = sentence(path, faults[0])
        if isinstance(distribution, Range) and faults[0]["type"] == "int_type":
            message, hint = (
                f"{path} takes whole numbers only",
                f"{{int: [{distribution.low:g}, {distribution.high:g}]}}?",
            )
        if message not in told:
            told.add(message)
            source.add(("search", path, *below), message, hint)


def _faults_at(options: type[BaseModel], path: str, value: Any, train: Mapping[str, Any]) -> list[ErrorDetails]:
    """What is wrong with one value itself; rules between options are another matter."""
    option = option_paths(options)[path]
    if not option.models and option.key is None:  # the model it stands in is enough, and many times quicker
        key = path.rpartition(".")[2]
        return [fault for fault in faults_in(option.owner, {key: value}) if fault["loc"][:1] == (key,)]
    given = leaves(options, path, value)
    return [fault for fault in faults_of(options, {**train, path: value}) if _belongs(path_of(fault), given)]


def _has_strange_names(source: Source, path: str, distribution: Simplex, options: type[BaseModel]) -> bool:
    below = f"{path}."
    known = [name.removeprefix(below) for name in option_paths(options) if name.startswith(below)]
    strange = [i for i, name in enumerate(distribution.names) if name not in known]
    for i in strange:
        name = distribution.names[i]
        source.add(("search", path, "simplex", i), f"{path} has no {name}", suggest(name, known))
    return bool(strange)


def _belongs(found: str, given: Mapping[str, Any]) -> bool:
    return any(found == path or found.startswith(f"{path}.") for path in given)


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
    if isinstance(distribution, OrderedList):
        low, high = distribution.within
        yield ("ordered", "within", 0), [low] * distribution.count
        yield ("ordered", "within", 1), [high] * distribution.count
        return
    if isinstance(distribution, Range | IntRange):
        key = "int" if isinstance(distribution, IntRange) else "log" if distribution.log else "uniform"
        yield (key, 0), distribution.low
        yield (key, 1), distribution.high
    sides = distribution.coordinates("")
    for share in (0.0, 1.0, _GOLDEN):
        yield (), distribution.decode([side.at(share) for side in sides])


def refuse_impossible(source: Source, options: type[BaseModel], train: Mapping[str, Any], space: Space) -> None:
    """Note rules between options that configurations of the space break, each once.

    A rule about options of which one was misread or misspelt is not judged.
    """
    draw = random.Random(0)  # noqa: S311 - a fixed sample, no secret
    doubts = Doubts.about(source, space)
    told: dict[str, int] = {}
    examples: dict[str, Mapping[str, Any]] = {}
    samples = how_many(train) if space.paths else 1
    for _ in range(samples):
        values = space.propose(lambda side: side.at(draw.random()))
        for fault in faults_of(options, {**train, **values}):
            group = path_of(fault)
            if doubts.touch(group, options):
                continue
            text = sentence(group, fault)[0]
            text = text if text.startswith(group) else f"{group}: {text}" if group else text
            told[text] = told.get(text, 0) + 1
            examples.setdefault(text, {"group": group, "values": values})
    for text, times in told.items():
        group, values = examples[text]["group"], examples[text]["values"]
        loc, culprit = _culprit(source, options, train, group, values)
        share = f"so in {times} of {samples} configurations" if times < samples else None
        example = f", for instance with {culprit}: {as_text(values[culprit])}" if culprit and share else ""
        source.add(loc, text, f"{share}{example}" if share else None, at_key=True)


def how_many(train: Mapping[str, Any]) -> int:
    """How many random configurations on top of these fixed options are looked at."""
    return max(10, min(SAMPLES, READ_AGAIN // len(strict_json(dict(train)))))


@dataclass(frozen=True, slots=True)
class Doubts:
    """The options whose values are not known, because their entries hold mistakes."""

    paths: frozenset[str]

    @classmethod
    def about(cls, source: Source, space: Space | None = None, section: Loc = ("train",)) -> Doubts:
        """What was noted in `section` so far and, given the space that could be read, under `search:`."""
        paths = {_option_at(loc[len(section) :]) for loc in source.wrong if loc[: len(section)] == section}
        if space is not None:
            written = source.data.get("search")
            paths |= {str(loc[1]) if len(loc) > 1 else "" for loc in source.wrong if loc[:1] == ("search",)}
            paths |= set(written if isinstance(written, dict) else ()) - set(space.paths)
        return cls(frozenset(paths))

    def touch(self, group: str, options: type[BaseModel]) -> bool:
        """Whether what holds for `group`, or for all options, may be another than it seems."""
        known = option_paths(options)
        return any(
            not path or not group or _touches(path, group) or path.partition(".")[0] not in known for path in self.paths
        )


def _option_at(parts: Loc) -> str:
    return ".".join(part for part in parts if isinstance(part, str))


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
