"""Saved classifiers put to use: scores on held-out examples, predictions for files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from core.classification.batches import as_batch
from core.classification.dataset import ClassifierDataset, pooled
from core.classification.scores import Floats, scores, trivial
from core.classification.weights import TrainedClassifier, load_classifier, probabilities
from core.data.check import DataMistakes, DataProblem
from core.data.labelled import Labelled
from core.data.listing import Listed, listed, table_of
from core.metrics import with_skill
from core.metrics.classes import class_table
from core.tasks.class_tables import calibration, confusion
from core.tasks.classifier import ClassifierTask
from core.tasks.task import Scores, Together


def evaluate(task: ClassifierTask, weights: Sequence[Path], data: ClassifierDataset, split: str) -> Together:
    """Every metric of the split beside that of the class shares, which are those of the training part of `data`.

    Of several weights the mean of their probabilities, and each by itself.
    """
    models = _alike(task, weights)
    names = models[0].about.class_names
    held_out = [_numbered(part, names) for part in data.held_out(split)]
    trains = [_numbered(part, names) for part in data.trains()]
    fold_N = np.repeat(np.arange(len(held_out)), [len(part) for part in held_out])
    everything = pooled(held_out)
    baseline = scores(trivial(trains, held_out), everything, split=split, rare=data.rare, fold_N=fold_N).values
    said = [_said(model, data, held_out) for model in models]
    trained = (
        trains[0].counts().tolist() if len(trains) == 1 and models[0].about.fingerprint == data.fingerprint else ()
    )
    return _scored(said, everything, baseline, split=split, rare=data.rare, fold_N=fold_N, trained=trained)


def evaluate_file(
    task: ClassifierTask, weights: Sequence[Path], source: Path, data: ClassifierDataset | None
) -> Together:
    """Every metric of labelled files, named as those of `test`, beside that of the class shares of `data`.

    The source is a folder with a folder for each class, or a table. Raises ValueError when it does not fit the weights.
    """
    models = _alike(task, weights)
    about = models[0].about
    files = listed(source, task.suffixes)
    inputs = task.examples([file.path for file in files], about)
    _refuse_other_shapes(models[0], inputs)
    own_names = sorted({file.class_name for file in files})
    own = table_of(files, inputs, own_names, views=task.views(len(files)))
    table = _numbered(own, about.class_names)
    rare: Sequence[str] = ()
    baseline: Mapping[str, float] = {}
    if data is not None:
        rare, trains = data.rare, [_numbered(part, about.class_names) for part in data.trains()[:1]]
        baseline = scores(trivial(trains, [table]), table, split="test", rare=rare).values
    said = [_together(model, as_batch(table)) for model in models]
    return _scored(said, table, baseline, split="test", rare=rare)


def _alike(task: ClassifierTask, weights: Sequence[Path]) -> list[TrainedClassifier]:
    """The models, which know the same classes in the same order."""
    models = [load_classifier(each, task.rebuilt, task=task.name) for each in weights]
    if any(model.about.class_names != models[0].about.class_names for model in models):
        raise ValueError("these weights were trained on different classes: they cannot predict together")
    return models


def _scored(
    said: Sequence[Floats],
    truth: Labelled,
    baseline: Mapping[str, float],
    *,
    split: str,
    rare: Sequence[str],
    fold_N: NDArray[np.int64] | None = None,
    trained: Sequence[int] = (),
) -> Together:
    def of(said_NK: Floats) -> Scores:
        found = with_skill(scores(said_NK, truth, split=split, rare=rare, fold_N=fold_N), baseline)
        table = class_table(said_NK, truth.class_index, np.ones(len(truth)))
        return Scores(
            metrics=found.values,
            baselines=baseline,
            absent=found.absent,
            confusion=confusion(table, truth.class_names, trained),
            calibration=calibration(table),
        )

    members = tuple(of(each) for each in said)
    return Together(scores=of(np.asarray(np.mean(said, axis=0))) if len(said) > 1 else members[0], members=members)


def _said(model: TrainedClassifier, data: ClassifierDataset, held_out: Sequence[Labelled]) -> Floats:
    """(N, K) each fold's network on what it has not seen; on other data all of them together."""
    _refuse_other_shapes(model, held_out[0].inputs)
    if model.about.fingerprint == data.fingerprint:
        pairs = zip(model.networks, held_out, strict=True)
        return np.concatenate([probabilities(network, as_batch(part)) for network, part in pairs])
    return _together(model, as_batch(pooled(held_out)))


def _together(model: TrainedClassifier, batch: Any) -> Floats:
    return np.asarray(np.mean([probabilities(network, batch) for network in model.networks], axis=0))


def _refuse_other_shapes(model: TrainedClassifier, inputs: NDArray[Any]) -> None:
    if inputs.shape[1:] != model.about.shape:
        raise ValueError(f"the model reads examples of {model.about.shape}, these are of {inputs.shape[1:]}")


def _numbered(part: Labelled, names: tuple[str, ...]) -> Labelled:
    """The examples with classes numbered as the model has them; raises ValueError for one that it does not know."""
    if part.class_names == names:
        return part
    used = {part.class_names[index] for index in np.unique(part.class_index)}
    if unknown := sorted(used - set(names)):
        raise ValueError(f"the model knows the classes {', '.join(names)}, not {', '.join(unknown)}")
    number = {name: index for index, name in enumerate(names)}
    table = np.array([number.get(name, 0) for name in part.class_names])
    return replace(part, class_names=names, class_index=table[part.class_index].astype(np.int64))


def prediction_table(task: ClassifierTask, weights: Path, source: Path) -> pd.DataFrame:
    """One row per file: `name`, `class`, the most probable one, and `probability/<CLASS>`."""
    model = load_classifier(weights, task.rebuilt, task=task.name)
    files = _files(source, task.suffixes)
    inputs = task.examples(files, model.about)
    _refuse_other_shapes(model, inputs)
    names = np.array(model.about.class_names)
    labels = [file.relative_to(source).as_posix() if source.is_dir() else file.name for file in files]
    unnamed = [Listed(file, label, "", label) for file, label in zip(files, labels, strict=True)]
    unknown = table_of(unnamed, inputs, [""], views=task.views(len(files)))
    said_NK = _together(model, as_batch(unknown))
    columns: dict[str, Any] = {"name": labels, "class": names[said_NK.argmax(1)]}
    return pd.DataFrame(columns | {f"probability/{name}": said_NK[:, index] for index, name in enumerate(names)})


def _files(source: Path, suffixes: Sequence[str]) -> list[Path]:
    if source.is_dir():
        found = [file for file in sorted(source.rglob("*")) if file.suffix.lower() in suffixes and file.is_file()]
    else:
        found = [source] if source.is_file() else []
    if not found:
        reason = f"no files that end in {', '.join(suffixes)}" if source.is_dir() else "no such file or folder"
        raise DataMistakes(str(source), [DataProblem(reason)])
    return found
