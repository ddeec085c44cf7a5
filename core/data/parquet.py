"""Tables of recordings in `.parquet` files: one column for each, waveforms as lists; pages carry checksums."""

from __future__ import annotations

import json
import logging
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from core.data.archive import LARGEST
from core.data.check import DataMistakes, DataProblem
from core.data.header import COLUMNS, HEADER, Header, Wrong, assemble, header_of, suggestion, with_unread
from core.data.recordings import STATIC, Recordings

log = logging.getLogger(__name__)

WAVES: Final = ("signal", "clean")
NAMES: Final = (*(name for name in COLUMNS if name != "static"), *STATIC)
"""The columns of a file; `static` has one for each parameter."""
BYTES_OF_A_NUMBER: Final = 8
"""What a number takes at most."""


def read_parquet(path: Path) -> Recordings:
    """The recordings of a `.parquet` file.

    Raises:
        DataMistakes: the file is damaged, or its columns are larger than LARGEST.
        Wrong: it is no table of recordings.
    """
    import pyarrow as pa
    from pyarrow import parquet

    part: str | None = None
    log.debug("%s\tthe footer", path)
    try:
        with parquet.ParquetFile(path, page_checksum_verification=True) as file:
            header = _header(file.schema_arrow)
            if problems := tuple(_table_problems(file)):
                raise Wrong(*problems)
            columns: dict[str, NDArray[Any]] = {}
            for part in (name for name in NAMES if name in file.schema_arrow.names):
                log.debug("%s\t%s", path, part)
                column = file.read(columns=[part], use_threads=False).column(part)
                column.validate(full=True)
                if len(column) != file.metadata.num_rows:
                    told = f"holds {len(column)} values for {file.metadata.num_rows} recordings"
                    raise Wrong(DataProblem(told, column=part))
                columns[part] = _waves(column, part) if part in WAVES else _values(column, part)
            names = file.schema_arrow.names
    except Wrong:
        raise
    except (pa.ArrowException, OSError, ValueError, TypeError, OverflowError, NotImplementedError) as damaged:
        reason = (str(damaged).splitlines() or [type(damaged).__name__])[0][:160]
        told = f"{'the footer' if part is None else 'the column'} is damaged or cut short ({reason})"
        raise DataMistakes(str(path), [DataProblem(told, column=part, hint="copy or make it again")]) from damaged
    columns["static"] = np.column_stack([columns.pop(name) for name in STATIC])
    unknown = set(names) - set(NAMES)
    return with_unread(assemble(header, columns, unknown), unknown)


def write_parquet(r: Recordings, path: Path) -> None:
    """Writes the file; raises OSError."""
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
    header = json.dumps(header_of(r).to_json(), ensure_ascii=False)
    table = pa.table(columns).replace_schema_metadata({HEADER: header})
    parquet.write_table(table, path, compression="zstd", write_page_checksum=True)


def _header(schema: Any) -> Header:
    text = (schema.metadata or {}).get(HEADER.encode())
    if text is None:
        raise Wrong(DataProblem("a .parquet file, but no table of recordings", column=HEADER))
    try:
        return Header.parse(text.decode())
    except UnicodeDecodeError as damaged:
        raise Wrong(DataProblem(f"the header is no text (byte {damaged.start} of it)", column=HEADER)) from damaged


def _table_problems(file: Any) -> Iterator[DataProblem]:
    """What the footer alone tells."""
    names = file.schema_arrow.names
    for name, times in Counter(names).items():
        if times > 1 and name in NAMES:
            yield DataProblem(f"the column stands {times} times in the file", column=name)
    if absent := [name for name in STATIC if name not in names]:
        hint = suggestion(absent, set(names) - set(NAMES))
        yield DataProblem(f"the columns {', '.join(absent)} are missing", hint=hint)
    groups = [file.metadata.row_group(index) for index in range(file.metadata.num_row_groups)]
    numbers = sum(group.column(index).num_values for group in groups for index in range(group.num_columns))
    if (size := BYTES_OF_A_NUMBER * numbers) > LARGEST:
        told = f"the columns may take {size / 2**30:.3g} GiB, {LARGEST // 2**30} GiB are read"
        yield DataProblem(told, hint="divide the recordings over several files")


def _values(column: Any, name: str) -> NDArray[Any]:
    """(N,) of a column of numbers or text; a null is a missing value."""
    import pyarrow as pa
    from pyarrow import types

    kind = column.type
    if types.is_dictionary(kind):
        column, kind = column.cast(kind.value_type), kind.value_type
    if types.is_string(kind) or types.is_large_string(kind):
        return np.array(["" if value is None else value for value in column.to_pylist()], np.str_)
    if types.is_integer(kind) or types.is_boolean(kind) or (types.is_null(kind) and name == "hearing_class"):
        if name == "patient":
            return np.array(["" if value is None else str(value) for value in column.to_pylist()], np.str_)
        if name == "hearing_class":
            return np.array([-1 if value is None else value for value in column.cast(pa.int64()).to_pylist()], np.int64)
    if types.is_integer(kind) or types.is_boolean(kind) or types.is_floating(kind) or types.is_null(kind):
        return np.array(column.cast(pa.float64()).to_pylist(), np.float64)  # None becomes NaN
    raise Wrong(DataProblem(f"holds {kind}, not numbers", column=name))


def _waves(column: Any, name: str) -> NDArray[Any]:
    """(N, T) of a column of lists, which must all have the same length."""
    from pyarrow import types

    kind = column.type
    lists = types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind)
    if not lists or not (types.is_floating(kind.value_type) or types.is_integer(kind.value_type)):
        raise Wrong(DataProblem(f"holds {kind}, not lists of numbers", column=name))
    whole = column.combine_chunks()
    lengths = whole.value_lengths().to_pylist()
    for row, length in enumerate(lengths):
        if length is None:
            raise Wrong(DataProblem("there is no waveform", column=name, row=row))
        if length != lengths[0]:
            told = f"has {length} samples, but the first {lengths[0]}: its recordings differ in length"
            raise Wrong(DataProblem(told, column=name, row=row))
    flat, samples = whole.flatten(), lengths[0] if lengths else 0
    if flat.null_count:
        row, sample = divmod(flat.is_null().to_pylist().index(True), samples)
        raise Wrong(DataProblem(f"sample {sample} is missing", column=name, row=row))
    # Through DLPack, because pyarrow's own way imports pandas, which takes longer than all the rest.
    return np.from_dlpack(flat).reshape(len(column), samples)
