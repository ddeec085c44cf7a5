from typing import get_args

import pytest
import torch
from torch import nn

from core.models.extractors import EXTRACTED, KERNELS, Extracted, Extractors
from core.models.features import Features, FeatureSizes, summarise

SIZES = FeatureSizes(tokens=8, fine=4, condition=3, fine_stride=2)


def features() -> Features:
    random = torch.Generator().manual_seed(0)
    tokens, fine = torch.randn(2, 8, 12, generator=random), torch.randn(2, 4, 48, generator=random)
    condition = torch.randn(2, 3, generator=random)
    return Features(
        tokens_BDL=tokens,
        fine_BCL=fine,
        summary_BF=summarise(tokens, fine, condition),
        condition_BE=condition,
        fine_stride=2,
    )


def extractors(*, cross_task: bool, trained: bool = True) -> Extractors:
    torch.manual_seed(0)
    made = Extractors(SIZES, cross_task=cross_task)
    for parameter in made.parameters():
        if trained and not parameter.any():
            nn.init.normal_(parameter)
    return made


def touched(made: Extractors, task: Extracted) -> set[str]:
    """The tasks whose own branches a loss of one task reaches."""
    found = made(features())[task]
    (found.summary_BF.square().sum() + found.fine_BCL.square().sum()).backward()
    return {task for task, felt in zip(EXTRACTED, map(feels, made.tokens, made.fine), strict=True) if felt}


def feels(*branches: nn.Module) -> bool:
    gradients = [parameter.grad for branch in branches for parameter in branch.parameters()]
    return any(gradient is not None and bool(gradient.any()) for gradient in gradients)


@pytest.mark.parametrize("task", EXTRACTED)
def test_without_cross_task_attention_a_loss_stays_with_its_task(task: Extracted) -> None:
    assert touched(extractors(cross_task=False), task) == {task}


@pytest.mark.parametrize("task", EXTRACTED)
def test_with_cross_task_attention_a_loss_reaches_all_tasks(task: Extracted) -> None:
    assert touched(extractors(cross_task=True), task) == set(EXTRACTED)


@pytest.mark.parametrize("cross_task", [False, True])
def test_extractors_begin_as_what_is_shared(cross_task: bool) -> None:
    shared = features()
    for found in extractors(cross_task=cross_task, trained=False)(shared).values():
        assert torch.equal(found.tokens_BDL, shared.tokens_BDL)
        torch.testing.assert_close(found.summary_BF, shared.summary_BF)


def test_each_task_sees_something_else_after_some_training() -> None:
    made = extractors(cross_task=False)(features())
    assert set(made) == set(KERNELS) == set(get_args(Extracted))
    for one in EXTRACTED:
        for other in EXTRACTED:
            same = torch.allclose(made[one].summary_BF, made[other].summary_BF)
            assert same is (one == other)


def test_the_summary_is_that_of_the_tasks_own_features() -> None:
    found = extractors(cross_task=True)(features())["peaks"]
    torch.testing.assert_close(found.summary_BF, summarise(found.tokens_BDL, found.fine_BCL, found.condition_BE))
