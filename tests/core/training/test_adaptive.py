"""What changes while it trains (weights of terms and classes, MixUp): reported, and resumed bit for bit."""

import math
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
import torch

from core.config import BalanceOptions, WeightingMethod
from core.data.recordings import Fold, Recordings
from core.health import HealthOptions, judge
from core.losses.recall import RecentRecall
from core.report import EpochReport
from core.tasks.abr_data import AbrDataset
from core.tasks.abr_options import TERMS, AbrOptions
from core.tasks.abr_run import build_run
from core.training.loop import train
from core.training.run import Run
from core.training.step import optimise

BumpRecordings = Callable[..., Recordings]
METHODS: tuple[WeightingMethod, ...] = get_args(WeightingMethod)


@pytest.fixture(scope="module")
def data(bump_recordings: BumpRecordings) -> AbrDataset:
    """Two of 24 recordings are of a rare class."""

    def uneven(table: Recordings) -> Recordings:
        classes = np.where(np.arange(len(table)) < 2, 1, 2 * (np.arange(len(table)) % 2))
        return replace(table, hearing_class=classes)

    fold = Fold(train=uneven(bump_recordings(24)), val=uneven(bump_recordings(12, seed=1)))
    return AbrDataset(folds=(fold,), fingerprint="uneven bumps")


def run_of(data: AbrDataset, **options: Any) -> Run:
    settings = {"epochs": 3, "batch_size": 8, "optimizer": {"lr": 3e-3}} | options
    return build_run(AbrOptions.model_validate(settings), data, seed=4)


def reports_of(data: AbrDataset, folder: Path, **options: Any) -> Iterator[EpochReport]:
    return train(run_of(data, **options), folder)


def weighted(method: WeightingMethod, normalise: str = "first") -> dict[str, Any]:
    return {
        "loss": {"weighting": {"method": method, "normalise": normalise}},
        "phases": {"boundaries": (0.34, 0.34, 0.67)},
        "model": {"dropout": 0.3},
    }


EVERYTHING_ELSE: dict[str, Any] = {
    "balance": {"scheme": "dynamic", "sampling_fractions": {"NORMAL": 0.5}},
    "augment": {
        "noise": {"level": 0.5},
        "mixup": {"probability": 0.7, "skip_rare": False, "after": {"metric": "val/class/f1_macro", "above": 0.01}},
    },
    "optimizer": {"accumulate": 2, "lr": 3e-3},
}


@pytest.mark.parametrize("options", [*map(weighted, METHODS), EVERYTHING_ELSE], ids=[*METHODS, "everything else"])
def test_interrupted_equals_uninterrupted(options: dict[str, Any], data: AbrDataset, tmp_path: Path) -> None:
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    expected = list(reports_of(data, whole, **options))
    interrupted = reports_of(data, parts, **options)
    before = list(islice(interrupted, 2))
    interrupted.close()
    torch.manual_seed(99)
    after = list(reports_of(data, parts, **options))
    plain = [replace(report, seconds=0.0) for report in [*before, *after[1:]]]
    assert plain == [replace(report, seconds=0.0) for report in expected]
    for name in ("model.safetensors", "optimizer.safetensors"):
        ours, theirs = (folder / "epoch-000003" / name for folder in (parts, whole))
        assert ours.read_bytes() == theirs.read_bytes(), name
    if "loss" in options:
        check_weights(expected)


def check_weights(reports: list[EpochReport]) -> None:
    """Every term that is on says what it counted; nothing stops the run."""
    on = [{"class"}, {"class", "signal", "peak_exist", "peak_latency", "peak_amplitude"}, set(TERMS)]
    for report, terms in zip(reports, on, strict=True):
        weights = {n.removeprefix("weight/"): v for n, v in report.health.items() if n.startswith("weight/")}
        assert set(weights) == terms
        assert all(math.isfinite(value) for value in weights.values())
    assert not [verdict for verdict in judge(reports, HealthOptions(), {}, 3) if verdict.level == "stop"]


STILL: dict[str, Any] = {"optimizer": {"lr": 1e-9}, "model": {"dropout": 0.0}, "epochs": 1}
"""Nothing is learnt at this rate."""


@pytest.fixture(scope="module")
def plain(data: AbrDataset, tmp_path_factory: pytest.TempPathFactory) -> EpochReport:
    return next(reports_of(data, tmp_path_factory.mktemp("plain"), **STILL))


