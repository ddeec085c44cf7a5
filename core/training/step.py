"""One optimiser step over one or more micro-batches, refused when a number is not finite."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn.utils import clip_grads_with_norm_, get_total_norm

from core.training.gradients import Gathered, gather, losses_now
from core.training.optim import factor, set_rate
from core.training.run import Learner
from core.training.watch import BLIND, Blind, Look, watching

What = Literal["loss", "gradient", "weight"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """What one optimiser step saw."""

    numerators: Mapping[str, float]
    denominators: Mapping[str, float]
    """What is reported of an epoch are the sums of the numerators over those of the denominators."""
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
    weights: Mapping[str, float] = field(default_factory=dict)
    """Term -> what its loss counted, where that is not always `loss.weights`."""
    look: Look | None = None
    """What was seen of it, where it was looked at and nothing was broken."""

    @property
    def term(self) -> str | None:
        """The first term whose loss is not finite, or the only one there is."""
        if self.broken == "loss":
            return next((term for term, loss in self.losses.items() if not math.isfinite(loss)), None)
        return next(iter(self.losses)) if len(self.losses) == 1 else None

    def row(self) -> dict[str, Any]:
        """What a line of the watch log says of it."""
        row: dict[str, Any] = {"lr": self.lr, "total": self.total, "losses": dict(self.losses), "grad_norm": self.norm}
        if self.look is not None:
            row |= {"grad_norms": self.look.norms, "grad_cosines": self.look.cosines, "parts": self.look.parts}
            row |= {"predicted": self.look.predicted}
            row |= {} if self.look.entropy is None else {"attention_entropy": self.look.entropy}
        return row


def optimise(
    learner: Learner,
    batches: Sequence[Any],
    terms: Sequence[str],
    *,
    clip: float | None,
    floor: float,
    ratio: bool,
    look: bool = False,
) -> Step:
    """Take the learner's next step on the joint gradient of `batches`, as if they were one batch; `look` at it or not.

    The learning rate is that of the schedule, times what interventions have left of it.
    """
    progress, optimizer = learner.progress, learner.optimizer
    progress.step += 1
    share = factor(progress.step, total=learner.total_steps, warmup=learner.warmup_steps, floor=floor)
    set_rate(optimizer, share * progress.rate)
    for parameter in learner.parameters:
        parameter.grad = None
    looking: AbstractContextManager[Blind] = watching(learner.network) if look else nullcontext(BLIND)
    with looking as looker:
        gathered = gather(learner, batches, terms, looker)
    trained = _trained(learner)
    step = _seen(learner, gathered, trained)
    if step.broken is None:
        step = _taken(learner, trained, replace(step, look=looker.look(learner)), clip=clip, ratio=ratio)
    if step.broken is None:
        progress.streak, progress.last_finite_loss = 0, step.total
        if learner.loss.weights.change:
            _learn(learner, batches, step, gathered)
    else:
        progress.streak += 1
    return step


def _seen(learner: Learner, gathered: Gathered, trained: Sequence[nn.Parameter]) -> Step:
    """The numbers of a step whose gradients are there, before any weight has moved."""
    numerators, denominators = gathered.numerators, gathered.denominators
    losses = learner.loss.values(numerators, denominators)
    norm = get_total_norm([each.grad for each in trained if each.grad is not None])
    reported = learner.loss.reported()
    pairs = [reported.get(term, (numerator, denominators[term])) for term, numerator in numerators.items()]
    above, below = [pair[0] for pair in pairs], [pair[1] for pair in pairs]
    # One transfer for every number the loop looks at.
    total = learner.loss.total(losses, gathered.weights)
    numbers = torch.stack([*above, *below, *losses.values(), total, norm]).tolist()
    rows = [numbers[first : first + len(pairs)] for first in range(0, 3 * len(pairs), len(pairs))]
    sums, divisors, values = (dict(zip(numerators, row, strict=True)) for row in rows)
    whole, size = numbers[-2:]
    broken: What | None = None
    if not (math.isfinite(whole) and all(map(math.isfinite, values.values()))):
        broken = "loss"
    elif not math.isfinite(size):
        broken = "gradient"
    return Step(
        numerators=sums,
        denominators=divisors,
        losses=values,
        total=whole,
        norm=size,
        lr=max(group["lr"] for group in learner.optimizer.param_groups),
        broken=broken,
        weights=gathered.weights if learner.loss.weights.change or learner.loss.weights.factors else {},
    )


def _learn(learner: Learner, batches: Sequence[Any], step: Step, gathered: Gathered) -> None:
    """Show the weighting of the terms the step that was taken; what is not finite teaches nothing."""
    weights = learner.loss.weights
    before = {term: loss for term, loss in step.losses.items() if step.denominators[term] > 0}
    seen: Mapping[str, float] = {}
    if weights.needs == "losses":
        seen = losses_now(learner, batches, list(before), gathered.denominators)
    elif weights.needs == "norms":
        before = {term: loss for term, loss in before.items() if term in gathered.norms}
        sizes = torch.stack([gathered.norms[term] for term in before]).tolist() if before else []
        seen = dict(zip(before, sizes, strict=True))
    if all(map(math.isfinite, seen.values())):
        weights.learn(before, seen)


def _taken(
    learner: Learner, parameters: Sequence[nn.Parameter], step: Step, *, clip: float | None, ratio: bool
) -> Step:
    """Clip, move the weights, and look at what became of them."""
    # Gradients that are short enough would be multiplied by 1.
    if clip is not None and step.norm + 1e-6 > clip:
        clip_grads_with_norm_(parameters, clip, torch.tensor(step.norm))
    before = [each.detach().clone() for each in parameters] if ratio else None
    learner.optimizer.step()
    if not _finite(parameters):
        return replace(step, broken="weight")
    return step if before is None else replace(step, update_ratio=_change(before, parameters))


def _trained(learner: Learner) -> list[nn.Parameter]:
    return [each for each in learner.parameters if each.grad is not None]


def _finite(parameters: Sequence[nn.Parameter]) -> bool:
    # One pass over one vector: several times cheaper than asking tensor by tensor. The maximum hands NaN on.
    with torch.inference_mode():
        return bool(torch.cat([each.reshape(-1) for each in parameters]).abs().amax().isfinite())


def _change(before: Sequence[Tensor], after: Sequence[nn.Parameter]) -> float | None:
    moved = get_total_norm([new.detach() - old for old, new in zip(before, after, strict=True)])
    ratio = float(moved / get_total_norm(before))
    return ratio if math.isfinite(ratio) else None
