"""The schedule counts optimiser steps; parameter groups get their own rates and decay."""

import math

import pytest
import torch
from torch import nn

from core.config import OptimizerOptions
from core.training.optim import build_optimizer, factor, set_rate, steps_per_epoch


def test_schedule_by_hand() -> None:
    # Warm-up of 4 steps in quarters, then half a cosine over 8 steps from 1 to .1; half-way at step 8: .55.
    rates = [factor(step, total=12, warmup=4, floor=0.1) for step in range(1, 13)]
    assert rates[:4] == [0.25, 0.5, 0.75, 1.0]
    assert rates[7] == pytest.approx(0.55)
    assert rates[-1] == pytest.approx(0.1)
    assert rates[4:] == sorted(rates[4:], reverse=True)


def test_schedule_without_warm_up_and_with_nothing_else() -> None:
    assert factor(1, total=1, warmup=0, floor=0.0) == 0
    assert factor(1, total=2, warmup=0, floor=0.0) == pytest.approx(0.5)
    assert [factor(step, total=3, warmup=5, floor=0.1) for step in (1, 3)] == [0.2, 0.6]
    assert factor(99, total=10, warmup=2, floor=0.3) == pytest.approx(0.3)


def test_steps_count_groups_of_micro_batches() -> None:
    # 100 recordings in batches of 8: 13 micro-batches; in groups of 4: 4 optimiser steps.
    assert steps_per_epoch(100, batch_size=8, accumulate=1) == 13
    assert steps_per_epoch(100, batch_size=8, accumulate=4) == 4
    assert steps_per_epoch(1, batch_size=8, accumulate=4) == 1


def test_groups_have_their_own_rate_and_decay() -> None:
    parameters = {name: [nn.Parameter(torch.ones(1))] for name in ("state_space", "no_decay", "decay")}
    optimizer = build_optimizer(parameters, OptimizerOptions(lr=1e-2, weight_decay=0.5))
    set_rate(optimizer, 0.5)
    rows = {group["name"]: (group["lr"], group["weight_decay"]) for group in optimizer.param_groups}
    assert rows == {"state_space": (5e-4, 0.0), "no_decay": (5e-3, 0.0), "decay": (5e-3, 0.5)}
    for row in parameters.values():
        row[0].grad = torch.zeros(1)
    optimizer.step()
    # Without a gradient only decay moves a weight: 1 - lr * decay.
    assert [row[0].item() for row in parameters.values()] == pytest.approx([1, 1, 1 - 5e-3 * 0.5])


def test_small_rates_are_not_raised_to_the_cap() -> None:
    optimizer = build_optimizer({"state_space": [nn.Parameter(torch.ones(1))]}, OptimizerOptions(lr=3e-5))
    assert math.isclose(optimizer.param_groups[0]["peak_lr"], 3e-5)
