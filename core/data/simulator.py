"""Simulated ABR recordings with ground truth: patients, their responses, residual noise, and a clinician's labels.

Everything made here is simulated and is called so wherever it is shown.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from core.data import physiology
from core.data.cohort import (
    CLASS_NAMES,
    CLASS_SHARE,
    COCHLEAR,
    LOUDEST_DB,
    NEUROPATHY,
    NORMAL,
    RATES_PER_S,
    RECORDINGS_PER_PATIENT,
    SESSION_STEPS,
    Patients,
    draw_patients,
    draw_sessions,
)
from core.data.concatenate import concatenate
from core.data.noise import SAMPLES, SAMPLING_RATE_HZ, residual_noise, residual_sd_uv
from core.data.reader import label_threshold, read_wave_v, sees_wave_v
from core.data.recordings import Fold, Recordings
from core.tasks.abr_options import SimulatedData

Split = Literal["train", "val", "test"]
QUOTA: Final[Mapping[Split, int]] = {"train": 3, "val": 8, "test": 8}
"""Least number of patients of every class (as far as a split of five times as many patients is asked for)."""
STREAM: Final[Mapping[Split, int]] = {"train": 0, "val": 1, "test": 2}
"""Each split draws from a random stream of its own: changing the size of one leaves the others as they were."""
SWEEPS: Final = (3000.0, 0.4, 1000.0, 8000.0)
"""Sweeps of a recording: median, spread of the logarithm, least, most (the clinic's protocol is not known)."""
AT_ONCE: Final = 400_000
"""Recordings of a split drawn at a time: bounds the memory."""
OTHERS_AT_ONCE: Final = 12_000
"""The same of patients in no split."""
NOISE_DEGREES_OF_FREEDOM: Final = 250
"""Degrees of freedom of the device's own noise estimate behind FMP."""
FMP_WINDOW_MS: Final = (5.0, 13.3)


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Simulation:
    """Recordings in three splits and, row by row, what they were made from."""

    fold: Fold
    latents: Mapping[Split, pd.DataFrame]
    """One row per recording, in its order: class, age, true threshold, air-bone gap, levels, waves, noise, sweeps."""
    seed: int


def simulate(data: SimulatedData) -> Simulation:
    """The data set that `data` describes: the same numbers for the same options, patients in one split only.

    Rare classes are raised to a quota of patients; where that distorts the class shares of validation and test,
    `weight` restores the clinic's (mean weight 1). Training recordings carry no weight: there the patients of a class
    share as many recordings as the clinic's shares give it.
    """
    train, train_latents = simulate_split("train", data.train, data.seed)
    val, val_latents = simulate_split("val", data.val, data.seed)
    test, test_latents = simulate_split("test", data.test, data.seed)
    return Simulation(
        fold=Fold(train=train, val=val, test=test),
        latents={"train": train_latents, "val": val_latents, "test": test_latents},
        seed=data.seed,
    )


def simulated(sizes: Mapping[str, int]) -> Simulation:
    """As `simulate`, of the options by their names (`train`, `val`, `test`, `seed`); ValueError for wrong ones."""
    return simulate(SimulatedData.model_validate(sizes))


def simulate_split(split: Split, recordings: int, seed: int) -> tuple[Recordings, pd.DataFrame]:
    """One split of `recordings` recordings, and their latents."""
    tables: list[Recordings] = []
    drawn: list[pd.DataFrame] = []
    patients = 0
    for part, start in enumerate(range(0, recordings, AT_ONCE)):
        own, prefix = ((part,), f"{split}-{part}") if part else ((), split)
        rng = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(STREAM[split], *own)))
        count = min(AT_ONCE, recordings - start)
        table, latents = _drawn(rng, prefix, count, QUOTA[split], by_share=split == "train")
        tables.append(table)
        drawn.append(latents.assign(patient=latents["patient"] + patients))
        patients += latents["patient"].nunique()
    table, latents = concatenate(tables), pd.concat(drawn, ignore_index=True)
    if split == "train":
        return table, latents
    return replace(table, weight=_restoring_weight(table.hearing_class)), latents


