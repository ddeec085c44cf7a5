"""Bounds of the heads that a person chooses, and the labels they leave out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from pydantic import ValidationError

from core.data.recordings import Fold, Recordings
from core.data.scaling import beyond_reach, bounded, fit_scaling
from core.tasks.abr import AbrTask
from core.tasks.abr_data import AbrDataset
from core.tasks.abr_options import AbrOptions
from core.tasks.abr_weights import load_model

BumpRecordings = Callable[..., Recordings]


@pytest.fixture(scope="module")
def table(bump_recordings: BumpRecordings) -> Recordings:
    """Latencies of 4 to 7.75 ms by quarters of a millisecond, one of them unknown."""
    latency = np.append(np.arange(4, 7.75, 0.25), np.nan).astype(np.float32)
    return replace(bump_recordings(16), peak_latency_ms=latency)


def test_labels_beyond_chosen_bounds_are_counted(table: Recordings) -> None:
    fitted = fit_scaling(table)
    assert beyond_reach(fitted, table) == {}  # the margin takes in every label
    narrow = bounded(fitted, {"threshold": None, "latency": (4.0, 7.0), "amplitude": None})
    assert (narrow.threshold, narrow.amplitude) == (fitted.threshold, fitted.amplitude)
    assert narrow.latency is not None
    assert (narrow.latency.low, narrow.latency.high) == (4.0, 7.0)
    assert beyond_reach(narrow, table) == {"peak_latency": pytest.approx(2 / 15)}  # 7.25 and 7.5


def test_a_target_without_labels_has_no_bounds(table: Recordings) -> None:
    without = replace(table, peak_latency_ms=np.full(16, np.nan, np.float32))
    assert bounded(fit_scaling(without), {"latency": (1.0, 8.0)}).latency is None


def test_bounds_ascend() -> None:
    with pytest.raises(ValidationError, match="the lower end 8 is not below the upper end 1"):
        AbrOptions.model_validate({"model": {"bounds": {"latency_ms": [8, 1]}}})


def test_chosen_bounds_hold_in_training_and_with_the_weights(bump_recordings: BumpRecordings, tmp_path: Path) -> None:
    table = bump_recordings(32)
    data = AbrDataset(folds=(Fold(train=table, val=table),), fingerprint="bumps")
    bounds: dict[str, list[float]] = {"latency_ms": [5, 6], "threshold_db": [40, 60], "amplitude_uv": [0.1, 0.2]}
    options = AbrOptions.model_validate({"epochs": 1, "model": {"bounds": bounds}})
    [report] = AbrTask().train(options, seed=1, checkpoint=tmp_path, data=data)
    beyond = {name for name in report.health if name.startswith("beyond_reach/")}
    assert beyond == {"beyond_reach/peak_latency", "beyond_reach/threshold", "beyond_reach/peak_amplitude"}
    weights = next(tmp_path.rglob("model.safetensors"))
    said = AbrTask().predict(weights, table)
    kept = load_model(weights).about.scalings[0].latency
    assert kept is not None
    assert kept.high == 6
    for column, (low, high) in zip(("latency_ms", "threshold_db", "amplitude_uv"), bounds.values(), strict=True):
        values = said[next(name for name in said.columns if str(name).endswith(column))]
        assert values.between(low, high).all(), column
