"""Scores of saved weights on held-out recordings."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from core.data.files import read
from core.data.recordings import Recordings
from core.data.tensors import as_batch
from core.metrics import Predictions, score, trivial_scores, with_skill
from core.metrics.classes import class_table
from core.metrics.score import weights_of
from core.tasks.abr_calibration import applied_to_its_own
from core.tasks.abr_data import AbrDataset, pooled
from core.tasks.abr_ensemble import Said
from core.tasks.abr_prediction import adapted, predict, renumbered
from core.tasks.abr_weights import About, TrainedModel, load_model, predictions
from core.tasks.class_tables import calibration, confusion
from core.tasks.task import Scores, Together


def evaluate(weights: Path, data: AbrDataset, split: str) -> Scores:
    """Every metric of the split beside its trivial baseline, which is fitted on the training split of `data`."""
    return evaluate_together([weights], data, split).scores


def evaluate_together(weights: Sequence[Path], data: AbrDataset, split: str) -> Together:
    """The scores of several saved weights together, and of each, on the same held-out recordings."""
    models = _models(weights)
    about = models[0].about
    fitted = [_like_the_model(part, about) for part in data.held_out(split)]
    trains = [_like_the_model(part, about) for part in data.trains()]
    everything = pooled(fitted)
    baseline = trivial_scores(trains, fitted, everything, split=split, rare=data.rare).values
    said = Said(tuple(held_out_predictions(model, data, split) for model in models))
    return _scored(said, everything, baseline, split=split, rare=data.rare)


def evaluate_file(weights: Sequence[Path], file: Path, data: AbrDataset | None) -> Together:
    """The scores on a file of recordings, as those of a test split; baselines are fitted on what trains in `data`."""
    models = _models(weights)
    about = models[0].about
    given = read(file)
    recordings = _like_the_model(given, about)
    baseline: Mapping[str, float] = {}
    if data is not None:
        # Of a cross-validation every fold trains on nearly all: the first stands for them.
        train = _like_the_model(data.trains()[0], about)
        baseline = trivial_scores([train], [recordings], recordings, split="test").values
    said = Said(tuple(predict(model, recordings) for model in models))
    scored = _scored(said, recordings, baseline, split="test", rare=())
    return replace(scored, remarks=tuple(_remarks(given, about, data)))


def _models(weights: Sequence[Path]) -> list[TrainedModel]:
    """The models; raises ValueError where one was trained on recordings of another kind than the first."""
    models = [load_model(each) for each in weights]
    kinds = {
        (each.about.class_names, each.about.sampling_rate_hz, each.about.samples, each.about.unit) for each in models
    }
    if len(kinds) > 1:
        raise ValueError("these models were trained on recordings that differ in rate, length, unit or classes")
    return models


def _remarks(recordings: Recordings, about: About, data: AbrDataset | None) -> Iterator[str]:
    if recordings.sampling_rate_hz != about.sampling_rate_hz:
        have, need = recordings.sampling_rate_hz, about.sampling_rate_hz
        yield f"the recordings were brought from {have:g} Hz to the {need:g} Hz of the model"
    if data is None:
        yield "the data the model was trained on are not there: nothing stands beside a trivial predictor"
        return
    known = {str(name) for fold in data.folds for part in (fold.train, fold.val) for name in np.unique(part.patient)}
    shared = sorted(known & {str(name) for name in np.unique(recordings.patient)})
    if shared:
        few = ", ".join(shared[:3]) + (", ..." if len(shared) > 3 else "")
        yield (
            f"{len(shared)} of the file's patients are called as patients that trained or validated the model ({few}): "
            "if they are the same, these scores claim too much"
        )


def _scored(
    said: Said, recordings: Recordings, baseline: Mapping[str, float], *, split: str, rare: Sequence[str]
) -> Together:
    def of(predictions: Predictions) -> Scores:
        scores = with_skill(score(predictions, recordings, split=split, rare=rare), baseline)
        table = class_table(predictions.class_probability, recordings.hearing_class, weights_of(recordings))
        return Scores(
            metrics=scores.values,
            baselines=baseline,
            absent=scores.absent,
            confusion=confusion(table, recordings.class_names),
            calibration=calibration(table),
        )

    members = tuple(of(each) for each in said.members)
    return Together(scores=of(said.together) if len(members) > 1 else members[0], members=members)


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
