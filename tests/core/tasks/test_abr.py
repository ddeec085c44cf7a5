"""The ABR task from data options to predictions: what is saved scores and predicts as it did in training."""

import json
import pickle
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from safetensors import safe_open

from core.data.check import DataMistakes
from core.data.files import write
from core.data.recordings import Fold, Recordings
from core.metrics.calibration import LEVEL
from core.report import EpochReport
from core.tasks import TASKS
from core.tasks.abr import AbrTask
from core.tasks.abr_data import AbrDataset, pooled
from core.tasks.abr_options import AbrOptions, RecordedData, SimulatedData
from core.tasks.abr_prediction import adapted, predict, renumbered
from core.tasks.abr_weights import About, load_model

BumpRecordings = Callable[..., Recordings]
TASK = AbrTask()


def trained(data: AbrDataset, folder: Path, **options: object) -> tuple[list[EpochReport], Path]:
    settings = AbrOptions.model_validate({"epochs": 2, "batch_size": 16} | options)
    reports = list(TASK.train(settings, seed=3, checkpoint=folder, data=data))
    return reports, folder / f"epoch-{reports[-1].epoch:06d}" / "model.safetensors"


@pytest.fixture(scope="module")
def data(bump_recordings: BumpRecordings) -> AbrDataset:
    fold = Fold(train=bump_recordings(60), val=bump_recordings(40, seed=1), test=bump_recordings(30, seed=2))
    return AbrDataset(folds=(fold,), fingerprint="bumps", rare=("TOTAL", "İTİK"))


@pytest.fixture(scope="module")
def model(data: AbrDataset, tmp_path_factory: pytest.TempPathFactory) -> tuple[EpochReport, Path]:
    reports, weights = trained(data, tmp_path_factory.mktemp("run"))
    return reports[-1], weights


@pytest.fixture(scope="module")
def folds(bump_recordings: BumpRecordings, tmp_path_factory: pytest.TempPathFactory) -> AbrDataset:
    file = tmp_path_factory.mktemp("data") / "bumps.npz"
    write(bump_recordings(9), file)  # three recordings of each of three patients
    return TASK.load(RecordedData(source=file, split="leave_one_patient_out"), folder=Path())


def test_the_module_imports_without_torch() -> None:
    code = "import sys, core.tasks; print(sorted({'torch', 'sklearn', 'pandas', 'scipy'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"


def test_simulated_data_load_pickle_and_have_one_fingerprint() -> None:
    options = SimulatedData(train=60, val=50, test=50, rare=("TOTAL",))
    data = TASK.load(options, folder=Path())
    again = pickle.loads(pickle.dumps(TASK.load(options, folder=Path())))
    assert TASK.fingerprint(data) == TASK.fingerprint(again) == again.fingerprint
    other = TASK.load(SimulatedData(train=60, val=50, test=50, seed=8), folder=Path())
    assert TASK.fingerprint(other) != TASK.fingerprint(data)
    assert [len(part) for part in (data.trains()[0], *data.held_out("val"), *data.held_out("test"))] == [60, 50, 50]


def test_a_missing_file_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(DataMistakes, match=r"none\.npz: no such file; make simulated recordings with"):
        TASK.load(RecordedData(source=Path("none.npz")), folder=tmp_path)


def test_an_unknown_rare_class_is_named() -> None:
    with pytest.raises(ValueError, match="rare names TOTALL; the classes are NORMAL, NÖROPATİ, SNİK, TOTAL, İTİK"):
        TASK.load(SimulatedData(train=60, val=50, test=50, rare=("TOTALL",)), folder=Path())


def test_recordings_from_a_file_are_divided_by_patient(bump_recordings: BumpRecordings, tmp_path: Path) -> None:
    write(bump_recordings(60), tmp_path / "bumps.npz")
    data = TASK.load(RecordedData(source=Path("bumps.npz")), folder=tmp_path)
    parts = [data.folds[0].train, *data.held_out("val"), *data.held_out("test")]
    patients = [set(part.patient.tolist()) for part in parts]
    assert sum(map(len, patients)) == len(set.union(*patients)) == 20
    assert sum(map(len, parts)) == 60


