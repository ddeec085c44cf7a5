"""Where a training computes and how precisely, without needing a card; what needs one skips where there is none."""

from collections.abc import Callable
from dataclasses import fields, replace
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from core.config import BalanceOptions, ComputeOptions, MixUpOptions
from core.data.augment import Augmentation, mixed
from core.data.balancing import class_weights
from core.data.recordings import Fold, Recordings
from core.data.scaling import fit_scaling
from core.data.tensors import as_batch
from core.losses.abr import build_loss
from core.report import EpochReport
from core.tasks.abr_data import AbrDataset
from core.tasks.abr_options import AbrOptions, Backbone
from core.tasks.abr_run import build_run
from core.tasks.abr_weights import network_for
from core.training.device import CUBLAS, PROCESSOR, NoCard, compute_for
from core.training.loop import train
from core.training.run import Run

Make = Callable[..., Recordings]
CARD = pytest.mark.skipif(not torch.cuda.is_available(), reason="torch finds no graphics card here")
NO_CARD = pytest.mark.skipif(torch.cuda.is_available(), reason="there is a graphics card here")
TINY = {"epochs": 2, "batch_size": 8, "optimizer": {"lr": 3e-3}}


@pytest.fixture(scope="module")
def data(bump_recordings: Make) -> AbrDataset:
    fold = Fold(train=bump_recordings(32, seed=1), val=bump_recordings(15, seed=2))
    return AbrDataset(folds=(fold,), fingerprint="bumps")


def run_of(data: AbrDataset, **changed: Any) -> Run:
    return build_run(AbrOptions.model_validate({**TINY, **changed}), data, seed=3)


@NO_CARD
def test_without_a_card(data: AbrDataset) -> None:
    assert compute_for(ComputeOptions()) == PROCESSOR == compute_for(ComputeOptions(device="cpu"))
    with pytest.raises(NoCard, match=r"can use no graphics card here; see `abr-tune doctor`, or say device: auto"):
        run_of(data, device="cuda")


@CARD
def test_with_a_card() -> None:
    found = compute_for(ComputeOptions())
    assert found.device.type == "cuda"
    assert found.bf16 == torch.cuda.is_bf16_supported()
    assert compute_for(ComputeOptions(device="cpu")) == PROCESSOR
    assert not compute_for(ComputeOptions(precision="float32")).bf16


@pytest.mark.parametrize("mixes", [False, True], ids=["plain", "mixed"])
@pytest.mark.parametrize("balance", ["none", "dynamic"])
def test_nothing_in_a_step_is_left_on_another_device(bump_recordings: Make, mixes: bool, balance: str) -> None:
    """Tensors of torch's device `meta` hold no numbers; whatever meets a tensor of the processor is refused."""
    recordings = bump_recordings(12)
    names, scaling = recordings.class_names, fit_scaling(recordings)
    options = AbrOptions.model_validate(
        {
            "loss": {"class_loss": "focal", "label_smoothing": 0.1, "logit_adjustment": 1.0},
            "balance": {"scheme": balance},
        }
    )
    network = network_for(options, scaling, recordings).to("meta")
    weights = class_weights([3, 3, 2, 2, 2], BalanceOptions()).to("meta")
    loss = build_loss(
        options.loss, scaling, weights, balance=options.balance, class_names=names, class_shares=[0.2] * 5
    )
    batch = as_batch(recordings, "meta").take(torch.arange(8, device="meta"))
    if mixes:
        batch = mixed(batch, MixUpOptions(probability=1.0), np.random.default_rng(0))
    outputs = network(batch)
    loss.watch(outputs, batch, list(loss.weights.fixed))
    numerators, denominators = loss.numerators(outputs, batch, loss.weights.fixed), loss.denominators(batch)
    values = loss.values(numerators, denominators)
    total = loss.total(values)
    seen = torch.stack([*values.values(), *denominators.values(), total])
    assert seen.device.type == "meta"
    total.backward()
    assert {each.grad.device.type for each in network.parameters() if each.grad is not None} == {"meta"}


def test_noise_for_rare_classes_is_added_where_the_batch_is(bump_recordings: Make) -> None:
    options = AbrOptions.model_validate({"augment": {"noise": {"level": 0.5}}}).augment
    augment = Augmentation(options, rare=(1,), signal_spread=1.0, sampling_rate_hz=15_000.0)
    augment.begin(np.random.default_rng(0), ())
    assert augment(as_batch(bump_recordings(6), "meta")).device.type == "meta"


def test_bfloat16_stays_in_the_trunk(data: AbrDataset) -> None:
    run = run_of(data, precision="bf16")
    [learner] = run.learners
    made: dict[str, set[torch.dtype]] = {}

    def note(name: str) -> Callable[..., None]:
        def hook(_module: nn.Module, _inputs: Any, output: Any) -> None:
            if isinstance(output, Tensor):
                made.setdefault(name, set()).add(output.dtype)

        return hook

    for name, module in learner.network.named_modules():
        module.register_forward_hook(note(name))
    network = learner.network.train()
    batch = learner.examples.take(torch.arange(8))
    outputs = network(batch)
    halves = {name for name, kinds in made.items() if torch.bfloat16 in kinds}
    assert any(name.startswith("backbone") for name in halves)
    assert not {name for name in halves if not name.startswith("backbone")}
    predicted = [getattr(outputs, column.name) for column in fields(outputs)]
    assert {each.dtype for each in predicted if each is not None} == {torch.float32}
    learner.loss.total(learner.loss.numerators(outputs, batch, run.terms)).backward()
    assert {each.grad.dtype for each in network.parameters() if each.grad is not None} == {torch.float32}
    made.clear()
    with torch.no_grad():
        network.eval()(batch)
    assert not [name for name, kinds in made.items() if torch.bfloat16 in kinds]  # scores are of the stored weights


