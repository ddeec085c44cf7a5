"""A CSV file as a data frame that knows which line each row stands in."""

from __future__ import annotations

import csv
import logging
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

from core.data.check import SHOWN, DataMistakes, DataProblem

if TYPE_CHECKING:
    import pandas as pd

log = logging.getLogger(__name__)

MISSING: Final = ("", "NA", "NaN", "nan")
"""Cells that hold no value."""
MOST_COLUMNS: Final = 100_000
"""A sweep of seconds; more columns than this are recordings side by side, or no table."""


@dataclass(frozen=True, slots=True, eq=False)
class Sheet:
    """The rows of one file."""

    file: Path
    frame: pd.DataFrame
    """Columns by name; numbers where every cell is one, text in the columns asked for and where one is not."""
    lines: Sequence[int]
    """Line of the file, counted from 1, each row ends in."""

    def in_lines(self, problems: Iterator[DataProblem] | Sequence[DataProblem]) -> Iterator[DataProblem]:
        """The same problems, told by the line of the file."""
        for problem in problems:
            yield problem if problem.row is None else replace(problem, line=self.lines[problem.row])


def read_sheet(file: Path, *, text: Collection[str]) -> Sheet:
    """The rows of a CSV file with commas between cells; the columns in `text` are kept as they are spelt.

    Raises:
        DataMistakes: not UTF-8, not separated by commas, or rows with more or fewer cells than the header.
    """
    import pandas as pd

    log.debug("%s\tthe table", file)
    try:
        lines = _lines(file)
        frame = pd.read_csv(
            file,
            encoding="utf-8-sig",
            dtype=dict.fromkeys(text, "str"),
            index_col=False,
            keep_default_na=False,
            na_values=list(MISSING),
            low_memory=False,
        )
    except UnicodeDecodeError as fault:
        raise DataMistakes(str(file), [_no_text(file)]) from fault
    except (csv.Error, pd.errors.ParserError, pd.errors.EmptyDataError) as fault:
        raise DataMistakes(str(file), [DataProblem(f"not a table: {fault}", line=1)]) from fault
    if len(frame) != len(lines):
        told = f"not a table: {len(lines)} rows of cells, but {len(frame)} between line breaks"
        raise DataMistakes(str(file), [DataProblem(told, hint="does a quotation mark or a zero byte stand in it?")])
    return Sheet(file, frame, lines)


def _lines(file: Path) -> list[int]:
    """Line of each row that is not blank; pandas would fill a short row up and shift a long one."""
    with file.open(encoding="utf-8-sig", newline="") as characters:
        rows = csv.reader(_without_zero_bytes(file, characters), strict=True)
        try:
            header = next(rows, [])
            problems = list(_header_problems(header))
            lines: list[int] = []
            short: list[DataProblem] = []
            for cells in rows:
                if len(cells) not in {0, len(header)}:
                    message = f"{len(cells)} cells, but the header names {len(header)} columns"
                    short.append(DataProblem(message, line=rows.line_num, hint=_comma_hint(cells, len(header))))
                elif cells:
                    lines.append(rows.line_num)
        except csv.Error as fault:
            raise DataMistakes(str(file), [DataProblem(f"not a table: {fault}", line=rows.line_num)]) from fault
    rest = [DataProblem(f"the same in {len(short) - SHOWN} more lines")] if len(short) > SHOWN else []
    if found := [*problems, *short[:SHOWN], *rest]:
        raise DataMistakes(str(file), found)
    return lines


def _without_zero_bytes(file: Path, lines: Iterable[str]) -> Iterator[str]:
    """The lines themselves; pandas and NumPy would end a cell there."""
    for number, line in enumerate(lines, start=1):
        if "\0" in line:
            raise DataMistakes(str(file), [DataProblem("a zero byte stands here, which is no text", line=number)])
        yield line


def _comma_hint(cells: Sequence[str], columns: int) -> str | None:
    if len(cells) <= columns:
        return None
    return "write numbers with a decimal point and without separators of thousands, and put text with commas in quotes"


SEPARATORS: Final = {";": "semicolons", "\t": "tabs", "|": "bars"}


def _header_problems(header: Sequence[str]) -> Iterator[DataProblem]:
    if len(header) == 1:
        for mark, name in SEPARATORS.items():
            if mark in header[0]:
                hint = "save it with commas between columns and points in numbers"
                yield DataProblem(f"columns are separated by {name}", line=1, hint=hint)
    if len(header) > MOST_COLUMNS:
        yield DataProblem(
            f"{len(header):,} columns are more than {MOST_COLUMNS:,}", line=1, hint="one row per recording"
        )
    if header and all(_is_number(name) for name in header):
        yield DataProblem(
            "the first line holds numbers", line=1, hint="it must name the columns: patient, ..., s0, s1, ..."
        )
    twice = [(name, times) for name, times in Counter(header).items() if times > 1]
    for name, times in twice[:SHOWN]:
        if name.strip():
            yield DataProblem(f"the column {name!r} stands {times} times in the header", line=1)
        else:
            hint = "delete the empty columns, which spreadsheets save with the others"
            yield DataProblem(f"{times} columns have no name", line=1, hint=hint)


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True


def _no_text(file: Path) -> DataProblem:
    """The first byte that is no UTF-8, by line."""
    hint = "save it as CSV UTF-8"
    with file.open("rb") as stream:
        if stream.read(2) in {b"\xff\xfe", b"\xfe\xff"}:
            return DataProblem("text in UTF-16, not UTF-8", line=1, hint=hint)
        stream.seek(0)
        offset = 0
        for number, line in enumerate(stream, start=1):
            try:
                line.decode()
            except UnicodeDecodeError as fault:
                cell = line[: fault.start].count(b",") + 1
                told = f"not text in UTF-8 (byte {fault.start + 1} of the line, {offset + fault.start:,} of the file)"
                return DataProblem(f"{told}, about cell {cell}", line=number, hint=hint)
            offset += len(line)
    return DataProblem("not text in UTF-8", line=1, hint=hint)
