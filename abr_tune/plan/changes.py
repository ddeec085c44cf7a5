"""What a space file asks for otherwise than the run it goes on with did, in sentences."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from abr_tune.plan.describe import describe_plan
from abr_tune.plan.distributions import as_text
from abr_tune.plan.plan import Plan

OPEN: Final = ("gate",)
"""Sections whose keys are metrics: one that was not there before was not asked for."""

ELSEWHERE: Final = frozenset(
    {"name", "about", "task", "data", "train", "objective", "constraints", "seed", "search", "start_from"}
)
"""Keys that are told otherwise, or that a run cannot go on with when they change."""


def changes(old: Mapping[str, Any], plan: Plan) -> tuple[str, ...]:
    """What differs between an earlier plan, as `describe_plan` told it, and this one: the space first, path by path.

    What an older version did not write down is not compared.
    """
    new = describe_plan(plan)
    return (*_space(old, new), *_start_points(old, new), *_rest(old, new))


def _space(old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[str]:
    before, now = old.get("search") or {}, new["search"]
    for path, entry in now.items():
        if path not in before:
            yield f"{path} is searched now: {values(entry)}"
        elif before[path] != entry:
            yield from _entry(path, before[path], entry)
    for path in before:
        if path not in now:
            fixed = _at(new["train"], path.split("."))
            yield f"{path} is not searched any more, it is {as_text(fixed)}"


def _entry(path: str, old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[str]:
    was, is_now = values(old), values(new)
    if was == is_now and _kind(old) != _kind(new):
        was, is_now = f"{was} ({_kind(old)})", f"{is_now} ({_kind(new)})"
    if was != is_now:
        yield f"{path}: {was} is now {is_now}"
    if old.get("when") != new.get("when"):
        yield f"{path}: searched {_when(old)}, now {_when(new)}"
    if (_guess(old), old.get("points")) != (_guess(new), new.get("points")):
        yield from _differences(path, _hints(old), _hints(new))


def values(entry: Mapping[str, Any]) -> str:
    """The values a described distribution makes, in words: `1e-5 to 1e-2`, `none or sqrt`."""
    match entry:
        case {"uniform": ends} | {"int": ends} | {"log": list() as ends}:
            return _ends(ends)
        case {"choice": options}:
            return " or ".join(as_text(option) for option in options)
        case {"simplex": names}:
            return f"shares of {', '.join(names)}"
        case {"ordered": {"low": low, "high": high}}:
            return f"low {_ends(low)} and high {_ends(high)}"
        case {"ordered": {"count": count, "within": within}}:
            return f"{count} increasing from {_ends(within)}"
    return as_text(entry)


def _kind(entry: Mapping[str, Any]) -> str:
    return "log" if entry.get("log") else "evenly spread"


def _ends(ends: Sequence[float]) -> str:
    return " to ".join(number(end) for end in ends)


def number(value: float) -> str:
    """A number as a person writes it: `1e-5`, not `1e-05`."""
    text = f"{value:g}"
    mantissa, e, exponent = text.partition("e")
    return f"{mantissa}e{int(exponent)}" if e else text


def _when(entry: Mapping[str, Any]) -> str:
    conditions = entry.get("when") or {}
    told = [f"{path} is {' or '.join(map(as_text, options))}" for path, options in conditions.items()]
    return f"where {' and '.join(told)}" if told else "always"


def _guess(entry: Mapping[str, Any]) -> str | None:
    return f"{as_text(entry['guess'])} ({entry['confidence']})" if "guess" in entry else None


def _hints(entry: Mapping[str, Any]) -> dict[str, Any]:
    return {"guess": _guess(entry), "points": entry.get("points")}


def _start_points(old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[str]:
    before = {point["name"]: point for point in old.get("start_from") or ()}
    now = {point["name"]: point for point in new["start_from"]}
    for name in {**before, **now}:
        if before.get(name) != now.get(name):
            what = "is new" if name not in before else "is gone" if name not in now else "is another configuration"
            yield f"start point {name} {what}"


def _rest(old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[str]:
    for key, value in new.items():
        if key in old and key not in ELSEWHERE:
            yield from _differences(key, old[key], value)


def _differences(path: str, old: Any, new: Any) -> Iterator[str]:
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        if old.get("kind") != new.get("kind"):
            old, new = {"kind": old.get("kind")}, {"kind": new.get("kind")}
        for key in {**old, **new}:
            if (key in old and key in new) or path in OPEN:
                yield from _differences(f"{path}.{key}", old.get(key), new.get(key))
    elif old != new:
        yield f"{path}: {_said(old)} is now {_said(new)}"


def _said(value: Any) -> str:
    if isinstance(value, float | int) and not isinstance(value, bool):
        return number(value)
    return "nothing" if value is None else f"{as_text(value)}"


def _at(tree: Any, parts: Sequence[str]) -> Any:
    for part in parts:
        tree = tree.get(part) if isinstance(tree, Mapping) else None
    return tree