def simulate_others(recordings: int, seed: int, *, signals: bool = False) -> tuple[Recordings, pd.DataFrame]:
    """Recordings of patients that are in no split of this seed, without quota.

    Without `signals` they have 0 samples, and none has a noise-free truth: many of them are asked for.
    """
    tables, latents = [], []
    for part, start in enumerate(range(0, recordings, OTHERS_AT_ONCE)):
        rng = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(len(STREAM), part)))
        table, drawn = _drawn(rng, f"other-{part}", min(OTHERS_AT_ONCE, recordings - start), 0, by_share=False)
        tables.append(replace(table, signal=table.signal if signals else table.signal[:, :0], clean=None))
        latents.append(drawn)
    return concatenate(tables), pd.concat(latents, ignore_index=True)


def _drawn(
    rng: np.random.Generator, prefix: str, recordings: int, quota: int, *, by_share: bool
) -> tuple[Recordings, pd.DataFrame]:
    count = min(recordings, max(round(recordings / RECORDINGS_PER_PATIENT), len(CLASS_SHARE) * quota, 1))
    latents = _draw_latents(rng, draw_patients(rng, count, quota), recordings, by_share=by_share)
    clean, trough_delay_ms = waveforms(latents)
    latents["trough_delay_ms"] = trough_delay_ms
    band = _column(latents, "highpass_hz"), _column(latents, "lowpass_hz")
    signal = clean + residual_noise(rng, _column(latents, "noise_sd_uv"), *band)
    return _labelled(rng, prefix, latents, clean, signal), latents


def _column(latents: pd.DataFrame, name: str) -> NDArray[np.float64]:
    return latents[name].to_numpy(dtype=np.float64)


def _recordings_each(
    rng: np.random.Generator, kind_P: NDArray[np.int64], recordings: int, *, by_share: bool
) -> NDArray[np.int64]:
    """Recordings of each patient (P,), at least one; `by_share` gives every class its share of them in the clinic."""
    if not by_share:
        return 1 + rng.multinomial(recordings - len(kind_P), np.full(len(kind_P), 1 / len(kind_P)))
    patients = np.bincount(kind_P, minlength=len(CLASS_SHARE))
    totals = np.maximum(np.round(np.array(CLASS_SHARE) * recordings).astype(np.int64), patients)
    totals[NORMAL] = recordings - totals[1:].sum()
    each = np.ones(len(kind_P), dtype=np.int64)
    for index in np.flatnonzero(patients):
        spare = totals[index] - patients[index]
        each[kind_P == index] += rng.multinomial(spare, np.full(patients[index], 1 / patients[index]))
    return each


def _draw_latents(rng: np.random.Generator, patients: Patients, recordings: int, *, by_share: bool) -> pd.DataFrame:
    """One row per recording: who, which stimulus, and the true waves."""
    count = len(patients.hearing_class)
    each = _recordings_each(rng, patients.hearing_class, recordings, by_share=by_share)
    patient = np.repeat(np.arange(count), each)
    level = _kept_levels(rng, draw_sessions(rng, patients.threshold_db), patient)
    rates, shares = np.array(RATES_PER_S).T
    sweeps = np.clip(SWEEPS[0] * np.exp(rng.normal(0.0, SWEEPS[1], recordings)), SWEEPS[2], SWEEPS[3])
    latents = pd.DataFrame({name: getattr(patients, name)[patient] for name in Patients.__dataclass_fields__})
    latents.insert(0, "patient", patient)
    latents["level_db"] = level
    latents["rate_per_s"] = rng.choice(rates, count, p=shares)[patient]
    latents["sweeps"] = np.round(sweeps)
    latents["noise_sd_uv"] = residual_sd_uv(rng, patient, _column(latents, "sweeps"))
    return with_waves(rng, latents)


def _kept_levels(
    rng: np.random.Generator, sessions_PS: NDArray[np.float64], patient: NDArray[np.int64]
) -> NDArray[np.float64]:
    """For each recording a step of its patient's session: a random part of the session, in order, nothing twice."""
    order = rng.permuted(np.tile(np.arange(SESSION_STEPS), (len(sessions_PS), 1)), axis=1)
    first = np.flatnonzero(np.r_[True, patient[1:] != patient[:-1]])
    position = np.arange(len(patient)) - np.repeat(first, np.diff(np.r_[first, len(patient)]))
    step = order[patient, position % SESSION_STEPS]
    step = step[np.lexsort((step, patient))]
    return np.asarray(sessions_PS[patient, step])