@pytest.mark.parametrize("method", METHODS)
def test_losses_are_reported_before_any_weight(
    method: WeightingMethod, data: AbrDataset, plain: EpochReport, tmp_path: Path
) -> None:
    weights = dict.fromkeys(TERMS, 5.0)
    loss = {"weighting": {"method": method, "normalise": "first"}, "weights": weights}
    [found] = reports_of(data, tmp_path, loss=loss, **STILL)
    assert not any(name.startswith("weight/") for name in plain.health)
    for term in TERMS:
        assert found.health[f"loss/{term}"] == pytest.approx(plain.health[f"loss/{term}"], rel=1e-4)


def test_normalised_terms_begin_alike(data: AbrDataset, tmp_path: Path) -> None:
    options = {"loss": {"weighting": {"normalise": "first"}, "weights": {"class": 3.0}}, "optimizer": {"lr": 1e-9}}
    last = list(reports_of(data, tmp_path, epochs=2, model={"dropout": 0.0}, **options))[-1].health
    for term in TERMS:
        # Nothing is learnt at this rate: weight times loss stays what the fixed weight says.
        expected = 3.0 if term == "class" else 1.0
        assert last[f"weight/{term}"] * last[f"loss/{term}"] == pytest.approx(expected, rel=0.05), term


def test_class_weights_follow_the_recall(data: AbrDataset, tmp_path: Path) -> None:
    options = {"balance": {"scheme": "dynamic"}, "optimizer": {"lr": 1e-9}, "model": {"dropout": 0.0}}
    run = run_of(data, **options)
    first, second, third = train(run, tmp_path)
    names = [f"class_weight/{name}" for name in data.folds[0].train.class_names]
    assert [first.health[name] for name in names] == [1.0] * 5
    # Nothing is learnt at this rate: the network's own answers say what the recall is.
    batch = run.learners[0].examples
    with torch.no_grad():
        run.learners[0].network.eval()
        said_B = run.learners[0].network(batch).class_logits_BK.argmax(-1)
    hit_B = said_B == batch.class_B  # type: ignore[attr-defined]
    missed = [1 - hit_B[batch.class_B == k].float().mean().item() for k in (0, 1, 2)]  # type: ignore[attr-defined]
    raw = np.maximum(missed, 0.05)
    expected = raw / raw.mean()
    assert [second.health[names[k]] for k in (0, 1, 2)] == pytest.approx(expected.tolist(), rel=1e-4)
    assert [second.health[names[k]] for k in (3, 4)] == [1.0, 1.0]  # in no training recording
    assert third.health[names[1]] == pytest.approx(second.health[names[1]], rel=1e-4)


def test_the_class_loss_that_is_reported_does_not_depend_on_weights_that_change(
    data: AbrDataset, tmp_path: Path
) -> None:
    # Nothing is learnt at this rate: the loss stays what it is, though the weights have turned to what is missed.
    options = {"optimizer": {"lr": 1e-9}, "model": {"dropout": 0.0}}
    plain = next(reports_of(data, tmp_path / "plain", **options)).health["loss/class"]
    reports = list(reports_of(data, tmp_path / "dynamic", balance={"scheme": "dynamic"}, **options))
    assert reports[-1].health["class_weight/NÖROPATİ"] > 1.1
    assert [report.health["loss/class"] for report in reports] == pytest.approx([plain] * 3, rel=1e-4)


def test_recall_counts_from_the_class_phase_on(data: AbrDataset, tmp_path: Path) -> None:
    order = (("signal",), ("class",), ("peak_exist", "peak_latency", "peak_amplitude"), ("threshold",))
    phases = {"order": order, "boundaries": (0.34, 0.9, 0.9)}
    first, second, third = reports_of(data, tmp_path, balance={"scheme": "dynamic"}, phases=phases)
    weights = [[report.health[f"class_weight/{name}"] for name in ("NORMAL", "SNİK")] for report in (second, third)]
    assert [first.phase, second.phase] == ["signal", "class"]
    assert weights[0] == [1.0, 1.0]
    assert weights[1] != [1.0, 1.0]


