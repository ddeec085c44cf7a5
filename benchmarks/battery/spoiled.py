"""Space files spoiled by accidents of editors, disks and people, from a fixed seed."""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Final

Accident = Callable[[bytes, random.Random, Sequence[bytes]], bytes]
"""A file, spoiled; the last argument has other files to take from."""

_WORD: Final = re.compile(rb"[A-Za-z_][A-Za-z0-9_.]*(?=:)")
_VALUE: Final = re.compile(rb"(?<=[\[ ,:])[^\s\[\]{},:#]+(?=[\],}\n ])")
_STRANGE: Final = (
    *(
        b"null",
        b"~",
        b"{}",
        b"[]",
        b"-1",
        b"0",
        b"1e999",
        b".nan",
        b"yes",
        b"on",
        b"'x'",
        b"[[1]]",
        b"&a",
        b"*a",
        b"<<: *a",
    ),
    *(
        b"!!int 3",
        b"!!python/object/apply:os.system [id]",
        b"!include x",
        b"\t",
        b": ",
        b"- ",
        b"#",
        b"\xc3\xa9",
        b"9" * 30,
    ),
    *(
        b"9" * 400,
        b"\x00",
        b"\x1b[31m",
        b"\xe2\x80\xae",
        b"\xe2\x80\x8b",
        b"\xc2\xa0",
        b"---\n",
        b"...\n",
        b"? ",
        b"|\n",
        b">-\n",
    ),
)


def spoiled(files: Sequence[bytes], count: int, *, seed: int = 0) -> Iterator[tuple[str, bytes]]:
    """`count` spoiled files with the names of what befell them: each kind of accident in turn, on files drawn."""
    draw = random.Random(seed)
    kinds = list(ACCIDENTS)
    for i in range(count):
        kind = kinds[i % len(kinds)]
        yield kind, ACCIDENTS[kind](draw.choice(files), draw, files)


def _typo(file: bytes, draw: random.Random, _: Sequence[bytes]) -> bytes:
    """One edit of a key."""
    start, end = draw.choice([match.span() for match in _WORD.finditer(file)])
    at, letter = draw.randrange(start, end), bytes([draw.choice(b"abcdefghijklmnopqrstuvwxyz_")])
    pair = file[at : at + 2]
    return (
        file[:at]
        + draw.choice([b"", letter, letter + file[at : at + 1], file[at : at + 1].swapcase()])
        + file[at + 1 :]
        if draw.random() < 0.8
        else file[:at] + pair[::-1] + file[at + 2 :]
    )


def _swapped(file: bytes, draw: random.Random, _: Sequence[bytes]) -> bytes:
    """Two values in one another's place."""
    (a, b), (c, d) = sorted(draw.sample([match.span() for match in _VALUE.finditer(file)], 2))
    return file[:a] + file[c:d] + file[b:c] + file[a:b] + file[d:]


def _replaced(file: bytes, draw: random.Random, _: Sequence[bytes]) -> bytes:
    """Something strange for a value."""
    start, end = draw.choice([match.span() for match in _VALUE.finditer(file)])
    return file[:start] + draw.choice(_STRANGE) + file[end:]


def _inserted(file: bytes, draw: random.Random, _: Sequence[bytes]) -> bytes:
    """Something strange anywhere."""
    at = draw.randrange(len(file))
    return file[:at] + draw.choice(_STRANGE) + file[at:]


def _lines(change: Callable[[list[bytes], int, random.Random], list[bytes]]) -> Accident:
    def accident(file: bytes, draw: random.Random, _: Sequence[bytes]) -> bytes:
        lines = file.splitlines(keepends=True)
        return b"".join(change(lines, draw.randrange(len(lines)), draw))

    return accident


def _flipped(file: bytes, draw: random.Random, _: Sequence[bytes]) -> bytes:
    """One to four bits turned."""
    changed = bytearray(file)
    for _time in range(draw.randint(1, 4)):
        changed[draw.randrange(len(changed))] ^= 1 << draw.randrange(8)
    return bytes(changed)


def _zeroed(file: bytes, draw: random.Random, _: Sequence[bytes]) -> bytes:
    """A block that was never written, as after a crash."""
    at, length = draw.randrange(len(file)), draw.randint(1, 512)
    return file[:at] + bytes(len(file[at : at + length])) + file[at + length :]


def _spliced(file: bytes, draw: random.Random, others: Sequence[bytes]) -> bytes:
    """The beginning of one file and the end of another."""
    other = draw.choice(others)
    return file[: draw.randrange(len(file))] + other[draw.randrange(len(other)) :]


ACCIDENTS: Final[Mapping[str, Accident]] = {
    "typo of a key": _typo,
    "values swapped": _swapped,
    "strange value": _replaced,
    "strange insertion": _inserted,
    "line lost": _lines(lambda lines, i, _: lines[:i] + lines[i + 1 :]),
    "line doubled": _lines(lambda lines, i, _: [*lines[: i + 1], *lines[i:]]),
    "line indented": _lines(lambda lines, i, draw: [*lines[:i], b" " * draw.randint(1, 5) + lines[i], *lines[i + 1 :]]),
    "line outdented": _lines(lambda lines, i, draw: [*lines[:i], lines[i].lstrip(b" "), *lines[i + 1 :]]),
    "line by tabs": _lines(lambda lines, i, _: [*lines[:i], b"\t" + lines[i].lstrip(), *lines[i + 1 :]]),
    "lines shuffled": _lines(
        lambda lines, i, draw: [*lines[:i], *draw.sample(lines[i : i + 6], len(lines[i : i + 6])), *lines[i + 6 :]]
    ),
    "line endings": _lines(
        lambda lines, i, draw: [line.replace(b"\n", draw.choice([b"\r", b"\r\n"])) for line in lines]
    ),
    "bits turned": _flipped,
    "block of zeros": _zeroed,
    "cut off": lambda file, draw, _: file[: draw.randrange(len(file))],
    "head lost": lambda file, draw, _: file[draw.randrange(len(file)) :],
    "spliced": _spliced,
    "UTF-16": lambda file, draw, _: file.decode().encode(draw.choice(["utf-16", "utf-16-le", "utf-32", "utf-8-sig"])),
    "Latin-1": lambda file, draw, _: file.replace(draw.choice([b"a", b"e", b"o"]), b"\xe4", 1),
}
"""Everything that can befall a file, by name."""