def with_waves(rng: np.random.Generator, latents: pd.DataFrame) -> pd.DataFrame:
    """Adds effective levels, latencies and amplitudes of the waves, as physiology has them for the class."""
    kind = latents["hearing_class"].to_numpy()
    age, rate = _column(latents, "age_years"), _column(latents, "rate_per_s")
    level, threshold = _column(latents, "level_db"), _column(latents, "threshold_db")
    female = latents["female"].to_numpy(dtype=np.bool_)
    sensation, shift = level - threshold, threshold - physiology.NORMAL_THRESHOLD_DB
    recruits = (kind == COCHLEAR) | (kind == NEUROPATHY)
    for_latency = np.where(recruits, physiology.cochlear_latency_level_db(level, shift, sensation), level - shift)
    for_amplitude = np.where(recruits, physiology.cochlear_amplitude_level_db(level, shift, sensation), level - shift)
    own = 0.8 * _column(latents, "latency_z") + 0.6 * rng.standard_normal(len(level))
    interval = physiology.interval_i_v_ms(age) + _column(latents, "interval_ms")
    late = np.where(kind == NEUROPATHY, _column(latents, "interval_ms"), 0.0)
    usual = physiology.wave_v_latency_ms(np.maximum(for_latency, -10.0), age, rate, female)
    wave_v = np.clip(usual + physiology.latency_scatter_ms(for_latency, age) * own + late, 4.8, 13.0)
    amplitude = physiology.wave_v_amplitude_uv(for_amplitude, age, rate, female)
    amplitude *= _column(latents, "amplitude_factor") * np.exp(rng.normal(0.0, 0.15, len(level)))
    amplitude *= physiology.highpass_amplitude(_column(latents, "highpass_hz"))
    amplitude *= physiology.near_threshold(sensation) * (threshold <= LOUDEST_DB)
    early = _column(latents, "early_factor") * (kind != NEUROPATHY)
    return latents.assign(
        effective_level_db=for_latency,
        amplitude_uv=amplitude,
        latency_v_ms=wave_v,
        latency_iii_ms=wave_v - interval * (1 - physiology.share_i_iii(age)),
        latency_i_ms=wave_v - interval,
        ratio_i=early * physiology.early_wave_ratio(for_amplitude, rate, half_level_db=55.0, at_high_level=0.6),
        ratio_iii=early * physiology.early_wave_ratio(for_amplitude, rate, half_level_db=45.0, at_high_level=0.6),
        expected_ms=physiology.wave_v_latency_ms(level, age, rate, female),
    )


def waveforms(latents: pd.DataFrame) -> tuple[NDArray[np.float32], NDArray[np.float64]]:
    """Noise-free responses (N, SAMPLES) in microvolts, and the delay (N,) of the trough after wave V in ms.

    Waves I, III and V are Gaussians; a slow negative wave follows V, longer with the lower high-pass.
    """
    time = (np.arange(SAMPLES) * 1000.0 / SAMPLING_RATE_HZ).astype(np.float32)
    width = _column(latents, "width_factor") * (1 + 0.3 * physiology.immaturity(_column(latents, "age_years")))
    amplitude = _column(latents, "amplitude_uv")
    trough_width = np.where(_column(latents, "highpass_hz") > 50.0, 1.1, 1.8)
    after = np.linspace(0, 5, 76, dtype=np.float32)
    complex_v = _wave_v(time[None, :] - _as32(latents["latency_v_ms"]), width, _column(latents, "trough"), trough_width)
    reading = _wave_v(after[None, :], width, _column(latents, "trough"), trough_width)
    scale = amplitude / (reading[:, 0] - reading.min(axis=1))
    waves = scale[:, None].astype(np.float32) * complex_v
    for wave, narrower in (("i", 0.6), ("iii", 0.75)):
        size = (amplitude * _column(latents, f"ratio_{wave}")).astype(np.float32)[:, None]
        waves += size * _bump(time[None, :] - _as32(latents[f"latency_{wave}_ms"]), (0.42 * narrower * width)[:, None])
    return np.asarray(waves, dtype=np.float32), after[reading.argmin(axis=1)].astype(np.float64)


