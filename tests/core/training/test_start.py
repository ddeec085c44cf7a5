"""Training that begins from another's weights: what is taken, what begins anew, and that going on reloads nothing."""

from collections.abc import Callable
from dataclasses import replace
from itertools import islice
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from core.data.recordings import Fold, Recordings
from core.report import EpochReport
from core.tasks.abr_data import AbrDataset
from core.tasks.abr_options import AbrOptions
from core.tasks.abr_run import build_run
from core.training.checkpoint import OtherRun
from core.training.loop import train
from core.training.run import Run
from core.training.start import begin_from

BumpRecordings = Callable[..., Recordings]
OPTIONS = {"epochs": 2, "batch_size": 16, "model": {"dropout": 0.2}, "optimizer": {"lr": 3e-3}}


@pytest.fixture(scope="module")
def data(bump_recordings: BumpRecordings) -> AbrDataset:
    fold = Fold(train=bump_recordings(30), val=bump_recordings(20, seed=1))
    return AbrDataset(folds=(fold,), fingerprint="bumps")


@pytest.fixture(scope="module")
def weights(data: AbrDataset, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What a training of two epochs with another seed ended with."""
    folder = tmp_path_factory.mktemp("earlier")
    list(train(run(data, seed=1), folder))
    return folder / "epoch-000002" / "model.safetensors"


def run(data: AbrDataset, *, seed: int = 4, start: Path | None = None, **changed: object) -> Run:
    return build_run(AbrOptions.model_validate({**OPTIONS, **changed}), data, seed=seed, start=start)


def plain(reports: list[EpochReport]) -> list[EpochReport]:
    return [replace(report, seconds=0.0) for report in reports]


def test_a_training_begins_with_the_weights_of_another(data: AbrDataset, weights: Path) -> None:
    begun = run(data, start=weights)
    network, earlier = begun.learners[0].network, load_file(weights)
    for name, parameter in network.named_parameters():
        assert torch.equal(parameter, earlier[f"fold0.{name}"]), name
    count = len(list(network.parameters()))
    assert (begun.signals["start/tensors_taken"], begun.signals["start/tensors"]) == (count, count)
    anew = run(data)
    random = anew.learners[0].network.parameters()
    assert any(not torch.equal(a, b) for a, b in zip(network.parameters(), random, strict=True))


def test_what_was_fitted_on_its_own_training_data_stays(
    data: AbrDataset, weights: Path, bump_recordings: BumpRecordings
) -> None:
    fold = Fold(train=bump_recordings(30, seed=5), val=bump_recordings(20, seed=6))
    other = AbrDataset(folds=(fold,), fingerprint="other bumps")
    begun, anew = (run(other, start=start).learners[0].network for start in (weights, None))
    kept = dict(begun.named_buffers())
    assert kept
    for name, buffer in anew.named_buffers():
        assert torch.equal(kept[name], buffer), name
    assert any(not torch.equal(kept[name], load_file(weights)[f"fold0.{name}"]) for name in kept)


def test_only_tensors_of_equal_name_and_shape_are_taken(tmp_path: Path) -> None:
    file = tmp_path / "model.safetensors"
    there = {"fold0.0.weight": torch.full((3, 2), 7.0), "fold0.0.bias": torch.zeros(4), "fold0.9.bias": torch.zeros(1)}
    save_file(there, file)
    network = nn.Sequential(nn.Linear(2, 3), nn.Linear(3, 1))
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    taken = begin_from(file, [network])
    assert (taken.tensors, taken.of) == (1, 4)
    now = network.state_dict()
    assert bool((now["0.weight"] == 7).all())
    for name in ("0.bias", "1.weight", "1.bias"):
        assert torch.equal(now[name], before[name]), name


def test_running_statistics_are_taken_and_other_buffers_are_not(tmp_path: Path) -> None:
    def make(value: float) -> nn.Module:
        network = nn.Sequential(nn.BatchNorm1d(2))
        network[0].running_mean.fill_(value)  # type: ignore[union-attr, operator]
        network.register_buffer("unit", torch.tensor(value))
        return network

    file = tmp_path / "model.safetensors"
    save_file({f"fold0.{name}": tensor for name, tensor in make(3.0).state_dict().items()}, file)
    network = make(1.0)
    taken = begin_from(file, [network])
    state = network.state_dict()
    assert state["0.running_mean"].tolist() == [3.0, 3.0]
    assert state["unit"].item() == 1.0
    assert (taken.tensors, taken.of) == (5, 5)


def test_nothing_that_fits_is_a_warning(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    save_file({"fold0.other": torch.zeros(1)}, tmp_path / "model.safetensors")
    assert begin_from(tmp_path / "model.safetensors", [nn.Linear(1, 1)]).tensors == 0
    assert "0 of 2 tensors have the same name and shape there; everything begins anew" in caplog.text


def test_going_on_does_not_begin_again(data: AbrDataset, weights: Path, tmp_path: Path) -> None:
    whole = list(train(run(data, start=weights), tmp_path / "whole"))
    interrupted = train(run(data, start=weights), tmp_path / "parts")
    before = list(islice(interrupted, 1))
    interrupted.close()
    after = list(train(run(data, start=weights), tmp_path / "parts"))
    assert plain([*before, *after[1:]]) == plain(whole)
    last = "epoch-000002/model.safetensors"
    assert (tmp_path / "parts" / last).read_bytes() == (tmp_path / "whole" / last).read_bytes()


def test_a_checkpoint_begun_otherwise_is_another_run(data: AbrDataset, weights: Path, tmp_path: Path) -> None:
    list(islice(train(run(data, start=weights), tmp_path), 1))
    with pytest.raises(OtherRun, match="start differ"):
        next(train(run(data), tmp_path))


def test_weights_that_saw_what_validates_are_refused(data: AbrDataset, weights: Path) -> None:
    two = AbrDataset(folds=(*data.folds, *data.folds), fingerprint="twice")
    with pytest.raises(ValueError, match=r"holds the networks of 1 folds, this training has 2: .* would have seen"):
        run(two, start=weights)


def test_what_holds_no_weights_is_refused(data: AbrDataset, tmp_path: Path) -> None:
    file = tmp_path / "model.safetensors"
    file.write_bytes(b"nonsense, but long enough for a header")
    with pytest.raises(ValueError, match="holds no weights"):
        run(data, start=file)
    save_file({"fold0.weight": torch.tensor([[float("nan")]])}, file)
    with pytest.raises(ValueError, match=r"fold0\.weight holds what is no number"):
        begin_from(file, [nn.Linear(1, 1)])