def test_baselines_are_those_of_the_majority(data: AbrDataset) -> None:
    scores = TASK.baselines(data)
    # 60 training recordings, five classes alike: the first is the majority; 8 of 40 in validation. F1 = 2 * .2 / 1.2.
    assert scores["val/class/accuracy"] == pytest.approx(0.2)
    assert scores["val/class/f1_macro"] == pytest.approx(2 * 0.2 / 1.2 / 5)
    # Three of four recordings show wave V.
    assert scores["val/peak/exist_f1"] == pytest.approx(2 * 0.75 / 1.75)


def test_saved_weights_score_as_in_training(data: AbrDataset, model: tuple[EpochReport, Path]) -> None:
    report, weights = model
    scores = TASK.evaluate(weights, data=data, split="val")
    assert scores.metrics == report.metrics
    assert scores.absent == report.absent
    assert scores.baselines == TASK.baselines(data)
    test = TASK.evaluate(weights, data=data, split="test")
    assert all(name.startswith("test/") for name in {*test.metrics, *test.baselines, *test.absent})
    assert {name.removeprefix("test/") for name in test.metrics} == {n.removeprefix("val/") for n in report.metrics}
    with pytest.raises(ValueError, match="scored on val or test, not on 'train'"):
        TASK.evaluate(weights, data=data, split="train")


def test_what_was_predicted_for_which_class_is_counted(data: AbrDataset, model: tuple[EpochReport, Path]) -> None:
    report, weights = model
    scores = TASK.evaluate(weights, data=data, split="val")
    assert scores.confusion is not None
    names, counts = scores.confusion.classes, np.array(scores.confusion.counts)
    # Rows are true classes: 8 of each in validation; the diagonal is what was right.
    assert counts.sum(axis=1).tolist() == [8] * 5
    assert counts.trace() / counts.sum() == pytest.approx(report.metrics["val/class/accuracy"])
    for index, name in enumerate(names):
        assert counts[index, index] / 8 == pytest.approx(report.metrics[f"val/class/recall/{name}"])
    assert sum(part.count for part in scores.calibration) == 40
    right = sum(part.count * part.accuracy for part in scores.calibration) / 40
    assert right == pytest.approx(report.metrics["val/class/accuracy"])


def test_what_validates_can_be_divided_anew_while_the_test_patients_stay(data: AbrDataset, folds: AbrDataset) -> None:
    weighted = replace(data.folds[0], val=replace(data.folds[0].val, weight=np.ones(40, np.float32)))
    with pytest.raises(ValueError, match="weighted here and training recordings are not"):
        TASK.folds(replace(data, folds=(weighted,)), count=4, seed=3)
    parts = TASK.folds(data, count=4, seed=3)
    whole = {*data.folds[0].train.patient.tolist(), *data.folds[0].val.patient.tolist()}
    held_out = [{*part.folds[0].val.patient.tolist()} for part in parts]
    assert sum(map(len, held_out)) == len(whole) == len(set.union(*held_out))
    for part, patients in zip(parts, held_out, strict=True):
        assert not patients & {*part.folds[0].train.patient.tolist()}
        assert part.folds[0].test is data.folds[0].test
    assert len({part.fingerprint for part in parts}) == 4
    with pytest.raises(ValueError, match="a cross-validation already"):
        TASK.folds(folds, count=2, seed=0)


def test_predictions_are_those_that_were_scored(data: AbrDataset, model: tuple[EpochReport, Path]) -> None:
    report, weights = model
    val = data.folds[0].val
    table = TASK.predict(weights, val)
    truth = np.array(val.class_names)[val.hearing_class]
    assert (table["class"] == truth).mean() == pytest.approx(report.metrics["val/class/accuracy"])
    error = np.abs(table["threshold_db"] - val.threshold_db)
    assert error.mean() == pytest.approx(report.metrics["val/threshold/mae_db"])
    probability = table[[f"probability/{name}" for name in val.class_names]].to_numpy()
    assert probability.sum(1) == pytest.approx(np.ones(40))
    assert np.stack(table["signal"]).shape == (40, 200)
    assert ((table["wave_v_probability"] > 0) & (table["wave_v_probability"] < 1)).all()
    # The half-width is the smallest with (1 + 1/40) of 90 % of the 40 validation errors inside: the 37th.
    assert table["threshold_db_plus_minus"].unique() == pytest.approx([np.sort(error)[36]])


