"""What the best-informed predictors make of every label: trees on a network's inputs, on latents, on latents as read.

Three kinds of knowledge, one kind of model (gradient-boosted trees), the same recordings scored:

inputs: what the network sees, learnt from the recordings the network learnt from. A network should beat this.
latents: the true latents of the recording, learnt from 20,000 other patients: the ceiling. For the labels that a reader
    took from the noisy recording, also where the reader's cursors come to lie next to the true wave V.
reading: the latents as the noise of the recording lets them be read (`observer`), learnt from the same patients: the
    ceiling of whoever sees the recording only.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.decomposition import PCA
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
from threadpoolctl import threadpool_limits

from core.data import references
from core.data.cohort import RECORDINGS_PER_PATIENT
from core.data.observer import read_latents
from core.data.reader import cursors
from core.data.recordings import Fold, Recordings
from core.data.simulated_card import CEILING_PATIENTS, CIRCUMSTANCES, latent_features
from core.data.simulator import simulate_others
from core.metrics import Predictions

# M recordings to learn from, N to answer for, F features, T samples

Floats = NDArray[np.float64]
Knowledge = Literal["latents", "reading"]

COMPONENTS: Final = 12
"""A tree denoises by predicting so many principal components of the noise-free responses (99.9 % of their power)."""
ITERATIONS: Final = 200
"""Of the trees that learn from many recordings."""
SMALL: Final = 20_000
"""With fewer recordings 100 iterations do better."""
EARLIEST_MS, LATEST_MS = 4.8, 13.0
"""Where wave V can lie."""


def tree_on_inputs(fold: Fold, inputs: references.InputSet, split: references.Split) -> Predictions:
    """What trees say of a split that see a network's inputs, with the signal in bins, and its training recordings."""
    part = references.part_of(fold, split)
    seen_MF, asked_NF = references.features(fold.train, inputs), references.features(part, inputs)
    iterations = ITERATIONS if len(fold.train) > SMALL else 100
    said = _answers(seen_MF, fold.train, asked_NF, iterations)
    return replace(said, signal=_denoised(seen_MF, fold.train, asked_NF, iterations))


def informed(
    recordings: Recordings, latents: pd.DataFrame, *, knowledge: Knowledge, seed: int, patients: int = CEILING_PATIENTS
) -> Predictions:
    """What trees say of `recordings` that know their `latents`, truly or as read; no signal: latents are the signal.

    They learn from `patients` other patients of the simulator's `seed`. Takes some minutes.
    """
    others, other_latents = simulate_others(patients * RECORDINGS_PER_PATIENT, seed, signals=True)
    if knowledge == "latents":
        by_class = latent_features(others, other_latents), latent_features(recordings, latents)
        by_reader = (
            np.column_stack([by_class[0], _cursors(others, other_latents, _place(other_latents))]),
            np.column_stack([by_class[1], _cursors(recordings, latents, _place(latents))]),
        )
    else:
        by_reader = _as_read(others, other_latents, seed + 1), _as_read(recordings, latents, seed)
        by_class = by_reader
    said = _answers(by_reader[0], others, by_reader[1], ITERATIONS, classes=False)
    return replace(said, class_probability=_classes(by_class[0], others, by_class[1], ITERATIONS))


def _answers(
    seen_MF: Floats, train: Recordings, asked_NF: Floats, iterations: int, *, classes: bool = True
) -> Predictions:
    return Predictions(
        class_probability=_classes(seen_MF, train, asked_NF, iterations) if classes else None,
        threshold_db=_number(seen_MF, train.threshold_db, asked_NF, iterations),
        exist_probability=_visible(seen_MF, train.peak_exist, asked_NF, iterations),
        latency_ms=_number(seen_MF, train.peak_latency_ms, asked_NF, iterations),
        amplitude_uv=_number(seen_MF, train.peak_amplitude_uv, asked_NF, iterations),
    )


