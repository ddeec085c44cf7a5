"""Averaged weights: by hand, in place for evaluation, saved, and continued bit for bit."""

from collections.abc import Callable
from itertools import islice
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from core.schedules import EmaOptions
from core.training.ema import Ema, kept
from core.training.loop import train
from core.training.run import Run

ToyRun = Callable[..., Run]


def test_the_share_kept_warms_up() -> None:
    assert [kept(step, EmaOptions(decay=0.5)) for step in (1, 2, 8, 100)] == [2 / 11, 3 / 12, 0.5, 0.5]
    assert kept(1, EmaOptions(decay=0.99, warmup=False)) == 0.99


def test_an_average_by_hand() -> None:
    network = nn.BatchNorm1d(1)
    ema = Ema(network, EmaOptions(decay=0.75, warmup=False))
    with torch.no_grad():
        network.weight.fill_(5.0)  # from 1
        network.running_var.fill_(3.0)  # from 1
        network.num_batches_tracked.fill_(7)
    ema.update()
    assert ema.average["weight"].item() == 0.75 * 1 + 0.25 * 5
    assert ema.average["running_var"].item() == 0.75 * 1 + 0.25 * 3
    assert ema.average["num_batches_tracked"].item() == 7
    ema.update()
    assert ema.average["weight"].item() == 0.75 * 2 + 0.25 * 5
    with ema.in_place():
        assert (network.weight.item(), network.running_var.item()) == (2.75, 1.875)
    assert (network.weight.item(), network.running_var.item(), ema.steps) == (5.0, 3.0, 2)


@pytest.mark.parametrize("decay", [0.0, 0.3, 0.999])
def test_what_does_not_move_stays_bit_for_bit(decay: float) -> None:
    network = nn.Linear(50, 50)
    network.register_buffer("bounds", torch.tensor([torch.nan, torch.inf, 0.1]))
    ema = Ema(network, EmaOptions(decay=decay, warmup=False))
    for _ in range(20):
        ema.update()
    assert torch.equal(ema.average["weight"], network.weight)
    assert ema.average["bounds"].isnan().tolist() == [True, False, False]


def test_the_network_is_itself_again_after_a_failed_evaluation() -> None:
    network = nn.Linear(1, 1)
    ema = Ema(network, EmaOptions())
    with torch.no_grad():
        network.weight.fill_(9.0)
    with pytest.raises(RuntimeError, match="no score"), ema.in_place():
        raise RuntimeError("no score")
    assert network.weight.item() == 9.0


def test_the_average_is_scored_and_saved_and_training_goes_on_with_the_weights(toy_run: ToyRun, tmp_path: Path) -> None:
    plain, averaged = toy_run(epochs=2), toy_run(epochs=2, ema={"decay": 0.9, "warmup": False})
    without, with_ = list(train(plain, tmp_path / "plain")), list(train(averaged, tmp_path / "averaged"))
    assert [a.health["loss/left"] for a in with_] == [a.health["loss/left"] for a in without]
    assert all(a.metrics["val/left/mse"] != b.metrics["val/left/mse"] for a, b in zip(with_, without, strict=True))
    (learner,), (other,) = averaged.learners, plain.learners
    for name, tensor in learner.network.state_dict().items():
        assert torch.equal(tensor, other.network.state_dict()[name]), name
    saved = load_file(tmp_path / "averaged/epoch-000002/model.safetensors")
    assert set(saved) == {f"fold0.{name}" for name in learner.network.state_dict()}
    learner.network.load_state_dict({name.removeprefix("fold0."): tensor for name, tensor in saved.items()})
    scored = averaged.evaluate().values.values
    assert scored == with_[-1].metrics


def test_a_skipped_step_is_not_averaged(toy_run: ToyRun, tmp_path: Path) -> None:
    run = toy_run(epochs=1, ema={})
    run.learners[0].examples.y_N2[3] = torch.inf  # type: ignore[attr-defined]
    reports = list(train(run, tmp_path))
    assert [report.complete for report in reports] == [False, True]
    assert run.learners[0].ema is not None
    assert run.learners[0].ema.steps == 2  # of three steps


@pytest.mark.parametrize("epochs", [1, 3])
def test_it_goes_on_bit_for_bit(epochs: int, toy_run: ToyRun, tmp_path: Path) -> None:
    settings = {"epochs": 4, "ema": {"decay": 0.8}}
    whole = list(train(toy_run(**settings), tmp_path / "whole"))
    list(islice(train(toy_run(**settings), tmp_path / "parts"), epochs))
    assert [report.metrics for report in train(toy_run(**settings), tmp_path / "parts")] == [
        report.metrics for report in whole[epochs - 1 :]
    ]
