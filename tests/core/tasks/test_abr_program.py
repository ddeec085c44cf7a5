"""A model as a program of torch's: it says what the model says, of any number of recordings."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch.export import ExportedProgram

import core
from core.data.recordings import Fold, Recordings
from core.tasks.abr_data import AbrDataset
from core.tasks.abr_options import AbrOptions
from core.tasks.abr_prediction import predict
from core.tasks.abr_program import TOLERANCE, Program, compared, inputs_like, keep, recordings_of, traced
from core.tasks.abr_run import build_run
from core.tasks.abr_weights import TrainedModel, load_model
from core.tasks.task import Task
from core.training.loop import train

Make = Callable[..., Recordings]


def trained(make: Make, folder: Path, folds: int) -> Path:
    """Weights of a model that predicts spreads, after one epoch."""
    parts = tuple(Fold(train=make(40, seed=k), val=make(20, seed=10 + k)) for k in range(folds))
    options = AbrOptions.model_validate({"epochs": 1, "batch_size": 8, "loss": {"regression": "gaussian_nll"}})
    list(train(build_run(options, AbrDataset(folds=parts, fingerprint="bumps"), seed=1), folder))
    return next(folder.rglob("model.safetensors"))


@pytest.fixture(scope="module")
def weights(bump_recordings: Make, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return trained(bump_recordings, tmp_path_factory.mktemp("one"), 1)


@pytest.fixture(scope="module")
def model(weights: Path) -> TrainedModel:
    return load_model(weights)


@pytest.fixture(scope="module")
def program(model: TrainedModel) -> ExportedProgram:
    return traced(model)


def test_networks_of_several_folds_speak_together(bump_recordings: Make, tmp_path: Path) -> None:
    model = load_model(trained(bump_recordings, tmp_path, 2))
    assert len(model.networks) == 2
    assert compared(Program(model).eval(), model)[0] < TOLERANCE


def test_a_written_program_says_what_the_model_says(
    program: ExportedProgram, model: TrainedModel, tmp_path: Path
) -> None:
    exported = keep(program, model, tmp_path / "new" / "model.pt2")
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["model.pt2"]
    assert 0 < exported.difference <= exported.tolerance
    assert exported.outputs["class_probability"] == (5,)
    assert exported.outputs["signal"] == (200,)
    assert {"threshold_db", "threshold_sd_db", "threshold_plus_minus_db", "latency_ms"} <= set(exported.outputs)
    loaded = torch.export.load(tmp_path / "new" / "model.pt2").module()
    for count in (1, 2, 11):
        signal_BT, static_BS = inputs_like(model, count, seed=count)
        said = loaded(signal_BT, static_BS)
        expected = predict(model, recordings_of(model, signal_BT, static_BS))
        assert list(said) == list(exported.outputs)
        assert said["class_probability"].detach().numpy() == pytest.approx(expected.class_probability, abs=1e-5)
        assert said["threshold_db"].detach().numpy() == pytest.approx(expected.threshold_db, rel=1e-5)


def test_a_program_that_says_something_else_is_not_written(
    program: ExportedProgram, weights: Path, tmp_path: Path
) -> None:
    other = load_model(weights)
    with torch.no_grad():
        next(other.networks[0].threshold_head.parameters()).add_(1e-2)
    assert compared(Program(other).eval(), other)[0] < TOLERANCE
    with pytest.raises(ValueError, match=r"it differs from the model by \S+ of its spread, more than 0.0001"):
        keep(program, other, tmp_path / "model.pt2")
    assert not list(tmp_path.iterdir())


def test_a_task_need_not_know_how() -> None:
    class Plain(Task):
        name = "plain"

    with pytest.raises(NotImplementedError, match="task plain cannot be written as a program"):
        Plain().program(Path("model.safetensors"), Path("model.pt2"))


def test_only_what_was_just_written_is_loaded() -> None:
    """torch.export.load unpickles: the one call is in `keep`, on the file of the line before."""
    root = Path(core.__file__).parents[1]
    files = [file for folder in ("core", "abr_tune") for file in (root / folder).rglob("*.py")]
    calls = {file.name: file.read_text(encoding="utf-8").count("export.load(") for file in files}
    assert {name: count for name, count in calls.items() if count} == {"abr_program.py": 1}
    [before, after] = (root / "core" / "tasks" / "abr_program.py").read_text(encoding="utf-8").split("export.load(")
    assert after.startswith("new)")
    assert "torch.export.save(program, new)" in before.splitlines()[-3]
