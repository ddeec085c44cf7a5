"""What phases and schedules do to a network in training: frozen is bit-equal, weight 0 and shut gates send no gradient.

The network here is none of the project's tasks.
"""

import logging
from collections.abc import Callable
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
import torch

from core.training.checkpoint import load_checkpoint
from core.training.loop import _order, train
from core.training.run import Run

ToyRun = Callable[..., Run]
State = dict[str, torch.Tensor]


def state(run: Run) -> State:
    return {name: tensor.clone() for name, tensor in run.learners[0].network.state_dict().items()}


def changed(before: State, after: State) -> set[str]:
    """Parts of the network of which any number has changed."""
    return {name.partition(".")[0] for name in before if not torch.equal(before[name], after[name])}


def states(run: Run, folder: Path) -> list[State]:
    """The network's state before the first epoch and after each."""
    return [state(run), *(state(run) for _ in train(run, folder))]


def test_frozen_weights_and_statistics_stay_bit_for_bit_and_move_when_free(toy_run: ToyRun, tmp_path: Path) -> None:
    # Decay would shrink a frozen weight by a tenth a step.
    phases = {"heads": {"frozen": ["trunk", "branch"], "until": {"epoch": 2}}, "all": {}}
    run = toy_run(epochs=3, phases=phases, optimizer={"weight_decay": 10.0})
    start, _, held, free = states(run, tmp_path)
    assert changed(start, held) == {"heads"}
    assert changed(held, free) == {"trunk", "branch", "heads"}
    moved = {name for name in held if not torch.equal(held[name], free[name])}
    assert {"trunk.1.running_mean", "trunk.1.running_var", "trunk.1.weight", "trunk.0.weight"} <= moved


def test_what_was_trained_may_be_frozen_later(toy_run: ToyRun, tmp_path: Path) -> None:
    # Moments of earlier steps must not move it either.
    phases = {"all": {"until": {"epoch": 1}}, "left": {"frozen": ["trunk", "branch", "right"]}}
    run = toy_run(epochs=2, phases=phases)
    _, free, held = states(run, tmp_path)
    assert {name.rsplit(".", 1)[0] for name in free if not torch.equal(free[name], held[name])} == {"heads.left"}


def test_a_term_of_weight_0_and_a_shut_gate_send_no_gradient_at_all(toy_run: ToyRun, tmp_path: Path) -> None:
    phases = {"first": {"weights": {"right": 0}, "gates": {"branch": 0}, "until": {"epoch": 1}}, "all": {}}
    run = toy_run(epochs=2, phases=phases)
    network = run.learners[0].network
    reports = train(run, tmp_path)
    first = next(reports)
    silent = {name for name, parameter in network.named_parameters() if parameter.grad is None}
    assert silent == {"branch.weight", "branch.bias", "heads.right.weight", "heads.right.bias"}
    assert "loss/right" not in first.health
    assert first.health["gate/branch"] == 0
    assert first.active == {"left": 1, "right": 0}
    second = next(reports)
    assert all(parameter.grad is not None for parameter in network.parameters())
    assert "loss/right" in second.health
    assert second.active == {"left": 2, "right": 1}


def test_a_term_that_fades_to_0_sends_no_gradient_at_the_last_step(toy_run: ToyRun, tmp_path: Path) -> None:
    out = {"weights": {"right": {"from": 1, "to": 0}}, "until": {"epoch": 1}}
    run = toy_run(epochs=2, phases={"out": out, "all": {}})
    head = run.learners[0].network.get_submodule("heads.right")
    first = next(train(run, tmp_path))
    assert all(parameter.grad is None for parameter in head.parameters())
    assert "loss/right" in first.health  # of the steps before


def test_lines_are_followed_step_by_step_and_end_where_they_say(toy_run: ToyRun, tmp_path: Path) -> None:
    # Two epochs of three steps: weights 1/6, ... 1 of 2; the mean over the first epoch is 2 * (1 + 2 + 3) / 18.
    lines = {"weights": {"right": {"from": 0, "to": 2}}, "gates": {"branch": {"from": 1, "to": 0.5}}}
    run = toy_run(epochs=3, phases={"fade": {**lines, "until": {"epoch": 2}}, "all": {}})
    first, second, third = train(run, tmp_path)
    assert first.health["weight/right"] == pytest.approx(2 * (1 + 2 + 3) / 18)
    assert second.health["weight/right"] == pytest.approx(2 * (4 + 5 + 6) / 18)
    assert "weight/right" not in third.health
    assert (first.health["gate/branch"], second.health["gate/branch"]) == (0.75, 0.5)
    assert run.learners[0].gates["branch"][0].open == 1


