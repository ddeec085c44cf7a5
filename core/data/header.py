"""What a table of recordings says beside its columns, and the table that is put together from both."""

from __future__ import annotations

import json
import math
import zlib
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, fields, replace
from difflib import get_close_matches
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from core.data.answer import Answer
from core.data.check import DataProblem
from core.data.recordings import STATIC, Recordings

HEADER: Final = "abr_tune"
"""Entry of an `.npz`, and key of a `.parquet`'s schema metadata, that holds what is not a column, as JSON."""
VERSION: Final = 1
CHECKSUM: Final = "checksum"
"""Entry of the header: what its other entries add up to; files without it are read too."""
FLOATS: Final = ("threshold_db", "peak_exist", "peak_latency_ms", "peak_amplitude_uv")
OPTIONAL: Final = ("weight", "sweeps", "frequency_khz")
REQUIRED: Final = ("signal", "static", "patient", "hearing_class", *FLOATS)
COLUMNS: Final = (*REQUIRED, "clean", *OPTIONAL)


class Wrong(ValueError):
    """The content of a readable file is no table of recordings, or not all of one."""

    def __init__(self, *problems: DataProblem) -> None:
        super().__init__(problems)

    @property
    def problems(self) -> tuple[DataProblem, ...]:
        """What is wrong."""
        problems: tuple[DataProblem, ...] = self.args[0]
        return problems


@dataclass(frozen=True, slots=True)
class Header:
    """What a file says beside its columns."""

    sampling_rate_hz: float
    unit: Any
    class_names: tuple[str, ...]
    origin: str
    notes: tuple[str, ...]
    facts: Mapping[str, float]

    @classmethod
    def parse(cls, text: str) -> Header:
        """The header in a file's JSON; raises Wrong."""
        try:
            record = json.loads(text)
        except (ValueError, RecursionError) as unknown:
            raise Wrong(
                DataProblem("this is no table of recordings: its header is no JSON", column=HEADER)
            ) from unknown
        if not isinstance(record, dict) or "version" not in record:
            raise Wrong(DataProblem("this is no table of recordings", column=HEADER))
        if (version := record["version"]) != VERSION:
            told = f"the file has version {version} of the format, this program reads version {VERSION}"
            raise Wrong(DataProblem(told, column=HEADER))
        # Parquet's own checksums leave the header out.
        if record.get(CHECKSUM, _checksum(record)) != _checksum(record):
            hint = "copy or make it again"
            raise Wrong(DataProblem("the header was changed after it was written", column=HEADER, hint=hint))
        return cls.of(record)

    @classmethod
    def of(cls, record: Mapping[str, Any]) -> Header:
        """The header from plain values; raises Wrong."""
        if problems := tuple(_header_problems(record)):
            raise Wrong(*problems)
        return cls(
            sampling_rate_hz=float(record["sampling_rate_hz"]),
            unit=record["unit"],
            class_names=tuple(record["class_names"]),
            origin=record["origin"],
            notes=tuple(record["notes"]),
            facts={name: float(value) for name, value in record["facts"].items()},
        )

    def to_json(self) -> dict[str, Any]:
        """Plain values, with the version and a checksum."""
        record = {"version": VERSION, **{column.name: getattr(self, column.name) for column in fields(self)}}
        return {**record, CHECKSUM: _checksum(record)}


def _checksum(record: Mapping[str, Any]) -> int:
    rest = {name: value for name, value in record.items() if name != CHECKSUM}
    return zlib.crc32(json.dumps(rest, sort_keys=True).encode())


def header_of(r: Recordings) -> Header:
    """What a table says beside its columns."""
    return Header(r.sampling_rate_hz, r.unit, r.class_names, r.origin, r.notes, dict(r.facts))


def answer_of(r: Recordings) -> Answer:
    """A table as it is sent between processes."""
    return Answer(header_of(r).to_json(), r.columns())


def assemble(header: Header, columns: Mapping[str, NDArray[Any]], unknown: Collection[str] = ()) -> Recordings:
    """The table of a header and columns of the right types; raises Wrong.

    `unknown` are names in the file that mean nothing: one of them may be a misspelt column.
    """
    if absent := [name for name in REQUIRED if name not in columns]:
        raise Wrong(DataProblem(f"the columns {', '.join(absent)} are missing", hint=suggestion(absent, unknown)))
    rows = len(columns["signal"]) if columns["signal"].ndim else 0
    samples = columns["signal"].shape[-1] if columns["signal"].ndim else 0
    problems = [problem for name in columns if (problem := _column_problem(name, columns[name], rows, samples))]
    if problems:
        raise Wrong(*problems)
    with np.errstate(over="ignore"):  # a number beyond single precision becomes infinite, and is told of as that
        typed: dict[str, Any] = {
            name: np.asarray(values, _TYPES.get(name, np.float32)) for name, values in columns.items()
        }
    return Recordings(**{column.name: getattr(header, column.name) for column in fields(header)}, **typed)


