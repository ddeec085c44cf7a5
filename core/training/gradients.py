"""The gradients of a step: of all terms together, or term by term where their weighting needs that."""

# N terms, P shared weights.

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import torch
from torch import Tensor, nn

from core.losses.weighting import Needs
from core.training.run import Learner
from core.training.watch import BLIND, Blind

Parts = dict[str, Tensor]


@dataclass(frozen=True, slots=True, kw_only=True)
class Gathered:
    """What the passes over a step's micro-batches left, besides the gradients themselves."""

    numerators: Parts
    denominators: Parts
    weights: Mapping[str, float]
    """Term -> what its loss counted, on the shared part of the network."""
    norms: Parts = field(default_factory=dict)
    """Term -> norm of its unweighted gradient, where the weighting asks for it."""


def gather(learner: Learner, batches: Sequence[Any], terms: Sequence[str], looker: Blind = BLIND) -> Gathered:
    """Put the joint gradient of all micro-batches into the weights of the network, as if they were one batch.

    Each term is a sum over recordings divided by a sum of weights; the joint divisor is known before the first forward
    pass because it depends on labels alone, so the gradients of the micro-batches add up. `looker` is shown each
    micro-batch while its graph is there.
    """
    weights = learner.loss.weights
    denominators: Parts = {}
    for batch in batches:
        _add(denominators, learner.loss.denominators(batch))
    on = weights.on(terms)
    if unknown := weights.unknown(on):
        weights.look(losses_now(learner, batches, unknown, denominators))
    needs = weights.needs
    if needs in {"norms", "gradients"}:
        _check_shared(learner.shared)
        needs = needs if _trainable(learner.shared) else "nothing"  # all that the terms share is frozen
    return GATHER[needs](learner, batches, on, denominators, looker)


def losses_now(
    learner: Learner, batches: Sequence[Any], terms: Sequence[str], denominators: Mapping[str, Tensor]
) -> dict[str, float]:
    """Term -> loss of the network as it is, for the terms that have labels in `batches`; no gradients."""
    numerators: Parts = {}
    with torch.no_grad():
        for batch in batches:
            _add(numerators, learner.loss.numerators(learner.network(batch), batch, terms))
    return _present(learner, numerators, denominators)


def _together(
    learner: Learner, batches: Sequence[Any], terms: Sequence[str], denominators: Parts, looker: Blind
) -> Gathered:
    """One backward pass for each micro-batch: what the terms count is known."""
    loss = learner.loss
    weights = loss.weights.of(terms, {})
    numerators: Parts = {}
    for batch in batches:
        parts = _forward(learner, batch, terms, looker)
        _backward(learner, loss.values(parts, denominators), weights, looker)
        _add(numerators, parts)
    return Gathered(numerators=numerators, denominators=denominators, weights=weights)


def _after_a_look(
    learner: Learner, batches: Sequence[Any], terms: Sequence[str], denominators: Parts, looker: Blind
) -> Gathered:
    """All forward passes first: what the terms count depends on their joint losses. Holds all graphs at once."""
    loss = learner.loss
    each = [_forward(learner, batch, terms, looker) for batch in batches]
    numerators: Parts = {}
    for parts in each:
        _add(numerators, parts)
    losses = _present(learner, numerators, denominators)
    weights = loss.weights.of(terms, losses if all(map(math.isfinite, losses.values())) else {})
    for parts in each:
        _backward(learner, loss.values(parts, denominators), weights, looker)
    return Gathered(numerators=numerators, denominators=denominators, weights=weights)


def _with_norms(
    learner: Learner, batches: Sequence[Any], terms: Sequence[str], denominators: Parts, looker: Blind
) -> Gathered:
    """As `_together`, and how long each term's own gradient is on the last shared layer."""
    loss = learner.loss
    weights = loss.weights.of(terms, {})
    layer = last_layer(_trainable(learner.shared))
    numerators: Parts = {}
    rows: Parts = {}
    for batch in batches:
        parts = _forward(learner, batch, terms, looker)
        values = loss.values(parts, denominators)
        for term, value in values.items():
            [row] = torch.autograd.grad(value, [layer], retain_graph=True, materialize_grads=True)
            _add(rows, {term: row})
        _backward(learner, values, weights, looker)
        _add(numerators, parts)
    norms = {term: row.norm() for term, row in rows.items()}
    return Gathered(numerators=numerators, denominators=denominators, weights=weights, norms=norms)


