"""Arrays in an `.npz` archive; nothing is inflated or allocated before its size is compared with what is there."""

from __future__ import annotations

import logging
import math
import struct
import tokenize
import zipfile
import zlib
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final, Literal

import numpy as np
from numpy.typing import NDArray

from core.data.check import DataMistakes, DataProblem

log = logging.getLogger(__name__)

LARGEST: Final = 4 * 2**30
"""Bytes that the arrays of one archive may take when inflated: 50 times the clinic's recordings."""
_COMPRESSIONS: Final = frozenset({zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED})
_DAMAGES: Final = (
    zipfile.BadZipFile,
    zlib.error,
    struct.error,
    tokenize.TokenError,
    EOFError,
    OSError,
    ValueError,
    TypeError,
    NotImplementedError,
    OverflowError,
    RecursionError,
)
"""What zipfile and NumPy raise for bytes that are not theirs."""


def arrays_in(path: Path, names: Sequence[str]) -> tuple[dict[str, NDArray[Any]], tuple[str, ...]]:
    """Those arrays of an `.npz` file that it has of `names`, and the names of the others, which are not read.

    Objects, which would need pickle, are refused.

    Raises:
        DataMistakes: the file is damaged or no `.npz`, or its arrays are larger than LARGEST.
    """
    log.debug("%s\tthe archive's directory", path)
    try:
        with zipfile.ZipFile(path) as archive:
            members = _members(archive, path, names)
            arrays = {name: _array(archive, member, name, path) for name, member in members.items()}
            return arrays, tuple(_named(entry) for entry in archive.namelist() if _named(entry) not in names)
    except _DAMAGES as damaged:
        if isinstance(damaged, DataMistakes):
            raise
        end = f"byte {path.stat().st_size:,}, its end" if path.exists() else "its end"
        told = f"no .npz archive, or damaged or cut short: no directory of arrays at {end} ({_reason(damaged)})"
        raise DataMistakes(str(path), [DataProblem(told, hint="copy or make it again")]) from damaged


def _named(entry: str) -> str:
    return entry.removesuffix(".npy")


def _members(archive: zipfile.ZipFile, path: Path, names: Sequence[str]) -> dict[str, zipfile.ZipInfo]:
    """The wanted members by name, none of which is unreadable or too large by what the directory says."""
    wanted = {f"{name}.npy": name for name in names}
    entries = [entry for entry in archive.infolist() if entry.filename in wanted]
    problems = [
        DataProblem(f"stands {times} times in the archive", column=wanted[name])
        for name, times in Counter(entry.filename for entry in entries).items()
        if times > 1
    ]
    for entry in entries:
        if entry.flag_bits & 1:
            problems.append(DataProblem("is locked with a password", column=wanted[entry.filename]))
        elif entry.compress_type not in _COMPRESSIONS:
            problems.append(DataProblem("is compressed in a way NumPy does not use", column=wanted[entry.filename]))
    largest = max(entries, key=lambda entry: entry.file_size, default=None)
    if largest is not None and (total := sum(entry.file_size for entry in entries)) > LARGEST:
        gib = 2**30
        told = f"the arrays take {total / gib:.3g} GiB, this one most; {LARGEST // gib} GiB are read at most"
        problems.append(
            DataProblem(told, column=wanted[largest.filename], hint="divide the recordings over several files")
        )
    if problems:
        raise DataMistakes(str(path), problems)
    return {wanted[entry.filename]: entry for entry in entries}


def _array(archive: zipfile.ZipFile, member: zipfile.ZipInfo, name: str, path: Path) -> NDArray[Any]:
    log.debug("%s\t%s", path, name)
    try:
        with archive.open(member) as file:
            if problem := _header_problem(file, member.file_size, name):
                raise DataMistakes(str(path), [problem])
        with archive.open(member) as file:
            array: NDArray[Any] = np.lib.format.read_array(file, allow_pickle=False)
            # The checksum is compared at the end of a member: objects of no size would leave it unread.
            file.read(1)
            return array
    except _DAMAGES as damaged:
        if isinstance(damaged, DataMistakes):
            raise
        told = f"the array is damaged or cut short ({_reason(damaged)})"
        raise DataMistakes(str(path), [DataProblem(told, column=name, hint="copy or make it again")]) from damaged


_Version = Literal["1.0", "2.0"]
_HEADERS: Final[dict[tuple[int, int], Any]] = {
    (1, 0): np.lib.format.read_array_header_1_0,
    (2, 0): np.lib.format.read_array_header_2_0,
}


def _header_problem(file: Any, size: int, name: str) -> DataProblem | None:
    """What is wrong with what an array of `size` bytes says of itself."""
    version = np.lib.format.read_magic(file)
    if version not in _HEADERS:
        return DataProblem(f"is in version {version} of NumPy's format, which is not read", column=name)
    shape, _, dtype = _HEADERS[version](file)
    if dtype.hasobject:
        hint = "store text as strings of fixed length (`.astype(str)`) and numbers as numbers"
        return DataProblem("holds Python objects, which only a pickle can store: refused", column=name, hint=hint)
    announced, follow = math.prod(shape) * dtype.itemsize, size - file.tell()
    if min(shape, default=0) < 0 or announced != follow:
        told = f"says it has the shape {shape} of {dtype}, {announced:,} bytes, but {follow:,} follow"
        return DataProblem(told, column=name)
    return None


def _reason(fault: BaseException) -> str:
    """The first line of a fault, in printable letters."""
    text = (str(fault).splitlines() or [type(fault).__name__])[0]
    return "".join(letter if letter.isprintable() else "?" for letter in text)[:160]