def _classes(seen_MF: Floats, train: Recordings, asked_NF: Floats, iterations: int) -> Floats | None:
    known_M = train.hearing_class >= 0
    if len(np.unique(train.hearing_class[known_M])) < 2:
        return None
    tree = references.boosted_tree(iterations)
    classes = len(train.class_names)
    return references.tree_probabilities(tree, seen_MF[known_M], train.hearing_class[known_M], asked_NF, classes)


def _visible(seen_MF: Floats, exist_M: NDArray[np.float32], asked_NF: Floats, iterations: int) -> Floats | None:
    known_M = np.isfinite(exist_M)
    if len(np.unique(exist_M[known_M])) < 2:
        return None
    tree = HistGradientBoostingClassifier(
        learning_rate=0.05, max_iter=iterations, max_leaf_nodes=15, early_stopping=False, random_state=0
    )
    with threadpool_limits(limits=references.THREADS):
        tree.fit(seen_MF[known_M], exist_M[known_M] > 0.5)
        return np.asarray(tree.predict_proba(asked_NF)[:, 1], dtype=np.float64)


def _number(seen_MF: Floats, label_M: NDArray[np.floating], asked_NF: Floats, iterations: int) -> Floats | None:
    """Least squares, which is best for R2 and correlation."""
    known_M = np.isfinite(label_M)
    if not known_M.any():
        return None
    tree = HistGradientBoostingRegressor(
        learning_rate=0.05, max_iter=iterations, max_leaf_nodes=15, early_stopping=False, random_state=0
    )
    with threadpool_limits(limits=references.THREADS):
        tree.fit(seen_MF[known_M], label_M[known_M])
        return np.asarray(tree.predict(asked_NF), dtype=np.float64)


def _denoised(seen_MF: Floats, train: Recordings, asked_NF: Floats, iterations: int) -> Floats | None:
    """(N, T) one tree for each principal component of the noise-free training responses."""
    if train.clean is None:
        return None
    known_M = np.isfinite(train.clean).all(axis=1)
    clean_MT = train.clean[known_M].astype(np.float64)
    components = min(COMPONENTS, *clean_MT.shape)
    basis = PCA(components, svd_solver="full" if len(clean_MT) < 500 else "covariance_eigh").fit(clean_MT)
    size_MK = basis.transform(clean_MT)
    columns = [_number(seen_MF[known_M], column_M, asked_NF, iterations) for column_M in size_MK.T]
    return np.asarray(basis.inverse_transform(np.column_stack([c for c in columns if c is not None])))


def _place(latents: pd.DataFrame) -> Floats:
    """(N,) where a reader expects wave V."""
    found = np.where(latents["amplitude_uv"] > 0, latents["latency_v_ms"], latents["expected_ms"])
    return np.asarray(found, dtype=np.float64)


def _cursors(recordings: Recordings, latents: pd.DataFrame, place_N: Floats) -> Floats:
    """(N, 3) latency and height under a reader's cursors at `place_N`, and the logarithm of height over noise."""
    time = np.asarray(np.arange(recordings.samples) * 1000.0 / recordings.sampling_rate_hz, dtype=np.float64)
    delay = latents["trough_delay_ms"].to_numpy(dtype=np.float64)
    latency_N, height_N = cursors(recordings.signal, time, place_N, delay)
    return np.column_stack([latency_N, height_N, height_N / latents["noise_sd_uv"].to_numpy(dtype=np.float64)])


def _as_read(recordings: Recordings, latents: pd.DataFrame, seed: int) -> Floats:
    """(N, F) static parameters, circumstances, latents as read, and the cursors where wave V was read."""
    read = read_latents(latents, seed)
    size = np.maximum(read["amplitude_uv"].to_numpy(), 1e-3)
    place = np.clip(read["latency_v_ms"].to_numpy(), EARLIEST_MS, LATEST_MS)
    return np.column_stack(
        [
            references.features(recordings, "static"),
            latents[list(CIRCUMSTANCES)].to_numpy(dtype=np.float64),
            read.to_numpy(dtype=np.float64),
            read["size_i_uv"] / size,
            read["size_iii_uv"] / size,
            size / latents["noise_sd_uv"].to_numpy(dtype=np.float64),
            _cursors(recordings, latents, place),
        ]
    )
