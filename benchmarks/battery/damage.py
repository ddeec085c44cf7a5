"""What can happen to a file of recordings on its way: bytes, arrays, values, text, pickles."""

from __future__ import annotations

import io
import os
import random
import signal
import struct
import sys
import zipfile
import zlib
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import joblib
import numpy as np
import pyarrow as pa
from pyarrow import parquet

from benchmarks.battery.data_samples import Form, clinic_content
from core.data.recordings import STATIC, Recordings

Draw = random.Random


# --- bytes ---


def flipped(data: bytes, draw: Draw) -> bytes:
    """One to eight bytes changed."""
    out = bytearray(data)
    for _ in range(draw.randint(1, 8)):
        out[draw.randrange(len(out))] ^= draw.randint(1, 255)
    return bytes(out)


def _one_byte(from_end: int, bits: int) -> Callable[[bytes], bytes]:
    def changed(data: bytes) -> bytes:
        out = bytearray(data)
        out[-from_end] ^= bits
        return bytes(out)

    return changed


ABORTS: Final = (_one_byte(3075, 42), _one_byte(3038, 122))
"""Changes to the footer of the sound `.parquet` here for which pyarrow 26 ends its process (2 of 2,500 tried)."""


def cut_short(data: bytes, draw: Draw) -> bytes:
    """The beginning of the file, at least a byte of it."""
    return data[: draw.randrange(1, len(data))]


