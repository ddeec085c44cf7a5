"""Files of recordings: `.npz` without pickle and `.parquet`; names, units and sampling rate are stored inside."""

from __future__ import annotations

import json
import os
import zipfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from core.data.check import DataMistakes, DataProblem, check
from core.data.recordings import STATIC, Recordings

Suffix = Literal[".npz", ".parquet"]

HEADER: Final = "abr_tune"
"""Entry of an `.npz`, and key of a `.parquet`'s schema metadata, that holds what is not a column, as JSON."""
VERSION: Final = 1
FLOATS: Final = ("threshold_db", "peak_exist", "peak_latency_ms", "peak_amplitude_uv")
OPTIONAL: Final = ("weight", "sweeps", "frequency_khz")


def read(path: Path) -> Recordings:
    """The recordings in a file that `write` wrote; the suffix says how. Nothing in the file is ever executed.

    Raises:
        DataMistakes: the file is absent, a folder, damaged, of another kind, or holds recordings that make no sense.
    """
    reader, _ = FILES[suffix_of(path)]
    try:
        recordings = reader(readable(path))
    except _Foreign as foreign:
        raise DataMistakes(str(path), [DataProblem(str(foreign), hint=_IMPORT_HINT)]) from foreign
    except (TypeError, ValueError, KeyError) as damaged:
        if isinstance(damaged, DataMistakes):
            raise
        raise DataMistakes(str(path), [DataProblem(f"the table inside is damaged: {damaged}")]) from damaged
    return check(recordings, str(path))


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
    problem = None
    if path.is_dir():
        inside = sorted(entry.name for entry in path.glob("[!.]*") if entry.is_file())[:3]
        problem = DataProblem(
            "a folder, not a file", hint=f"name a file in it, such as {', '.join(inside)}" if inside else None
        )
    elif not path.exists():
        problem = DataProblem("no such file")
    elif not os.access(path, os.R_OK):
        problem = DataProblem("the file may not be read", hint="check its permissions")
    elif path.stat().st_size == 0:
        problem = DataProblem("the file is empty")
    if problem:
        raise DataMistakes(str(path), [problem])
    return path


_IMPORT_HINT: Final = "bring other formats in with `abr-tune data import`"


class _Foreign(ValueError):
    """A readable file that is no table of recordings, or not all of one."""


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


@dataclass(frozen=True, slots=True)
class _Header:
    """What a file says beside its columns."""

    sampling_rate_hz: float
    unit: Any
    class_names: tuple[str, ...]
    origin: str
    notes: tuple[str, ...]
    facts: Mapping[str, float]

    @classmethod
    def parse(cls, text: str) -> _Header:
        try:
            record = json.loads(text)
            version = record["version"]
        except (json.JSONDecodeError, TypeError, KeyError) as unknown:
            raise _Foreign("this is no table of recordings") from unknown
        if version != VERSION:
            raise _Foreign(f"the file has version {version} of the format, this program reads version {VERSION}")
        return cls(
            sampling_rate_hz=float(record["sampling_rate_hz"]),
            unit=record["unit"],
            class_names=tuple(str(name) for name in record["class_names"]),
            origin=str(record["origin"]),
            notes=tuple(str(note) for note in record["notes"]),
            facts={str(name): float(value) for name, value in record["facts"].items()},
        )

    def fields(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in self.__slots__}


def _header(r: Recordings) -> str:
    record = {
        "version": VERSION,
        "sampling_rate_hz": r.sampling_rate_hz,
        "unit": r.unit,
        "class_names": r.class_names,
        "origin": r.origin,
        "notes": r.notes,
        "facts": dict(r.facts),
    }
    return json.dumps(record, ensure_ascii=False)


def _assemble(header: str, columns: Mapping[str, NDArray[Any]]) -> Recordings:
    kinds: dict[str, Any] = {"patient": np.str_, "hearing_class": np.int64}
    required = ("signal", "static", "patient", "hearing_class", *FLOATS)
    if missing := [name for name in required if name not in columns]:
        raise _Foreign(f"the columns {', '.join(missing)} are missing")
    typed: dict[str, Any] = {name: np.asarray(value, kinds.get(name, np.float32)) for name, value in columns.items()}
    return Recordings(**_Header.parse(header).fields(), **typed)


