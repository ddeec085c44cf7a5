"""What else scores on the recordings a trained ABR network is scored on: trees, the level alone, human readers."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Final, Literal

import numpy as np

from core.data.recordings import STATIC, Recordings
from core.data.references import InputSet, paired_patient_bootstrap, patient_bootstrap, tree_scores
from core.metrics import Predictions, weights_of
from core.metrics.resampled import macro_f1
from core.metrics.values import auroc
from core.tasks.abr_data import AbrDataset, pooled
from core.tasks.abr_evaluation import held_out_predictions
from core.tasks.abr_weights import load_model
from core.tasks.task import Reference

TREES: Final[dict[InputSet, str]] = {
    "static": "gradient-boosted tree on the static parameters alone",
    "all": "gradient-boosted tree on all inputs",
}
FEWEST_PATIENTS: Final = 10
"""With fewer patients a bootstrap over them says nothing, and no interval is given."""


def references(weights: Path, data: AbrDataset, split: str) -> tuple[Reference, ...]:
    """Reference scores on a split (`val` or `test`), each with the network's own beside it; takes some seconds."""
    said = held_out_predictions(load_model(weights), data, split)
    held_out = pooled(data.held_out(split))
    found = [*_trees(said, held_out, data, "test" if split == "test" else "val")]
    return (*found, *_level_alone(said, held_out, split), *_readers(said, held_out, split))


def _trees(
    said: Predictions, held_out: Recordings, data: AbrDataset, split: Literal["val", "test"]
) -> Iterator[Reference]:
    """Macro-F1 of trees trained on the training split of each fold; nothing where there are no classes to tell."""
    labelled = (held_out, *(fold.train for fold in data.folds))
    if said.class_probability is None or min(_num_classes(recordings) for recordings in labelled) < 2:
        return
    ours_N = said.class_probability.argmax(axis=1)
    truth_N, patients = held_out.hearing_class, (held_out.patient, held_out.weight)
    ours = patient_bootstrap(truth_N, ours_N, *patients, draws=1).value
    for inputs, name in TREES.items():
        theirs_N = np.concatenate([tree_scores(fold, inputs, split) for fold in data.folds]).argmax(axis=1)
        value = patient_bootstrap(truth_N, theirs_N, *patients, draws=1).value
        interval = None
        if len(np.unique(held_out.patient)) >= FEWEST_PATIENTS:
            found = paired_patient_bootstrap(truth_N, ours_N, theirs_N, *patients, metric=macro_f1)
            interval = (found.low, found.high)
        yield Reference(name=name, metric=f"{split}/class/f1_macro", value=value, ours=ours, interval=interval)


def _num_classes(recordings: Recordings) -> int:
    """How many classes are among the labels."""
    return len(np.unique(recordings.hearing_class[recordings.hearing_class >= 0]))


def _level_alone(said: Predictions, held_out: Recordings, split: str) -> Iterator[Reference]:
    """How well the stimulus level by itself ranks recordings with and without a visible response."""
    level_N, truth_N = held_out.static[:, STATIC.index("intensity_db_nhl")], held_out.peak_exist
    known_N = np.isfinite(truth_N) & np.isfinite(level_N)
    if said.exist_probability is None or len(np.unique(truth_N[known_N])) < 2:
        return
    weight_N = weights_of(held_out)
    fold_K = None if said.fold is None else said.fold[known_N]
    level, ours = (
        auroc(truth_N[known_N] > 0.5, score_N[known_N].astype(np.float64), weight_N[known_N], fold_K)
        for score_N in (level_N, said.exist_probability)
    )
    if level is not None:
        yield Reference(name="the stimulus level alone", metric=f"{split}/peak/exist_auroc", value=level, ours=ours)


def _readers(said: Predictions, held_out: Recordings, split: str) -> Iterator[Reference]:
    """How far experts lie apart on a patient's threshold, beside how far the network's responses lie from theirs."""
    apart = held_out.facts.get("experts/mean_difference_db")
    if apart is None:
        return
    ours = None if said.exist_probability is None else response_threshold_error(said.exist_probability, held_out)
    metric = f"{split}/threshold/mae_db from responses"
    yield Reference(name="experts against one another", metric=metric, value=apart, ours=ours)


def response_threshold_error(probability_N: np.ndarray, recordings: Recordings) -> float | None:
    """Mean distance (dB) of each patient's threshold, read from the answers, from its label; None without any.

    The threshold read is the lowest level from which on, upwards, the mean probability of a response is at least 0.5;
    a patient without such a level is given the step above the highest level tested.
    """
    level_N = recordings.static[:, STATIC.index("intensity_db_nhl")]
    errors = []
    for patient in np.unique(recordings.patient):
        mine_N = (recordings.patient == patient) & np.isfinite(level_N) & np.isfinite(recordings.threshold_db)
        levels = np.unique(level_N[mine_N])
        if len(levels) < 2:
            continue
        present = [probability_N[mine_N & (level_N == level)].mean() >= 0.5 for level in levels]
        silent = next((index for index in range(len(levels), 0, -1) if not present[index - 1]), 0)
        read = levels[silent] if silent < len(levels) else levels[-1] + np.diff(levels).min()
        errors.append(abs(float(read) - float(np.median(recordings.threshold_db[mine_N]))))
    return float(np.mean(errors)) if errors else None
