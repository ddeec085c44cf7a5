"""The clinic's joblib pickle opened and turned into plain arrays: in the process that `core.data.apart` starts only.

Opening a pickle runs whatever code the file brings. That process is thrown away afterwards, and a crash stays in it.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from core.data.answer import Answer
from core.data.check import SHOWN, DataMistakes, DataProblem

log = logging.getLogger(__name__)

SIZES: Final = {"static_params": 4, "v_peak": 2, "v_peak_mask": 2}
REQUIRED: Final = ("patient_id", "signal", "target", *SIZES)


def unpickled(file: Path) -> Answer:
    """The content of the file; its code runs in this process.

    Raises:
        DataMistakes: the content is not what the clinic's files hold.
    """
    content = _opened(file)
    samples = content.get("data") if isinstance(content, dict) else None
    if not isinstance(samples, list) or not samples:
        told = f"expected a dictionary with a list of samples under 'data', found {type(content).__name__}"
        raise DataMistakes(str(file), [DataProblem(told)])
    _refuse(file, list(_layout_problems(samples)))
    arrays: dict[str, NDArray[Any]] = {"patient": np.array([str(sample["patient_id"]) for sample in samples])}
    problems: list[DataProblem] = []
    for name in ("target", "clinical_threshold", "signal", *SIZES):
        arrays[name] = _numbers([sample.get(name) for sample in samples], name, problems)
    _refuse(file, problems)
    return Answer(_header(file, content), arrays)


def _opened(file: Path) -> Any:
    """What is pickled in the file; a damaged one says how far it could be read."""
    import joblib

    log.debug("%s\tthe pickle", file)
    with file.open("rb") as stream:
        try:
            return joblib.load(stream)
        except Exception as fault:
            log.debug("%s\tthe pickle up to byte %d of %d", file, stream.tell(), file.stat().st_size)
            raise fault


def _header(file: Path, content: Mapping[str, Any]) -> dict[str, Any]:
    scaler, encoder = content.get("scaler"), content.get("label_encoder")
    try:
        return {
            "classes": [str(name) for name in getattr(encoder, "classes_", ())],
            "mean": [float(value) for value in getattr(scaler, "mean_", ())],
            "scale": [float(value) for value in getattr(scaler, "scale_", ())],
        }
    except (TypeError, ValueError) as fault:
        told = f"the scaler or the label encoder holds something else than names and numbers ({fault})"
        raise DataMistakes(str(file), [DataProblem(told, column="scaler")]) from fault


def _refuse(file: Path, problems: Sequence[DataProblem]) -> None:
    if problems:
        rest = [DataProblem(f"{len(problems) - SHOWN} more samples like these")] if len(problems) > SHOWN else []
        raise DataMistakes(str(file), [*problems[:SHOWN], *rest])


def _layout_problems(samples: Sequence[Any]) -> Iterator[DataProblem]:
    """Samples that differ from the documented layout."""
    length = np.size(samples[0].get("signal", ())) if isinstance(samples[0], dict) else 0
    for number, sample in enumerate(samples):
        if not isinstance(sample, dict):
            yield DataProblem(f"is no dictionary but {type(sample).__name__}", row=number)
        elif absent := [name for name in REQUIRED if name not in sample]:
            yield DataProblem(f"lacks {', '.join(absent)}", row=number)
        else:
            for name, size in {**SIZES, "signal": length}.items():
                if np.size(sample[name]) != size:
                    yield DataProblem(f"{np.size(sample[name])} values, not {size}", row=number, column=name)


def _numbers(values: Sequence[Any], name: str, problems: list[DataProblem]) -> NDArray[Any]:
    """(N,) or (N, size) numbers; a missing threshold is NaN. What is no number is added to `problems`."""
    rows: list[NDArray[np.float64]] = []
    for number, value in enumerate(values):
        try:
            numbers = np.ravel(np.asarray(np.nan if value is None else value, np.float64))
        except (TypeError, ValueError):
            problems.append(DataProblem(f"{str(value)[:40]!r} is not a number", row=number, column=name))
            continue
        if name == "target" and (numbers.size != 1 or not numbers[0].is_integer()):
            problems.append(DataProblem(f"{str(value)[:40]!r} is not a class number", row=number, column=name))
        rows.append(numbers if name in SIZES or name == "signal" else numbers[:1])
    return np.array(rows) if not problems else np.empty(0)