def test_recent_recall_by_hand() -> None:
    recall = RecentRecall(BalanceOptions(scheme="dynamic", memory=0.75), 3)
    says_BK = torch.eye(3)[torch.tensor([0, 0, 1, 2, 0])]
    recall.watch(says_BK[:2], torch.tensor([0, 1]))
    recall.watch(says_BK[2:], torch.tensor([1, -1, 0]))
    recall.epoch_ended()
    assert recall.recall == [1.0, 0.5, None]
    recall.watch(says_BK, torch.tensor([1, 1, 1, 1, 2]))
    recall.epoch_ended()
    # Class 1: .75 * .5 + .25 * .25; class 2 for the first time; class 0 was not drawn.
    assert recall.recall == [1.0, 0.4375, 0.0]


def test_a_second_look_counts_nobody_twice(data: AbrDataset) -> None:
    weighting = {"method": "famo", "normalise": "first"}
    [learner] = run_of(data, balance={"scheme": "dynamic"}, loss={"weighting": weighting}).learners
    optimise(learner, [learner.examples], TERMS, clip=None, floor=0.1, ratio=False)
    assert learner.loss.recall.seen_K.tolist() == [11, 2, 11, 0, 0]  # type: ignore[attr-defined]


def test_mixup_begins_after_its_metric_was_reached_and_stays(data: AbrDataset, tmp_path: Path) -> None:
    def shares(**after: float) -> list[float]:
        mixup = {"probability": 1.0, "skip_rare": False, "after": {"metric": "val/class/accuracy", **after}}
        reports = reports_of(data, tmp_path / str(after), augment={"mixup": mixup})
        return [report.health["mixup_share"] for report in reports]

    assert shares(above=-1.0) == [0.0, 1.0, 1.0]
    assert shares(above=1.0) == [0.0] * 3


def test_a_metric_that_never_comes_is_told(data: AbrDataset, tmp_path: Path) -> None:
    after = {"metric": "val/class/f1_makro", "above": 0.5}
    reports = reports_of(data, tmp_path, augment={"mixup": {"probability": 0.5, "after": after}})
    with pytest.raises(ValueError, match=r"f1_makro is no metric of this run; did you mean val/class/f1_macro\?"):
        next(reports)


def test_what_is_drawn_is_reported(data: AbrDataset, tmp_path: Path) -> None:
    # 2 of 24 in class 1, 11 each in classes 0 and 2: balanced thirds, the rare one halved, so 1 : 2 : 2.
    fractions = {"NÖROPATİ": 0.5}
    report = next(reports_of(data, tmp_path, balance={"sampling": "balanced", "sampling_fractions": fractions}))
    assert report.health["draw_share/NÖROPATİ"] == pytest.approx(0.2)
    assert report.health["draw_share/NORMAL"] == pytest.approx(0.4)
    assert report.health["in_batch/NÖROPATİ"] == pytest.approx(1 - 0.8**8)
    assert report.health["draw_share/TOTAL"] == report.health["in_batch/TOTAL"] == 0
    assert not any("_share/" in name for name in next(reports_of(data, tmp_path / "natural")).health)


def test_logits_are_adjusted_to_what_is_drawn(data: AbrDataset) -> None:
    def shift(**balance: Any) -> list[float] | None:
        [learner] = run_of(data, loss={"logit_adjustment": 2.0}, balance=balance).learners
        return learner.loss.settings.logit_shift_K.tolist()  # type: ignore[attr-defined, no-any-return]

    log = math.log
    assert shift() == pytest.approx([2 * log(11 / 24), 2 * log(2 / 24), 2 * log(11 / 24), 0, 0])
    assert shift(sampling="balanced") == pytest.approx([2 * log(1 / 3)] * 3 + [0, 0])
    assert run_of(data).learners[0].loss.settings.logit_shift_K is None  # type: ignore[attr-defined]


def test_alpha_is_a_factor_on_the_class_term(data: AbrDataset, tmp_path: Path) -> None:
    def first_loss(**options: Any) -> float:
        report = next(reports_of(data, tmp_path / str(options), optimizer={"lr": 1e-9}, loss=options))
        return report.health["loss/class"]

    focal = first_loss(class_loss="focal")
    assert first_loss(class_loss="focal", focal={"alpha": 0.25}) == pytest.approx(focal / 4)
    assert first_loss(focal={"alpha": 0.25}) == pytest.approx(first_loss())
