"""One optimiser step: accumulation equals the full batch, weight 0 sends nothing, broken numbers change nothing."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch

from core.data.recordings import Fold, Recordings
from core.tasks.abr_data import AbrDataset
from core.tasks.abr_options import TERMS, AbrOptions, Term
from core.tasks.abr_run import build_run
from core.training.run import Learner
from core.training.step import optimise

BumpRecordings = Callable[..., Recordings]


def learner_of(table: Recordings, **options: object) -> Learner:
    """A learner of a fresh tiny network on `table`, without dropout unless asked for."""
    settings = {"model": {"dropout": 0.0}, "optimizer": {"warmup_epochs": 0}} | options
    data = AbrDataset(folds=(Fold(train=table, val=table),), fingerprint="test")
    return build_run(AbrOptions.model_validate(settings), data, seed=3).learners[0]


def gradients(learner: Learner) -> dict[str, torch.Tensor]:
    return {
        name: parameter.grad.clone()
        for name, parameter in learner.network.named_parameters()
        if parameter.grad is not None
    }


def weights(learner: Learner) -> list[torch.Tensor]:
    return [parameter.detach().clone() for parameter in learner.network.parameters()]


def same(before: list[torch.Tensor], after: list[torch.Tensor]) -> bool:
    return all(torch.equal(a, b) for a, b in zip(before, after, strict=True))


def step(learner: Learner, sizes: list[int], terms: tuple[Term, ...] = TERMS, clip: float | None = None):  # type: ignore[no-untyped-def]
    """One step over consecutive micro-batches of the given sizes."""
    learner.network.train()
    index = torch.arange(sum(sizes)).split(sizes)
    return optimise(learner, [learner.examples.take(i) for i in index], terms, clip=clip, floor=0.1, ratio=True)


def test_accumulation_equals_the_full_batch(bump_recordings: BumpRecordings) -> None:
    # Uneven micro-batches, and labels missing unevenly: means of micro-batches would differ by percents.
    table = bump_recordings(24)
    missing = np.where(np.arange(24) < 14, np.nan, table.threshold_db).astype(np.float32)
    table = replace(table, threshold_db=missing)
    balance = {"scheme": "balanced"}
    whole, parts = (learner_of(table, balance=balance) for _ in range(2))
    full, summed = step(whole, [24]), step(parts, [10, 3, 11])
    assert full.losses == pytest.approx(summed.losses, rel=1e-5)
    assert full.norm == pytest.approx(summed.norm, rel=1e-5)
    expected, found = gradients(whole), gradients(parts)
    assert expected.keys() == found.keys()
    scale = max(float(gradient.abs().max()) for gradient in expected.values())
    for name, gradient in expected.items():
        assert torch.allclose(found[name], gradient, rtol=0, atol=1e-6 * scale), name


@pytest.mark.parametrize("term", TERMS)
def test_a_term_of_weight_0_sends_no_gradient_at_all(term: Term, bump_recordings: BumpRecordings) -> None:
    table = bump_recordings(12)
    off = learner_of(table, loss={"weights": {term: 0.0}})
    before = dict(off.network.named_parameters())
    without = step(off, [12])
    assert term not in without.losses
    alone = learner_of(table)
    step(alone, [12], terms=(term,))
    everything_else = learner_of(table)
    step(everything_else, [12], terms=tuple(other for other in TERMS if other != term))
    only_here = set(gradients(alone)) - set(gradients(everything_else))
    assert only_here, "the term has no head of its own"
    for name in only_here:
        assert before[name].grad is None
    assert set(gradients(off)) == set(gradients(everything_else))


def test_weight_decay_leaves_heads_of_terms_that_are_off(bump_recordings: BumpRecordings) -> None:
    learner = learner_of(bump_recordings(12), optimizer={"weight_decay": 0.5, "lr": 0.1, "warmup_epochs": 0})
    before = {name: parameter.detach().clone() for name, parameter in learner.network.named_parameters()}
    step(learner, [12], terms=("class",))
    moved = {name for name, parameter in learner.network.named_parameters() if not torch.equal(parameter, before[name])}
    assert any(name.startswith("class_head") for name in moved)
    assert not any(name.startswith(("threshold_head", "signal_head", "latency_head")) for name in moved)


def test_gradient_norm_is_the_one_before_clipping(bump_recordings: BumpRecordings) -> None:
    table = bump_recordings(12)
    free, clipped = learner_of(table), learner_of(table)
    norm = step(free, [12]).norm
    assert norm > 0.01
    assert step(clipped, [12], clip=0.01).norm == norm
    total = torch.cat([gradient.flatten() for gradient in gradients(clipped).values()]).norm()
    assert total.item() == pytest.approx(0.01, rel=1e-3)


def test_update_ratio_is_the_change_over_the_size(bump_recordings: BumpRecordings) -> None:
    learner = learner_of(bump_recordings(12))
    before = torch.cat([each.flatten() for each in weights(learner)])
    found = step(learner, [12]).update_ratio
    after = torch.cat([each.flatten() for each in weights(learner)])
    assert found == pytest.approx(((after - before).norm() / before.norm()).item(), rel=1e-3)
    assert found > 0


def test_a_loss_that_is_not_finite_changes_nothing(bump_recordings: BumpRecordings) -> None:
    table = bump_recordings(12)
    learner = learner_of(table)
    good = step(learner, [12])
    before = weights(learner)
    moments = {key: {k: v.clone() for k, v in state.items()} for key, state in learner.optimizer.state.items()}
    # An infinite sample is what a broken file would bring; nothing in the code is touched.
    sound = learner.examples.signal_BT[3].clone()  # type: ignore[attr-defined]
    learner.examples.signal_BT[3, 7] = torch.inf  # type: ignore[attr-defined]
    first, second = step(learner, [12]), step(learner, [12], terms=("threshold",))
    assert (first.broken, first.term) == ("loss", "signal")
    assert (second.broken, second.term) == ("loss", "threshold")
    assert same(before, weights(learner))
    for key, state in moments.items():
        assert all(torch.equal(value, learner.optimizer.state[key][name]) for name, value in state.items())
    assert learner.progress.streak == 2
    assert learner.progress.last_finite_loss == good.total
    assert learner.progress.step == 3
    assert second.lr < good.lr  # skipped steps count in the schedule
    learner.examples.signal_BT[3] = sound  # type: ignore[attr-defined]
    assert step(learner, [12]).broken is None
    assert learner.progress.streak == 0


def test_a_gradient_that_is_not_finite_changes_nothing(bump_recordings: BumpRecordings) -> None:
    learner = learner_of(bump_recordings(12))
    parameter = next(iter(learner.network.parameters()))
    parameter.register_hook(lambda gradient: gradient * torch.nan)
    before = weights(learner)
    found = step(learner, [12], clip=1.0)
    assert (found.broken, found.term) == ("gradient", None)
    assert same(before, weights(learner))
    assert step(learner, [12], terms=("class",)).term == "class"


def test_a_weight_that_overflows_is_seen_at_its_step(bump_recordings: BumpRecordings) -> None:
    learner = learner_of(bump_recordings(12), optimizer={"lr": 1e39, "warmup_epochs": 0})
    found = step(learner, [12])
    assert found.broken == "weight"
    assert learner.progress.streak == 1