def test_parts_have_rates_of_their_own(toy_run: ToyRun, tmp_path: Path) -> None:
    phases = {"slow": {"lr": {"trunk": 0.5, "left": {"from": 0, "to": 1}}, "until": {"epoch": 1}}, "all": {}}
    run = toy_run(epochs=2, phases=phases, rates={"trunk": 0.1, "branch": 3.0}, optimizer={"floor": 1.0})
    reports = train(run, tmp_path)

    def rates() -> dict[str | None, float]:
        return {group["part"]: group["lr"] / 0.01 for group in run.learners[0].optimizer.param_groups}

    next(reports)
    assert rates() == pytest.approx({"trunk": 0.05, "branch": 3.0, "left": 1.0, None: 1.0})
    next(reports)
    assert rates() == pytest.approx({"trunk": 0.1, "branch": 3.0, "left": 1.0, None: 1.0})


def test_a_rate_of_0_moves_nothing(toy_run: ToyRun, tmp_path: Path) -> None:
    run = toy_run(epochs=1, phases={"all": {"lr": {"trunk": 0.0}}}, optimizer={"weight_decay": 10.0})
    before, after = states(run, tmp_path)
    still = [name for name in before if name.startswith("trunk") and torch.equal(before[name], after[name])]
    assert {"trunk.0.weight", "trunk.1.weight"} <= set(still)
    assert "trunk.1.running_mean" not in still  # a rate of 0 is not frozen


def test_dropout_and_decay_follow_their_course(toy_run: ToyRun, tmp_path: Path) -> None:
    # Six steps, the middle with the third; document 001's numbers.
    run = toy_run(epochs=2, schedules={"dropout": {}, "weight_decay": {}})
    first, second = train(run, tmp_path)
    assert first.health["dropout"] == pytest.approx(0.2)
    assert second.health["dropout"] == pytest.approx(0.15)
    assert first.health["weight_decay"] == pytest.approx(3e-4)
    assert second.health["weight_decay"] == pytest.approx(5e-4)
    assert run.learners[0].network.trunk[3].p == pytest.approx(0.15)
    decays = {group["name"]: group["weight_decay"] for group in run.learners[0].optimizer.param_groups}
    assert decays == {"decay": pytest.approx(5e-4), "no_decay": 0.0}


def test_a_phase_may_draw_otherwise(toy_run: ToyRun, tmp_path: Path) -> None:
    run = toy_run(epochs=2, phases={"natural": {"until": {"epoch": 1}}, "balanced": {"sampling": "balanced"}})
    natural, balanced = train(run, tmp_path)
    assert "draw_share/rare" not in natural.health
    assert balanced.health["draw_share/rare"] == 0.5
    assert sorted(_order(run, run.learners[0], 1).tolist()) == list(range(24))
    drawn = torch.cat([_order(run, run.learners[0], epoch, "balanced") for epoch in range(200)])
    assert abs((drawn % 8 == 0).double().mean().item() - 0.5) < 0.03  # 4 sigma of 4800 draws


def test_a_phase_that_frees_nothing_its_terms_train_is_refused_at_once(toy_run: ToyRun, tmp_path: Path) -> None:
    phases: dict[str, Any] = {
        "all": {"until": {"epoch": 4}},
        "wrong": {"terms": ["left"], "frozen": ["trunk", "branch", "left"]},
    }
    run = toy_run(epochs=6, phases=phases)
    before = state(run)
    with pytest.raises(ValueError, match="nothing to train in phase wrong: what left would train is frozen"):
        next(train(run, tmp_path))
    assert not changed(before, state(run))
    assert all(parameter.requires_grad for parameter in run.learners[0].network.parameters())


def test_a_term_may_be_wholly_frozen_while_another_is_trained(toy_run: ToyRun, tmp_path: Path) -> None:
    run = toy_run(epochs=1, phases={"left": {"frozen": ["trunk", "branch", "right"]}})
    before, after = states(run, tmp_path)
    assert {name for name in before if not torch.equal(before[name], after[name])} == {
        "heads.left.weight",
        "heads.left.bias",
    }


