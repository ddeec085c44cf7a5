"""Gradients under every weighting: micro-batches add up, surgery is the library's, broken steps teach nothing."""

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any, get_args

import numpy as np
import pytest
import torch
from torch import Tensor
from torchjd.aggregation import IMTLG, MGDA, AlignedMTL, PCGrad

from core.config import WeightingMethod
from core.data.recordings import Fold, Recordings
from core.losses.surgery import COMBINE
from core.losses.weighting import Needs
from core.tasks.abr_data import AbrDataset
from core.tasks.abr_options import TERMS, AbrOptions
from core.tasks.abr_run import build_run
from core.training.gradients import GATHER, gather, last_layer
from core.training.run import Learner
from core.training.step import Step, optimise

BumpRecordings = Callable[..., Recordings]
METHODS: tuple[WeightingMethod, ...] = get_args(WeightingMethod)


def learner_of(table: Recordings, method: WeightingMethod = "fixed", **options: Any) -> Learner:
    weighting = {"method": method, **options.pop("weighting", {})}
    loss = {"weighting": weighting, **options.pop("loss", {})}
    settings = {"model": {"dropout": 0.0}, "optimizer": {"warmup_epochs": 0}, "loss": loss} | options
    data = AbrDataset(folds=(Fold(train=table, val=table),), fingerprint="test")
    return build_run(AbrOptions.model_validate(settings), data, seed=3).learners[0]


def step(learner: Learner, sizes: list[int]) -> Step:
    """One step over consecutive micro-batches of the given sizes; PCGrad draws its order from torch's generator."""
    torch.manual_seed(0)
    learner.network.train()
    index = torch.arange(sum(sizes)).split(sizes)
    batches = [learner.examples.take(i) for i in index]
    return optimise(learner, batches, TERMS, clip=None, floor=0.1, ratio=False)


def gradients(learner: Learner) -> dict[str, Tensor]:
    named = learner.network.named_parameters()
    return {name: parameter.grad.clone() for name, parameter in named if parameter.grad is not None}


def trained_for(learner: Learner, steps: int) -> Learner:
    for _ in range(steps):
        step(learner, [24])
    return learner


def test_every_need_is_met() -> None:
    assert set(GATHER) == set(get_args(Needs))


@pytest.fixture(scope="module")
def table(bump_recordings: BumpRecordings) -> Recordings:
    """Thresholds are missing unevenly."""
    table = bump_recordings(24)
    missing = np.where(np.arange(24) < 14, np.nan, table.threshold_db).astype(np.float32)
    return replace(table, threshold_db=missing)


@pytest.mark.parametrize("method", METHODS)
def test_accumulation_equals_the_full_batch(method: WeightingMethod, table: Recordings) -> None:
    options = {"weighting": {"normalise": "first"}, "balance": {"scheme": "balanced"}}
    whole, parts = (trained_for(learner_of(table, method, **options), 2) for _ in range(2))
    full, summed = step(whole, [24]), step(parts, [10, 3, 11])
    assert full.losses == pytest.approx(summed.losses, rel=1e-5)
    assert full.weights == pytest.approx(summed.weights, rel=1e-3)
    expected, found = gradients(whole), gradients(parts)
    assert expected.keys() == found.keys()
    scale = max(float(gradient.abs().max()) for gradient in expected.values())
    for name, gradient in expected.items():
        assert torch.allclose(found[name], gradient, rtol=0, atol=1e-4 * scale), name


@pytest.mark.parametrize("method", METHODS)
def test_gradients_are_those_of_the_weighted_losses(method: WeightingMethod, table: Recordings) -> None:
    """Heads get each term by its weight; the shared part too, unless surgery has combined the gradients there."""
    learner = trained_for(learner_of(table, method, loss={"weights": {"class": 3.0, "threshold": 0.5}}), 2)
    loss, batch = learner.loss, learner.examples
    torch.manual_seed(0)
    learner.optimizer.zero_grad()
    gathered = gather(learner, [batch], TERMS)
    found = gradients(learner)
    learner.optimizer.zero_grad()
    values = loss.values(loss.numerators(learner.network(batch), batch, TERMS), loss.denominators(batch))
    sum(gathered.weights[term] * values[term] for term in TERMS).backward()  # type: ignore[union-attr]
    expected = gradients(learner)
    assert found.keys() == expected.keys()
    shared = {id(each) for each in learner.shared}
    for name, parameter in learner.network.named_parameters():
        if name in found and (method not in COMBINE or id(parameter) in shared):
            assert torch.allclose(found[name], expected[name], rtol=1e-3, atol=1e-6), name


LIBRARY = {"pcgrad": PCGrad, "mgda": MGDA, "imtl_g": IMTLG, "aligned_mtl": AlignedMTL}