def test_intervals_cover_what_they_say(data: AbrDataset, model: tuple[EpochReport, Path]) -> None:
    _, weights = model
    table = TASK.predict(weights, data.folds[0].val)
    truth = {
        "threshold_db": "threshold_db",
        "wave_v_latency_ms": "peak_latency_ms",
        "wave_v_amplitude_uv": "peak_amplitude_uv",
    }
    for column, label in truth.items():
        values = getattr(data.folds[0].val, label)
        known = np.isfinite(values)
        inside = np.abs(table[column] - values)[known] <= table[f"{column}_plus_minus"][known] + 1e-6
        assert LEVEL <= inside.mean() < 1, column


def test_the_header_alone_rebuilds_the_model(data: AbrDataset, model: tuple[EpochReport, Path]) -> None:
    _, weights = model
    with safe_open(weights, framework="np") as file:
        about = json.loads(file.metadata()["about"])
    assert about["class_names"] == list(data.folds[0].train.class_names)
    assert (about["samples"], about["sampling_rate_hz"], about["unit"], about["seed"]) == (200, 15_000.0, "uV", 3)
    assert set(about["intervals"]) == {"threshold_db", "latency_ms", "amplitude_uv"}
    assert About.from_json(about).to_json() == load_model(weights).about.to_json()


