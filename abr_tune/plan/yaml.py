"""Reading YAML with the place of everything in it, and writing it back; the one module that knows PyYAML.

Values follow the core schema of YAML 1.2: `1e-3` is a number, `no` a string, `010` ten. A duplicate key, a tag, a merge
key or more than one document is a mistake, not a surprise.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

import yaml
from yaml.composer import Composer
from yaml.parser import Parser
from yaml.reader import Reader
from yaml.resolver import BaseResolver
from yaml.scanner import Scanner

from abr_tune.errors import FileMistakes, Problem
from abr_tune.plan.files import BREAK, text_of

MOST_MISTAKES: Final = 100
"""Mistakes in one file after which nobody looks for more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """How much a file may hold; a mistake beyond, so that reading one takes a fraction of a second."""

    bytes: int = 256 * 1024
    depth: int = 32
    aliases: int = 64
    values: int = 10_000
    """Keys and values, before and after aliases are written out: small files can otherwise unfold to gigabytes."""


BY_HAND: Final = Limits()
"""Files that somebody writes."""
WRITTEN_OUT: Final = Limits(bytes=1024 * 1024, values=40_000)
"""Files that this package writes, where every default of what somebody wrote is filled in."""

Loc = tuple[str | int, ...]
"""Keys and indices from the top of a document to one of its values."""

_NULL: Final = frozenset({"", "~", "null", "Null", "NULL"})
_TRUE: Final = frozenset({"true", "True", "TRUE"})
_FALSE: Final = frozenset({"false", "False", "FALSE"})
_INT: Final = re.compile(r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+")
_FLOAT: Final = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_INFINITE: Final = re.compile(r"([-+]?)\.(inf|Inf|INF)")
_NAN: Final = frozenset({".nan", ".NaN", ".NAN"})
_MAX_DIGITS: Final = 300
"""So that any whole number is finite as floating point too."""
_LONGEST: Final = 400
"""Characters of a message, or of a line that is shown with it."""
_UNFIT: Final = re.compile(
    r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x84\x86-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff\ufffe\uffff]"
)
"""Control characters, those that turn the order of letters around, and halves of characters."""
_BLANK: Final = re.compile(r"[\xa0\u1680\u2000-\u200f\u202f\u205f\u2060\u3000\ufeff]")
"""Characters that look like a space or like nothing, and are none to YAML."""
_BREAKS: Final = re.compile(r"[\x85\u2028\u2029\ufeff]")
"""Line breaks of Unicode, which only double quotes carry."""


@dataclass(frozen=True, slots=True)
class Place:
    """A stretch of one line of a file; line and column count from 1."""

    line: int
    column: int
    width: int


@dataclass(frozen=True, slots=True)
class Document:
    """What a file says, and where it says it."""

    file: str
    """As it is shown in messages."""
    data: Any
    """Plain dicts with string keys, lists and scalars."""
    lines: tuple[str, ...]
    keys: Mapping[Loc, Place]
    """Where the key of a mapping's entry stands."""
    values: Mapping[Loc, Place]
    problems: tuple[Problem, ...] = ()
    """Mistakes that still allow a value, such as duplicate keys."""

    def problem(self, loc: Loc, message: str, *, hint: str | None = None, at_key: bool = False) -> Problem:
        """A mistake at `loc`, or at the nearest thing above it that stands in the file."""
        place = None
        for end in range(len(loc), 0, -1):
            first, second = (self.keys, self.values) if at_key else (self.values, self.keys)
            place = first.get(loc[:end]) or second.get(loc[:end])
            if place is not None:
                break
        if place is None and self.lines != ("",):
            return Problem(self.file, printable(message), 1, 1, printable(hint) if hint else None)
        return problem_at(self.file, self.lines, place, message, hint)


def problem_at(
    file: str, lines: tuple[str, ...], place: Place | None, message: str, hint: str | None = None
) -> Problem:
    """A mistake with its line as excerpt; text that a terminal would obey is shown escaped."""
    message, hint = printable(message), printable(hint) if hint else None
    if place is None:
        return Problem(file, message, hint=hint)
    line = lines[place.line - 1] if place.line <= len(lines) else ""
    if len(line) > _LONGEST or place.column > _LONGEST:  # machine-written: the place is named, the line not shown
        return Problem(file, message, place.line, place.column, hint)
    return Problem(file, message, place.line, place.column, hint, printable(line).rstrip(), place.width)


def printable(text: str) -> str:
    """The text with control characters replaced by visible ones, one for one, and with the middle left out if long."""
    if len(text) > _LONGEST:
        text = f"{text[: _LONGEST - 150]} ... {text[-100:]}"
    return "".join(
        char if char.isprintable() else " " if char.isspace() else "\N{REPLACEMENT CHARACTER}" for char in text
    )


