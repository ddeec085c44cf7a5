"""Recordings from other formats; each importer is one module and one line of the table."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Final

from core.data.apart import open_apart
from core.data.check import DataMistakes, DataProblem
from core.data.files import readable, received
from core.data.formats import FORMATS, Format
from core.data.importers.clinic import unpickle_clinic
from core.data.importers.csv import read_csv
from core.data.importers.epl import read_epl
from core.data.importers.ihs import read_ihs
from core.data.recordings import Recordings

Importer = Callable[[Sequence[Path]], Recordings]


def _read_apart(kind: Format, files: Sequence[Path]) -> Recordings:
    return received(open_apart(kind, files), ", ".join(map(str, files)))


READERS: Final[Mapping[Format, Importer]] = {"csv": read_csv, "ihs": read_ihs, "epl": read_epl}
"""What reads a format, in the process that `core.data.apart` starts."""
IMPORTERS: Final[Mapping[Format, Importer]] = {
    "csv": partial(_read_apart, "csv"),
    "clinic": unpickle_clinic,
    "ihs": partial(_read_apart, "ihs"),
    "epl": partial(_read_apart, "epl"),
}
"""What imports a format: all of them open files in a process of their own."""
RUNS_CODE: Final[frozenset[Format]] = frozenset({"clinic"})
"""Formats that run whatever code the file brings."""
SINGLE: Final[frozenset[Format]] = frozenset({"clinic", "ihs"})
"""Formats whose one file is the whole data set."""

__all__ = ["FORMATS", "IMPORTERS", "RUNS_CODE", "SINGLE", "Format", "import_recordings"]


def import_recordings(kind: Format, files: Sequence[Path], *, trust_pickle: bool = False) -> Recordings:
    """One checked table of recordings from the files, which are all of one format.

    Raises:
        DataMistakes: a file is absent or damaged, makes no sense, or is a pickle that is not trusted.
    """
    if kind in RUNS_CODE and not trust_pickle:
        problem = DataProblem(
            "a pickle can run any code when it is opened, so it is only opened when you say you trust it",
            hint="if you know where it comes from, say --trust-pickle",
        )
        raise DataMistakes(str(files[0]), [problem])
    if kind in SINGLE and len(files) > 1:
        raise DataMistakes(
            str(files[1]), [DataProblem(f"the format {kind} takes one file", hint="import them one by one")]
        )
    seen: dict[Path, Path] = {}
    for file in files:
        first = seen.setdefault(readable(file).resolve(), file)
        if first is not file:
            told = f"given twice, also as {first}" if str(first) != str(file) else "given twice"
            raise DataMistakes(str(file), [DataProblem(told, hint="every recording would count twice")])
    return IMPORTERS[kind](files)
