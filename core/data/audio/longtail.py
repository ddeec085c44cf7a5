"""A long tail made of evenly filled classes: as few recordings of each as a histogram says.

Classes sorted by name are given evenly spaced ranks of a sorted histogram, scaled so that the largest class keeps a
stated number of recordings and none fewer than another.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from core.data.check import DataMistakes, DataProblem


def tail_counts(histogram: Sequence[int], classes: int, *, largest: int, least: int) -> tuple[int, ...]:
    """Recordings that each class keeps, falling: `classes` evenly spaced ranks of the histogram, scaled.

    Raises ValueError for a histogram without a positive number.
    """
    sizes = sorted((int(count) for count in histogram), reverse=True)
    if not sizes or sizes[0] < 1:
        raise ValueError("the histogram holds no positive number")
    ranks = np.round(np.linspace(0, len(sizes) - 1, classes)).astype(int)
    return tuple(max(least, round(sizes[rank] * largest / sizes[0])) for rank in ranks)


def histogram_in(file: Path, key: str | None) -> tuple[int, ...]:
    """The counts in a JSON file: `{name: count}`, or such a mapping under `key`.

    Raises DataMistakes where there is no such thing.
    """
    found = json_in(file)
    if key is not None:
        if not isinstance(found, Mapping) or key not in found:
            known = ", ".join(map(str, found)) if isinstance(found, Mapping) else "no names"
            raise DataMistakes(str(file), [DataProblem(f"it has no {key!r}", hint=f"it has {known}")])
        found = found[key]
    whole = isinstance(found, Mapping) and all(type(count) is int and count >= 0 for count in found.values())
    if not whole or not found:
        raise DataMistakes(str(file), [DataProblem("counts are wanted, as in {name: 12, ...}")])
    return tuple(found.values())


def json_in(file: Path) -> Any:
    """What a JSON file holds. Raises DataMistakes where it is none."""
    try:
        return json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise DataMistakes(str(file), [DataProblem("no such file")]) from None
    except (OSError, ValueError) as fault:
        raise DataMistakes(str(file), [DataProblem(f"no JSON can be read from it: {fault}")]) from fault
