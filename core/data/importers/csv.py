"""A CSV file with one row per recording and named columns.

| column | content |
|---|---|
| `patient` | patient id; required |
| `sampling_rate_hz` | the same in every row; required |
| `s0`, `s1`, ... `s199` | the samples, the stimulus at `s0`; required, none missing |
| `unit` | `uV` (when absent), `V`, `mV`, `nV` (become uV) or `z` (each recording standardised), the same in every row |
| `age_years`, `intensity_db_nhl`, `rate_per_s`, `fmp` | static parameters |
| `class` | name of the hearing-loss class, kept as it is spelt |
| `threshold_db` | hearing threshold, dB nHL |
| `peak_exist` | 1 wave V is visible, 0 it is not |
| `peak_latency_ms`, `peak_amplitude_uv` | wave V; a latency alone says that the wave is visible |
| `sweeps`, `frequency_khz` | responses averaged; frequency of a tone (empty: click) |

Columns may stand in any order and the optional ones may be absent; an empty cell (or NA, NaN) is a missing value.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from core.data.check import SHOWN, DataMistakes, DataProblem, at_rows, find_problems
from core.data.concatenate import concatenate
from core.data.importers.sheet import Sheet, read_sheet
from core.data.recordings import STATIC, Recordings

if TYPE_CHECKING:
    import pandas as pd

LABELS: Final = ("threshold_db", "peak_exist", "peak_latency_ms", "peak_amplitude_uv")
EXTRA: Final = ("sweeps", "frequency_khz")
TEXT: Final = ("patient", "class", "unit")
REQUIRED: Final = ("patient", "sampling_rate_hz")
COLUMNS: Final = (*TEXT, "sampling_rate_hz", *STATIC, *LABELS, *EXTRA)


def read_csv(files: Sequence[Path]) -> Recordings:
    """One table of the rows of all files, in order; the files share sampling rate, unit and number of samples.

    Raises:
        DataMistakes: everything that is wrong, with line and column.
    """
    sheets = [read_sheet(file, text=TEXT) for file in files]
    for sheet in sheets:
        if problems := list(_sheet_problems(sheet)):
            raise DataMistakes(str(sheet.file), problems)
    frames = [sheet.frame for sheet in sheets]
    names = sorted({str(name) for frame in frames if "class" in frame for name in frame["class"].dropna().unique()})
    return concatenate([_table(sheet, tuple(names)) for sheet in sheets], [str(file) for file in files])


_SAMPLE: Final = re.compile(r"s(0|[1-9][0-9]{0,8})")


def _samples(frame: pd.DataFrame) -> list[str]:
    """The sample columns in the order of time."""
    return sorted((name for name in map(str, frame.columns) if _SAMPLE.fullmatch(name)), key=lambda name: int(name[1:]))


TO_UV: Final[Mapping[str, float]] = {"uV": 1.0, "µV": 1.0, "μV": 1.0, "V": 1e6, "mV": 1e3, "nV": 1e-3}
"""Microvolts in one of each unit of the samples; two letters of Unicode look like a micro."""


def _sheet_problems(sheet: Sheet) -> Iterator[DataProblem]:
    frame = sheet.frame
    yield from _column_problems(frame)
    samples = _samples(frame)
    for name in map(str, frame.columns):
        if name not in TEXT and (name in COLUMNS or name in samples):
            required = name in samples or name == "sampling_rate_hz"
            yield from sheet.in_lines(_cell_problems(frame[name], name, required=required))
    for name in ("sampling_rate_hz", "unit"):
        if name in frame and frame[name].nunique() > 1:
            first = frame[name].dropna().iloc[0]
            row = int(np.flatnonzero((frame[name] != first).to_numpy())[0])
            yield DataProblem(f"{first} at first, {frame[name].iloc[row]} here", line=sheet.lines[row], column=name)
    if "unit" in frame:
        unknown_N = (frame["unit"].notna() & ~frame["unit"].isin([*TO_UV, "z"])).to_numpy()
        for problem in sheet.in_lines(at_rows(unknown_N, "unit", "no unit that is known")):
            yield replace(problem, hint=f"known are {', '.join(TO_UV)} and z")
    yield from sheet.in_lines(_formula_problems(frame))
    yield from sheet.in_lines(_name_problems(frame))
    if "patient" in frame:
        yield from sheet.in_lines(at_rows(frame["patient"].isna().to_numpy(), "patient", "the patient is missing"))


def _column_problems(frame: pd.DataFrame) -> Iterator[DataProblem]:
    samples = _samples(frame)
    unknown = [name for name in map(str, frame.columns) if name not in COLUMNS and not _SAMPLE.fullmatch(name)]
    for name in unknown[:SHOWN]:
        near = _meant(name)
        hint = f"did you mean {near}?" if near else f"known are {', '.join(COLUMNS)} and s0, s1, ..."
        yield DataProblem(f"unknown column {name!r}", line=1, hint=hint)
    if len(unknown) > SHOWN:
        yield DataProblem(f"{len(unknown) - SHOWN} more unknown columns", line=1)
    for name in REQUIRED:
        if name not in frame:
            yield DataProblem(f"the column {name} is missing", line=1)
    if not samples:
        yield DataProblem("there are no samples", line=1, hint="name their columns s0, s1, ...")
    elif gap := next((f"s{index}" for index, name in enumerate(samples) if name != f"s{index}"), None):
        yield DataProblem(f"the column {gap} is missing", line=1)
    if not len(frame):
        yield DataProblem("there are no recordings", line=1, hint="only the header is there")


def _meant(name: str) -> str | None:
    """The column that a misspelt name stands for."""
    plain = name.strip().lower()
    if plain in COLUMNS or _SAMPLE.fullmatch(plain):
        return plain
    near = get_close_matches(plain, COLUMNS, n=1)
    return near[0] if near else None


def _cell_problems(column: pd.Series[Any], name: str, *, required: bool) -> Iterator[DataProblem]:
    import pandas as pd

    wrong_N = (pd.to_numeric(column, errors="coerce").isna() & column.notna()).to_numpy()
    for problem in at_rows(wrong_N, name, "not a number"):
        if problem.row is None:
            yield problem
            continue
        cell = str(column.iloc[problem.row])
        hint = DECIMALS if _SEPARATED.fullmatch(cell.strip()) else None
        yield replace(problem, message=f"{cell[:40]!r} is not a number", hint=hint)
    if required:
        yield from at_rows(column.isna().to_numpy(), name, "the number is missing")


_SEPARATED: Final = re.compile(r"[-+−]?[0-9]+([.,'’  ][0-9]+)+(e[-+]?[0-9]+)?", re.IGNORECASE)
DECIMALS: Final = "write numbers with a decimal point and without separators of thousands"


SPREADSHEET_ERROR: Final = re.compile(r"#(N/A|NAME\?|NULL!|NUM!|REF!|VALUE!|DIV/0!|[#]+|NV|WERT!|BEZUG!|ZAHL!)")
"""What a formula that failed, or a cell too narrow for its content, leaves in a saved table; German ones too."""


def _formula_problems(frame: pd.DataFrame) -> Iterator[DataProblem]:
    """Failed formulas where text belongs; where a number belongs they are none anyway."""
    for name in (name for name in TEXT if name in frame):
        failed_N = frame[name].str.fullmatch(SPREADSHEET_ERROR).fillna(False).to_numpy(dtype=bool)
        yield from at_rows(failed_N, name, "what a spreadsheet writes where a formula failed")


def _name_problems(frame: pd.DataFrame) -> Iterator[DataProblem]:
    """Classes that are one class in two spellings."""
    spelt: dict[str, str] = {}
    for name in [] if "class" not in frame else frame["class"].dropna().unique():
        first = spelt.setdefault(" ".join(unicodedata.normalize("NFC", name).casefold().split()), name)
        if first != name:
            row = int(np.flatnonzero((frame["class"] == name).to_numpy())[0])
            told = f"{name!r} and {first!r} differ only in case or spaces"
            yield DataProblem(told, row=row, column="class", hint="spell them alike")


def _table(sheet: Sheet, class_names: tuple[str, ...]) -> Recordings:
    frame, count = sheet.frame, len(sheet.frame)

    def numbers(name: str) -> NDArray[np.float32]:
        if name not in frame:
            return np.full(count, np.nan, np.float32)
        with np.errstate(over="ignore"):  # a number beyond single precision becomes infinite, and is told of as that
            return frame[name].to_numpy(np.float32)

    columns: dict[str, Any] = {name: numbers(name) for name in LABELS}
    columns |= {name: numbers(name) for name in EXTRA if name in frame}
    visible_N = np.isnan(columns["peak_exist"]) & ~np.isnan(columns["peak_latency_ms"])
    columns["peak_exist"] = np.where(visible_N, np.float32(1), columns["peak_exist"])
    index = {name: position for position, name in enumerate(class_names)}
    classes = frame["class"].map(index).fillna(-1) if "class" in frame else np.full(count, -1)
    unit: Any = frame["unit"].dropna().iloc[0] if "unit" in frame and frame["unit"].notna().any() else "uV"
    factor = TO_UV.get(unit, 1.0)
    with np.errstate(over="ignore"):
        signal = (frame[_samples(frame)].to_numpy(np.float64) * factor).astype(np.float32)
    recordings = Recordings(
        signal=signal,
        sampling_rate_hz=float(frame["sampling_rate_hz"].iloc[0]),
        unit="z" if unit == "z" else "uV",
        notes=() if factor == 1 else (f"Samples converted from {unit} to microvolts.",),
        patient=np.array(frame["patient"].tolist(), dtype=np.str_),
        static=np.column_stack([numbers(name) for name in STATIC]),
        class_names=class_names,
        hearing_class=np.asarray(classes, dtype=np.int64),
        origin=sheet.file.name,
        **columns,
    )
    if problems := list(sheet.in_lines(find_problems(recordings))):
        raise DataMistakes(str(sheet.file), problems)
    return recordings
