"""A small text file, read whatever stands at its path: a pipe, a device, a folder or another encoding is a mistake."""

from __future__ import annotations

import codecs
import os
import re
import stat
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from itertools import islice
from pathlib import Path
from typing import Final

from abr_tune.errors import FileMistakes, Problem
from abr_tune.plan.explain import suggest

BREAK: Final = re.compile(r"\r\n|[\r\n\x85\u2028\u2029]")
"""Where YAML begins a new line."""

_KINDS: Final[Mapping[str, Callable[[int], bool]]] = {
    "a folder": stat.S_ISDIR,
    "a pipe": stat.S_ISFIFO,
    "a device": lambda mode: stat.S_ISCHR(mode) or stat.S_ISBLK(mode),
    "a socket": stat.S_ISSOCK,
}
_OTHERS: Final = {
    codecs.BOM_UTF32_LE: "UTF-32",
    codecs.BOM_UTF32_BE: "UTF-32",
    codecs.BOM_UTF16_LE: "UTF-16",
    codecs.BOM_UTF16_BE: "UTF-16",
}
"""How text in another encoding begins; UTF-32 before the UTF-16 whose beginning it shares."""
_LOOKED_AT: Final = 1000
"""Entries of a folder among which a misspelt name is looked for."""


def text_of(file: Path, shown: str, *, most: int) -> str:
    """The text of a file of at most `most` bytes, which messages call `shown`; nothing is waited for.

    Raises `FileMistakes` for anything but a regular file of UTF-8.
    """
    raw = _bytes(file, shown, most)
    for mark, encoding in _OTHERS.items():
        if raw.startswith(mark):
            raise FileMistakes([Problem(shown, f"is {encoding} text, not UTF-8", 1, 1, "save it as UTF-8")])
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as fault:
        before = BREAK.split(raw[: fault.start].decode("utf-8-sig"))
        message = f"is not UTF-8 text: byte {raw[fault.start]:#04x} is no character of it"
        raise FileMistakes([Problem(shown, message, len(before), len(before[-1]) + 1, "save it as UTF-8")]) from None


def _bytes(file: Path, shown: str, most: int) -> bytes:
    try:
        # Without waiting: to open a pipe that nobody writes to never ends.
        number = os.open(file, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    except (FileNotFoundError, ValueError):
        raise FileMistakes([Problem(shown, "there is no such file", hint=_meant(file))]) from None
    except OSError as fault:
        raise FileMistakes([Problem(shown, f"cannot be read: {fault.strerror}")]) from None
    with ExitStack() as stack:
        stack.callback(os.close, number)
        found = os.fstat(number)
        if not stat.S_ISREG(found.st_mode):
            what = next((name for name, is_such in _KINDS.items() if is_such(found.st_mode)), "no file")
            raise FileMistakes([Problem(shown, f"is {what}, not a file", hint=_inside(file))])
        if found.st_size <= most:
            raw = _read(number, shown, most + 1)
            if len(raw) <= most:
                return raw
    raise FileMistakes([Problem(shown, f"is larger than {most // 1024} KiB")])


def _read(number: int, shown: str, most: int) -> bytes:
    raw = b""
    try:
        while len(raw) < most and (part := os.read(number, most - len(raw))):
            raw += part
    except OSError as fault:
        raise FileMistakes([Problem(shown, f"cannot be read: {fault.strerror}")]) from None
    return raw


def _meant(file: Path) -> str | None:
    if str(file) == "-":
        return "standard input is not read; give the path of a file"
    try:
        return suggest(
            file.name,
            [entry.name for entry in islice(file.parent.iterdir(), _LOOKED_AT) if entry.suffix == file.suffix],
        )
    except (OSError, ValueError):
        return None


def _inside(file: Path) -> str | None:
    """What may have been meant by a folder."""
    try:
        names = sorted(entry.name for entry in islice(file.iterdir(), _LOOKED_AT) if entry.suffix in {".yaml", ".yml"})
    except OSError:
        return None
    return f"there is {', '.join(names[:3])} in it" if names else None
