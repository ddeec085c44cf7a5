"""Several models that predict together, and scores on a file of one's own."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy.signal import resample_poly

from core.data.files import write
from core.data.recordings import Fold, Recordings
from core.metrics import Predictions
from core.tasks.abr import AbrTask
from core.tasks.abr_data import AbrDataset
from core.tasks.abr_ensemble import Said
from core.tasks.abr_evaluation import held_out_predictions
from core.tasks.abr_options import AbrOptions
from core.tasks.abr_weights import load_model

BumpRecordings = Callable[..., Recordings]
TASK = AbrTask()


@pytest.fixture(scope="module")
def data(bump_recordings: BumpRecordings) -> AbrDataset:
    fold = Fold(train=bump_recordings(60), val=bump_recordings(40, seed=1), test=bump_recordings(30, seed=2))
    return AbrDataset(folds=(fold,), fingerprint="bumps", rare=("TOTAL",))


@pytest.fixture(scope="module")
def weights(data: AbrDataset, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    found = []
    for seed in (1, 2):
        folder = tmp_path_factory.mktemp(f"seed{seed}")
        options = AbrOptions.model_validate({"epochs": 1, "batch_size": 16, "optimizer": {"lr": 3e-3}})
        list(TASK.train(options, seed=seed, checkpoint=folder, data=data))
        found.append(folder / "epoch-000001" / "model.safetensors")
    return found


def test_means_and_the_spread_of_the_mixture() -> None:
    one = Predictions(
        class_probability=np.array([[0.9, 0.1]]), threshold_db=np.array([0.0]), threshold_sd_db=np.ones(1)
    )
    two = Predictions(
        class_probability=np.array([[0.3, 0.7]]), threshold_db=np.array([2.0]), threshold_sd_db=np.ones(1)
    )
    together = Said((one, two)).together
    assert together.class_probability.tolist() == [[pytest.approx(0.6), pytest.approx(0.4)]]
    assert together.threshold_db.tolist() == [1.0]
    # Variance of the mixture: mean(1 + 0, 1 + 4) - 1 = 2; the members' own mean would say 1.
    assert together.threshold_sd_db.tolist() == [pytest.approx(2**0.5)]


def test_whoever_says_nothing_does_not_count_and_no_interval_is_made_up() -> None:
    speaks = Predictions(latency_ms=np.array([6.0]), latency_sd_ms=np.ones(1), latency_plus_minus_ms=np.ones(1))
    unsure = Predictions(latency_ms=np.array([8.0]))
    assert Said((speaks, Predictions())).together.latency_ms.tolist() == [6.0]
    together = Said((speaks, unsure)).together
    assert together.latency_ms.tolist() == [7.0]
    assert together.latency_sd_ms is None  # one of those that predict does not say how sure it is
    assert together.latency_plus_minus_ms is None
    assert together.threshold_db is None
    assert Said((speaks,)).together is speaks


def test_together_is_the_mean_of_what_each_says(data: AbrDataset, weights: list[Path]) -> None:
    found = TASK.evaluate_together(weights, data=data, split="val")
    each = [TASK.evaluate(path, data=data, split="val") for path in weights]
    assert [dict(member.metrics) for member in found.members] == [dict(scores.metrics) for scores in each]
    said = [held_out_predictions(load_model(path), data, "val") for path in weights]
    mean_N = (said[0].threshold_db + said[1].threshold_db) / 2
    truth_N = data.held_out("val")[0].threshold_db
    assert found.scores.metrics["val/threshold/mae_db"] == pytest.approx(float(np.abs(mean_N - truth_N).mean()))
    assert found.scores.baselines == each[0].baselines
    assert found.scores.metrics["val/threshold/mae_db"] not in {s.metrics["val/threshold/mae_db"] for s in each}


def test_a_file_is_scored_as_the_same_recordings_of_the_split_are(
    data: AbrDataset, weights: list[Path], tmp_path: Path
) -> None:
    write(data.folds[0].test, tmp_path / "own.npz")
    found = TASK.evaluate_file(weights[:1], tmp_path / "own.npz", data=data)
    split = TASK.evaluate(weights[0], data=data, split="test")
    assert found.scores.metrics["test/threshold/mae_db"] == split.metrics["test/threshold/mae_db"]
    assert found.scores.baselines["test/threshold/mae_db"] == split.baselines["test/threshold/mae_db"]
    # The bumps' patients have the same names in every part.
    assert any("patients are called as patients that trained" in remark for remark in found.remarks)
    alone = TASK.evaluate_file(weights[:1], tmp_path / "own.npz", data=None)
    assert alone.scores.baselines == {}
    assert "nothing stands beside a trivial predictor" in alone.remarks[0]


def test_another_rate_is_brought_to_the_models_and_missing_labels_are_absent(
    data: AbrDataset, weights: list[Path], tmp_path: Path
) -> None:
    known = data.folds[0].test
    faster = replace(
        known,
        signal=resample_poly(known.signal, 2, 1, axis=1).astype(np.float32),
        clean=None,
        sampling_rate_hz=30_000.0,
        threshold_db=np.full(len(known), np.nan, np.float32),
    )
    write(faster, tmp_path / "faster.npz")
    found = TASK.evaluate_file(weights, tmp_path / "faster.npz", data=data)
    assert "the recordings were brought from 30000 Hz to the 15000 Hz of the model" in found.remarks
    assert "test/class/accuracy" in found.scores.metrics
    assert not [name for name in found.scores.metrics if name.startswith(("test/threshold/", "test/signal/"))]
    assert found.scores.absent["test/threshold/mae_db"]
    assert found.scores.absent["test/signal/pearson"]


def test_other_classes_and_recordings_that_end_too_early_are_mistakes(
    data: AbrDataset, weights: list[Path], tmp_path: Path
) -> None:
    known = data.folds[0].test
    names = ("NORMAL", "NÖROPATİ", "SNİK", "TOTAL", "OTHER")
    write(replace(known, class_names=names), tmp_path / "other.npz")
    with pytest.raises(ValueError, match="the model knows the classes NORMAL, NÖROPATİ, SNİK, TOTAL, İTİK, not OTHER"):
        TASK.evaluate_file(weights[:1], tmp_path / "other.npz", data=data)
    write(replace(known, signal=known.signal[:, :100], clean=None), tmp_path / "short.npz")
    with pytest.raises(ValueError, match=r"end 6\.7 ms after the stimulus; the model needs 13\.3 ms"):
        TASK.evaluate_file(weights[:1], tmp_path / "short.npz", data=data)
