"""What a process that reads files for us sends back: a header and plain arrays, or what is wrong with a file.

One line of JSON, then the arrays in NumPy's own format, which needs no pickle.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from core.data.check import DataMistakes, DataProblem


@dataclass(frozen=True, slots=True)
class Answer:
    """What a file holds, before it is a table of recordings."""

    header: Mapping[str, Any]
    """Plain words and numbers, ready for JSON."""
    arrays: Mapping[str, NDArray[Any]]


def send(answer: Answer | DataMistakes, to: BinaryIO) -> None:
    """Writes an answer."""
    if isinstance(answer, DataMistakes):
        told = {"source": answer.source, "problems": [asdict(problem) for problem in answer.problems]}
        to.write(json.dumps(told).encode() + b"\n")
        return
    to.write(json.dumps({"header": answer.header, "arrays": list(answer.arrays)}).encode() + b"\n")
    for array in answer.arrays.values():
        np.lib.format.write_array(to, np.asarray(array), allow_pickle=False)


def receive(file: BinaryIO) -> Answer:
    """The answer that `send` wrote.

    Raises:
        DataMistakes: that was the answer.
        ValueError: there is none, or not all of one.
    """
    told = json.loads(file.readline())
    if "problems" in told:
        raise DataMistakes(told["source"], [DataProblem(**problem) for problem in told["problems"]])
    arrays = {name: np.lib.format.read_array(file, allow_pickle=False) for name in told["arrays"]}
    return Answer(told["header"], arrays)
