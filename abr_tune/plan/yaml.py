"""Reading YAML with the place of everything in it, and writing it back; the one module that knows PyYAML.

Values follow the core schema of YAML 1.2: `1e-3` is a number, `no` a string, `010` ten. A duplicate key, a tag, a merge
key or more than one document is a mistake, not a surprise.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
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

MAX_BYTES: Final = 256 * 1024
MAX_DEPTH: Final = 32
MAX_ALIASES: Final = 64
MAX_VALUES: Final = 20_000
"""Values after aliases are written out: small files can otherwise unfold to gigabytes."""

Loc = tuple[str | int, ...]
"""Keys and indices from the top of a document to one of its values."""

_NULL: Final = frozenset({"", "~", "null", "Null", "NULL"})
_TRUE: Final = frozenset({"true", "True", "TRUE"})
_FALSE: Final = frozenset({"false", "False", "FALSE"})
_INT: Final = re.compile(r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+")
_FLOAT: Final = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_INFINITE: Final = re.compile(r"([-+]?)\.(inf|Inf|INF)")
_NAN: Final = frozenset({".nan", ".NaN", ".NAN"})
_MAX_DIGITS: Final = 400
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
        return problem_at(self.file, self.lines, place, message, hint)


def problem_at(
    file: str, lines: tuple[str, ...], place: Place | None, message: str, hint: str | None = None
) -> Problem:
    """A mistake with its line as excerpt; text that a terminal would obey is shown escaped."""
    message, hint = printable(message), printable(hint) if hint else None
    if place is None:
        return Problem(file, message, hint=hint)
    line = printable(lines[place.line - 1]) if place.line <= len(lines) else ""
    if len(line) > 400 or place.column > 400:  # machine-written files: the place is named, the line not shown
        return Problem(file, message, place.line, place.column, hint)
    return Problem(file, message, place.line, place.column, hint, line.rstrip(), place.width)


def printable(text: str) -> str:
    """The text with control characters replaced by visible ones, one for one."""
    return "".join(
        char if char.isprintable() else " " if char.isspace() else "\N{REPLACEMENT CHARACTER}" for char in text
    )


def read(file: Path, *, shown: str | None = None) -> Document:
    """The document in a file. Raises `FileMistakes` when it cannot be read as one."""
    name = shown or str(file)
    try:
        with file.open("rb") as stream:
            raw = stream.read(MAX_BYTES + 1)
    except FileNotFoundError:
        raise FileMistakes([Problem(name, "there is no such file")]) from None
    except OSError as fault:
        raise FileMistakes([Problem(name, f"cannot be read: {fault.strerror}")]) from None
    if len(raw) > MAX_BYTES:
        raise FileMistakes([Problem(name, f"is larger than {MAX_BYTES // 1024} KiB")])
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as fault:
        line = raw[: fault.start].count(b"\n") + 1
        raise FileMistakes([Problem(name, "is not UTF-8 text", line, 1)]) from None
    return parse(text, name)


def parse(text: str, file: str) -> Document:
    """The document in a text. Raises `FileMistakes` when it is not YAML as described above."""
    lines = tuple(re.split(r"\r\n|[\r\n\x85\u2028\u2029]", text))
    try:
        node = _Composer(text).get_single_node()
    except yaml.MarkedYAMLError as fault:
        mark = fault.problem_mark or fault.context_mark
        place = Place(mark.line + 1, mark.column + 1, 1) if mark else None
        raise FileMistakes([problem_at(file, lines, place, _words_of(fault))]) from None
    except yaml.reader.ReaderError as fault:
        before = text[: fault.position]
        place = Place(before.count("\n") + 1, len(before) - before.rfind("\n"), 1)
        raise FileMistakes([problem_at(file, lines, place, "holds a control character")]) from None
    except (ValueError, OverflowError):  # PyYAML turns an escape such as \UFFFFFFFF into chr() without a check
        raise FileMistakes([Problem(file, "holds an escape that is no character")]) from None
    walk = _Walk(file, lines)
    data = walk.value(node, ()) if node is not None else None
    return Document(file, data, lines, walk.keys, walk.values, tuple(walk.problems))


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
            raise ValueError("a number of more than 400 digits")
        return int(text, 0) if text[:2] in {"0o", "0x"} else int(text, 10)
    if _FLOAT.fullmatch(text):
        return float(text)
    if infinite := _INFINITE.fullmatch(text):
        return float(infinite.group(1) + "inf")
    return float("nan") if text in _NAN else text


class _Composer(Reader, Scanner, Parser, Composer, BaseResolver):
    """PyYAML's node tree, refusing tags, deep nesting and floods of aliases while it is built."""

    def __init__(self, text: str) -> None:
        Reader.__init__(self, text)
        Scanner.__init__(self)
        Parser.__init__(self)
        Composer.__init__(self)
        BaseResolver.__init__(self)
        self._depth = 0
        self._aliases = 0

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        event: Any = self.peek_event()  # type: ignore[no-untyped-call]
        self._aliases += isinstance(event, yaml.AliasEvent)
        refused = None
        if getattr(event, "tag", None) is not None:
            refused = f"tags such as {event.tag} are not read"
        elif self._aliases > MAX_ALIASES:
            refused = f"more than {MAX_ALIASES} aliases"
        elif self._depth >= MAX_DEPTH:
            refused = f"nested deeper than {MAX_DEPTH}"
        if refused:
            raise yaml.MarkedYAMLError(problem=refused, problem_mark=event.start_mark)
        self._depth += 1
        node = super().compose_node(parent, index)
        self._depth -= 1
        return node


class _Walk:
    """From the node tree to plain data, noting the place of every key and value."""

    def __init__(self, file: str, lines: tuple[str, ...]) -> None:
        self.file, self.lines = file, lines
        self.keys: dict[Loc, Place] = {}
        self.values: dict[Loc, Place] = {}
        self.problems: list[Problem] = []

    def value(self, node: yaml.Node, loc: Loc) -> Any:
        if len(loc) > MAX_DEPTH or len(self.values) > MAX_VALUES:
            message = "aliases unfold without end" if len(loc) > MAX_DEPTH else f"holds more than {MAX_VALUES} values"
            raise FileMistakes([problem_at(self.file, self.lines, self._place(node), message)])
        self.values[loc] = self._place(node)
        if isinstance(node, yaml.MappingNode):
            return self._mapping(node, loc)
        if isinstance(node, yaml.SequenceNode):
            return [self.value(child, (*loc, i)) for i, child in enumerate(node.value)]
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
            self.keys[*loc, key] = self._place(key_node)
            data[key] = self.value(value_node, (*loc, key))
        return data

    def _mistake(self, node: yaml.Node, message: str, hint: str | None = None) -> None:
        self.problems.append(problem_at(self.file, self.lines, self._place(node), message, hint))

    def _place(self, node: yaml.Node) -> Place:
        start, end = node.start_mark, node.end_mark
        line = self.lines[start.line] if start.line < len(self.lines) else ""
        last = end.column if end.line == start.line else len(line.rstrip())
        return Place(start.line + 1, start.column + 1, max(1, last - start.column))


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