def test_a_training_in_bfloat16_learns_about_the_same(data: AbrDataset, tmp_path: Path) -> None:
    half, single = (
        list(train(run_of(data, precision=precision), tmp_path / precision)) for precision in ("bf16", "float32")
    )
    ours, theirs = half[-1].health, single[-1].health
    losses = [name for name in theirs if name.startswith("loss/")]
    assert losses
    assert ours["loss/class"] != theirs["loss/class"]
    assert [ours[name] for name in losses] == pytest.approx([theirs[name] for name in losses], rel=0.1)


def test_auto_is_single_precision_on_the_processor(data: AbrDataset, tmp_path: Path) -> None:
    found = [list(train(run_of(data, precision=each), tmp_path / each))[-1] for each in ("auto", "float32")]
    assert found[0].metrics == found[1].metrics


def test_deterministic_holds_for_the_training_alone(
    data: AbrDataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(CUBLAS, raising=False)
    training = train(run_of(data, deterministic=True), tmp_path / "strict")
    strict = [next(training)]
    assert torch.are_deterministic_algorithms_enabled()
    strict += list(training)
    assert not torch.are_deterministic_algorithms_enabled()
    free = list(train(run_of(data), tmp_path / "free"))
    assert [each.metrics for each in strict] == [each.metrics for each in free]
    stopped = train(run_of(data, deterministic=True), tmp_path / "stopped")
    next(stopped)
    stopped.close()
    assert not torch.are_deterministic_algorithms_enabled()


def test_a_checkpoint_goes_on_on_another_device(data: AbrDataset, tmp_path: Path) -> None:
    """Where it computes is no part of what is trained; how precisely is."""
    first = train(run_of(data, device="cpu"), tmp_path)
    saved = next(first)
    first.close()
    again = list(
        train(run_of(data, device="auto", precision="float32" if torch.cuda.is_available() else "auto"), tmp_path)
    )
    assert again[0] == saved
    assert [report.epoch for report in again] == [1, 2]


@CARD
@pytest.mark.parametrize("there", [("cpu", "cuda"), ("cuda", "cpu")], ids=["to the card", "from the card"])
def test_a_checkpoint_crosses_between_processor_and_card(
    data: AbrDataset, tmp_path: Path, there: tuple[str, str]
) -> None:
    first = train(run_of(data, device=there[0], precision="float32"), tmp_path)
    saved = next(first)
    first.close()
    reports = list(train(run_of(data, device=there[1], precision="float32"), tmp_path))
    whole = list(train(run_of(data, device=there[0], precision="float32"), tmp_path / "whole"))
    assert reports[0] == saved
    near = pytest.approx(whole[-1].health["loss/class"], rel=1e-2)
    assert reports[-1].health["loss/class"] == near


@CARD
def test_equal_seeds_give_equal_numbers_on_a_card(data: AbrDataset, tmp_path: Path) -> None:
    asked = {"device": "cuda", "deterministic": True}
    once, twice = (list(train(run_of(data, **asked), tmp_path / name)) for name in ("once", "twice"))
    plain: Callable[[EpochReport], EpochReport] = lambda report: replace(report, seconds=0.0)  # noqa: E731
    assert list(map(plain, once)) == list(map(plain, twice))


@CARD
def test_training_on_a_card_in_bfloat16_learns(data: AbrDataset, tmp_path: Path) -> None:
    on_card = list(train(run_of(data, device="cuda"), tmp_path / "card"))
    here = list(train(run_of(data, device="cpu"), tmp_path / "here"))
    assert on_card[-1].health["loss/class"] == pytest.approx(here[-1].health["loss/class"], rel=0.1)


class Seen(TorchDispatchMode):
    """Notes the name of every operation, those of backward passes included."""

    def __init__(self) -> None:
        super().__init__()
        self.names: set[str] = set()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.names.add(func.name().removeprefix("aten::").split(".")[0])
        return func(*args, **(kwargs or {}))


UNORDERED = {
    "_adaptive_avg_pool2d_backward",
    "adaptive_max_pool2d_backward",
    "avg_pool3d_backward",
    "bincount",
    "cumsum",
    "grid_sampler_2d_backward",
    "histc",
    "nll_loss_forward",
    "put_",
    "reflection_pad1d_backward",
    "upsample_linear1d_backward",
    "upsample_bilinear2d_backward",
}
"""Operations that `deterministic` refuses on cards, by the list of `torch.use_deterministic_algorithms`."""


@pytest.mark.parametrize("backbone", get_args(Backbone))
def test_a_step_has_nothing_that_cards_add_up_in_any_order(data: AbrDataset, backbone: Backbone) -> None:
    run = run_of(data, model={"backbone": backbone})
    [learner] = run.learners
    batch = learner.examples.take(torch.arange(8))
    with Seen() as seen:
        outputs = learner.network.train()(batch)
        learner.loss.total(learner.loss.numerators(outputs, batch, run.terms)).backward()
    assert {"convolution_backward", "_fft_c2r"} <= seen.names
    assert not seen.names & UNORDERED
