"""Files of recordings: `.npz` without pickle and `.parquet`; names, units and sampling rate are stored inside."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Final, Literal, get_args

import numpy as np

from core.data.answer import Answer
from core.data.apart import identity, open_apart
from core.data.archive import arrays_in
from core.data.check import DataMistakes, DataProblem, check
from core.data.header import COLUMNS, HEADER, Header, Wrong, assemble, header_of, with_unread
from core.data.parquet import read_parquet, write_parquet
from core.data.recordings import Recordings

Suffix = Literal[".npz", ".parquet"]


def read(path: Path) -> Recordings:
    """The recordings in a file that `write` wrote; the suffix says how. Nothing in the file is ever executed.

    It is opened in a process of its own; see `core.data.apart`.

    Raises:
        DataMistakes: the file is absent, a folder, damaged, of another kind, or holds recordings that make no sense.
    """
    suffix_of(path)
    return received(open_apart("table", [readable(path)]), str(path))


def opened(path: Path) -> Recordings:
    """The same in this process: what `read` does in the other one.

    Raises:
        DataMistakes: as `read` does.
    """
    reader, _ = FILES[suffix_of(path)]
    try:
        recordings = reader(readable(path))
    except Wrong as wrong:
        raise DataMistakes(str(path), _told(wrong)) from wrong
    return check(recordings, str(path))


def received(answer: Answer, source: str) -> Recordings:
    """The table that another process read; nothing it says is taken for granted.

    Raises:
        DataMistakes: it is none, or makes no sense.
    """
    try:
        return check(assemble(Header.of(answer.header), answer.arrays), source)
    except Wrong as wrong:
        raise DataMistakes(source, wrong.problems) from wrong


def _told(wrong: Wrong) -> list[DataProblem]:
    """Its problems; one that has no remedy of its own gets the way to bring other formats in."""
    return [problem if problem.hint else replace(problem, hint=_IMPORT_HINT) for problem in wrong.problems]


def write(recordings: Recordings, path: Path) -> None:
    """Writes recordings to a `.npz` or `.parquet` file, whole or not at all.

    Raises:
        DataMistakes: another suffix, or recordings that `read` would refuse.
        OSError: the file cannot be written.
    """
    _, writer = FILES[suffix_of(path)]
    check(recordings)
    unfinished = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        writer(recordings, unfinished)
        unfinished.replace(path)
    finally:
        unfinished.unlink(missing_ok=True)


def readable(path: Path) -> Path:
    """The path itself, if a file can be read there; importers ask this first too.

    Raises:
        DataMistakes: nothing is there, it is a folder, it is empty, or it may not be read.
    """
    _, size, _ = identity(path)
    problem = None
    if path.is_dir():
        inside = sorted(entry.name for entry in path.glob("[!.]*") if entry.is_file())[:3]
        problem = DataProblem(
            "a folder, not a file", hint=f"name a file in it, such as {', '.join(inside)}" if inside else None
        )
    elif not os.access(path, os.R_OK):
        problem = DataProblem("the file may not be read", hint="check its permissions")
    elif size == 0:
        problem = DataProblem("the file is empty")
    if problem:
        raise DataMistakes(str(path), [problem])
    return path


_IMPORT_HINT: Final = "bring other formats in with `abr-tune data import`"


def suffix_of(path: Path) -> Suffix:
    """Which kind of file of recordings a path names.

    Raises:
        DataMistakes: neither.
    """
    for suffix in get_args(Suffix):
        if path.suffix.lower() == suffix:
            return suffix  # type: ignore[no-any-return]
    message = f"files of recordings end in {' or '.join(get_args(Suffix))}, not in {path.suffix or 'nothing'!r}"
    raise DataMistakes(str(path), [DataProblem(message, hint=_IMPORT_HINT)])


def _read_npz(path: Path) -> Recordings:
    arrays, others = arrays_in(path, (HEADER, *COLUMNS))
    if HEADER not in arrays:
        raise Wrong(DataProblem("an .npz file, but no table of recordings", column=HEADER))
    said = arrays.pop(HEADER)
    try:
        text = str(said) if said.dtype.kind == "U" and not said.ndim else None
    except ValueError:  # numbers that stand for no letters
        text = None
    if text is None:
        raise Wrong(DataProblem("an .npz file, but no table of recordings: its header is no text", column=HEADER))
    return with_unread(assemble(Header.parse(text), arrays, others), others)


def _write_npz(r: Recordings, path: Path) -> None:
    header = json.dumps(header_of(r).to_json(), ensure_ascii=False)
    with path.open("wb") as file:
        np.savez(file, allow_pickle=False, **{HEADER: np.array(header)}, **r.columns())


FILES: Final[Mapping[Suffix, tuple[Callable[[Path], Recordings], Callable[[Recordings, Path], None]]]] = {
    ".npz": (_read_npz, _write_npz),
    ".parquet": (read_parquet, write_parquet),
}
"""How each kind of file is read and written."""