def _as32(column: pd.Series) -> NDArray[np.float32]:
    return column.to_numpy(dtype=np.float32)[:, None]


def _bump(offset_ms: NDArray[np.float32], sd_ms: NDArray[np.float64]) -> NDArray[np.float32]:
    return np.asarray(np.exp(-0.5 * (offset_ms / sd_ms.astype(np.float32)) ** 2), dtype=np.float32)


def _wave_v(
    offset_ms: NDArray[np.float32],
    width: NDArray[np.float64],
    trough: NDArray[np.float64],
    trough_width_ms: NDArray[np.float64],
) -> NDArray[np.float32]:
    """Wave V of height 1 at offset 0 and the slow negative wave behind it."""
    width = width[:, None]
    slow = _bump(offset_ms - (2.0 * width).astype(np.float32), trough_width_ms[:, None] * width)
    # The slow wave grows only after the peak, so that it does not move the peak's latency.
    onset = 1 / (1 + np.exp(-np.clip((offset_ms - 0.9) / 0.2, -30, 30)))
    return np.asarray(_bump(offset_ms, 0.42 * width) - trough[:, None].astype(np.float32) * slow * onset, np.float32)


def _labelled(
    rng: np.random.Generator,
    prefix: str,
    latents: pd.DataFrame,
    clean: NDArray[np.float32],
    signal: NDArray[np.float32],
) -> Recordings:
    """The table a clinic would have, with the truth beside it."""
    kind = latents["hearing_class"].to_numpy(dtype=np.int64)
    patient = latents["patient"].to_numpy()
    time = np.asarray(np.arange(SAMPLES) * 1000.0 / SAMPLING_RATE_HZ, dtype=np.float64)
    amplitude, noise = _column(latents, "amplitude_uv"), _column(latents, "noise_sd_uv")
    exists = sees_wave_v(rng, amplitude, noise)
    expected = np.where(amplitude > 0, latents["latency_v_ms"], latents["expected_ms"])
    latency, height = read_wave_v(rng, signal, time, expected, _column(latents, "trough_delay_ms"))
    in_file = label_threshold(rng, latents.groupby("patient")["threshold_db"].first().to_numpy())
    static = (
        np.floor(latents["age_years"]),
        latents["level_db"],
        latents["rate_per_s"],
        _fmp(rng, signal, time, noise),
    )
    return Recordings(
        signal=signal,
        sampling_rate_hz=SAMPLING_RATE_HZ,
        unit="uV",
        patient=np.char.add(f"{prefix}-", np.char.zfill(patient.astype(np.str_), 5)),
        static=np.stack([np.asarray(column, dtype=np.float32) for column in static], axis=1),
        class_names=CLASS_NAMES,
        hearing_class=kind,
        threshold_db=in_file[patient].astype(np.float32),
        peak_exist=exists.astype(np.float32),
        peak_latency_ms=np.where(exists, latency, np.nan).astype(np.float32),
        peak_amplitude_uv=np.where(exists, height, np.nan).astype(np.float32),
        clean=clean,
    )


def _fmp(
    rng: np.random.Generator, signal: NDArray[np.float32], time: NDArray[np.float64], noise: NDArray[np.float64]
) -> NDArray[np.float64]:
    """F statistic of the averaged response against the device's estimate of its residual noise."""
    window = (time >= FMP_WINDOW_MS[0]) & (time <= FMP_WINDOW_MS[1])
    estimate = noise**2 * rng.chisquare(NOISE_DEGREES_OF_FREEDOM, len(noise)) / NOISE_DEGREES_OF_FREEDOM
    return np.asarray(signal[:, window].var(axis=1, dtype=np.float64) / estimate)


def _restoring_weight(kind: NDArray[np.int64]) -> NDArray[np.float32]:
    """Weights of mean 1 under which the classes present have the clinic's shares."""
    count = np.bincount(kind, minlength=len(CLASS_SHARE))
    share = np.where(count > 0, CLASS_SHARE, 0.0)
    per_class = share / share.sum() * len(kind) / np.maximum(count, 1)
    return np.asarray(per_class[kind], dtype=np.float32)
