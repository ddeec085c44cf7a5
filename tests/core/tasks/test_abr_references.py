"""Reference scores beside the network's."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from pydantic import TypeAdapter

from core.data.recordings import Recordings
from core.tasks import TASKS
from core.tasks.abr_options import AbrData, AbrOptions
from core.tasks.abr_references import references, response_threshold_error
from core.training.checkpoint import MODEL

LEVELS = np.array([0, 10, 20, 30], dtype=np.float32)


def one_patient(threshold: float) -> Recordings:
    """Four recordings of one patient, one at each level."""
    nothing = np.full(4, np.nan, np.float32)
    static = np.full((4, 4), np.nan, np.float32)
    static[:, 1] = LEVELS
    return Recordings(
        signal=np.zeros((4, 20), np.float32),
        sampling_rate_hz=15000.0,
        unit="uV",
        patient=np.array(["P"] * 4),
        static=static,
        class_names=(),
        hearing_class=np.full(4, -1),
        threshold_db=np.full(4, threshold, np.float32),
        peak_exist=(threshold <= LEVELS).astype(np.float32),
        peak_latency_ms=nothing,
        peak_amplitude_uv=nothing,
    )


@pytest.mark.parametrize(
    ("answers", "read"),
    [
        ([0.1, 0.2, 0.9, 0.8], 20),
        ([0.9, 0.2, 0.4, 0.8], 30),  # a response below a silent level does not count
        ([0.6, 0.6, 0.6, 0.6], 0),
        ([0.1, 0.1, 0.1, 0.1], 40),  # none at the highest level: the step above it
    ],
)
def test_a_threshold_is_read_from_the_answers_as_a_reader_would(answers: list[float], read: float) -> None:
    """The lowest level from which on all levels respond, against a label of 20 dB."""
    error = response_threshold_error(np.array(answers), one_patient(20))
    assert error == pytest.approx(abs(read - 20))


def test_without_levels_no_threshold_is_read() -> None:
    """Unknown levels give nothing rather than zero."""
    silent = one_patient(20)
    silent = replace(silent, static=np.full((4, 4), np.nan, np.float32))
    assert response_threshold_error(np.full(4, 0.9), silent) is None


def test_trees_and_the_level_stand_beside_the_network(tmp_path: Path) -> None:
    """Each reference has our own score on the same recordings; a tree also a paired interval around the difference."""
    task = TASKS["abr"]
    data = task.load(TypeAdapter(AbrData).validate_python({"train": 200, "val": 200, "test": 200}), folder=tmp_path)
    options = AbrOptions.model_validate({"epochs": 1})
    list(task.train(options, seed=0, checkpoint=tmp_path / "checkpoint", data=data))
    (weights,) = (tmp_path / "checkpoint").rglob(MODEL)
    found = {reference.name: reference for reference in references(weights, data, "test")}
    ours = task.evaluate(weights, data=data, split="test").metrics
    assert len(found) == 3
    for name, reference in found.items():
        assert reference.ours == pytest.approx(ours[reference.metric], abs=1e-6), name
        assert 0 <= reference.value <= 1
    static = found["gradient-boosted tree on the static parameters alone"]
    assert static.interval is not None
    assert static.ours is not None
    low, high = static.interval
    assert low <= static.ours - static.value <= high
    assert found["the stimulus level alone"].interval is None


def test_without_two_classes_to_learn_from_there_is_no_tree(tmp_path: Path) -> None:
    """One class among the training labels, or labels missing altogether: the level alone still stands beside it."""
    task = TASKS["abr"]
    data = task.load(TypeAdapter(AbrData).validate_python({"train": 60, "val": 60, "test": 60}), folder=tmp_path)
    list(task.train(AbrOptions.model_validate({"epochs": 1}), seed=0, checkpoint=tmp_path / "checkpoint", data=data))
    (weights,) = (tmp_path / "checkpoint").rglob(MODEL)
    (fold,) = data.folds
    for train, test in ((0, None), (-1, None), (None, -1)):
        changed = replace(fold, train=labelled(fold.train, train), test=labelled(fold.test, test))
        names = [reference.name for reference in references(weights, replace(data, folds=(changed,)), "test")]
        assert names == ["the stimulus level alone"], (train, test)


def labelled(recordings: Recordings | None, label: int | None) -> Recordings:
    """The recordings with one class for all (-1: unknown); as they are without a `label`."""
    assert recordings is not None
    return recordings if label is None else replace(recordings, hearing_class=np.full(len(recordings), label))