def read(file: Path, *, shown: str | None = None, limits: Limits = BY_HAND) -> Document:
    """The document in a file. Raises `FileMistakes` when it cannot be read as one."""
    name = printable(shown or str(file))
    return parse(text_of(file, name, most=limits.bytes), name, limits)


def parse(text: str, file: str, limits: Limits = BY_HAND) -> Document:
    """The document in a text. Raises `FileMistakes` when it is not YAML as described above."""
    lines = tuple(BREAK.split(text))
    if unfit := _UNFIT.search(text):
        before = BREAK.split(text[: unfit.start()])
        place = Place(len(before), len(before[-1]) + 1, 1)
        raise FileMistakes([problem_at(file, lines, place, f"holds {named(unfit[0])}")])
    try:
        node = _Composer(text, limits).get_single_node()
    except yaml.MarkedYAMLError as fault:
        mark = fault.problem_mark or fault.context_mark
        where = Place(mark.line + 1, mark.column + 1, 1) if mark else None
        raise FileMistakes([problem_at(file, lines, where, _words_of(fault), _blank_in(lines, where))]) from None
    except yaml.reader.ReaderError as fault:  # the few other characters that YAML does not know
        before = BREAK.split(text[: fault.position])
        place = Place(len(before), len(before[-1]) + 1, 1)
        raise FileMistakes([problem_at(file, lines, place, f"holds {named(text[fault.position])}")]) from None
    except (ValueError, OverflowError):  # PyYAML turns an escape such as \UFFFFFFFF into chr() without a check
        at = re.search(r"\\U(?!000|0010)", text)
        before = BREAK.split(text[: at.start()] if at else "")
        place = Place(len(before), len(before[-1]) + 1, 10)
        raise FileMistakes([problem_at(file, lines, place, "holds an escape that is no character")]) from None
    walk = _Walk(file, lines, limits)
    data = walk.value(node, ()) if node is not None else None
    return Document(file, data, lines, walk.keys, walk.values, tuple(walk.problems))


def named(character: str) -> str:
    """A character that cannot be seen, in words: `U+200B (zero width space)`."""
    name = unicodedata.name(character, "")
    kind = name.lower() or ("half of a character" if 0xD800 <= ord(character) < 0xE000 else "a control character")
    return f"U+{ord(character):04X} ({kind})"


def parse_value(text: str) -> Any:
    """A single value, as after `--set key=`. Raises `FileMistakes`."""
    document = parse(text, "value")
    if document.problems:
        raise FileMistakes(document.problems)
    return document.data


def scalar(text: str) -> str | int | float | bool | None:
    """What an unquoted scalar means in YAML 1.2. Raises `ValueError` for a whole number of absurd length."""
    if text in _NULL:
        return None
    if text in _TRUE or text in _FALSE:
        return text in _TRUE
    if _INT.fullmatch(text):
        if len(text) > _MAX_DIGITS:
            raise ValueError(f"a number of more than {_MAX_DIGITS} digits")
        return int(text, 0) if text[:2] in {"0o", "0x"} else int(text, 10)
    if _FLOAT.fullmatch(text):
        return float(text)
    if infinite := _INFINITE.fullmatch(text):
        return float(infinite.group(1) + "inf")
    return float("nan") if text in _NAN else text


class _Composer(Reader, Scanner, Parser, Composer, BaseResolver):
    """PyYAML's node tree, refusing tags, deep nesting and floods of anything while it is built."""

    def __init__(self, text: str, limits: Limits) -> None:
        Reader.__init__(self, text)
        Scanner.__init__(self)
        Parser.__init__(self)
        Composer.__init__(self)
        BaseResolver.__init__(self)
        self._limits = limits
        self._depth = self._aliases = self._values = 0

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        event: Any = self.peek_event()  # type: ignore[no-untyped-call]
        self._aliases += isinstance(event, yaml.AliasEvent)
        self._values += 1
        limits, refused = self._limits, None
        if getattr(event, "tag", None) is not None:
            refused = f"tags such as {event.tag} are not read"
        elif self._aliases > limits.aliases:
            refused = f"more than {limits.aliases} aliases"
        elif self._depth >= limits.depth:
            refused = f"nested deeper than {limits.depth}"
        elif self._values > limits.values:
            refused = f"holds more than {limits.values} keys and values"
        if refused:
            raise yaml.MarkedYAMLError(problem=refused, problem_mark=event.start_mark)
        self._depth += 1
        node = super().compose_node(parent, index)
        self._depth -= 1
        return node


