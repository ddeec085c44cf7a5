"""A training told to lower its rate does so from there on, and interrupted or not it comes to the same."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file

from abr_tune.trial import CHECKPOINT, HISTORY, NotTaken, TrialStep, read_history, run_trial
from core.data.recordings import Fold, Recordings
from core.health import HealthOptions
from core.report import EpochReport, Intervention
from core.tasks.abr import AbrTask
from core.tasks.abr_data import AbrDataset
from core.tasks.abr_options import AbrOptions
from core.tasks.abr_run import build_run
from core.training.interventions import NothingToGoBackTo
from core.training.loop import train
from core.training.watch_log import NAME, read_watch_log

BumpRecordings = Callable[..., Recordings]
FRAGILE = {"lr": 4.0, "warmup_epochs": 3}
"""The first epoch passes, in the second the gradients overflow."""


@pytest.fixture(scope="module")
def data(bump_recordings: BumpRecordings) -> AbrDataset:
    fold = Fold(train=bump_recordings(40), val=bump_recordings(20, seed=1))
    return AbrDataset(folds=(fold,), fingerprint="bumps")


def options(**changed: object) -> AbrOptions:
    settings = {"epochs": 3, "batch_size": 16, "watch": {"every": 1}, "model": {"dropout": 0.0}} | changed
    return AbrOptions.model_validate(settings)


def rates(folder: Path) -> list[float]:
    return [row["lr"] for row in read_watch_log(folder)]


def test_the_rate_is_lowered_from_there_on(data: AbrDataset, tmp_path: Path) -> None:
    assert len(list(train(build_run(options(), data, seed=5), tmp_path / "left"))) == 3
    told = train(build_run(options(), data, seed=5), tmp_path / "told")
    next(told)
    second = told.send(Intervention(0.25))
    third = told.send(Intervention(0.5))
    # Three steps an epoch.
    factors = [a / b for a, b in zip(rates(tmp_path / "told"), rates(tmp_path / "left"), strict=True)]
    assert factors == pytest.approx([1, 1, 1, 0.25, 0.25, 0.25, 0.125, 0.125, 0.125])
    state = ("rate_factor", "interventions", "since_intervention")
    assert [second.health[name] for name in state] == [0.25, 1, 1]
    assert [third.health[name] for name in state] == [0.125, 2, 1]


def trained(
    data: AbrDataset, folder: Path, health: Mapping[str, Any], *, stop_after: int = 99, **changed: Any
) -> list[TrialStep]:
    """The steps of a trial, killed after `stop_after` reports."""
    found: list[TrialStep] = []
    steps = run_trial(
        AbrTask(),
        options(**changed),
        seed=5,
        folder=folder,
        data=data,
        health=HealthOptions.model_validate(health),
        baselines={},
    )
    for step in steps:
        found.append(step)
        if len(found) == stop_after:
            steps.close()  # type: ignore[attr-defined]
            break
    return found


def levels(steps: list[TrialStep], rule: str) -> list[str]:
    return [verdict.level for step in steps for verdict in step.verdicts if verdict.rule == rule]


ALWAYS = {
    "negative_r2": {"grace": 0, "epochs": 1, "patience": 1, "intervene": {"lower_rate": 0.1, "times": 2, "wait": 0}}
}
"""Fires at every epoch of so short a training."""


def same_state(one: Path, other: Path) -> None:
    def lines(folder: Path) -> list[dict[str, Any]]:
        return [report.to_json() | {"seconds": 0} for report in read_history(folder / HISTORY) if report.complete]

    assert lines(one) == lines(other)
    ends = [sorted((folder / CHECKPOINT).glob("epoch-*"))[-1] for folder in (one, other)]
    for name in ("model.safetensors", "optimizer.safetensors"):
        a, b = (load_file(end / name) for end in ends)
        assert a.keys() == b.keys()
        assert all((a[key] == b[key]).all() for key in a), name
    assert (one / CHECKPOINT / NAME).read_bytes() == (other / CHECKPOINT / NAME).read_bytes()


def test_an_interrupted_training_with_interventions_is_the_same_bit_for_bit(data: AbrDataset, tmp_path: Path) -> None:
    settings: dict[str, Any] = {"epochs": 4, "optimizer": {"warmup_epochs": 0}}
    whole = trained(data, tmp_path / "whole", ALWAYS, **settings)
    asked = [{verdict.level for verdict in step.verdicts if verdict.rule == "negative_r2"} for step in whole]
    assert asked == [{"intervene"}, {"intervene"}, {"stop"}]
    # Killed after every new report; the last epoch comes again, and is answered again.
    for reports in range(1, 5):
        last = trained(data, tmp_path / "cut", ALWAYS, stop_after=reports, **settings)
    assert last[-1].stop is not None
    same_state(tmp_path / "whole", tmp_path / "cut")
    rate = read_history(tmp_path / "cut" / HISTORY)[-1].health["rate_factor"]
    assert rate == pytest.approx(0.01)


HEALING = {"non_finite": {"streak": 1, "intervene": {"lower_rate": 1e-3, "times": 1}}}


def test_a_broken_epoch_begins_again_from_the_last_checkpoint(data: AbrDataset, tmp_path: Path) -> None:
    # A rate of 4 overflows in the second epoch; a thousandth of it does not.
    assert trained(data, tmp_path / "stopped", {}, optimizer=FRAGILE)[-1].stop is not None
    steps = trained(data, tmp_path / "healed", HEALING, optimizer=FRAGILE)
    assert [step.report.epoch for step in steps if step.report.complete] == [1, 2, 3]
    assert levels(steps, "non_finite").count("intervene") == 1
    assert steps[-1].report.health["rate_factor"] == pytest.approx(1e-3)
    assert steps[-1].report.health["since_intervention"] == 1  # in epoch 2
    # The log holds each step once: what was tried before going back is gone.
    assert [row["step"] for row in read_watch_log(tmp_path / "healed" / CHECKPOINT)] == list(range(1, 10))


def test_an_epoch_that_breaks_again_is_begun_again_only_so_often(data: AbrDataset, tmp_path: Path) -> None:
    little = {"non_finite": {"streak": 1, "intervene": {"lower_rate": 0.9, "times": 2}}}
    steps = trained(data, tmp_path, little, optimizer=FRAGILE)
    assert [step.report.epoch for step in steps] == [1, 2, 2, 2]
    assert levels(steps, "non_finite") == ["intervene", "intervene", "stop"]
    assert [step.report.evidence["rate_factor"] for step in steps[1:]] == pytest.approx([1, 0.9, 0.81])


def test_interrupted_after_going_back_it_goes_back_again(data: AbrDataset, tmp_path: Path) -> None:
    trained(data, tmp_path / "whole", HEALING, optimizer=FRAGILE)
    for reports in (2, 3, 4):
        # Killed where epoch 2 has broken, and has been begun again, and after that.
        trained(data, tmp_path / "cut", HEALING, stop_after=reports, optimizer=FRAGILE)
    trained(data, tmp_path / "cut", HEALING, optimizer=FRAGILE)
    same_state(tmp_path / "whole", tmp_path / "cut")


def test_in_the_first_epoch_there_is_nothing_to_go_back_to(data: AbrDataset, tmp_path: Path) -> None:
    last = trained(data, tmp_path, HEALING, optimizer={"lr": 1e4, "warmup_epochs": 0})[-1]
    assert (last.report.epoch, last.report.evidence["what"]) == (1, "loss")
    assert last.stop is not None


class Deaf(AbrTask):
    """Does not pass on what its reports are answered with."""

    def train(self, *arguments: Any, **named: Any) -> Any:
        for report in super().train(*arguments, **named):  # noqa: UP028 - that is the mistake
            yield report


def test_a_task_that_does_not_listen_is_told_so(data: AbrDataset, tmp_path: Path) -> None:
    steps = run_trial(
        Deaf(),
        options(),
        seed=5,
        folder=tmp_path,
        data=data,
        health=HealthOptions.model_validate(ALWAYS),
        baselines={},
    )
    with pytest.raises(NotTaken, match="yield from"):
        list(steps)


def test_one_that_says_nothing_of_it_is_stopped(data: AbrDataset, tmp_path: Path) -> None:
    class Plain(AbrTask):
        def train(self, *arguments: Any, **named: Any) -> Any:
            for report in super().train(*arguments, **named):
                health = {name: value for name, value in report.health.items() if name != "rate_factor"}
                yield EpochReport.from_json(report.to_json() | {"health": health})

    health = HealthOptions.model_validate(ALWAYS)
    steps = run_trial(Plain(), options(), seed=5, folder=tmp_path, data=data, health=health, baselines={})
    assert list(steps)[-1].stop is not None


def test_a_lost_checkpoint_cannot_be_gone_back_to(data: AbrDataset, tmp_path: Path) -> None:
    reports = train(build_run(options(optimizer=FRAGILE), data, seed=5), tmp_path)
    assert next(reports).complete
    assert not next(reports).complete
    (tmp_path / "epoch-000001" / "state.json").write_text("{}", encoding="utf-8")
    with pytest.raises(NothingToGoBackTo, match="epoch 2 cannot begin again"):
        reports.send(Intervention(0.5))