@pytest.mark.parametrize("content", [b"", b"no tensors", None])
def test_other_files_are_refused(content: bytes | None, tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    if content is not None:
        path.write_bytes(content)
    else:
        from safetensors.numpy import save_file

        save_file({"fold0.x": np.zeros(1)}, path)
    with pytest.raises(ValueError, match="holds no trained ABR model"):
        load_model(path)


def test_terms_that_were_off_say_nothing(data: AbrDataset, tmp_path: Path) -> None:
    reports, weights = trained(data, tmp_path, epochs=1, loss={"weights": {"signal": 0, "threshold": 0}})
    assert reports[0].absent["val/threshold/mae_db"] == "no threshold is predicted"
    columns = set(TASK.predict(weights, data.folds[0].val).columns)
    assert "class" in columns
    assert not columns & {"signal", "threshold_db", "threshold_db_plus_minus"}


def test_data_without_classes_or_peaks_train_what_they_have(data: AbrDataset, tmp_path: Path) -> None:
    def bare(part: Recordings) -> Recordings:
        nothing = np.full(len(part), np.nan, dtype=np.float32)
        return replace(
            part,
            class_names=(),
            hearing_class=np.full(len(part), -1),
            peak_exist=nothing,
            peak_latency_ms=nothing,
            peak_amplitude_uv=nothing,
            clean=None,
        )

    (fold,) = data.folds
    only_threshold = AbrDataset(folds=(Fold(train=bare(fold.train), val=bare(fold.val)),), fingerprint="thresholds")
    reports, weights = trained(only_threshold, tmp_path, epochs=1)
    assert set(reports[0].active) == {"threshold"}
    assert {name.split("/")[1] for name in reports[0].metrics} == {"threshold"}
    assert reports[0].absent["val/class/f1_macro"] == "no recording of the split has a class"
    assert set(TASK.predict(weights, fold.val).columns) == {"patient", "threshold_db", "threshold_db_plus_minus"}


def test_cross_validation_pools_what_each_fold_held_out(folds: AbrDataset, tmp_path: Path) -> None:
    assert len(folds.folds) == 3
    reports, weights = trained(folds, tmp_path, batch_size=3)
    # Three folds of 6 training recordings in batches of 3.
    assert reports[-1].health["steps"] == 3 * 2
    assert TASK.evaluate(weights, data=folds, split="val").metrics == reports[-1].metrics
    with pytest.raises(ValueError, match="no test split"):
        TASK.evaluate(weights, data=folds, split="test")
    everything = pooled(folds.held_out("val"))
    assert len(everything) == 9
    assert len({*everything.patient.tolist()}) == 3
    # On recordings that are new to all folds the networks predict together.
    networks = load_model(weights).networks
    assert len(networks) == 3
    together = TASK.predict(weights, everything)["threshold_db"].to_numpy()
    held_out = reports[-1].metrics["val/threshold/mae_db"]
    assert np.abs(together - everything.threshold_db).mean() != pytest.approx(held_out)


def test_each_fold_is_scored_by_the_network_that_never_saw_it(folds: AbrDataset, tmp_path: Path) -> None:
    _, weights = trained(folds, tmp_path, epochs=1, batch_size=3)
    alone = AbrDataset(folds=folds.folds[:1], fingerprint=folds.fingerprint)
    (tmp_path / "first").mkdir()
    reports, _ = trained(alone, tmp_path / "first", epochs=1, batch_size=3)
    scores = TASK.evaluate(weights, data=folds, split="val").metrics
    errors = []
    for index in range(3):
        single = replace(load_model(weights), networks=(load_model(weights).networks[index],))
        about = replace(single.about, scalings=(single.about.scalings[index],))
        said = predict(replace(single, about=about), folds.folds[index].val).threshold_db
        assert said is not None
        errors.append(np.abs(said - folds.folds[index].val.threshold_db))
    assert np.concatenate(errors).mean() == pytest.approx(scores["val/threshold/mae_db"], rel=1e-5)
    assert errors[0].mean() == pytest.approx(reports[0].metrics["val/threshold/mae_db"], rel=1e-5)


def test_another_sampling_rate_is_resampled_in_time(data: AbrDataset, model: tuple[EpochReport, Path]) -> None:
    about = load_model(model[1]).about
    val = data.folds[0].val
    time_ms = np.arange(640) * 1000 / 40_000  # 16 ms at 40 kHz
    centre_ms = np.linspace(3, 10, len(val))[:, None]
    bumps = np.exp(-0.5 * ((time_ms - centre_ms) / 0.4) ** 2) + 3
    fast = replace(val, signal=bumps.astype(np.float32), clean=None, sampling_rate_hz=40_000.0)
    slow = adapted(fast, about)
    assert (slow.samples, slow.sampling_rate_hz) == (200, 15_000.0)
    expected = np.exp(-0.5 * ((slow.time_ms - centre_ms) / 0.4) ** 2) + 3
    assert np.abs(slow.signal - expected).max() < 0.01
    assert len(TASK.predict(model[1], fast)) == len(val)
    fitted = replace(data, folds=(Fold(train=data.folds[0].train, val=fast),))
    assert "val/threshold/mae_db" in TASK.evaluate(model[1], data=fitted, split="val").metrics


def test_recordings_that_do_not_fit_are_refused(data: AbrDataset, model: tuple[EpochReport, Path]) -> None:
    about = load_model(model[1]).about
    val = data.folds[0].val
    short = replace(val, signal=val.signal[:, :150], clean=None)
    with pytest.raises(ValueError, match=r"end 10.0 ms after the stimulus; the model needs 13.3 ms"):
        adapted(short, about)
    with pytest.raises(ValueError, match="trained on signals in uV; these are z-scored"):
        adapted(replace(val, unit="z"), about)
    with pytest.raises(ValueError, match=r"the model knows the classes NORMAL, .*, not other"):
        renumbered(replace(val, class_names=("other", "NORMAL"), hearing_class=np.zeros(40, int)), about.class_names)
    z = adapted(val, replace(about, unit="z"))
    assert z.signal.std(1) == pytest.approx(np.ones(40), abs=1e-4)
    swapped = replace(val, class_names=val.class_names[::-1], hearing_class=4 - val.hearing_class)
    assert (renumbered(swapped, about.class_names).hearing_class == val.hearing_class).all()


def test_the_table_of_tasks_holds_it() -> None:
    assert isinstance(TASKS["abr"], AbrTask)
