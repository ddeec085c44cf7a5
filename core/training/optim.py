"""AdamW with parameter groups, and a schedule that counts optimiser steps."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Final

from torch import nn
from torch.optim import AdamW, Optimizer

from core.config import OptimizerOptions

LR_CAPS: Final[Mapping[str, float]] = {"state_space": 1e-3}
"""Parameter group -> largest learning rate (S4D, 2206.11893, trains its state space at 1e-3)."""
DECAYED: Final = "decay"
"""The one parameter group that weight decay applies to."""


def build_optimizer(
    groups: Mapping[Any, Sequence[nn.Parameter]],
    options: OptimizerOptions,
    *,
    parts: Mapping[Any, Sequence[nn.Module]] | None = None,
    rates: Mapping[Any, float] | None = None,
) -> AdamW:
    """AdamW (1711.05101) over named groups; each remembers its peak learning rate as `peak_lr`.

    `rates` are factors on the learning rate of the `parts` they name: those get groups of their own.
    """
    part_of = {
        parameter: part
        for part in rates or {}
        for module in (parts or {}).get(part, ())
        for parameter in module.parameters()
    }
    rows: list[dict[str, Any]] = []
    for name, parameters in groups.items():
        by_part: dict[Any, list[nn.Parameter]] = {}
        for parameter in parameters:
            by_part.setdefault(part_of.get(parameter), []).append(parameter)
        decay = options.weight_decay if name == DECAYED else 0.0
        for part, own in by_part.items():
            lr = options.lr * (rates or {}).get(part, 1.0)
            rows.append({"params": own, "own_lr": lr, "weight_decay": decay, "name": name, "part": part})
            rows[-1]["lr"] = rows[-1]["peak_lr"] = min(lr, LR_CAPS.get(name, math.inf))
    return AdamW(rows, fused=True)


def factor(step: int, *, total: int, warmup: int, floor: float) -> float:
    """Learning rate of optimiser step `step` (counted from 1) as a share of its peak.

    Linear from 1 / warmup to 1 over the first `warmup` steps, then half a cosine down to `floor` at step `total`.
    """
    if step <= warmup:
        return step / warmup
    progress = min(1.0, (step - warmup) / max(1, total - warmup))
    return floor + (1 - floor) * 0.5 * (1 + math.cos(math.pi * progress))


def pace(optimizer: Optimizer, factors: Mapping[Any, float]) -> None:
    """Give the peak learning rate of each part its factor, 1 where there is none; the groups' caps stay."""
    for group in optimizer.param_groups:
        lr = group["own_lr"] * factors.get(group["part"], 1.0)
        group["peak_lr"] = min(lr, LR_CAPS.get(group["name"], math.inf))


def set_decay(optimizer: Optimizer, decay: float) -> None:
    """Change the weight decay where there is any."""
    for group in optimizer.param_groups:
        if group["name"] == DECAYED:
            group["weight_decay"] = decay


def set_rate(optimizer: Optimizer, share: float) -> None:
    """Give every group `share` of its peak learning rate."""
    for group in optimizer.param_groups:
        group["lr"] = group["peak_lr"] * share


def steps_per_epoch(recordings: int, *, batch_size: int, accumulate: int) -> int:
    """Optimiser steps of an epoch: micro-batches, the last one perhaps short, in groups of `accumulate`."""
    return math.ceil(math.ceil(recordings / batch_size) / accumulate)
