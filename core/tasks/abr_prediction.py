"""Recordings of any rate and length made fit for a trained model, and its predictions as a table."""

from __future__ import annotations

from dataclasses import fields, replace
from fractions import Fraction
from typing import Any, Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.signal import resample_poly

from core.data.recordings import Recordings
from core.data.tensors import as_batch
from core.metrics import Predictions
from core.tasks.abr_weights import About, TrainedModel, predictions

# N recordings, T samples, C classes

EDGE: Final = 0.02
"""Share of a model's samples that may be missing at the end of a recording; the last value is held there."""


def adapted(recordings: Recordings, about: About) -> Recordings:
    """The recordings at the model's sampling rate, length and unit; their labels stay as they are.

    Longer recordings are cut at the end of the model's window; z-scoring makes microvolts fit a model trained on
    z-scored signals. Raises ValueError when they are too short or in a unit that cannot be converted.
    """
    signal_NT = _fitted(recordings.signal, recordings.sampling_rate_hz, about)
    clean_NT = None if recordings.clean is None else _fitted(recordings.clean, recordings.sampling_rate_hz, about)
    if recordings.unit != about.unit:
        if about.unit == "uV":
            raise ValueError("the model was trained on signals in uV; these are z-scored, their size in uV is lost")
        mean_N1, sd_N1 = signal_NT.mean(1, keepdims=True), signal_NT.std(1, keepdims=True)
        sd_N1 = np.where(sd_N1 > 0, sd_N1, 1)
        signal_NT = (signal_NT - mean_N1) / sd_N1
        clean_NT = None if clean_NT is None else (clean_NT - mean_N1) / sd_N1
    return replace(
        recordings,
        signal=signal_NT,
        clean=clean_NT,
        sampling_rate_hz=about.sampling_rate_hz,
        unit=about.unit,
    )


def renumbered(recordings: Recordings, class_names: tuple[str, ...]) -> Recordings:
    """The recordings with classes numbered by `class_names`; raises ValueError when they carry one not among these."""
    if recordings.class_names == class_names:
        return recordings
    used = {recordings.class_names[index] for index in np.unique(recordings.hearing_class) if index >= 0}
    unknown = sorted(used - set(class_names))
    if unknown:
        raise ValueError(f"the model knows the classes {', '.join(class_names)}, not {', '.join(unknown)}")
    number = {name: index for index, name in enumerate(class_names)}
    # The last entry is for -1, a class that is not known.
    table = np.array([*(number.get(name, -1) for name in recordings.class_names), -1])
    return replace(recordings, class_names=class_names, hearing_class=table[recordings.hearing_class])


def predict(model: TrainedModel, recordings: Recordings) -> Predictions:
    """The mean prediction of the model's networks."""
    batch = as_batch(adapted(recordings, model.about))
    calibration = model.about.calibration
    said = [
        calibration.applied(predictions(network, scaling, batch, trained=model.about.trained))
        for network, scaling in zip(model.networks, model.about.scalings, strict=True)
    ]
    columns = {column.name: [getattr(each, column.name) for each in said] for column in fields(Predictions)}
    return Predictions(
        **{
            name: None if any(part is None for part in parts) else np.mean(parts, axis=0)
            for name, parts in columns.items()
        }
    )


def prediction_table(model: TrainedModel, recordings: Recordings) -> pd.DataFrame:
    """One row per recording; columns of what the model was trained for.

    `patient`; `class`, the most probable, and `probability/<CLASS>`; `threshold_db`; `wave_v_probability`;
    `wave_v_latency_ms` and `wave_v_amplitude_uv`, which hold should wave V be visible; `signal`, the denoised samples
    at `signal_rate_hz`. `<column>_plus_minus` is half the width of an interval that covered 90 % of the recordings
    that validated the model, and promises as much only for recordings like those: one number for all recordings, or,
    where the model predicts a spread, a multiple of that, wider for recordings it is less sure of.
    `threshold_outlier_probability`, where the model has it, is how likely a threshold label for this recording would
    have nothing to do with it.
    """
    said = predict(model, recordings)
    table: dict[str, Any] = {"patient": recordings.patient}
    if said.class_probability is not None:
        names = np.array(model.about.class_names)
        table["class"] = names[said.class_probability.argmax(1)]
        table |= {f"probability/{name}": said.class_probability[:, index] for index, name in enumerate(names)}
    numbers: dict[str, NDArray[Any] | None] = {
        "threshold_db": said.threshold_db,
        "threshold_db_plus_minus": said.threshold_plus_minus_db,
        "threshold_outlier_probability": said.threshold_outlier_probability,
        "wave_v_probability": said.exist_probability,
        "wave_v_latency_ms": said.latency_ms,
        "wave_v_latency_ms_plus_minus": said.latency_plus_minus_ms,
        "wave_v_amplitude_uv": said.amplitude_uv,
        "wave_v_amplitude_uv_plus_minus": said.amplitude_plus_minus_uv,
    }
    table |= {column: values_N for column, values_N in numbers.items() if values_N is not None}
    if said.signal is not None:
        table["signal"] = list(said.signal.astype(np.float32))
        table["signal_rate_hz"] = np.full(len(recordings), model.about.sampling_rate_hz)
    return pd.DataFrame(table)


def _fitted(signal_NT: NDArray[np.float32], rate_hz: float, about: About) -> NDArray[np.float32]:
    if rate_hz != about.sampling_rate_hz:
        ratio = Fraction(about.sampling_rate_hz / rate_hz).limit_denominator(1000)
        # A line through the ends keeps an offset from ringing at the edges.
        signal_NT = resample_poly(signal_NT, ratio.numerator, ratio.denominator, axis=1, padtype="line")
    missing = about.samples - signal_NT.shape[1]
    if missing > EDGE * about.samples:
        have, need = (1000 * count / about.sampling_rate_hz for count in (signal_NT.shape[1], about.samples))
        raise ValueError(f"the recordings end {have:.1f} ms after the stimulus; the model needs {need:.1f} ms")
    if missing > 0:
        signal_NT = np.pad(signal_NT, ((0, 0), (0, missing)), mode="edge")
    return np.asarray(signal_NT[:, : about.samples], dtype=np.float32)
