"""The clinic's joblib pickle: click recordings of 200 samples at 15 kHz, z-scored, with five classes.

`{"data": [sample, ...], "scaler", "label_encoder", "metadata"}`; a sample has `patient_id`, `static_params` (age,
intensity, stimulus rate, FMP; standardised by `scaler`), `signal`, `v_peak` (latency ms, amplitude µV), `v_peak_mask`,
`target` and `clinical_threshold`. The label encoder sorts the class names by code point.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from core.data.apart import open_apart
from core.data.check import DataMistakes, DataProblem, check
from core.data.recordings import STATIC, Recordings

SAMPLING_RATE_HZ: Final = 15_000.0
"""The device's; the stimulus is at sample 0. (A reading of 20 kHz is wrong.)"""
CLASS_NAMES: Final = ("NORMAL", "NÖROPATİ", "SNİK", "TOTAL", "İTİK")
"""Classes by index where the file carries no label encoder; the spelling is data and never case-folded."""


def unpickle_clinic(files: Sequence[Path]) -> Recordings:
    """The recordings in the clinic's pickle. Opening it runs whatever code the file brings: only for trusted files.

    It is opened in a process of its own (see `core.data.apart`), from which only plain arrays come back. Flat
    recordings, which the clinic's preparation writes as zeros, are left out and counted in the notes.

    Raises:
        DataMistakes: that process died, the layout is another, or the values make no sense.
    """
    (file,) = files
    found = open_apart("clinic", files)
    table = _table(file, dict(found.arrays), dict(found.header))
    recorded_N = np.ptp(table.signal, axis=1) != 0
    if flat := int((~recorded_N).sum()):
        table = replace(table, notes=(*table.notes, f"{flat} flat recordings were left out."))
    return check(table.take(recorded_N), str(file), np.flatnonzero(recorded_N))


def _table(file: Path, arrays: dict[str, NDArray[Any]], header: dict[str, Any]) -> Recordings:
    waveform = arrays["signal"].astype(np.float32)
    seen = arrays["v_peak_mask"] != 0
    latency = np.where(seen[:, 0], arrays["v_peak"][:, 0], np.nan)
    amplitude = np.where(seen.all(axis=1), arrays["v_peak"][:, 1], np.nan)
    return Recordings(
        signal=waveform,
        sampling_rate_hz=SAMPLING_RATE_HZ,
        unit="z",
        patient=arrays["patient"],
        static=_physical(file, arrays["static_params"], header).astype(np.float32),
        class_names=tuple(header["classes"]) or CLASS_NAMES,
        hearing_class=arrays["target"][:, 0].astype(np.int64),
        threshold_db=arrays["clinical_threshold"][:, 0].astype(np.float32),
        peak_exist=seen[:, 0].astype(np.float32),
        peak_latency_ms=latency.astype(np.float32),
        peak_amplitude_uv=amplitude.astype(np.float32),
        origin="clinic",
        notes=_NOTES,
    )


_NOTES: Final = (
    "Wave V without a label counts as not visible.",
    "The threshold label was derived from class, intensity and wave V plus noise.",
)


def _physical(file: Path, static_NS: NDArray[np.float64], header: dict[str, Any]) -> NDArray[np.float64]:
    """Static parameters in their own units: the file's standardisation undone, unless it holds them as they are.

    Stimuli come tens of times a second, standardised rates lie around 0. A rate of 0 stands for an unknown one.
    """
    physical = static_NS.copy()
    rate = STATIC.index("rate_per_s")
    if np.median(physical[:, rate]) < 5:
        if len(header["mean"]) != len(STATIC) or len(header["scale"]) != len(STATIC):
            message = "static_params are standardised, but the file holds no scaler to undo it"
            raise DataMistakes(str(file), [DataProblem(message, column="static_params")])
        physical = physical * np.array(header["scale"]) + np.array(header["mean"])
        physical[np.abs(physical) < 1e-5 * np.array(header["scale"])] = 0.0  # a zero that rounding has made negative
    physical[physical[:, rate] == 0, rate] = np.nan
    return physical
