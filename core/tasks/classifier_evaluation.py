"""Saved classifiers put to use: scores on held-out examples, predictions for files."""

from __future__ import annotations

from collections.abc import Sequence
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
from core.metrics import with_skill
from core.metrics.classes import ClassTable, class_table
from core.tasks.classifier import ClassifierTask
from core.tasks.task import Confusion, Reliability, Scores


def evaluate(task: ClassifierTask, weights: Path, data: ClassifierDataset, split: str) -> Scores:
    """Every metric of the split beside that of the class shares, which are those of the training part of `data`."""
    model = load_classifier(weights, task.rebuilt, task=task.name)
    held_out = [_numbered(part, model) for part in data.held_out(split)]
    everything = pooled(held_out)
    trains = [_numbered(part, model) for part in data.trains()]
    fold_N = np.repeat(np.arange(len(held_out)), [len(part) for part in held_out])
    said_NK = _said(model, data, held_out)
    baseline = scores(trivial(trains, held_out), everything, split=split, rare=data.rare, fold_N=fold_N).values
    found = with_skill(scores(said_NK, everything, split=split, rare=data.rare, fold_N=fold_N), baseline)
    table = class_table(said_NK, everything.class_index, np.ones(len(everything)))
    return Scores(
        metrics=found.values,
        baselines=baseline,
        absent=found.absent,
        confusion=_confusion(table, everything.class_names),
        calibration=_calibration(table),
    )


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


def _numbered(part: Labelled, model: TrainedClassifier) -> Labelled:
    """The examples with classes numbered as the model has them; raises ValueError for one that it does not know."""
    names = model.about.class_names
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
    unknown = Labelled(
        inputs=inputs,
        class_index=np.zeros(len(files), np.int64),
        class_names=model.about.class_names,
        group=np.array(labels, dtype=np.str_),
        name=np.array(labels, dtype=np.str_),
        views=task.views(len(files)),
    )
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