@pytest.mark.parametrize("method", COMBINE)
def test_surgery_on_the_network_is_the_librarys_on_the_jacobian(method: WeightingMethod, table: Recordings) -> None:
    learner = trained_for(learner_of(table, method, loss={"weights": {"class": 3.0}}), 1)
    loss, batch = learner.loss, learner.examples
    weights = [loss.weights.fixed[term] for term in TERMS]
    values = loss.values(loss.numerators(learner.network(batch), batch, TERMS), loss.denominators(batch))
    rows = [
        torch.autograd.grad(weight * values[term], learner.shared, retain_graph=True, materialize_grads=True)
        for term, weight in zip(TERMS, weights, strict=True)
    ]
    jacobian = torch.stack([torch.cat([part.flatten() for part in row]) for row in rows]).double()
    torch.manual_seed(0)
    expected = LIBRARY[method]()(jacobian) * (1 if method == "pcgrad" else len(TERMS))
    own = {
        name for name, each in learner.network.named_parameters() if all(each is not other for other in learner.shared)
    }
    torch.manual_seed(0)
    learner.optimizer.zero_grad()
    gather(learner, [batch], TERMS)
    found = torch.cat([each.grad.flatten() for each in learner.shared]).double()  # type: ignore[union-attr]
    assert torch.allclose(found, expected, rtol=0, atol=2e-3 * float(expected.abs().max()))
    heads = gradients(learner)
    learner.optimizer.zero_grad()
    again = loss.values(loss.numerators(learner.network(batch), batch, TERMS), loss.denominators(batch))
    sum(weight * again[term] for term, weight in zip(TERMS, weights, strict=True)).backward()  # type: ignore[union-attr]
    for name in own & gradients(learner).keys():
        assert torch.allclose(heads[name], gradients(learner)[name], rtol=1e-3, atol=1e-6), name


def test_norms_are_those_of_each_terms_own_gradient(table: Recordings) -> None:
    learner = trained_for(learner_of(table, "gradient_norm", loss={"weights": {"class": 7.0}}), 2)
    loss, batch = learner.loss, learner.examples
    norms = gather(learner, [batch.take(i) for i in torch.arange(24).split([10, 14])], TERMS).norms
    values = loss.values(loss.numerators(learner.network(batch), batch, TERMS), loss.denominators(batch))
    layer = last_layer(learner.shared)
    for term in TERMS:
        [row] = torch.autograd.grad(values[term], [layer], retain_graph=True)
        assert norms[term].item() == pytest.approx(row.norm().item(), rel=1e-3)
    assert layer is learner.network.backbone.blocks[-1].mix.weight  # type: ignore[union-attr, index]


@pytest.mark.parametrize("method", METHODS)
def test_a_broken_step_teaches_nothing(method: WeightingMethod, table: Recordings) -> None:
    learner = trained_for(learner_of(table, method, weighting={"normalise": "first"}), 2)
    before, weights = learner.loss.state(), [each.detach().clone() for each in learner.network.parameters()]
    sound = learner.examples.signal_BT[3].clone()  # type: ignore[attr-defined]
    learner.examples.signal_BT[3, 7] = torch.inf  # type: ignore[attr-defined]
    assert step(learner, [24]).broken == "loss"
    assert learner.loss.state() == before
    assert all(torch.equal(a, b) for a, b in zip(weights, learner.network.parameters(), strict=True))
    learner.examples.signal_BT[3] = sound  # type: ignore[attr-defined]
    assert step(learner, [24]).broken is None


@pytest.mark.parametrize("method", METHODS)
def test_a_term_without_labels_in_the_step_takes_no_part(method: WeightingMethod, table: Recordings) -> None:
    learner = trained_for(learner_of(table, method, weighting={"normalise": "first"}), 1)
    # None of the first ten recordings has a threshold.
    found = step(learner, [10])
    assert found.broken is None
    assert found.losses["threshold"] == 0
    assert all(0 <= weight < 100 for weight in found.weights.values())


@pytest.mark.parametrize("method", METHODS)
def test_one_term_alone_is_trained_as_under_fixed(method: WeightingMethod, table: Recordings) -> None:
    learners = [learner_of(table, name) for name in (method, "fixed")]
    for learner in learners:
        torch.manual_seed(0)
        optimise(learner, [learner.examples], ("class",), clip=None, floor=0.1, ratio=False)
    ours, plain = (gradients(learner) for learner in learners)
    assert ours.keys() == plain.keys()
    for name, gradient in plain.items():
        assert torch.allclose(ours[name], gradient, rtol=1e-4, atol=1e-7), name


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("frozen", ["some", "all"])
def test_frozen_weights_are_left_alone(frozen: str, method: WeightingMethod, table: Recordings) -> None:
    learner = learner_of(table, method, weighting={"normalise": "first"})
    still = learner.shared if frozen == "all" else [*learner.shared[:3], *learner.network.class_head.parameters()]
    for parameter in still:
        parameter.requires_grad_(False)
    before = [parameter.clone() for parameter in still]
    for _ in range(2):
        found = step(learner, [10, 14])
        assert found.broken is None
        assert all(math.isfinite(weight) for weight in found.weights.values())
    assert all(torch.equal(old, new) for old, new in zip(before, still, strict=True))
    assert learner.network.threshold_head.body[1].weight.grad.any()  # type: ignore[union-attr, index]


@pytest.mark.parametrize("method", ["gradient_norm", "pcgrad"])
def test_a_network_without_shared_weights_is_told_of(method: WeightingMethod, table: Recordings) -> None:
    learner = replace(learner_of(table, method), shared=())
    with pytest.raises(ValueError, match="needs to know which weights they share"):
        step(learner, [24])


def test_the_last_layer_is_a_matrix_where_there_is_one() -> None:
    matrix, vector = torch.nn.Parameter(torch.ones(2, 2)), torch.nn.Parameter(torch.ones(2))
    assert last_layer([matrix, vector]) is matrix
    assert last_layer([vector]) is vector
