"""The simulated part of a data card: the simulator beside the clinic, and how hard its classes are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from core.data import references
from core.data.card import Section
from core.data.cohort import CLASS_NAMES, CLASS_SHARE, RECORDINGS_PER_PATIENT
from core.data.recordings import STATIC, Recordings
from core.data.simulator import Simulation, simulate_others
from core.metrics.classes import class_metrics

CEILING_PATIENTS: Final = 20_000
"""Simulated patients behind the ceiling; none of them is in the scored split."""
ABSENT_UV: Final = 0.002
"""A response smaller than this is no response: its exact zero would give away who has none at any level."""
OBSERVABLE: Final = (
    "latency_v_ms",
    "latency_iii_ms",
    "latency_i_ms",
    "ratio_i",
    "ratio_iii",
    "width_factor",
    "trough",
)
"""Latents of a response that shape its waveform: not known where there is no response."""
CIRCUMSTANCES: Final = ("age_years", "female", "sweeps", "noise_sd_uv", "highpass_hz", "lowpass_hz")
"""Latents of a recording that are known with or without a response."""


@dataclass(frozen=True, slots=True)
class ClinicRow:
    """One quantity as the clinic has it and as the simulator makes it."""

    quantity: str
    clinic: float
    simulated: float
    promised: bool
    """The simulator promises this one within a tenth of the clinic's."""

    @property
    def deviation(self) -> float:
        """Relative deviation of the simulated value."""
        return self.simulated / self.clinic - 1


@dataclass(frozen=True, slots=True)
class ReferenceRow:
    """Macro-F1 of one predictor on a split, per recording and per patient, over the classes present, by weight."""

    predictor: str
    inputs: str
    recording_f1: float
    low: float
    """95 % interval of `recording_f1` over patients."""
    high: float
    patient_f1: float


def clinic_rows(recordings: Recordings) -> tuple[ClinicRow, ...]:
    """Simulated recordings beside the clinic's statistics (51,961 recordings of 2,038 patients), by weight."""
    weight = np.ones(len(recordings)) if recordings.weight is None else recordings.weight.astype(np.float64)
    kind = recordings.hearing_class
    rows = [
        ClinicRow(f"share {name}", clinic, float(weight[kind == index].sum() / weight.sum()), True)
        for index, (name, clinic) in enumerate(zip(CLASS_NAMES, CLASS_SHARE, strict=True))
    ]
    rows.append(ClinicRow("wave V labelled, share", 0.746, _mean_sd(recordings.peak_exist, weight)[0], True))
    for quantity, column, clinic, promised in (
        ("wave V latency (ms)", recordings.peak_latency_ms, (7.83, 1.71), True),
        ("wave V amplitude (µV)", recordings.peak_amplitude_uv, (0.174, 0.157), True),
        ("intensity (dB nHL)", recordings.static[:, STATIC.index("intensity_db_nhl")], (44.0, 30.0), True),
        ("rate (/s)", recordings.static[:, STATIC.index("rate_per_s")], (33.7, 3.6), False),
        ("age (years)", recordings.static[:, STATIC.index("age_years")], (2.64, 7.39), False),
    ):
        for word, clinics, simulated in zip(("mean", "sd"), clinic, _mean_sd(column, weight), strict=True):
            rows.append(ClinicRow(f"{quantity}, {word}", clinics, simulated, promised))
    late = np.where(np.isnan(recordings.peak_latency_ms), np.nan, recordings.peak_latency_ms > 8)
    rows.append(ClinicRow("wave V later than 8 ms, share", 0.39, _mean_sd(late, weight)[0], False))
    return (*rows, *_threshold_rows(recordings, weight))


def _mean_sd(column: NDArray[np.floating], weight: NDArray[np.float64]) -> tuple[float, float]:
    known = np.isfinite(column)
    values = column[known].astype(np.float64)
    mean = float(np.average(values, weights=weight[known]))
    return mean, float(np.sqrt(np.average((values - mean) ** 2, weights=weight[known])))


def _threshold_rows(recordings: Recordings, weight: NDArray[np.float64]) -> list[ClinicRow]:
    """How much of the threshold label the class alone tells."""
    threshold = recordings.threshold_db.astype(np.float64)
    by_class = pd.Series(threshold).groupby(recordings.hearing_class).transform("mean").to_numpy()
    _, sd = _mean_sd(threshold, weight)
    median = float(np.median(threshold))
    return [
        ClinicRow("threshold by class mean, R²", 0.77, _one_minus(threshold, by_class, weight, sd), False),
        ClinicRow(
            "threshold by class mean, MAE (dB)",
            8.1,
            float(np.average(abs(threshold - by_class), weights=weight)),
            False,
        ),
        ClinicRow(
            "threshold by median, MAE (dB)", 14.9, float(np.average(abs(threshold - median), weights=weight)), False
        ),
    ]


