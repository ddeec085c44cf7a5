"""What the command line changes in a file: `--set key=value`, and the options with a name of their own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from pydantic import BaseModel

from abr_tune.errors import FileMistakes, Problem
from abr_tune.plan.explain import suggest
from abr_tune.plan.overrides import option_paths
from abr_tune.plan.schema import CriterionSection
from abr_tune.plan.source import Source
from abr_tune.plan.spread import BESIDE, DISTRIBUTIONS
from abr_tune.plan.yaml import BY_HAND, Loc, parse_value, printable


class Pin(NamedTuple):
    """A training option fixed by the command line."""

    path: str
    value: Any
    label: str
    bare: bool
    """Named without its section."""


def apply_overrides(source: Source, overrides: Sequence[str], keys: Sequence[str]) -> list[Pin]:
    """Put overrides of the file's keys in their places; returns those of training options.

    A key is one of the file's (`budget.trials`), an option under `train.` or `search.`, or an option by itself.
    """
    pins: list[Pin] = []
    for number, text in enumerate(overrides, 1):
        label = f"--set {number}"
        try:
            key, value = _split(text)
        except FileMistakes as mistakes:
            source.problems += [Problem(label, problem.message, hint=problem.hint) for problem in mistakes.problems]
            continue
        section, _, rest = key.partition(".")
        if (
            section == "search"
            and rest
            and "search" in keys
            and isinstance(value, dict)
            and value.keys() & DISTRIBUTIONS
        ):
            source.override(("search", rest), value, label)
        elif section == "search" and (hint := _beside(source, rest)) is not None:
            source.override(("search", *hint), value, label)
        elif section in {"train", "search"} and section in keys and rest:
            pins.append(Pin(rest, value, label, bare=False))
        elif section in keys:
            source.override((section, *_below(section, rest)), value, label)
        else:
            pins.append(Pin(key, value, label, bare=True))
    return pins


def apply_pins(source: Source, pins: Sequence[Pin], options: type[BaseModel], keys: Sequence[str]) -> Mapping[str, Any]:
    """Fix training options, searched or not; returns path -> value of those that were searched."""
    pinned: dict[str, Any] = {}
    known = option_paths(options)
    for path, value, label, bare in pins:
        if path not in known:
            kind = "a key of the file or a training option" if bare and "." not in path else "a training option"
            source.problems.append(
                Problem(
                    label,
                    printable(f"{path} is not {kind}"),
                    hint=suggest(path, [*keys, *known] if bare else known.near(path)),
                )
            )
            continue
        searched = source.data.get("search")
        paths = list(searched) if isinstance(searched, dict) else []
        part = next((other for other in paths if path.startswith(f"{other}.") or other.startswith(f"{path}.")), None)
        if part is not None:
            source.problems.append(Problem(label, f"{part} is searched as a whole; fix {part} instead of {path}"))
            continue
        if path in paths:
            del source.data["search"][path]
            pinned[path] = value
        if isinstance(source.data.get("train", {}), dict):
            _remove(source.data.setdefault("train", {}), "", path)
            source.override(("train", path), value, label)
    return pinned


def _split(text: str) -> tuple[str, Any]:
    key, equals, value = text.partition("=")
    if not equals or not key.strip():
        raise FileMistakes([Problem("", f"{printable(text)} is not key=value")])
    if key.count(".") > BY_HAND.depth:
        raise FileMistakes([Problem("", printable(f"{key} is nested deeper than {BY_HAND.depth}"))])
    if key.startswith(("gate.", "constraints.")) and value.lstrip()[:1] in {">", "<", "="}:
        return key.strip(), value.strip()  # to YAML an unquoted > begins a block of text
    return key.strip(), parse_value(value)


def _beside(source: Source, rest: str) -> Loc | None:
    """Path and key, where `rest` is a searched path and a key beside its distribution, as in `optimizer.lr.guess`."""
    path, _, key = rest.rpartition(".")
    searched = source.data.get("search")
    entry = searched.get(path) if isinstance(searched, dict) else None
    return (path, key) if isinstance(entry, dict) and key in BESIDE else None


def _below(section: str, rest: str) -> Loc:
    """The keys below a section; a metric's name may hold dots."""
    if not rest:
        return ()
    if section == "constraints":
        return (rest,)
    if section == "gate":
        metric, _, setting = rest.rpartition(".")
        return (metric, setting) if setting in CriterionSection.model_fields else (rest,)
    return tuple(rest.split("."))


def _remove(tree: dict[str, Any], prefix: str, path: str) -> None:
    """Take a path and what lies below it out of a section, however it is written there."""
    for key in list(tree):
        full = prefix + key
        if full == path or full.startswith(f"{path}."):
            del tree[key]
        elif path.startswith(f"{full}.") and isinstance(tree[key], dict):
            _remove(tree[key], f"{full}.", path)