def test_parts_the_network_has_not_are_told_of(
    toy_run: ToyRun, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    run = toy_run(epochs=1, phases={"all": {"gates": {"trunk": 0.5}, "lr": {"s4": 0.5}}})
    next(train(run, tmp_path))
    assert "phase all gates trunk, of which this network has nothing" in caplog.text
    assert "phase all paces s4, of which this network has nothing" in caplog.text


def test_dropout_cannot_follow_where_there_is_none(toy_run: ToyRun, tmp_path: Path) -> None:
    run = toy_run(schedules={"dropout": {}})
    del run.learners[0].network.trunk[3]
    with pytest.raises(ValueError, match="this network has no dropout"):
        next(train(run, tmp_path))


EVERYTHING: dict[str, Any] = {
    "epochs": 8,
    "phases": {
        "heads": {"frozen": ["trunk"], "gates": {"branch": 0}, "until": {"epoch": 2}},
        "fade": {
            "weights": {"right": {"from": 0, "to": 1}},
            "gates": {"branch": {"from": 0, "to": 1}},
            "lr": {"trunk": {"from": 0, "to": 0.3}},
            "sampling": "balanced",
            "until": {"reached": {"metric": "val/left/mse", "below": 1.45}, "epoch": 6},
        },
        "right": {"terms": ["right"], "frozen": ["left"], "until": {"epoch": 7}},
        "all": {"lr": {"trunk": 0.1}},
    },
    "schedules": {"dropout": {}, "weight_decay": {}},
    "ema": {"decay": 0.9},
    "stopping": {"metrics": {"val/left/mse": -1, "val/right/mse": -0.5}, "patience": 5},
    "optimizer": {"accumulate": 2, "warmup_epochs": 1.5},
    "rates": {"branch": 0.5},
}
"""Every mechanism that holds state or changes over the run."""


def test_interrupted_in_any_phase_equals_uninterrupted(toy_run: ToyRun, tmp_path: Path) -> None:
    whole = list(train(toy_run(**EVERYTHING), tmp_path / "whole"))
    # The metric ends its phase two epochs before it must end.
    assert [report.phase for report in whole] == ["heads"] * 2 + ["fade"] * 2 + ["right"] * 3 + ["all"]
    expected = [report.to_json() | {"seconds": 0} for report in whole]
    for epochs in range(1, 8):
        folder = tmp_path / str(epochs)
        torch.manual_seed(epochs)
        before = list(islice(train(toy_run(**EVERYTHING), folder), epochs))
        torch.rand(epochs)
        after = list(train(toy_run(**EVERYTHING), folder))
        found = [report.to_json() | {"seconds": 0} for report in [*before, *after[1:]]]
        assert found == expected
        for name in ("model.safetensors", "optimizer.safetensors"):
            ours, theirs = (each / f"epoch-{len(whole):06d}" / name for each in (folder, tmp_path / "whole"))
            assert ours.read_bytes() == theirs.read_bytes(), (epochs, name)


def test_a_metric_ends_a_phase_at_the_epoch_it_is_reached(toy_run: ToyRun, tmp_path: Path) -> None:
    metric = {"metric": "val/left/mse", "below": 1.0}
    phases = {"first": {"until": {"reached": metric, "epoch": 9}}, "second": {}}
    reports = list(train(toy_run(epochs=10, phases=phases), tmp_path))
    reached = next(report.epoch for report in reports if report.metrics["val/left/mse"] < 1.0)
    assert 1 < reached < 9
    assert [report.phase for report in reports] == ["first"] * reached + ["second"] * (10 - reached)


def test_a_metric_there_never_is_is_told_with_the_first_epoch(toy_run: ToyRun, tmp_path: Path) -> None:
    phases = {"first": {"until": {"reached": {"metric": "val/left/mes", "below": 1}, "epoch": 4}}, "second": {}}
    with pytest.raises(ValueError, match=r"val/left/mes is no metric of this run; did you mean val/left/mse\?"):
        next(train(toy_run(phases=phases), tmp_path / "phase"))
    with pytest.raises(ValueError, match=r"did you mean val/right/mse\?"):
        next(train(toy_run(stopping={"metrics": {"val/right/mze": 1}}), tmp_path / "stop"))


def test_a_run_that_stands_still_ends_early_and_stays_ended(toy_run: ToyRun, tmp_path: Path) -> None:
    # It can only get better than 1e9 above what it is by chance: the first counted epoch stays the best.
    stopping = {"metrics": {"val/left/mse": -1.0}, "patience": 2, "rise": 1e9}
    phases = {"first": {"until": {"epoch": 3}}, "last": {}}
    run = toy_run(epochs=9, phases=phases, stopping=stopping)
    reports = list(train(run, tmp_path))
    assert [report.epoch for report in reports] == [1, 2, 3, 4, 5, 6]  # counted from epoch 4, patience 2
    assert [bool(report.ended_early) for report in reports] == [False] * 5 + [True]
    assert reports[-1].ended_early.startswith("-1 val/left/mse has not risen above -")
    assert reports[-1].ended_early.endswith("for 2 epochs")
    again = list(train(toy_run(epochs=9, phases=phases, stopping=stopping), tmp_path))
    assert again == reports[-1:]
    other = tmp_path / "interrupted while it stood still"
    list(islice(train(toy_run(epochs=9, phases=phases, stopping=stopping), other), 5))
    later = list(train(toy_run(epochs=9, phases=phases, stopping=stopping), other))
    assert [(report.epoch, report.ended_early) for report in later] == [(5, ""), (6, reports[-1].ended_early)]


def test_a_checkpoint_without_the_new_states_is_read(toy_run: ToyRun, tmp_path: Path) -> None:
    """As earlier versions wrote it."""
    import hashlib
    import json

    next(train(toy_run(), tmp_path))
    file = tmp_path / "epoch-000001/state.json"
    record = json.loads(file.read_text())
    for key in ("standstill", "averaged"):
        del record[key]
    del record["sha256"]["state.json"]
    record["sha256"]["state.json"] = hashlib.sha256(json.dumps(record).encode()).hexdigest()
    file.write_text(json.dumps(record))
    saved = load_checkpoint(tmp_path, toy_run())
    assert saved is not None
    assert saved.standstill.epochs == 0


def test_warnings_are_not_given_without_reason(
    toy_run: ToyRun, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    next(train(toy_run(phases={"all": {"gates": {"branch": 0.5}, "lr": {"trunk": 0.5}}}), tmp_path))
    assert not caplog.records
