"""Many small files made into arrays of one shape: in a process of their own, once, and without the unreadable ones."""

from __future__ import annotations

import json
import logging
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

import numpy as np
from numpy.typing import NDArray

from core.data.answer import Answer
from core.data.apart import open_apart
from core.data.cache import Cache
from core.data.check import DataMistakes, DataProblem
from core.data.listing import Listed

log = logging.getLogger(__name__)

ManyKind = Literal["audio", "images"]
LARGEST_FILE: Final = 200 * 2**20
"""Bytes: a file above is no single example."""
AT_ONCE: Final = 1_000
"""Files read between two words on how far it is."""
SECONDS_EACH: Final = 1
"""What reading a file may take on the average, in seconds of processor."""
SHOWN: Final = 10


@dataclass(frozen=True, slots=True, eq=False)
class Read:
    """What became of the files."""

    arrays: NDArray[Any]
    """(M, ...) of those that could be read, in their order."""
    kept: NDArray[np.int64]
    """(M,) their places among the files."""
    skipped: Mapping[str, str]
    """Name of an unreadable file -> what is wrong with it."""


def read_many(
    kind: ManyKind,
    files: Sequence[Listed],
    settings: Mapping[str, Any],
    *,
    shape: tuple[int, ...],
    dtype: Any,
    cache: Cache | None,
    most_unreadable: float,
    source: str,
) -> Read:
    """The arrays that the files give; up to the share `most_unreadable` of them may be damaged and are left out.

    `settings` go to the reader of the kind (see MAKERS in `core.data.many_child`). What has been made once is taken
    from `cache`. Raises DataMistakes where more files are damaged than may be.
    """
    arrays = np.zeros((len(files), *shape), dtype=dtype)
    problems: dict[int, str] = {}
    keys: dict[int, str] = {}
    for index, file in enumerate(files):
        content, problem = _content(file.path)
        if problem is not None:
            problems[index] = problem
        elif cache is None:
            keys[index] = ""
        else:
            key = cache.key(content)
            found = cache.get(key, shape, dtype)
            if found is None:
                keys[index] = key
            else:
                arrays[index] = found
    for first in range(0, len(keys), AT_ONCE):
        if len(keys) > SHOWN:
            log.info("reading %s: %d of %d files, %d known already", kind, first, len(keys), len(files) - len(keys))
        some = dict(list(keys.items())[first : first + AT_ONCE])
        answer = _asked(kind, [files[index] for index in some], settings)
        problems |= _filled(arrays, some, answer, cache)
    _refuse_too_many(problems, files, most_unreadable, source)
    kept = np.array([index for index in range(len(files)) if index not in problems], dtype=np.int64)
    return Read(arrays[kept], kept, {files[index].name: reason for index, reason in sorted(problems.items())})


def _content(file: Path) -> tuple[bytes, str | None]:
    """The bytes of a file, and what is wrong with it."""
    try:
        if file.stat().st_size > LARGEST_FILE:
            return b"", f"it is larger than {LARGEST_FILE / 2**20:.0f} MiB"
        content = file.read_bytes()
    except OSError as fault:
        return b"", f"it cannot be read: {fault.strerror}"
    return (content, None) if content else (b"", "it is empty")


def _asked(kind: ManyKind, files: Sequence[Listed], settings: Mapping[str, Any]) -> Answer:
    """What a process of its own makes of the files."""
    asked = {"settings": dict(settings), "files": [str(file.path.resolve()) for file in files]}
    with tempfile.NamedTemporaryFile("w", suffix=".json", encoding="utf-8") as manifest:
        json.dump(asked, manifest)
        manifest.flush()
        return open_apart(kind, [Path(manifest.name)], seconds=SECONDS_EACH * len(files))


def _filled(arrays: NDArray[Any], keys: Mapping[int, str], answer: Answer, cache: Cache | None) -> dict[int, str]:
    """Enters what was made into `arrays` at the places in `keys`, and into the cache; what is wrong, by place."""
    made, wrong = _checked(answer, len(keys), arrays)
    problems = {}
    for place, (index, key) in enumerate(keys.items()):
        if place in wrong:
            problems[index] = wrong[place]
            continue
        arrays[index] = made[place]
        if cache is not None:
            try:
                cache.put(key, made[place])
            except OSError as fault:
                log.warning("%s cannot be written to (%s): it will be computed again", cache.folder, fault.strerror)
                cache = None
    return problems


def _checked(answer: Answer, count: int, like: NDArray[Any]) -> tuple[NDArray[Any], dict[int, str]]:
    made = answer.arrays["made"]
    if made.shape != (count, *like.shape[1:]) or made.dtype != like.dtype:
        raise ValueError(f"the reader gave {made.dtype} {made.shape} for {count} files")
    return made, {int(place): str(reason) for place, reason in answer.header["problems"].items()}


def _refuse_too_many(problems: Mapping[int, str], files: Sequence[Listed], most: float, source: str) -> None:
    if len(problems) <= most * len(files):
        for index, reason in sorted(problems.items())[:SHOWN]:
            log.warning("%s is left out: %s", files[index].name, reason)
        return
    told = [DataProblem(f"{files[index].name}: {reason}") for index, reason in sorted(problems.items())[:SHOWN]]
    if len(problems) > SHOWN:
        told.append(DataProblem(f"and {len(problems) - SHOWN} more of {len(files)} files"))
    hint = f"mend or remove them, or allow a larger share with data.unreadable (now {most:g})"
    raise DataMistakes(source, [*told[:-1], DataProblem(told[-1].message, hint=hint)])
