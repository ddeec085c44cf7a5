"""A document together with the overrides of the command line: one tree of data, and where each part came from."""

from __future__ import annotations

import copy
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from pydantic_core import ErrorDetails

from abr_tune.errors import FileMistakes, Problem
from abr_tune.plan.explain import candidates, found, requirement, suggest
from abr_tune.plan.yaml import MOST_MISTAKES, Document, Loc, at_most, printable


@dataclass(slots=True)
class Source:
    """The data of a file after overrides, and the mistakes found in it so far."""

    document: Document
    data: dict[str, Any] = field(init=False)
    problems: list[Problem] = field(init=False)
    labels: dict[Loc, str] = field(init=False, default_factory=dict)
    """Which override a part came from, as messages name it."""
    warnings: list[Problem] = field(init=False, default_factory=list)
    """What is no mistake, but will not do here."""
    wrong: set[Loc] = field(init=False, default_factory=set)
    """Where mistakes were noted."""

    def __post_init__(self) -> None:
        self.problems = list(self.document.problems)
        self.data = {}
        if isinstance(self.document.data, dict):
            self.data = copy.deepcopy(self.document.data)
        elif not self.problems:
            self.add((), "must be a mapping of keys and values" if self.document.data is not None else "is empty")

    def add(self, loc: Loc, message: str, hint: str | None = None, *, at_key: bool = False) -> None:
        """Note a mistake at `loc`. Raises `FileMistakes` when nobody would read so many."""
        self.wrong.add(loc)
        problem = self._problem(loc, message, hint, at_key=at_key)
        if problem not in self.problems:
            self.problems.append(problem)
        if len(self.problems) > MOST_MISTAKES:
            self.finish()

    def warn(self, loc: Loc, message: str, hint: str | None = None) -> None:
        """Note what is right by itself, but will not do here."""
        self.warnings.append(replace(self._problem(loc, message, hint), level="warning"))

    def _problem(self, loc: Loc, message: str, hint: str | None, *, at_key: bool = False) -> Problem:
        label = self.label(loc)
        if label is None:
            return self.document.problem(loc, message, hint=hint, at_key=at_key)
        return Problem(label, printable(message), hint=printable(hint) if hint else None)

    def label(self, loc: Loc) -> str | None:
        """The override that `loc` came from; None when it stands in the file."""
        return next((self.labels[loc[:end]] for end in range(len(loc), -1, -1) if loc[:end] in self.labels), None)

    def override(self, loc: Loc, value: Any, label: str) -> None:
        """Put a value of the command line in its place."""
        tree = self.data
        for part in loc[:-1]:
            if not isinstance(tree.get(str(part)), dict):
                tree[str(part)] = {}
            tree = tree[str(part)]
        tree[str(loc[-1])] = value
        for inner in [known for known in self.labels if known[: len(loc)] == loc]:
            del self.labels[inner]
        self.labels[loc] = label

    def unknown(self, loc: Loc, what: str, known: Iterable[str]) -> None:
        """Note a key that does not exist: `what` says of what kind it should be, as in `a training option`."""
        key = str(loc[-1])
        self.add(loc, f"{key} is not {what}", suggest(key, known), at_key=True)

    def faults(
        self, faults: Iterable[ErrorDetails], at: Loc, known: Callable[[Loc], Sequence[str]], what: str = ""
    ) -> None:
        """Note pydantic's findings about the data at `at`; `known` lists the keys that may stand beside a wrong one."""
        faults, meant = list(faults), set[str | None]()
        for fault in faults:
            if fault["type"] == "extra_forbidden":
                loc = self.existing(fault["loc"], at)
                names = known(loc)
                misplaced = loc[-1] in names
                hint = "it does not go with the other keys here" if misplaced else suggest(str(loc[-1]), names)
                meant.add(hint)
                self.add(loc, f"{loc[-1]} is not {what or f'a key of {_name(loc[:-1])}'}", hint, at_key=True)
        for fault in faults:
            loc, missing = self.existing(fault["loc"], at), fault["type"] == "missing"
            name = _name((*loc, fault["loc"][-1])) if missing else _name(loc)
            # A required key is not missing when its misspelling was just found.
            if fault["type"] != "extra_forbidden" and not (missing and f"did you mean {name}?" in meant):
                self.add(loc, *sentence(name, fault), at_key=missing)

    def data_at(self, loc: Loc) -> Any:
        """The data at `loc`, which exists."""
        tree: Any = self.data
        for part in loc:
            tree = tree[part]
        return tree

    def place_of_option(self, section: Loc, path: str) -> Loc:
        """Where an option path stands in a section, whether it is written dotted, nested, or partly so."""
        tree, loc, rest = self.data_at(section), section, path
        while isinstance(tree, dict) and rest:
            heads = [key for key in tree if rest == key or rest.startswith(f"{key}.")]
            if not heads:
                break
            head = max(heads, key=len)
            tree, loc, rest = tree[head], (*loc, head), rest[len(head) + 1 :]
        return loc

    def existing(self, parts: Loc, at: Loc) -> Loc:
        """`at` and below it `parts`, as far as they exist, without those pydantic adds to name an alternative."""
        tree = self.data_at(at)
        for part in parts:
            inside = part in tree if isinstance(tree, dict) else isinstance(tree, list) and part in range(len(tree))
            if inside:
                tree, at = tree[part], (*at, part)
        return at

    def finish(self) -> None:
        """Raise `FileMistakes` when there were any, in the order of the file, those of the command line last.

        Warnings go with them: what will not do here may be what is wrong.
        """
        if self.problems:
            unique = list(dict.fromkeys([*self.problems, *self.warnings]))
            unique.sort(key=lambda one: (one.line is None, one.line or 0, one.column or 0))
            raise FileMistakes(at_most(unique))


def sentence(name: str, fault: ErrorDetails) -> tuple[str, str | None]:
    """One of pydantic's findings about `name`, and a suggestion where a choice was nearly met."""
    words = requirement(fault)
    hint = suggest(str(fault["input"]), candidates(fault)) if candidates(fault) else _unquoted(fault)
    return (f"{name} {words}{found(fault)}" if words.startswith(("must ", "is ")) else words), hint


def _unquoted(fault: ErrorDetails) -> str | None:
    """A hint where a number stands in quotes, or another word for true or false."""
    written = fault["input"]
    if not isinstance(written, str):
        return None
    if fault["type"] in {"int_type", "float_type"}:
        return "write it without quotes" if re.fullmatch(r"[-+]?[\d.]+([eE][-+]?\d+)?", written[:40]) else None
    meant = {"yes": "true", "on": "true", "no": "false", "off": "false"}.get(written.lower())
    return f"did you mean {meant}?" if meant and fault["type"] == "bool_type" else None


def _name(loc: Loc) -> str:
    """The key a value belongs to, with its place in a list counted from 1."""
    keys = [i for i, part in enumerate(loc) if isinstance(part, str)]
    if not keys:
        return "the file"
    return str(loc[keys[-1]]) + "".join(f"[{int(index) + 1}]" for index in loc[keys[-1] + 1 :])
