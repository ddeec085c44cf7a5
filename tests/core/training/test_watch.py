"""Looks at steps, by hand on a network of two weights; and that looking changes nothing."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from core.config import WeightingMethod, WeightingOptions
from core.data.recordings import Fold, Recordings
from core.losses.weights import StepWeights
from core.report import EpochReport
from core.tasks.abr_data import AbrDataset
from core.tasks.abr_options import AbrOptions
from core.tasks.abr_run import build_run
from core.training import watch
from core.training.loop import train
from core.training.run import Learner
from core.training.step import Step, optimise
from core.training.watch import Look, Looker, interval, signals
from core.training.watch_log import NAME, WatchLog, read_watch_log

BumpRecordings = Callable[..., Recordings]


class Uniform(nn.Module):
    """Attention that says what its entropy is."""

    def __init__(self, entropy: float) -> None:
        super().__init__()
        self.watched = False
        self.entropy: Tensor | None = None
        self._said = torch.tensor(entropy)

    def forward(self, x: Tensor) -> Tensor:
        self.entropy = self._said if self.watched else None
        return x


class Toy(nn.Module):
    """Two weights that all terms share, one of a head, and two attention modules that pass on what they are given."""

    def __init__(self) -> None:
        super().__init__()
        self.shared = nn.Linear(2, 1, bias=False)
        self.head = nn.Linear(1, 1, bias=False)
        self.attention = nn.Sequential(Uniform(0.25), Uniform(0.75))

    def forward(self, batch: Tensor) -> Tensor:
        seen: Tensor = self.attention(self.shared.weight)
        return seen


class ToyLoss:
    """a pulls along (1, 0), b along (3, 4), both the same wherever the weights are; `a` and `b` may count differently.

    Silent pulls nowhere.
    """

    def __init__(self, fixed: Mapping[str, float], method: WeightingMethod = "fixed") -> None:
        self.weights = StepWeights(fixed, WeightingOptions(method=method))

    def denominators(self, batch: Tensor) -> dict[str, Tensor]:
        return dict.fromkeys(("a", "b", "silent"), torch.tensor(float(len(batch))))

    def numerators(self, outputs: Tensor, batch: Tensor, terms: Any) -> dict[str, Tensor]:
        w = outputs[0]
        found = {"a": 10 + w[0], "b": 20 + 3 * w[0] + 4 * w[1], "silent": 5 + 0 * w[0]}
        return {term: found[term] * len(batch) for term in terms}

    def values(self, numerators: Any, denominators: Any) -> dict[str, Tensor]:
        return {term: value / denominators[term] for term, value in numerators.items()}

    def total(self, values: Any, weights: Any) -> Tensor:
        return sum((weights[term] * value for term, value in values.items()), torch.zeros(()))

    def watch(self, outputs: Any, batch: Any, terms: Any) -> None:
        pass

    def predicted(self, outputs: Any) -> dict[str, Tensor]:
        return {"yes": torch.tensor(2), "no": torch.tensor(1)}

    def reported(self) -> dict[str, Any]:
        return {}


def toy(fixed: Mapping[str, float], method: WeightingMethod = "fixed") -> Learner:
    network = Toy()
    return Learner(
        fold=0,
        network=network,
        loss=ToyLoss(fixed, method),  # type: ignore[arg-type]
        optimizer=torch.optim.SGD([{"params": list(network.parameters()), "peak_lr": 0.01, "lr": 0.01}]),
        examples=[],  # type: ignore[arg-type]
        draw_N=None,
        total_steps=10,
        warmup_steps=0,
        shared=tuple(network.shared.parameters()),
        parts={"trunk": [network.shared], "head": [network.head]},
    )


def step(learner: Learner, *, look: bool = True, batches: int = 1, clip: float | None = None) -> Step:
    micro = [torch.zeros(3) for _ in range(batches)]
    return optimise(learner, micro, list(learner.loss.weights.fixed), clip=clip, floor=1.0, ratio=False, look=look)


@pytest.mark.parametrize("batches", [1, 2])
def test_norms_and_angles_by_hand(batches: int) -> None:
    # a counts threefold: 3 * (1, 0); b once: (3, 4). |a| = 3, |b| = 5, cos = 9 / 15. Two micro-batches are one batch.
    seen = step(toy({"a": 3.0, "b": 1.0, "silent": 1.0}), batches=batches).look
    assert seen is not None
    assert seen.norms == pytest.approx({"a": 3, "b": 5, "silent": 0})
    assert seen.cosines == pytest.approx({"a-b": 0.6})  # a term without a gradient has no angle
    # Together (6, 4); the head took no part in the loss.
    assert seen.parts == pytest.approx({"trunk": 52**0.5})
    assert seen.predicted == {"yes": 2 * batches, "no": batches}
    assert seen.entropy == pytest.approx(0.5)


@pytest.mark.parametrize("method", ["fixed", "uncertainty", "famo", "gradient_norm", "pcgrad"])
def test_every_weighting_is_looked_at(method: WeightingMethod) -> None:
    seen = step(toy({"a": 1.0, "b": 1.0}, method)).look
    assert seen is not None
    assert seen.cosines == pytest.approx({"a-b": 0.6})
    assert seen.norms["a"] > 0


def test_the_look_comes_before_clipping_and_changes_no_weight() -> None:
    torch.manual_seed(0)
    one = toy({"a": 3.0, "b": 1.0})
    torch.manual_seed(0)
    other = toy({"a": 3.0, "b": 1.0})
    seen, unseen = step(one, clip=0.5), step(other, clip=0.5, look=False)
    assert seen.look is not None
    assert seen.look.parts["trunk"] == pytest.approx(seen.norm)
    assert unseen.look is None
    for a, b in zip(one.network.parameters(), other.network.parameters(), strict=True):
        assert torch.equal(a, b)


def test_attention_is_watched_only_while_it_is_looked_at() -> None:
    learner = toy({"a": 1.0, "b": 1.0})
    step(learner)
    modules = [each for each in learner.network.modules() if isinstance(each, Uniform)]
    assert len(modules) == 2
    assert all(not each.watched and each.entropy is None for each in modules)


def test_where_all_that_is_shared_is_frozen_there_is_no_pull() -> None:
    learner = toy({"a": 1.0})
    frozen = replace(learner, shared=())
    seen = step(frozen).look
    assert seen is not None
    assert (seen.norms, seen.cosines) == ({}, {})


def test_a_term_that_counts_nothing_for_the_time_being_is_not_seen() -> None:
    looker, layer = Looker(), nn.Parameter(torch.ones(1, 2))
    looker.values(layer, {"on": layer.sum(), "faded": layer.sum()}, {"on": 2.0, "faded": 0.0})
    assert {term: row.tolist() for term, row in looker.rows.items()} == {"on": [2.0, 2.0]}


def look(norm: float, cosine: float, entropy: float | None) -> Look:
    return Look(norms={"a": norm}, cosines={"a-b": cosine}, parts={"head": norm}, predicted={}, entropy=entropy)


def test_signals_of_an_epoch() -> None:
    looks = [look(1, 0.5, 0.2), look(2, -0.5, 0.4), look(9, 0.3, None)]
    assert signals(looks) == {
        "grad_norm/a": 2,  # the median
        "grad_cosine/a-b": pytest.approx(0.1),
        "part_grad_norm/head": 4,
        "attention_entropy": pytest.approx(0.3),
    }
    assert signals([]) == {}


def test_a_long_run_is_looked_at_less_often(monkeypatch: pytest.MonkeyPatch) -> None:
    assert interval(20, [480]) == 20
    assert interval(0, [480]) == 0
    monkeypatch.setattr(watch, "MOST_LOOKS", 100)
    assert interval(20, [1000, 2001]) == 31  # 3001 steps, at most 100 looks


@pytest.fixture(scope="module")
def data(bump_recordings: BumpRecordings) -> AbrDataset:
    fold = Fold(train=bump_recordings(40), val=bump_recordings(20, seed=1))
    return AbrDataset(folds=(fold,), fingerprint="bumps")


def reports(data: AbrDataset, folder: Path, *, every: int, epochs: int = 2, **options: object) -> list[EpochReport]:
    settings = {"epochs": epochs, "batch_size": 16, "watch": {"every": every}} | options
    run = build_run(AbrOptions.model_validate(settings), data, seed=5)
    return [replace(report, seconds=0.0) for report in train(run, folder)]


def test_watching_changes_no_number(data: AbrDataset, tmp_path: Path) -> None:
    seen, unseen = reports(data, tmp_path / "on", every=1), reports(data, tmp_path / "off", every=0)
    assert [each.metrics for each in seen] == [each.metrics for each in unseen]
    extra = set(seen[0].health) - set(unseen[0].health)
    assert {"grad_norm/class", "grad_cosine/class-signal"} <= extra
    assert {name: seen[1].health[name] for name in unseen[1].health} == dict(unseen[1].health)
    assert not (tmp_path / "off" / NAME).exists()


def test_the_log_has_a_line_for_every_look(data: AbrDataset, tmp_path: Path) -> None:
    # 40 recordings in batches of 16: 3 steps an epoch, of which every second of all is looked at.
    reports(data, tmp_path, every=2)
    rows = read_watch_log(tmp_path)
    assert [(row["epoch"], row["step"]) for row in rows] == [(1, 2), (2, 4), (2, 6)]
    assert sum(rows[0]["predicted"].values()) == 16
    assert set(rows[0]["losses"]) == set(rows[0]["grad_norms"])
    assert rows[0]["lr"] > 0
    assert rows[0]["total"] == pytest.approx(sum(rows[0]["losses"].values()))


def test_an_interrupted_run_leaves_the_same_log(data: AbrDataset, tmp_path: Path) -> None:
    reports(data, tmp_path / "whole", every=1)
    options = AbrOptions.model_validate({"epochs": 2, "batch_size": 16, "watch": {"every": 1}})
    cut = train(build_run(options, data, seed=5), tmp_path / "cut")
    next(cut)
    cut.close()
    # Killed in the second epoch: two of its steps are written, the second of them half.
    log = tmp_path / "cut" / NAME
    line = json.dumps({"epoch": 2, "step": 4}) + "\n"
    log.write_text(log.read_text(encoding="utf-8") + line + line[:9], encoding="utf-8")
    reports(data, tmp_path / "cut", every=1)
    assert log.read_bytes() == (tmp_path / "whole" / NAME).read_bytes()


def test_a_run_that_begins_again_begins_its_log_again(tmp_path: Path) -> None:
    log = WatchLog(tmp_path)
    for epoch in (1, 1, 2):
        log.write({"epoch": epoch})
    log.cut_after(1)
    assert read_watch_log(tmp_path) == [{"epoch": 1}, {"epoch": 1}]
    log.cut_after(0)
    assert read_watch_log(tmp_path) == []
    WatchLog(tmp_path / "nowhere").cut_after(0)
    assert read_watch_log(tmp_path / "nowhere") == []


def test_what_follows_a_damaged_line_is_dropped(tmp_path: Path) -> None:
    (tmp_path / NAME).write_text('{"epoch": 1}\n[1]\n{"epoch": 1}\n', encoding="utf-8")
    assert read_watch_log(tmp_path) == [{"epoch": 1}]
    WatchLog(tmp_path).cut_after(5)
    assert (tmp_path / NAME).read_text(encoding="utf-8") == '{"epoch": 1}\n'
