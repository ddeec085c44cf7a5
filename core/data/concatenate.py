"""Several tables of recordings as one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from core.data.check import DataMistakes, DataProblem
from core.data.recordings import Recordings
from core.data.suspicions import shared_patients


def concatenate(tables: Sequence[Recordings], sources: Sequence[str] = ()) -> Recordings:
    """One table of several, in order; their notes are joined. `sources` names them for messages.

    Raises:
        DataMistakes: they differ in sampling rate, unit, classes or number of samples.
    """
    first = tables[0]
    names = sources or [f"table {number}" for number in range(len(tables))]
    for table, source in zip(tables[1:], names[1:], strict=True):
        for name in ("sampling_rate_hz", "unit", "samples", "class_names"):
            ours, theirs = getattr(first, name), getattr(table, name)
            if ours != theirs:
                problem = DataProblem(f"{name} is {theirs}, but {ours} in {names[0]}", hint="import them one by one")
                raise DataMistakes(source, [problem])
    columns: dict[str, Any] = {}
    for name in dict.fromkeys(name for table in tables for name in table.columns()):
        columns[name] = np.concatenate([_column(table, name) for table in tables])
    together = shared_patients(tables, names) if len(tables) > 1 else ()
    notes = tuple(dict.fromkeys([*(note for table in tables for note in table.notes), *together]))
    return replace(first, **columns, notes=notes)


def _column(table: Recordings, name: str) -> NDArray[Any]:
    """A column; an optional one that this table lacks is missing throughout."""
    value = getattr(table, name)
    return np.full(len(table), np.nan, np.float32) if value is None else np.asarray(value)
