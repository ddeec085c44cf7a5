"""A CSV file as a data frame that knows which line each row stands in."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

from core.data.check import SHOWN, DataMistakes, DataProblem

if TYPE_CHECKING:
    import pandas as pd

MISSING: Final = ("", "NA", "NaN", "nan")
"""Cells that hold no value."""


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

    try:
        lines = _lines(file)
        frame = pd.read_csv(
            file,
            encoding="utf-8-sig",
            dtype=dict.fromkeys(text, "str"),
            keep_default_na=False,
            na_values=list(MISSING),
            low_memory=False,
        )
    except UnicodeDecodeError as fault:
        problem = DataProblem(f"not text in UTF-8 (byte {fault.start})", hint="save it as CSV UTF-8")
        raise DataMistakes(str(file), [problem]) from fault
    except (csv.Error, pd.errors.ParserError, pd.errors.EmptyDataError) as fault:
        raise DataMistakes(str(file), [DataProblem(f"not a table: {fault}")]) from fault
    return Sheet(file, frame, lines)


def _lines(file: Path) -> list[int]:
    """Line of each row that is not blank; pandas would fill a short row up and shift a long one."""
    with file.open(encoding="utf-8-sig", newline="") as characters:
        rows = csv.reader(characters, strict=True)
        header = next(rows, [])
        problems = list(_header_problems(header))
        lines: list[int] = []
        short: list[DataProblem] = []
        for cells in rows:
            if len(cells) not in {0, len(header)}:
                message = f"{len(cells)} cells, but the header names {len(header)} columns"
                short.append(DataProblem(message, line=rows.line_num))
            elif cells:
                lines.append(rows.line_num)
    rest = [DataProblem(f"the same in {len(short) - SHOWN} more lines")] if len(short) > SHOWN else []
    if found := [*problems, *short[:SHOWN], *rest]:
        raise DataMistakes(str(file), found)
    return lines


def _header_problems(header: Sequence[str]) -> Iterator[DataProblem]:
    if len(header) == 1 and ";" in header[0]:
        hint = "save it with commas between columns and points in numbers"
        yield DataProblem("columns are separated by semicolons", line=1, hint=hint)
    for name, times in Counter(header).items():
        if times > 1:
            yield DataProblem(f"the column {name!r} stands {times} times in the header", line=1)
