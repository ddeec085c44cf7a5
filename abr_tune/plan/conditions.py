"""Conditions of searched paths: `when: {path: value}` or `when: {path: [values]}`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import BaseModel

from abr_tune.plan.distributions import Choice, Distribution, IntRange, among, as_text, listed
from abr_tune.plan.explain import suggest
from abr_tune.plan.overrides import option_paths
from abr_tune.plan.source import Source
from abr_tune.plan.space import Condition, Parameter
from abr_tune.plan.yaml import Loc


def read_conditions(
    source: Source,
    searched: str,
    when: Mapping[str, Any],
    options: type[BaseModel],
    *,
    spread: Mapping[str, Distribution],
    pinned: Mapping[str, Any],
) -> tuple[Condition, ...] | None:
    """The conditions of the path `searched`; mistakes in them are noted.

    `spread` has the distributions of all searched paths. Conditions on paths in `pinned`, fixed by the command line,
    are settled here: None when one of them is false for good.
    """
    conditions = []
    for path, written in when.items():
        loc: Loc = ("search", searched, "when", path)
        if path in pinned:
            if not among(pinned[path], _as_values(written, pinned[path])):
                return None
        elif path == searched:
            source.add(loc, f"{path} cannot depend on itself", at_key=True)
        elif path not in spread:
            _refuse_unsearched(source, loc, spread, options)
        else:
            conditions.append(Condition(path, _reachable(source, loc, spread[path], written)))
    return tuple(conditions)


def _refuse_unsearched(source: Source, loc: Loc, spread: Mapping[str, Distribution], options: type[BaseModel]) -> None:
    path = str(loc[-1])
    if path in source.data["search"]:
        return  # its own entry has been found wanting already
    if path in option_paths(options):
        source.add(loc, f"{path} is not searched, so the condition never changes", at_key=True)
    else:
        source.unknown(loc, "a searched path", [*spread, *option_paths(options)])


def _reachable(source: Source, loc: Loc, distribution: Distribution, written: Any) -> tuple[Any, ...]:
    """The values of a condition; notes those its path can never have."""
    path = loc[-1]
    if not isinstance(distribution, Choice | IntRange):
        source.add(loc, f"{path} takes values from a range; a condition needs a choice or whole numbers")
        return ()
    known = distribution.values if isinstance(distribution, Choice) else None
    values = _as_values(written, *(known or ()))
    if not values:
        source.add(loc, f"no value of {path} is named, so the condition never holds")
    for i, value in enumerate(values):
        place = (*loc, i) if isinstance(written, list) and len(values) == len(written) > 0 else loc
        if known is not None and not among(value, known):
            names = [as_text(one) for one in known]
            hint = suggest(as_text(value), names)
            source.add(place, f"{path} is never {as_text(value)}; it is one of {listed(known)}", hint)
        elif isinstance(distribution, IntRange) and not (
            isinstance(value, int) and not isinstance(value, bool) and distribution.low <= value <= distribution.high
        ):
            source.add(
                place, f"{path} is never {as_text(value)}; it goes from {distribution.low} to {distribution.high}"
            )
    return values


def refuse_never(source: Source, parameters: Sequence[Parameter]) -> None:
    """Note paths that no configuration searches, because their conditions exclude those of what they depend on.

    `parameters` are in dependency order.
    """
    needed: dict[str, dict[str, tuple[Any, ...]]] = {}
    for item in parameters:
        merged: dict[str, tuple[Any, ...]] = {}
        for condition in item.when:
            for path, values in (*needed[condition.path].items(), (condition.path, condition.values)):
                before = merged.get(path, values)
                merged[path] = tuple(one for one in before if among(one, values))
                if not merged[path] and before and values:
                    message = f"never holds: {path} cannot be {listed(before)} and {listed(values)} at once"
                    loc: Loc = ("search", item.path, "when", condition.path)
                    source.add(loc, f"the condition on {condition.path} {message}", at_key=True)
        needed[item.path] = merged


def _as_values(written: Any, *known: Any) -> tuple[Any, ...]:
    """A list means any of its entries, unless the list itself is a value."""
    if isinstance(written, list) and not among(written, known):
        return tuple(written)
    return (written,)