def _term_by_term(
    learner: Learner, batches: Sequence[Any], terms: Sequence[str], denominators: Parts, looker: Blind
) -> Gathered:
    """A backward pass for each term: on the shared weights their gradients are combined, elsewhere added."""
    loss = learner.loss
    weights = loss.weights.of(terms, {})
    shared = _trainable(learner.shared)
    own = [each for each in _trainable(learner.parameters) if all(each is not other for other in shared)]
    numerators: Parts = {}
    rows_NP = shared[0].new_zeros(len(terms), sum(each.numel() for each in shared))
    for batch in batches:
        parts = _forward(learner, batch, terms, looker)
        values = loss.values(parts, denominators)
        looker.values(last_layer(shared), values, weights)
        for row, term in enumerate(terms):
            weighted = weights[term] * values[term]
            found = torch.autograd.grad(weighted, [*shared, *own], retain_graph=row + 1 < len(terms), allow_unused=True)
            rows_NP[row] += torch.cat([_flat(grad, like) for grad, like in zip(found, shared, strict=False)])
            _accumulate(own, found[len(shared) :])
        _add(numerators, parts)
    factors = loss.weights.combine((rows_NP @ rows_NP.T).tolist())
    _hand_out(rows_NP.new_tensor(factors) @ rows_NP, shared)
    counted = {term: weights[term] * factor for term, factor in zip(terms, factors, strict=True)}
    return Gathered(numerators=numerators, denominators=denominators, weights=counted)


GATHER: Final[Mapping[Needs, Callable[[Learner, Sequence[Any], Sequence[str], Parts, Blind], Gathered]]] = {
    "nothing": _together,
    "losses": _after_a_look,
    "norms": _with_norms,
    "gradients": _term_by_term,
}


def last_layer(shared: Sequence[nn.Parameter]) -> nn.Parameter:
    """The last of the shared weights that is no vector of biases or norms, or else the last."""
    return next((parameter for parameter in reversed(shared) if parameter.ndim > 1), shared[-1])


def _check_shared(shared: Sequence[nn.Parameter]) -> None:
    if not shared:
        raise ValueError("this weighting of the terms needs to know which weights they share; the learner names none")


def _trainable(parameters: Iterable[nn.Parameter]) -> list[nn.Parameter]:
    return [parameter for parameter in parameters if parameter.requires_grad]


def _backward(learner: Learner, values: Mapping[Any, Tensor], weights: Mapping[str, float], looker: Blind) -> None:
    shared = _trainable(learner.shared)
    looker.values(last_layer(shared) if shared else None, values, weights)
    learner.loss.total(values, weights).backward()  # type: ignore[no-untyped-call]


def _forward(learner: Learner, batch: Any, terms: Sequence[str], looker: Blind) -> Parts:
    outputs = learner.network(batch)
    looker.outputs(learner, outputs)
    learner.loss.watch(outputs, batch, terms)
    return dict(learner.loss.numerators(outputs, batch, terms))


def _add(sums: Parts, parts: Mapping[str, Tensor]) -> None:
    for term, part in parts.items():
        sums[term] = sums[term] + part.detach() if term in sums else part.detach()


def _present(
    learner: Learner, numerators: Mapping[str, Tensor], denominators: Mapping[str, Tensor]
) -> dict[str, float]:
    values = learner.loss.values(numerators, denominators)
    numbers = torch.stack([*values.values(), *(denominators[term] for term in values)]).tolist()
    return {
        term: number for term, number, weight in zip(values, numbers, numbers[len(values) :], strict=False) if weight
    }


def _flat(gradient: Tensor | None, like: Tensor) -> Tensor:
    return like.new_zeros(like.numel()) if gradient is None else gradient.reshape(-1)


def _accumulate(parameters: Sequence[nn.Parameter], gradients: Sequence[Tensor | None]) -> None:
    for parameter, gradient in zip(parameters, gradients, strict=True):
        if gradient is not None:
            parameter.grad = gradient if parameter.grad is None else parameter.grad + gradient


def _hand_out(vector_P: Tensor, parameters: Sequence[nn.Parameter]) -> None:
    sizes = [each.numel() for each in parameters]
    for parameter, part in zip(parameters, torch.split(vector_P, sizes), strict=True):
        parameter.grad = part.reshape(parameter.shape).clone()
