"""Recordings that are valid and strange: what cannot be computed is absent with its reason, never NaN and never 0."""

import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from core.data.check import DataMistakes
from core.data.files import write
from core.data.recordings import Fold, Recordings
from core.tasks.abr import AbrTask
from core.tasks.abr_data import AbrDataset
from core.tasks.abr_options import AbrOptions, RecordedData

TASK = AbrTask()
Change = Callable[[Recordings], Recordings]


def without(*columns: str) -> Change:
    return lambda r: replace(r, **{column: np.full(len(r), np.nan, np.float32) for column in columns})


def filled(**columns: float) -> Change:
    return lambda r: replace(r, **{c: np.full_like(r.columns()[c], value) for c, value in columns.items()})


def same(r: Recordings) -> Recordings:
    return r


def flat(r: Recordings) -> Recordings:
    return replace(r, signal=np.full_like(r.signal, 0.3))


def one_flat(r: Recordings) -> Recordings:
    return replace(r, signal=np.where(np.arange(len(r))[:, None] == 2, np.float32(0), r.signal))


def never_seen(r: Recordings) -> Recordings:
    return filled(peak_exist=0)(without("peak_latency_ms", "peak_amplitude_uv")(r))


def class_left_out(r: Recordings) -> Recordings:
    return r.take(r.hearing_class != 4)


CASES: dict[str, tuple[Change, Change, dict[str, str]]] = {
    "no thresholds": (
        without("threshold_db"),
        without("threshold_db"),
        {"threshold/mae_db": "", "threshold/r2": ""},
    ),
    "no thresholds in validation": (same, without("threshold_db"), {"threshold/mae_db": ""}),
    "no thresholds in training": (without("threshold_db"), same, {"threshold/mae_db": ""}),
    "a class missing in validation": (same, class_left_out, {"class/f1/İTİK": "no recording of the split is İTİK"}),
    "a class missing in training": (class_left_out, same, {}),
    "one class only": (
        filled(hearing_class=1),
        filled(hearing_class=1),
        {"class/auroc_macro": "every recording of the split is NÖROPATİ"},
    ),
    "no classes": (filled(hearing_class=-1), filled(hearing_class=-1), {"class/f1_macro": "", "class/accuracy": ""}),
    "thresholds all alike": (
        filled(threshold_db=30),
        filled(threshold_db=30),
        {"threshold/r2": "the true values do not vary", "threshold/pearson": "the true values do not vary"},
    ),
    "nobody looked for wave V": (
        without("peak_exist", "peak_latency_ms", "peak_amplitude_uv"),
        without("peak_exist", "peak_latency_ms", "peak_amplitude_uv"),
        {"peak/exist_f1": "", "peak/exist_auroc": "", "peak/latency_mae_ms": "", "peak/amplitude_r2": ""},
    ),
    "wave V never seen": (never_seen, never_seen, {"peak/latency_mae_ms": "", "peak/exist_auroc": ""}),
    "flat waveforms": (flat, flat, {}),
    "a flat waveform": (one_flat, one_flat, {}),
    "nothing known of the stimulus": (filled(static=np.nan), filled(static=np.nan), {}),
    "one recording validates": (same, lambda r: r.take(np.arange(1)), {"threshold/r2": "the true values do not vary"}),
}


@pytest.mark.parametrize(("train", "val", "absent"), CASES.values(), ids=CASES)
def test_what_cannot_be_computed_is_absent_with_its_reason(bump_recordings, tmp_path, train, val, absent):
    parts = [change(bump_recordings(n, seed=n)) for change, n in ((train, 40), (val, 20))]
    # Half of the cases without the truth that only simulated recordings have.
    train_part, val_part = parts if len(absent) % 2 else [replace(part, clean=None) for part in parts]
    data = AbrDataset(folds=(Fold(train=train_part, val=val_part),), fingerprint="strange")
    options = AbrOptions.model_validate({"epochs": 1, "batch_size": 16})
    (report,) = TASK.train(options, seed=3, checkpoint=tmp_path, data=data)
    assert report.complete
    assert report.metrics
    assert all(map(math.isfinite, [*report.metrics.values(), *report.health.values(), *TASK.baselines(data).values()]))
    for name, why in absent.items():
        assert f"val/{name}" not in report.metrics
        assert why in report.absent[f"val/{name}"] != ""
    assert not set(report.metrics) & set(report.absent)
    scores = TASK.evaluate(tmp_path / "epoch-000001" / "model.safetensors", data=data, split="val")
    assert scores.absent == report.absent
    table = TASK.predict(tmp_path / "epoch-000001" / "model.safetensors", val_part)
    assert np.isfinite(table.select_dtypes("number").to_numpy()).all()


def test_data_that_teach_nothing_are_refused_before_the_search(bump_recordings, tmp_path: Path):
    nothing = never_seen(without("threshold_db", "peak_exist")(filled(hearing_class=-1)(bump_recordings(12))))
    unlabelled = replace(without("peak_exist")(nothing), clean=None)
    write(unlabelled, tmp_path / "t.npz")
    with pytest.raises(DataMistakes, match="no recording is labelled with anything"):
        TASK.load(RecordedData(source=Path("t.npz")), folder=tmp_path)
    write(nothing, tmp_path / "t.npz")  # whether a wave is there is known
    assert TASK.load(RecordedData(source=Path("t.npz")), folder=tmp_path)


@pytest.mark.parametrize("split", ["by_patient", "leave_one_patient_out"])
def test_one_patient_cannot_be_divided(bump_recordings, tmp_path, split):
    write(bump_recordings(3), tmp_path / "t.npz")
    with pytest.raises(
        DataMistakes, match=r"t\.npz: patient: \d splits need at least \d patients, the recordings have 1"
    ):
        TASK.load(RecordedData(source=Path("t.npz"), split=split), folder=tmp_path)


def test_what_is_strange_is_said(bump_recordings, tmp_path):
    r = without("threshold_db")(bump_recordings(30))
    only = np.where(np.arange(30) < 3, 4, np.arange(30) // 3 % 4)  # one patient has the rarest class
    write(replace(r, hearing_class=only), tmp_path / "t.npz")
    remarks = TASK.remarks(TASK.load(RecordedData(source=Path("t.npz")), folder=tmp_path))
    assert "No recording is labelled with a threshold: not learned, and not scored." in remarks
    assert any(
        "validating is of class" in remark and "İTİK: its scores there are absent." in remark for remark in remarks
    )
