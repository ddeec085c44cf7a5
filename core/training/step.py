"""One optimiser step over one or more micro-batches, refused when a number is not finite."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn.utils import clip_grads_with_norm_, get_total_norm

from core.training.optim import factor, set_rate
from core.training.run import Learner

What = Literal["loss", "gradient", "weight"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """What one optimiser step saw."""

    numerators: Mapping[str, float]
    denominators: Mapping[str, float]
    losses: Mapping[str, float]
    """Term -> value before its weight."""
    total: float
    norm: float
    """Gradient norm before clipping."""
    lr: float
    broken: What | None
    """What was not finite. With loss and gradient the weights are untouched."""
    update_ratio: float | None = None
    """Norm of the change of all weights over their norm, where it was asked for."""

    @property
    def term(self) -> str | None:
        """The first term whose loss is not finite, or the only one there is."""
        if self.broken == "loss":
            return next((term for term, loss in self.losses.items() if not math.isfinite(loss)), None)
        return next(iter(self.losses)) if len(self.losses) == 1 else None


def optimise(
    learner: Learner, batches: Sequence[Any], terms: Sequence[str], *, clip: float | None, floor: float, ratio: bool
) -> Step:
    """Take the learner's next step on the joint gradient of `batches`, as if they were one batch.

    Each term is a sum over recordings divided by a sum of weights; the joint divisor is known before the first forward
    pass because it depends on labels alone, so the gradients of the micro-batches add up.
    """
    progress, optimizer = learner.progress, learner.optimizer
    progress.step += 1
    set_rate(optimizer, factor(progress.step, total=learner.total_steps, warmup=learner.warmup_steps, floor=floor))
    optimizer.zero_grad(set_to_none=True)
    numerators, denominators = _backward(learner, batches, terms)
    step = _seen(learner, numerators, denominators)
    if step.broken is None:
        step = _taken(learner, step, clip=clip, ratio=ratio)
    if step.broken is None:
        progress.streak, progress.last_finite_loss = 0, step.total
    else:
        progress.streak += 1
    return step


def _backward(
    learner: Learner, batches: Sequence[Any], terms: Sequence[str]
) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Add the gradients of all micro-batches; the summed numerators and denominators by term."""
    loss = learner.loss
    denominators: dict[str, Tensor] = {}
    for batch in batches:
        for term, part in loss.denominators(batch).items():
            denominators[term] = denominators[term] + part if term in denominators else part
    numerators: dict[str, Tensor] = {}
    for batch in batches:
        parts = loss.numerators(learner.network(batch), batch, terms)
        loss.total(loss.values(parts, denominators)).backward()  # type: ignore[no-untyped-call]
        for term, part in parts.items():
            numerators[term] = numerators[term] + part.detach() if term in numerators else part.detach()
    return numerators, denominators


def _seen(learner: Learner, numerators: Mapping[str, Tensor], denominators: Mapping[str, Tensor]) -> Step:
    """The numbers of a step whose gradients are there, before any weight has moved."""
    losses = learner.loss.values(numerators, denominators)
    norm = get_total_norm([each.grad for each in _trained(learner) if each.grad is not None])
    weights = [denominators[term] for term in numerators]
    # One transfer for every number the loop looks at.
    numbers = torch.stack([*numerators.values(), *weights, *losses.values(), learner.loss.total(losses), norm]).tolist()
    rows = [numbers[first : first + len(weights)] for first in range(0, 3 * len(weights), len(weights))]
    sums, divisors, values = (dict(zip(numerators, row, strict=True)) for row in rows)
    total, size = numbers[-2:]
    broken: What | None = None
    if not (math.isfinite(total) and all(map(math.isfinite, values.values()))):
        broken = "loss"
    elif not math.isfinite(size):
        broken = "gradient"
    return Step(
        numerators=sums,
        denominators=divisors,
        losses=values,
        total=total,
        norm=size,
        lr=max(group["lr"] for group in learner.optimizer.param_groups),
        broken=broken,
    )


def _taken(learner: Learner, step: Step, *, clip: float | None, ratio: bool) -> Step:
    """Clip, move the weights, and look at what became of them."""
    parameters = _trained(learner)
    if clip is not None:
        clip_grads_with_norm_(parameters, clip, torch.tensor(step.norm))
    before = [each.detach().clone() for each in parameters] if ratio else None
    learner.optimizer.step()
    if not _finite(parameters):
        return replace(step, broken="weight")
    return step if before is None else replace(step, update_ratio=_change(before, parameters))


def _trained(learner: Learner) -> list[nn.Parameter]:
    return [each for each in learner.network.parameters() if each.grad is not None]


def _finite(parameters: Sequence[nn.Parameter]) -> bool:
    # One pass over one vector: several times cheaper than asking tensor by tensor. The maximum hands NaN on.
    with torch.no_grad():
        return bool(torch.cat([each.reshape(-1) for each in parameters]).abs().amax().isfinite())


def _change(before: Sequence[Tensor], after: Sequence[nn.Parameter]) -> float | None:
    moved = get_total_norm([new.detach() - old for old, new in zip(before, after, strict=True)])
    ratio = float(moved / get_total_norm(before))
    return ratio if math.isfinite(ratio) else None
