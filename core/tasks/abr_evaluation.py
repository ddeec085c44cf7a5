"""Scores of saved weights on held-out recordings."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from core.data.recordings import Recordings
from core.data.tensors import as_batch
from core.metrics import Predictions, score, trivial_scores, with_skill
from core.metrics.classes import ClassTable, class_table
from core.metrics.score import weights_of
from core.tasks.abr_calibration import applied_to_its_own
from core.tasks.abr_data import AbrDataset, pooled
from core.tasks.abr_prediction import adapted, predict, renumbered
from core.tasks.abr_weights import About, TrainedModel, load_model, predictions
from core.tasks.task import Confusion, Reliability, Scores


def evaluate(weights: Path, data: AbrDataset, split: str) -> Scores:
    """Every metric of the split beside its trivial baseline, which is fitted on the training split of `data`."""
    model = load_model(weights)
    fitted = [_like_the_model(part, model.about) for part in data.held_out(split)]
    trains = [_like_the_model(part, model.about) for part in data.trains()]
    everything = pooled(fitted)
    said = held_out_predictions(model, data, split)
    baseline = trivial_scores(trains, fitted, everything, split=split, rare=data.rare).values
    scores = with_skill(score(said, everything, split=split, rare=data.rare), baseline)
    table = class_table(said.class_probability, everything.hearing_class, weights_of(everything))
    return Scores(
        metrics=scores.values,
        baselines=baseline,
        absent=scores.absent,
        confusion=_confusion(table, everything.class_names),
        calibration=_calibration(table),
    )


def _confusion(table: ClassTable | None, names: Sequence[str]) -> Confusion | None:
    if table is None:
        return None
    return Confusion(classes=tuple(names), counts=tuple(tuple(row) for row in table.counts_CC.tolist()))


def _calibration(table: ClassTable | None) -> tuple[Reliability, ...]:
    if table is None:
        return ()
    return tuple(
        Reliability(low=low, high=high, confidence=confidence, accuracy=accuracy, count=count)
        for low, high, confidence, accuracy, count in table.bins
    )


def _like_the_model(recordings: Recordings, about: About) -> Recordings:
    fitted = adapted(recordings, about)
    # A model without classes predicts none: the names of the data's may stay.
    return renumbered(fitted, about.class_names) if about.class_names else fitted


def held_out_predictions(model: TrainedModel, data: AbrDataset, split: str) -> Predictions:
    """Predictions for the pooled held-out parts: each fold's network for what it has not seen, on data it knows.

    Intervals of the recordings that these were fitted on are made so that they can be scored.
    """
    parts = [_like_the_model(part, model.about) for part in data.held_out(split)]
    if model.about.fingerprint != data.fingerprint:
        return predict(model, pooled(parts))
    folds = zip(model.networks, model.about.scalings, parts, strict=True)
    said = Predictions.joined(
        [predictions(network, scaling, as_batch(part), trained=model.about.trained) for network, scaling, part in folds]
    )
    calibration = model.about.calibration
    return applied_to_its_own(calibration, said, pooled(parts)) if split == "val" else calibration.applied(said)