def _one_minus(
    truth: NDArray[np.float64], prediction: NDArray[np.float64], weight: NDArray[np.float64], sd: float
) -> float:
    return 1 - float(np.average((truth - prediction) ** 2, weights=weight)) / sd**2


def reference_rows(
    simulation: Simulation, split: Literal["val", "test"] = "test", *, ceiling_patients: int = 0
) -> tuple[ReferenceRow, ...]:
    """How hard the classes of a simulated split are: trivial and ordinary predictors, fitted on its training split.

    With `ceiling_patients` (CEILING_PATIENTS; about half a minute) the tree given the true latents joins. It is called
    the ceiling only if nothing else exceeds it.
    """
    fold = simulation.fold
    part = references.part_of(fold, split)
    rows = [_row("always the majority class", "none", references.majority_scores(fold, split), part)]
    for inputs, words in (("static", "static parameters"), ("all", "static parameters and signal")):
        shown = references.INPUTS[inputs]  # type: ignore[index]
        rows.append(_row("logistic regression", words, references.logistic_scores(fold, shown, split), part))
        rows.append(_row("gradient-boosted tree", words, references.tree_scores(fold, shown, split), part))
    if ceiling_patients:
        latent = _row("tree, true latents", "true latents", latent_scores(simulation, split, ceiling_patients), part)
        best = max(row.recording_f1 for row in rows)
        name = "ceiling: tree given the true latents" if latent.recording_f1 > best else "tree given the true latents"
        rows.append(ReferenceRow(name, latent.inputs, latent.recording_f1, latent.low, latent.high, latent.patient_f1))
    return tuple(rows)


def _row(predictor: str, inputs: str, scores_NC: NDArray[np.float64], part: Recordings) -> ReferenceRow:
    weight = np.ones(len(part)) if part.weight is None else part.weight.astype(np.float64)
    of_patients = class_metrics(
        scores_NC, part.hearing_class, weight_N=weight, patient_N=part.patient, class_names=part.class_names
    ).values["patient_f1_macro"]
    value, low, high = references.patient_bootstrap(part.hearing_class, scores_NC.argmax(axis=1), part.patient, weight)
    return ReferenceRow(predictor, inputs, value, low, high, of_patients)


def latent_scores(
    simulation: Simulation, split: Literal["val", "test"], patients: int = CEILING_PATIENTS
) -> NDArray[np.float64]:
    """(N, C) class probabilities of a gradient-boosted tree that is given what truly made each recording.

    Given are the static parameters and everything that shapes the waveform and its noise (true latencies, amplitudes,
    exact age, sweeps, ...), not the threshold or the air-bone gap: those belong to the patient, and no single recording
    determines them. Trained on `patients` other simulated patients.
    """
    others, latents = simulate_others(patients * RECORDINGS_PER_PATIENT, simulation.seed)
    part = references.part_of(simulation.fold, split)
    return references.tree_probabilities(
        references.boosted_tree(iterations=200),
        latent_features(others, latents),
        others.hearing_class,
        latent_features(part, simulation.latents[split]),
        len(CLASS_NAMES),
    )


def latent_features(recordings: Recordings, latents: pd.DataFrame) -> NDArray[np.float64]:
    """(N, F) static parameters, circumstances, and the response's latents (NaN where there is no response)."""
    amplitude = latents["amplitude_uv"].to_numpy(dtype=np.float64)[:, None]
    present = amplitude >= ABSENT_UV
    response = np.where(present, latents[list(OBSERVABLE)].to_numpy(dtype=np.float64), np.nan)
    circumstances = latents[list(CIRCUMSTANCES)].to_numpy(dtype=np.float64)
    static = references.features(recordings, "static")
    return np.concatenate([static, circumstances, np.where(present, amplitude, 0.0), response], axis=1)


def clinic_section(rows: Sequence[ClinicRow]) -> Section:
    """The comparison with the clinic as a table of the data card."""
    table = tuple((r.quantity, r.clinic, round(r.simulated, 4), f"{r.deviation:+.1%}") for r in rows)
    remark = (
        "Simulated. Quotas of rare classes are undone by weights. Rate, age and threshold are not promised within 10 %;"
        " the others are, on a large draw."
    )
    return Section("Simulator beside the clinic", ("quantity", "clinic", "simulated", "deviation"), table, remark)


def difficulty_section(rows: Sequence[ReferenceRow]) -> Section:
    """The reference predictors as a table of the data card."""
    table = tuple(
        (r.predictor, r.inputs, round(r.recording_f1, 3), f"{r.low:.3f} to {r.high:.3f}", round(r.patient_f1, 3))
        for r in rows
    )
    columns = ("predictor", "inputs", "macro-F1 per recording", "95 % over patients", "macro-F1 per patient")
    remark = (
        "One waveform at one level cannot tell a mild SNİK from an İTİK at the same effective level, and an absent"
        " NÖROPATİ equals TOTAL: the best score per recording is below 1."
    )
    return Section("How hard the classes are", columns, table, remark)
