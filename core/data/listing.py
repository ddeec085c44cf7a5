"""Which files make a data set, the class of each and what it comes from: folders, names or a table."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from core.data.check import DataMistakes, DataProblem
from core.data.labelled import Labelled

PATH_COLUMN: Final = "path"
CLASS_COLUMN: Final = "class"
GROUP_COLUMN: Final = "group"
MOST_FILES: Final = 1_000_000
FIELD: Final = re.compile(r"\{(\w+)\}")


@dataclass(frozen=True, slots=True)
class Listed:
    """One file of a data set."""

    path: Path
    name: str
    """Relative to the source."""
    class_name: str
    group: str
    """Whom or what it comes from; the file itself where nothing says so."""


def listed(source: Path, suffixes: Sequence[str], *, names: str | None = None) -> tuple[Listed, ...]:
    """The files of `source` in the order of their names.

    A folder with a folder for each class; or, with `names`, a folder whose files say what they are, as in
    `{class}_{take}.wav` (`{group}` may stand in it, any other word is passed over); or a `.csv` file with the columns
    `path` (relative to the table), `class` and, if there is one, `group`.

    Raises:
        DataMistakes: there is no such folder or table, a row or name makes no sense, or nothing is left.
    """
    if source.is_dir():
        found = tuple(_named(source, suffixes, names) if names else _in_folders(source, suffixes))
    elif source.suffix.lower() == ".csv" and source.is_file():
        found = tuple(_in_table(source))
    else:
        hint = "give a folder that holds a folder for each class, or a .csv table with the columns path and class"
        reason = "it is neither a folder nor a table" if source.exists() else "no such folder or table"
        raise DataMistakes(str(source), [DataProblem(reason, hint=hint)])
    if not found:
        raise DataMistakes(str(source), [DataProblem(f"no files that end in {', '.join(suffixes)}", hint=_hint(names))])
    if len(found) > MOST_FILES:
        raise DataMistakes(str(source), [DataProblem(f"more than {MOST_FILES:,} files")])
    return found


def classes_of(files: Sequence[Listed], source: Path, *, names: str | None = None) -> tuple[str, ...]:
    """The classes of the files, by name. Raises DataMistakes where there is only one."""
    found = tuple(sorted({file.class_name for file in files}))
    if len(found) < 2:
        hint = f"is {names} right?" if names else "each class needs a folder of its own"
        problem = DataProblem(f"every file is of the class {found[0]}: there is nothing to tell apart", hint=hint)
        raise DataMistakes(str(source), [problem])
    return found


def table_of(
    files: Sequence[Listed], inputs: NDArray[Any], class_names: Sequence[str], **views: NDArray[np.float32] | None
) -> Labelled:
    """The files with what was read of them, classes numbered by `class_names`."""
    number = {name: index for index, name in enumerate(class_names)}
    return Labelled(
        inputs=inputs,
        class_index=np.array([number[file.class_name] for file in files], dtype=np.int64),
        class_names=tuple(class_names),
        group=np.array([file.group for file in files], dtype=np.str_),
        name=np.array([file.name for file in files], dtype=np.str_),
        **views,
    )


def _hint(names: str | None) -> str:
    return f"their names should look like {names}" if names else "each class needs a folder of its own, named after it"


def _in_folders(source: Path, suffixes: Sequence[str]) -> Iterator[Listed]:
    empty = []
    for folder in sorted(each for each in source.iterdir() if each.is_dir() and not each.name.startswith(".")):
        files = list(_files(folder, suffixes))
        if not files:
            empty.append(folder.name)
        for file in files:
            name = file.relative_to(source).as_posix()
            yield Listed(file, name, folder.name, name)
    if empty:
        hint = f"files end in {', '.join(suffixes)}; take the folder away if it is no class"
        raise DataMistakes(
            str(source), [DataProblem(f"the class {name} is empty", column=name, hint=hint) for name in empty]
        )


def _named(source: Path, suffixes: Sequence[str], names: str) -> Iterator[Listed]:
    pattern = name_pattern(names)
    for file in _files(source, suffixes):
        name = file.relative_to(source).as_posix()
        match = pattern.fullmatch(name)
        if match is None:
            raise DataMistakes(str(file), [DataProblem(f"the name does not look like {names}")])
        said = match.groupdict()
        yield Listed(file, name, said["class_"], said.get("group") or name)


def name_pattern(names: str) -> re.Pattern[str]:
    """What file names are held against; `{class}_{take}.wav` takes as much as it can for the class.

    Raises ValueError where `{class}` is missing or a word stands twice.
    """
    words = FIELD.findall(names)
    if "class" not in words or len(set(words)) != len(words):
        raise ValueError(f"{names!r} must hold {{class}}, and each word once, as in {{class}}_{{take}}.wav")
    parts = FIELD.split(names)
    pieces = [
        f"(?P<{'class_' if part == 'class' else part}>[^/]+)" if index % 2 else re.escape(part)
        for index, part in enumerate(parts)
    ]
    return re.compile("".join(pieces))


def _files(folder: Path, suffixes: Sequence[str]) -> Iterator[Path]:
    for file in sorted(folder.rglob("*")):
        if file.suffix.lower() in suffixes and not file.name.startswith(".") and file.is_file():
            yield file


def _in_table(table: Path) -> Iterator[Listed]:
    problems = []
    line_of: dict[Path, int] = {}
    with table.open(encoding="utf-8-sig", newline="") as file:
        reader = csv.DictReader(file)
        columns = reader.fieldnames or ()
        if missing := [name for name in (PATH_COLUMN, CLASS_COLUMN) if name not in columns]:
            hint = f"its first line says {', '.join(columns) or 'nothing'}"
            raise DataMistakes(
                str(table), [DataProblem(f"no column {name}", column=name, hint=hint) for name in missing]
            )
        for row in reader:
            found = _row(table, row)
            if isinstance(found, str):
                problems.append(DataProblem(found, line=reader.line_num))
            elif found.path in line_of:
                # Trained on in one row and held out in the other, it would be scored on what was learnt by heart.
                twice = f"{found.name} is listed already, in line {line_of[found.path]}"
                problems.append(DataProblem(twice, line=reader.line_num))
            else:
                line_of[found.path] = reader.line_num
                yield found
    if problems:
        raise DataMistakes(str(table), problems[:20])


def _row(table: Path, row: Mapping[str, str | None]) -> Listed | str:
    """The file of a row, or what is wrong with it."""
    path, label = (row[PATH_COLUMN] or "").strip(), (row[CLASS_COLUMN] or "").strip()
    if not path or not label:
        return "path or class is empty"
    file = table.parent / path
    if not file.is_file():
        return f"there is no file {path}"
    return Listed(file, path, label, (row.get(GROUP_COLUMN) or "").strip() or path)
