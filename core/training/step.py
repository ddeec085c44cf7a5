"""One optimiser step over one or more micro-batches, refused when a number is not finite."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
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
    share = factor(progress.step, total=learner.total_steps, warmup=learner.warmup_steps, floor=floor)
    set_rate(optimizer, share)
    optimizer.zero_grad(set_to_none=True)
    numerators, denominators = _backward(learner, batches, terms)
    losses = learner.loss.values(numerators, denominators)
    parameters = [each for each in learner.network.parameters() if each.grad is not None]
    norm = get_total_norm([each.grad for each in parameters if each.grad is not None])
    # One transfer per step: every number the loop looks at.
    names = list(numerators)
    numbers = torch.stack([*numerators.values(), *(denominators[t] for t in names), *losses.values(), norm]).tolist()
    count = len(names)
    seen = dict(zip(names, numbers[2 * count : 3 * count], strict=True))
    total = learner.loss.total(losses).item()
    broken = _broken(seen, total, numbers[-1])
    update_ratio = None
    if broken is None:
        if clip is not None:
            clip_grads_with_norm_(parameters, clip, norm)
        before = [each.detach().clone() for each in parameters] if ratio else None
        optimizer.step()
        if not _finite(learner.network):
            broken = "weight"
        elif before is not None:
            update_ratio = _change(before, parameters)
    if broken is None:
        progress.streak, progress.last_finite_loss = 0, total
    else:
        progress.streak += 1
    return Step(
        numerators=dict(zip(names, numbers[:count], strict=True)),
        denominators=dict(zip(names, numbers[count : 2 * count], strict=True)),
        losses=seen,
        total=total,
        norm=numbers[-1],
        lr=max(group["lr"] for group in optimizer.param_groups),
        broken=broken,
        update_ratio=update_ratio,
    )


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


def _broken(losses: Mapping[str, float], total: float, norm: float) -> What | None:
    if not (math.isfinite(total) and all(map(math.isfinite, losses.values()))):
        return "loss"
    return None if math.isfinite(norm) else "gradient"


def _finite(network: nn.Module) -> bool:
    # The largest absolute value cannot overflow as a sum of squares can.
    return bool(torch.isfinite(get_total_norm(list(network.parameters()), norm_type=math.inf)))


def _change(before: Sequence[Tensor], after: Sequence[nn.Parameter]) -> float | None:
    moved = get_total_norm([new.detach() - old for old, new in zip(before, after, strict=True)])
    ratio = float(moved / get_total_norm(before))
    return ratio if math.isfinite(ratio) else None
