"""Text that comes from anywhere, made harmless for a terminal: names, reasons and errors may hold what it obeys."""

from __future__ import annotations

import logging
import re
from typing import Any, Final, TextIO

STYLE: Final = r"\x1b\[[0-9;]*m"
"""Colours, as our own tables have them in a terminal."""
CONTROL: Final = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")
"""What terminals obey, but for the ends of lines and tabs; JSON and YAML never hold it as it is."""
FORMULA: Final = ("=", "+", "-", "@", "\t", "\r")
"""A cell that begins so is calculated by a spreadsheet."""
HIDDEN: Final = re.compile(rf"{STYLE}|[^\n\t]")


def visible(text: str) -> str:
    """`text` on one line without characters that a terminal obeys."""
    return "".join(character if character.isprintable() else " " for character in text)


def visible_lines(text: str) -> str:
    """`visible`, line by line."""
    return "\n".join(visible(line) for line in text.split("\n"))


def uncalculated(cell: str) -> str:
    """Text for a cell of a table that a spreadsheet may open: what it would calculate gets an apostrophe in front."""
    if not cell.startswith(FORMULA):
        return cell
    try:
        float(cell)
    except ValueError:
        return f"'{cell}"
    return cell


class Shown:
    """A stream to which only text gets that a terminal shows and does not obey; everything else is the stream's own.

    What is not shown is written as JSON escapes it, so that a document stays what it is. In a terminal that is every
    character without a look of its own, such as those that turn the order of letters around; elsewhere those that
    control a terminal.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        """Write `text` and return its length."""
        if self._stream.isatty():
            shown = HIDDEN.sub(lambda found: _shown(found[0]), text)
        else:
            shown = CONTROL.sub(lambda found: _escaped(found[0]), text)
        self._stream.write(_within(shown, self._stream.encoding))
        return len(text)

    def writelines(self, lines: Any) -> None:
        """Write each of `lines`."""
        for line in lines:
            self.write(line)


def _within(text: str, encoding: str | None) -> str:
    """`text` with what the stream has no letters for, such as ğ or µ in ASCII, as JSON escapes it."""
    if encoding is None or _fits(text, encoding):
        return text
    return "".join(character if _fits(character, encoding) else _escaped(character) for character in text)


def _fits(text: str, encoding: str) -> bool:
    try:
        text.encode(encoding)
    except UnicodeEncodeError:
        return False
    return True


class LogLines(logging.Formatter):
    """Records of a log of which each begins a line: what else it says is further in, and looks like no record."""

    def format(self, record: logging.LogRecord) -> str:
        """The record as it is written."""
        return visible_lines(super().format(record)).replace("\n", "\n    ")


def _shown(found: str) -> str:
    return found if len(found) > 1 or found.isprintable() else _escaped(found)


def _escaped(character: str) -> str:
    code = character.encode("utf-16-be", "surrogatepass").hex()
    return "".join(f"\\u{code[start : start + 4]}" for start in range(0, len(code), 4))