class _Walk:
    """From the node tree to plain data, noting the place of every key and value."""

    def __init__(self, file: str, lines: tuple[str, ...], limits: Limits) -> None:
        self.file, self.lines, self.limits = file, lines, limits
        self.keys: dict[Loc, Place] = {}
        self.values: dict[Loc, Place] = {}
        self.problems: list[Problem] = []

    def value(self, node: yaml.Node, loc: Loc) -> Any:
        limits = self.limits
        if len(loc) > limits.depth or len(self.values) > limits.values:
            message = f"holds more than {limits.values} keys and values"
            message = "aliases unfold without end" if len(loc) > limits.depth else message
            raise FileMistakes([problem_at(self.file, self.lines, self._place(node), message)])
        self.values[loc] = self._place(node)
        if isinstance(node, yaml.MappingNode):
            return self._mapping(node, loc)
        if isinstance(node, yaml.SequenceNode):
            return [self.value(child, (*loc, i)) for i, child in enumerate(node.value)]
        if unfit := _UNFIT.search(node.value):  # written as an escape
            self._mistake(node, f"holds {named(unfit[0])}")
        try:
            return scalar(node.value) if isinstance(node, yaml.ScalarNode) and node.style is None else node.value
        except ValueError as fault:
            self._mistake(node, str(fault))
            return None

    def _mapping(self, node: yaml.MappingNode, loc: Loc) -> dict[str, Any]:
        data: dict[str, Any] = {}
        for key_node, value_node in node.value:
            if not isinstance(key_node, yaml.ScalarNode):
                self._mistake(key_node, "a key must be plain text")
                continue
            key = key_node.value
            if key == "<<" and key_node.style is None:
                self._mistake(key_node, "merge keys are not read; write the values out")
                continue
            if key in data:
                self._mistake(key_node, f"{key} stands here twice", f"first in line {self.keys[*loc, key].line}")
                continue
            if hidden := next((char for char in key if not char.isprintable()), None):
                self._mistake(key_node, f"this key holds {named(hidden)}, which cannot be seen")
            self.keys[*loc, key] = self._place(key_node)
            data[key] = self.value(value_node, (*loc, key))
        return data

    def _mistake(self, node: yaml.Node, message: str, hint: str | None = None) -> None:
        self.problems.append(problem_at(self.file, self.lines, self._place(node), message, hint))
        if len(self.problems) > MOST_MISTAKES:
            raise FileMistakes(at_most(self.problems))

    def _place(self, node: yaml.Node) -> Place:
        start, end = node.start_mark, node.end_mark
        line = self.lines[start.line] if start.line < len(self.lines) else ""
        last = end.column if end.line == start.line else len(line.rstrip())
        return Place(start.line + 1, start.column + 1, max(1, last - start.column))


def at_most(problems: Sequence[Problem]) -> Sequence[Problem]:
    """The first of very many mistakes, with a word about the others."""
    if len(problems) <= MOST_MISTAKES:
        return problems
    rest = Problem(problems[0].file, f"there are more than {MOST_MISTAKES} mistakes; mend these first")
    return [*problems[:MOST_MISTAKES], rest]


def _blank_in(lines: tuple[str, ...], place: Place | None) -> str | None:
    """What may be wrong with a line that somebody copied from a page."""
    for number in (place.line, place.line - 1) if place else ():
        if 0 < number <= len(lines) and (blank := _BLANK.search(lines[number - 1][:_LONGEST])):
            return f"line {number} holds {named(blank[0])}, which is no space"
    return None


def _words_of(fault: yaml.MarkedYAMLError) -> str:
    problem = fault.problem or "not YAML"
    if "'\\t'" in problem:
        return "a tab cannot indent; use spaces"
    if problem == "but found another document":
        return "holds more than one document"
    return f"{fault.context}: {problem}" if fault.context else problem


class _Dumper(yaml.SafeDumper):
    """Writes what `read` reads back unchanged."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def _text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    # PyYAML quotes what YAML 1.1 would misread; what 1.2 reads as a number or null must be quoted too.
    style = '"' if _reads_otherwise(text) or _BREAKS.search(text) else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


def _reads_otherwise(text: str) -> bool:
    try:
        return not isinstance(scalar(text), str) or text == "<<"
    except ValueError:
        return True


_Dumper.add_representer(str, _text)
_Dumper.add_multi_representer(str, _text)
_Dumper.add_multi_representer(MappingProxyType, lambda dumper, data: dumper.represent_dict(dict(data)))
_Dumper.add_representer(tuple, lambda dumper, data: dumper.represent_list(list(data)))
_Dumper.add_multi_representer(Path, lambda dumper, data: dumper.represent_scalar("tag:yaml.org,2002:str", str(data)))


def dump(data: Any, *, comment: str = "") -> str:
    """Plain data as YAML text in the given order; `comment` is put above it line by line.

    Raises `yaml.representer.RepresenterError` for anything but plain data and paths.
    """
    head = "".join(f"# {line}\n" if line else "#\n" for line in comment.splitlines())
    return head + yaml.dump(
        data, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=120, default_flow_style=None
    )