def suggestion(absent: Collection[str], unknown: Collection[str]) -> str | None:
    """Which name may have been meant where one is missing and others are not known."""
    pairs = [(near[0], name) for name in absent if (near := get_close_matches(name, unknown, n=1))]
    return ", ".join(f"is {found} meant as {name}?" for found, name in pairs) or None


def with_unread(table: Recordings, unknown: Collection[str]) -> Recordings:
    """The table with a note on columns of its file that were not read; raises Wrong where one is misspelt."""
    absent = [name for name in COLUMNS if getattr(table, name) is None]
    if hint := suggestion(absent, unknown):
        raise Wrong(DataProblem(f"unknown columns: {', '.join(sorted(unknown))}", hint=hint))
    if not unknown:
        return table
    return replace(
        table, notes=(*table.notes, f"Columns of the file that were not read: {', '.join(sorted(unknown))}.")
    )


_TYPES: Final[Mapping[str, Any]] = {"patient": np.str_, "hearing_class": np.int64}
_KINDS: Final[Mapping[str, tuple[str, str]]] = {"patient": ("Uiu", "text"), "hearing_class": ("iu", "whole numbers")}
_WORDS: Final[Mapping[str, str]] = {
    "O": "Python objects, which only a pickle can store",
    "S": "bytes",
    "U": "text",
    "c": "complex numbers",
    "M": "dates",
    "m": "durations",
    "V": "records",
    "f": "floating-point numbers",
}
"""What the kinds of NumPy's types are called."""


def _column_problem(name: str, values: NDArray[Any], rows: int, samples: int) -> DataProblem | None:
    kinds, wanted = _KINDS.get(name, ("fiub", "numbers"))
    if values.dtype.kind not in kinds:
        return DataProblem(f"holds {_WORDS.get(values.dtype.kind, values.dtype)}, not {wanted}", column=name)
    shape = {"signal": (rows, samples), "clean": (rows, samples), "static": (rows, len(STATIC))}.get(name, (rows,))
    if values.shape != shape:
        return DataProblem(f"has the shape {values.shape}; expected {shape}", column=name)
    if name == "patient" and values.dtype.kind == "U":
        return _text_problem(values)
    return None


def _text_problem(values_N: NDArray[Any]) -> DataProblem | None:
    """Text whose bytes stand for no letters is told of here, and not where it is printed."""
    row = 0
    try:
        for row in range(len(values_N)):
            str(values_N[row]).encode()
    except ValueError:
        return DataProblem("the text is damaged", column="patient", row=row)
    return None


_EXPECTED: Final[Mapping[str, tuple[tuple[type, ...], str]]] = {
    "sampling_rate_hz": ((int, float), "a number"),
    "unit": ((str,), "text"),
    "class_names": ((list, tuple), "a list of names"),
    "origin": ((str,), "text"),
    "notes": ((list, tuple), "a list of sentences"),
    "facts": ((dict,), "numbers by name"),
}
_INSIDE: Final[Mapping[str, tuple[type, ...]]] = {"class_names": (str,), "notes": (str,), "facts": (int, float)}


def _header_problems(record: Mapping[str, Any]) -> Iterator[DataProblem]:
    for name, (types, wanted) in _EXPECTED.items():
        value = record.get(name)
        inside = value.values() if isinstance(value, dict) else value if isinstance(value, list | tuple) else ()
        if name not in record:
            yield DataProblem(f"{name} is missing", column=HEADER)
        elif not isinstance(value, types) or not all(isinstance(part, _INSIDE[name]) for part in inside):
            yield DataProblem(f"{name} is {str(value)[:40]!r}, not {wanted}", column=HEADER)
        elif not all(map(_usable, (*inside, *(value if isinstance(value, dict) else (value,))))):
            yield DataProblem(f"{name} is damaged: {ascii(value)[:40]}", column=HEADER)


def _usable(value: object) -> bool:
    """Whether it is a finite number, or text that can be written out again (JSON may hold half of a character)."""
    try:
        if isinstance(value, int | float):
            return math.isfinite(value)
        str(value).encode()
    except (ValueError, OverflowError):
        return False
    return True
