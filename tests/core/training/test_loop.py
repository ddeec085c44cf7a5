"""The loop: reports, evidence at the step, the same numbers whatever ran before."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from core.data.recordings import Fold, Recordings
from core.report import EpochReport
from core.tasks.abr_data import AbrDataset
from core.tasks.abr_options import AbrOptions
from core.tasks.abr_run import build_run
from core.training.loop import train
from core.training.run import Run

BumpRecordings = Callable[..., Recordings]


@pytest.fixture(scope="module")
def data(bump_recordings: BumpRecordings) -> AbrDataset:
    fold = Fold(train=bump_recordings(40), val=bump_recordings(20, seed=1))
    return AbrDataset(folds=(fold,), fingerprint="bumps")


def reports_of(data: AbrDataset, folder: Path, *, seed: int = 5, **options: object) -> Iterator[EpochReport]:
    settings = AbrOptions.model_validate({"epochs": 2, "batch_size": 16} | options)
    return train(build_run(settings, data, seed=seed), folder)


def numbers(reports: Iterator[EpochReport]) -> list[EpochReport]:
    return [replace(report, seconds=0.0) for report in reports]


def test_reports_carry_everything(data: AbrDataset, tmp_path: Path) -> None:
    phases = {"boundaries": (0.5, 0.5, 0.5)}
    first, second = reports_of(data, tmp_path, phases=phases, loss={"weights": {"signal": 0.0}})
    assert (first.epoch, first.phase, second.epoch, second.phase) == (1, "class", 2, "threshold")
    assert {name for name in first.health if name.startswith("loss/")} == {"loss/class"}
    terms = {"class", "peak_exist", "peak_latency", "peak_amplitude", "threshold"}
    assert {name.removeprefix("loss/") for name in second.health if name.startswith("loss/")} == terms
    assert {name for name in second.health if name.startswith("loss_slope/")} == {"loss_slope/class"}
    # 40 recordings in batches of 16: 3 steps an epoch.
    assert second.health["steps"] == 3
    assert 0 < second.health["update_ratio"] < 1
    assert second.active == dict.fromkeys(terms, 1)
    assert first.active == dict.fromkeys(terms, 0)
    assert "val/class/f1_macro:skill" in second.metrics
    assert second.absent["val/signal/mse"] == "no signal is predicted"
    assert second.seconds > 0


def test_losses_fall(data: AbrDataset, tmp_path: Path) -> None:
    options = {"optimizer": {"lr": 3e-3}, "model": {"dropout": 0.0}}
    reports = list(reports_of(data, tmp_path, epochs=12, **options))
    first, last = reports[0].health, reports[-1].health
    for term in ("peak_latency", "peak_amplitude"):
        assert last[f"loss/{term}"] < 0.8 * first[f"loss/{term}"], term
    assert last["loss/signal"] < 0.95 * first["loss/signal"]


def test_same_seed_same_numbers_whatever_ran_before(data: AbrDataset, tmp_path: Path) -> None:
    alone = numbers(reports_of(data, tmp_path / "alone"))
    torch.manual_seed(99)
    list(reports_of(data, tmp_path / "other", seed=8, optimizer={"lr": 0.1}))
    np.random.default_rng(0)
    assert numbers(reports_of(data, tmp_path / "again")) == alone
    assert numbers(reports_of(data, tmp_path / "third", seed=6)) != alone


def test_two_trainings_side_by_side_do_not_mix(data: AbrDataset, tmp_path: Path) -> None:
    alone = numbers(reports_of(data, tmp_path / "alone"))
    one, other = reports_of(data, tmp_path / "one"), reports_of(data, tmp_path / "other", seed=8)
    mixed = []
    for report in one:
        mixed.append(replace(report, seconds=0.0))
        next(other, None)
    assert mixed == alone


def test_an_extreme_learning_rate_is_stopped_at_its_step(data: AbrDataset, tmp_path: Path) -> None:
    # Nothing is injected: the first update of 2e9 makes the next forward pass overflow.
    reports = reports_of(data, tmp_path, optimizer={"lr": 1e10, "warmup_epochs": 0}, model={"dropout": 0.0})
    broken = next(reports)
    assert not broken.complete
    assert broken.epoch == 1
    assert not broken.metrics
    evidence = broken.evidence
    assert (evidence["step"], evidence["what"], evidence["streak"]) == (2, "loss", 1)
    assert evidence["term"] in {"class", "signal", "threshold", "peak_exist", "peak_latency", "peak_amplitude"}
    assert 0 < float(evidence["last_finite_loss"]) < 100
    assert float(evidence["lr"]) > 1e9
    assert not (tmp_path / "epoch-000001").exists()
    assert next(reports).evidence["streak"] == 2


def with_a_broken_sample(data: AbrDataset) -> Run:
    """A run with dropout, one of whose training recordings holds an infinite sample."""
    run = build_run(AbrOptions.model_validate({"epochs": 2, "batch_size": 8}), data, seed=1)
    run.learners[0].examples.signal_BT[7, 3] = torch.inf  # type: ignore[attr-defined]
    return run


def test_going_on_skips_the_step(data: AbrDataset, tmp_path: Path) -> None:
    run = with_a_broken_sample(data)
    reports = list(train(run, tmp_path))
    assert [report.complete for report in reports] == [False, True, False, True]
    assert reports[1].health["non_finite"] == 1
    assert reports[1].health["steps"] == 5
    assert reports[2].evidence["streak"] == 1
    assert all(torch.isfinite(weight).all() for weight in run.learners[0].network.parameters())


def test_what_a_reader_draws_at_a_broken_step_does_not_matter(data: AbrDataset, tmp_path: Path) -> None:
    quiet = numbers(train(with_a_broken_sample(data), tmp_path / "quiet"))
    busy = []
    for report in train(with_a_broken_sample(data), tmp_path / "busy"):
        busy.append(replace(report, seconds=0.0))
        torch.rand(3)
    assert busy == quiet


def test_scaling_is_fitted_on_the_training_split_only(data: AbrDataset, bump_recordings: BumpRecordings) -> None:
    (fold,) = data.folds
    wild = replace(
        fold.val, signal=fold.val.signal * 1e3, static=fold.val.static + 1e4, threshold_db=fold.val.threshold_db - 900
    )
    other = replace(data, folds=(Fold(train=fold.train, val=wild),))
    options = AbrOptions()
    ours, theirs = (build_run(options, each, seed=0).learners[0] for each in (data, other))
    for (name, mine), (_, their) in zip(
        ours.network.state_dict().items(), theirs.network.state_dict().items(), strict=True
    ):
        assert torch.equal(mine, their), name
    assert ours.loss.settings.scaling == theirs.loss.settings.scaling  # type: ignore[attr-defined]


def test_balanced_sampling_draws_classes_alike(data: AbrDataset) -> None:
    from core.training.loop import _order

    (fold,) = data.folds
    rare = replace(fold.train, hearing_class=np.where(np.arange(40) < 2, 1, 0))
    options = AbrOptions.model_validate({"balance": {"sampling": "balanced"}})
    run = build_run(options, replace(data, folds=(Fold(train=rare, val=fold.val),)), seed=0)
    drawn = np.concatenate([_order(run, run.learners[0], epoch).numpy() for epoch in range(50)])
    assert len(drawn) == 50 * 40
    assert abs((drawn < 2).mean() - 0.5) < 0.05
    natural = build_run(AbrOptions(), data, seed=0)
    assert sorted(_order(natural, natural.learners[0], 1).tolist()) == list(range(40))
    assert _order(natural, natural.learners[0], 1).tolist() != _order(natural, natural.learners[0], 2).tolist()


def test_a_phase_with_nothing_to_train_is_refused(data: AbrDataset) -> None:
    options = AbrOptions.model_validate({"loss": {"weights": {"class": 0}}, "phases": {"boundaries": (0.2, 0.4, 0.6)}})
    with pytest.raises(ValueError, match="nothing to train from epoch 1: class have weight 0 or no labels"):
        build_run(options, data, seed=0)