def _read_npz(path: Path) -> Recordings:
    known = ("signal", "clean", "static", "patient", "hearing_class", *FLOATS, *OPTIONAL)
    arrays = arrays_in(path, (HEADER, *known))
    if HEADER not in arrays:
        raise _Foreign("an .npz file, but no table of recordings")
    return _assemble(str(arrays.pop(HEADER)), arrays)


def arrays_in(path: Path, names: Sequence[str]) -> dict[str, NDArray[Any]]:
    """Those arrays of an `.npz` file that it has of `names`; objects in it, which would need pickle, are refused.

    Raises:
        DataMistakes: the file is damaged or no `.npz`.
    """
    try:
        if not zipfile.is_zipfile(path):
            raise zipfile.BadZipFile("it is no .npz archive")
        with path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
            return {name: archive[name] for name in names if name in archive.files}
    except (zipfile.BadZipFile, EOFError, OSError, ValueError) as damaged:
        raise DataMistakes(str(path), [_damaged(damaged)]) from damaged


def _write_npz(r: Recordings, path: Path) -> None:
    with path.open("wb") as file:
        np.savez(file, allow_pickle=False, **{HEADER: np.array(_header(r))}, **r.columns())


def _read_parquet(path: Path) -> Recordings:
    import pyarrow as pa
    from pyarrow import parquet

    try:
        table = parquet.read_table(path)
    except (pa.ArrowException, OSError) as damaged:
        raise DataMistakes(str(path), [_damaged(damaged)]) from damaged
    header = (table.schema.metadata or {}).get(HEADER.encode())
    if header is None:
        raise _Foreign("a .parquet file, but no table of recordings")
    names = set(table.column_names)
    columns: dict[str, NDArray[Any]] = {}
    for name in ("signal", "clean"):
        if name in names:
            columns[name] = _rectangle(table.column(name))
    if set(STATIC) <= names:
        columns["static"] = np.column_stack([table.column(name).fill_null(np.nan).to_numpy() for name in STATIC])
    for name, missing in (("patient", ""), ("hearing_class", -1), *((name, np.nan) for name in (*FLOATS, *OPTIONAL))):
        if name in names:
            columns[name] = table.column(name).fill_null(missing).to_numpy()
    return _assemble(header.decode(), columns)


def _write_parquet(r: Recordings, path: Path) -> None:
    import pyarrow as pa
    from pyarrow import parquet

    columns: dict[str, Any] = {}
    for name, value in r.columns().items():
        if name == "static":
            columns |= {parameter: value[:, index] for index, parameter in enumerate(STATIC)}
        elif value.ndim == 2:
            flat = pa.array(np.ascontiguousarray(value).ravel())
            columns[name] = pa.FixedSizeListArray.from_arrays(flat, r.samples)
        else:
            columns[name] = pa.array(value.tolist(), pa.string()) if name == "patient" else pa.array(value)
    table = pa.table(columns).replace_schema_metadata({HEADER: _header(r)})
    parquet.write_table(table, path, compression="zstd")


def _rectangle(column: Any) -> NDArray[Any]:
    """(N, T) of a column of lists, which must all have the same length."""
    lists = column.combine_chunks()
    if len(set(lists.value_lengths().to_pylist())) > 1:
        raise _Foreign("its recordings differ in length")
    flat: NDArray[Any] = lists.flatten().to_numpy(zero_copy_only=False)
    return flat.reshape(len(column), -1)


def _damaged(fault: BaseException) -> DataProblem:
    reason = str(fault).splitlines()[0] if str(fault) else type(fault).__name__
    return DataProblem(f"the file is damaged or cut short ({reason})", hint="copy or make it again")


FILES: Final[Mapping[Suffix, tuple[Callable[[Path], Recordings], Callable[[Recordings, Path], None]]]] = {
    ".npz": (_read_npz, _write_npz),
    ".parquet": (_read_parquet, _write_parquet),
}
"""How each kind of file is read and written."""