def spliced(data: bytes, draw: Draw) -> bytes:
    """A stretch left out, doubled, emptied, moved in from elsewhere, or filled with noise."""
    a = draw.randrange(len(data))
    b = min(len(data), a + draw.randint(1, max(2, len(data) // 4)))
    noise = draw.randbytes(b - a)
    here = draw.randrange(len(data))
    return draw.choice(
        [
            data[:a] + data[b:],
            data[:b] + data[a:],
            data[:a] + bytes(b - a) + data[b:],
            data[:here] + data[a:b] + data[here:],
            data[:a] + noise + data[b:],
        ]
    )


# --- arrays and columns ---


def arrays_of(path: Path) -> dict[str, Any]:
    """What an `.npz` holds."""
    with np.load(path) as archive:
        return dict(archive)


def saved(arrays: Mapping[str, Any], *, pickled: bool = False) -> bytes:
    """An `.npz` of them."""
    buffer = io.BytesIO()
    np.savez(buffer, allow_pickle=pickled, **arrays)
    return buffer.getvalue()


ARRAY_CHANGES: Final[Mapping[str, Callable[[Any], Any]]] = {
    "objects": lambda a: np.array([{"a": 1}] * len(a), dtype=object),
    "text": lambda a: np.full(np.shape(a), "many"),
    "complex": lambda a: np.zeros(np.shape(a), complex),
    "bytes": lambda a: np.full(np.shape(a), b"x"),
    "dates": lambda a: np.zeros(np.shape(a), "M8[s]"),
    "a row less": lambda a: a[:-1],
    "a number alone": lambda _: np.array(3.0),
    "a dimension more": lambda a: np.asarray(a)[None],
    "flat": lambda a: np.tile(np.ravel(a), 2),
    "nothing": lambda a: a[:0],
}
"""What may stand in the place of an array."""


def rearranged(form: Form, path: Path, draw: Draw) -> tuple[str, bytes]:
    """An archive or table with an array changed, misspelt, missing, or in the place of another."""
    names = _array_names(form, path)
    one, other = draw.sample(names, 2)
    what = draw.choice([*ARRAY_CHANGES, "missing", "misspelt", "swapped"])
    if form == "parquet":
        return f"{one}: {what}", _parquet_rearranged(path, one, other, what)
    arrays = arrays_of(path)
    if what == "missing":
        del arrays[one]
    elif what == "misspelt":
        arrays[one[:-1]] = arrays.pop(one)
    elif what == "swapped":
        arrays[one], arrays[other] = arrays[other], arrays[one]
    else:
        arrays[one] = ARRAY_CHANGES[what](arrays[one])
    return f"{one}: {what}", saved(arrays, pickled=True)


def _array_names(form: Form, path: Path) -> list[str]:
    if form == "parquet":
        return list(parquet.read_schema(path).names)
    return sorted(name for name in arrays_of(path) if name != "abr_tune")


def _parquet_rearranged(path: Path, one: str, other: str, what: str) -> bytes:
    table = parquet.read_table(path)
    index, count = table.column_names.index(one), table.num_rows
    stands_for: dict[str, Any] = {
        "text": pa.array(["many"] * count),
        "bytes": pa.array([b"\xff"] * count),
        "dates": pa.array([0] * count, pa.timestamp("s")),
        "objects": pa.array([{"a": 1}] * count),
        "complex": pa.array([[1.0]] * count),
        "flat": pa.array([[1.0] * (row % 3) for row in range(count)]),
    }
    if what == "missing":
        table = table.remove_column(index)
    elif what == "swapped":
        table = table.set_column(index, one, table.column(other))
    elif what == "misspelt":
        table = table.rename_columns([name[:-1] if name == one else name for name in table.column_names])
    elif what == "nothing":
        table = table.slice(0, 0)
    else:
        nulls = pa.array([None] * count, table.schema.field(one).type)
        table = table.set_column(index, one, stands_for.get(what, nulls))
    buffer = io.BytesIO()
    parquet.write_table(table, buffer)
    return buffer.getvalue()


# --- values, one recording of a sound table ---


def cell(column: str, row: int, value: Any) -> Callable[[Recordings], Recordings]:
    """A function that puts a value into one place; of a waveform, into its eighth sample."""

    def changed(r: Recordings) -> Recordings:
        if column in STATIC:
            static = r.static.copy()
            static[row, STATIC.index(column)] = value
            return replace(r, static=static)
        cells: Any = r.columns()[column].copy()
        cells[(row, 7) if column == "signal" else row] = value
        return replace(r, **{column: cells})

    return changed


_LABELLED: Final[tuple[Form, ...]] = ("npz", "parquet", "csv", "clinic")
_COUNTED: Final[tuple[Form, ...]] = ("npz", "parquet", "csv", "ihs", "epl")
_ALL: Final[tuple[Form, ...]] = (*_LABELLED, "ihs", "epl")
VALUES: Final[tuple[tuple[str, Any, tuple[Form, ...]], ...]] = (
    ("signal", np.nan, _ALL),
    ("signal", -np.inf, _ALL),
    ("signal", 1e30, ("npz", "parquet", "csv", "ihs", "epl")),
    ("intensity_db_nhl", 900, _ALL),
    ("age_years", -5, _LABELLED),
    ("rate_per_s", -1, _LABELLED),
    ("fmp", -3, _LABELLED),
    ("threshold_db", 1e9, _LABELLED),
    ("peak_latency_ms", 3000, _LABELLED),
    ("peak_latency_ms", -2, _LABELLED),
    ("peak_amplitude_uv", -1e7, _LABELLED),
    ("peak_exist", 0.5, ("npz", "parquet", "csv")),
    ("sweeps", -12, ("npz", "parquet", "csv", "ihs")),
    ("frequency_khz", 4000, ("npz", "parquet", "csv")),
    ("hearing_class", 99, ("npz", "parquet", "clinic")),
    ("hearing_class", -2, ("npz", "parquet")),
    ("patient", "", ("npz", "parquet", "csv")),
)
"""Column, a value that cannot be, and the forms that hold the column row by row."""

UNITS: Final[tuple[tuple[str, str, float, tuple[Form, ...]], ...]] = (
    ("signal", "volts", 1e-6, ("npz", "parquet", "csv", "ihs", "epl")),
    ("signal", "nanovolts", 1e3, ("npz", "parquet", "csv", "ihs", "epl")),
    ("peak_latency_ms", "seconds", 1e-3, _LABELLED),
    ("peak_latency_ms", "milliseconds", 1e3, _LABELLED),
    ("peak_amplitude_uv", "nanovolts", 1e3, _LABELLED),
    ("frequency_khz", "kHz", 1e3, ("npz", "parquet", "csv")),
    ("sampling_rate_hz", "Hz", 1e-3, ("npz", "parquet", "csv")),
)
"""Column, the word that must be said, the factor between the units, and the forms that hold the column."""


def in_other_unit(column: str, factor: float) -> Callable[[Recordings], Recordings]:
    """A function that puts a whole column into another unit."""
    if column == "sampling_rate_hz":
        return lambda r: replace(r, sampling_rate_hz=r.sampling_rate_hz * factor)

    def changed(r: Recordings) -> Recordings:
        column_N: Any = r.columns()[column] * np.float32(factor)
        return replace(r, **{column: column_N})

    return changed


# --- text ---


def _cells(text: str, change: Callable[[str], str]) -> str:
    """A CSV text with every number that is no whole one changed."""
    header, *rows = text.splitlines()
    rows = [",".join(change(cell) if "." in cell else cell for cell in row.split(",")) for row in rows]
    return "\n".join([header, *rows]) + "\n"


TEXTS: Final[Mapping[str, tuple[Callable[[str], str | bytes], bool]]] = {
    "decimal commas": (lambda t: _cells(t, lambda cell: cell.replace(".", ",")), False),
    "decimal commas in quotes": (lambda t: _cells(t, lambda cell: f'"{cell.replace(".", ",")}"'), False),
    "thousands separated": (lambda t: t.replace(",15000,", ',"15,000",'), False),
    "a minus of print": (lambda t: t.replace(",-0", ",−0", 3), False),
    "semicolons": (lambda t: t.replace(",", ";"), False),
    "tabs": (lambda t: t.replace(",", "\t"), False),
    "UTF-16": (lambda t: t.encode("utf-16"), False),
    "code page 1254": (lambda t: t.encode("cp1254"), False),
    "two encodings": (lambda t: t.encode() + t.splitlines()[-1].replace("p5", "Ş5").encode("cp1254") + b"\n", False),
    "Windows lines": (lambda t: t.replace("\n", "\r\n"), True),
    "old Mac lines": (lambda t: t.replace("\n", "\r"), True),
    "a byte-order mark": (lambda t: t.encode("utf-8-sig"), True),
    "blank lines": (lambda t: t.replace("\n", "\n\n"), True),
    "header only": (lambda t: t.splitlines()[0] + "\n", False),
    "no header": (lambda t: t.partition("\n")[2], False),
    "a misspelt column": (lambda t: t.replace("threshold_db", "treshold_db"), False),
    "a missing column": (lambda t: t.replace("patient,", "someone,"), False),
    "a column twice": (lambda t: t.replace("s1,", "s2,", 1), False),
    "a sample left out": (lambda t: t.replace(",s7,", ",s700,", 1), False),
    "a sample without end": (lambda t: t.replace(",s7,", ",s999999999,", 1), False),
    "a cell too many": (lambda t: t.rstrip("\n") + ",1\n", False),
    "an open quotation": (lambda t: t.replace("p3", '"p3', 1), False),
    "zero bytes": (lambda t: t.replace("p2,", "p\0,", 1), False),
    "a formula's error": (lambda t: t.replace("15000,", "#DIV/0!,", 1), False),
    "two sampling rates": (
        lambda t: t[:-1].rpartition("\n")[0] + "\n" + t.splitlines()[-1].replace("15000", "20000"),
        False,
    ),
    "two spellings of a class": (lambda t: t.replace("NORMAL", "Normal ", 1), False),
    "a million columns": (
        lambda t: ",".join(f"s{n}" for n in range(1_000_000)) + "\n" + ",".join("1" * 1_000_000),
        False,
    ),
    "a letter": (lambda _: "Dear audiologist,\nplease find enclosed\n", False),
}
"""What editors, spreadsheets and people do to a CSV file, and whether it may still be read."""


# --- archives that inflate, and pickles that do harm ---


def _archive(members: Mapping[str, tuple[bytes, int]]) -> bytes:
    """An archive of deflated members that say their inflated size; their checksums are wrong."""
    body, directory = b"", b""
    for name, (deflated, size) in members.items():
        local = struct.pack("<4s5H3L2H", b"PK\3\4", 20, 0, 8, 0, 0, 0, len(deflated), size, len(name), 0)
        entry = struct.pack(
            "<4s6H3L5H2L", b"PK\1\2", 20, 20, 0, 8, 0, 0, 0, len(deflated), size, len(name), *[0] * 5, len(body)
        )
        body += local + name.encode() + deflated
        directory += entry + name.encode()
    count = len(members)
    return body + directory + struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, count, count, len(directory), len(body), 0)


def _zeros(head: bytes, gib: float) -> tuple[bytes, int]:
    """Some bytes and many deflated zeros, a stretch of 64 MiB over and over, and what they say they inflate to."""
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    first = packer.compress(head) + packer.flush(zlib.Z_FULL_FLUSH)
    stretch = packer.compress(bytes(2**26)) + packer.flush(zlib.Z_FULL_FLUSH)
    count = int(gib * 16)
    return first + stretch * count + packer.flush(zlib.Z_FINISH), len(head) + count * 2**26


def _npy_header(shape: str, descr: str = "<f4") -> bytes:
    text = f"{{'descr': '{descr}', 'fortran_order': False, 'shape': {shape}, }}".ljust(117) + "\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text.encode()


def bombs(path: Path) -> dict[str, bytes]:
    """Archives whose size on the disk says nothing of what they would take, made from a sound one."""
    arrays = arrays_of(path)

    def holding(content: bytes, times: int = 1) -> bytes:
        buffer = io.BytesIO(saved({name: value for name, value in arrays.items() if name != "signal"}))
        with zipfile.ZipFile(buffer, "a") as archive:
            for _ in range(times):
                archive.writestr("signal.npy", content)
        return buffer.getvalue()

    return {
        "1 GiB that inflates": _archive({"signal.npy": _zeros(_npy_header("(1024, 262144)"), 1)}),
        "7.5 GiB that inflate": _archive({f"{name}.npy": _zeros(b"", 2.5) for name in ("signal", "clean", "static")}),
        "4 GiB only said to be there": _archive({"signal.npy": (_zeros(b"", 0.0625)[0], 0xFFFFFFFE)}),
        "a shape of 10^15": holding(_npy_header("(1000000000, 1000000)") + bytes(100)),
        "a negative shape": holding(_npy_header("(-24, -120)") + bytes(24 * 120 * 4)),
        "a shape of brackets": holding(_npy_header("(" * 900 + ")" * 900) + bytes(9)),
        "no array": holding(b"a letter"),
        "a header without end": holding(b"\x93NUMPY\x02\x00\xff\xff\xff\xff" + b" " * 1000),
        "code for a type": holding(_npy_header("(1,)", "|O") + b"cos\nsystem\n(S'true'\ntR."),
    }


class Runs:
    """Runs a function when it is unpickled."""

    def __init__(self, function: Callable[..., Any], *arguments: Any) -> None:
        self.call = (function, arguments)

    def __reduce__(self) -> Any:
        return self.call


def _exec(code: str) -> Runs:
    return Runs(exec, code)


PICKLES: Final[Mapping[str, Any]] = {
    "a crash": _exec("import ctypes; ctypes.string_at(0)"),
    "an abort": Runs(os.abort),
    "killed": Runs(signal.raise_signal, signal.SIGKILL),
    "ended, as if all were well": Runs(os._exit, 0),
    "ended with 7": Runs(os._exit, 7),
    "sys.exit": Runs(sys.exit),
    "an interrupt": _exec("raise KeyboardInterrupt"),
    "12 GiB": Runs(bytearray, 12 * 2**30),
    "no end": _exec("while True: pass"),
    "recursion": _exec("f = lambda: f(); f()"),
    "an answer of its own": _exec("import os; [os.write(fd, b'{\"header\": {}}\\n') for fd in (1, 2)]"),
    "a package that is not here": b"\x80\x04cnowhere\nnothing\n.",
}
"""What a pickle may do when it is opened."""


def pickled(what: str, folder: Path) -> Path:
    """A pickle that does that."""
    path = folder / "clinic.pkl"
    content = PICKLES[what]
    if isinstance(content, bytes):
        path.write_bytes(content)
    else:
        joblib.dump(content, path)
    return path


def blinded(r: Recordings, folder: Path) -> Path:
    """A pickle that switches off the checks in its process and brings recordings that make no sense."""
    code = "import core.data.check as check; check.find_problems = lambda recordings: ()"
    content = clinic_content(cell("age_years", 3, -5)(r))
    joblib.dump({**content, "metadata": _exec(code)}, folder / "clinic.pkl")
    return folder / "clinic.pkl"


CLINIC_CHANGES: Final[Mapping[str, tuple[str, Any]]] = {
    "target: text": ("target", "NORMAL"),
    "target: a fraction": ("target", 1.5),
    "signal: text": ("signal", ["x"] * 120),
    "signal: shorter": ("signal", np.zeros(119)),
    "static_params: objects": ("static_params", [object()] * 4),
    "v_peak: nothing": ("v_peak", None),
    "patient_id: missing": ("patient_id", KeyError),
    "clinical_threshold: text": ("clinical_threshold", "loud"),
}
"""What may stand in a sample of the clinic."""


def clinic_changed(r: Recordings, what: str, row: int, folder: Path) -> Path:
    """The clinic's pickle with that in one sample."""
    content = clinic_content(r)
    name, value = CLINIC_CHANGES[what]
    if value is KeyError:
        del content["data"][row][name]
    else:
        content["data"][row][name] = value
    joblib.dump(content, folder / "clinic.pkl")
    return folder / "clinic.pkl"
