"""A look at a step while its graphs are there: what each term pulls at, whether the heads learn, how attention spreads.

A look costs about a backward pass through the last layers for each term, so only every some steps are looked at
(`watch.every`). It changes nothing in the training: no random number is drawn and no weight, statistic or gradient is
touched.
"""

# N terms, P weights of the last layer that the terms share.

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import combinations
from statistics import fmean, median
from typing import Any, Final, Protocol, runtime_checkable

import torch
from torch import Tensor, nn
from torch.nn.utils import get_total_norm

from core.training.run import Learner

MOST_LOOKS: Final = 5000
"""Steps of a run that are looked at, at most: what bounds the watch log. A longer run is looked at less often."""


@runtime_checkable
class Watched(Protocol):
    """An attention module that says how widely it spread in its last forward pass."""

    watched: bool
    """Set around the passes that are looked at."""
    entropy: Tensor | None
    """Mean over heads and queries of the entropy of the attention weights, divided by the logarithm of the keys."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """What one step showed."""

    norms: Mapping[str, float]
    """Term -> norm of its weighted gradient on the last layer that the terms share."""
    cosines: Mapping[str, float]
    """`<a>-<b>` -> cosine of the angle between the gradients of two terms there; absent where one has none."""
    parts: Mapping[str, float]
    """Part of the network -> norm of the step's gradient on it; absent where nothing in it is trained in this step."""
    predicted: Mapping[str, float]
    """Class -> how many of the step's examples were given it."""
    entropy: float | None
    """Mean over the attention modules; None without any."""


@dataclass(slots=True)
class Blind:
    """Sees nothing: the look of most steps."""

    def outputs(self, learner: Learner, outputs: Any) -> None:
        """A micro-batch has passed forward."""

    def values(self, layer: nn.Parameter | None, values: Mapping[Any, Tensor], weights: Mapping[Any, float]) -> None:
        """Its terms are known, and its graph is there; `layer` is the last that the terms share, None where frozen."""

    def look(self, learner: Learner) -> Look | None:
        """What was seen, with the gradients that the backward passes have left; before they are clipped."""
        return None


BLIND: Final = Blind()


@dataclass(slots=True)
class Looker(Blind):
    """Collects, over the micro-batches of a step, what is gone after their backward passes."""

    rows: dict[str, Tensor] = field(default_factory=dict)
    """Term -> its weighted gradient on the last shared layer, (P,)."""
    counts: dict[str, Tensor] = field(default_factory=dict)
    entropies: list[Tensor] = field(default_factory=list)

    def outputs(self, learner: Learner, outputs: Any) -> None:
        """Count what is predicted, and read the attention modules."""
        for name, count in learner.loss.predicted(outputs).items():
            self.counts[name] = self.counts[name] + count if name in self.counts else count
        self.entropies += [module.entropy for module in _attentions(learner.network) if module.entropy is not None]

    def values(self, layer: nn.Parameter | None, values: Mapping[Any, Tensor], weights: Mapping[Any, float]) -> None:
        """Each term's pull at that layer."""
        if layer is None:
            return
        for term, value in values.items():
            if weights[term] == 0:  # off for the time being
                continue
            [row] = torch.autograd.grad(weights[term] * value, [layer], retain_graph=True, materialize_grads=True)
            flat = row.reshape(-1)
            self.rows[term] = self.rows[term] + flat if term in self.rows else flat

    def look(self, learner: Learner) -> Look:
        """Norms and angles, in one transfer of numbers each."""
        terms = sorted(self.rows)  # whatever order the phases name them in
        gramian = _gramian([self.rows[term] for term in terms])
        norms = {term: math.sqrt(max(0.0, gramian[row][row])) for row, term in enumerate(terms)}
        cosines = {
            f"{terms[a]}-{terms[b]}": gramian[a][b] / (norms[terms[a]] * norms[terms[b]])
            for a, b in combinations(range(len(terms)), 2)
            if norms[terms[a]] * norms[terms[b]] > 0
        }
        return Look(
            norms=norms,
            cosines=cosines,
            parts=_part_norms(learner),
            predicted=dict(zip(self.counts, _numbers(list(self.counts.values())), strict=True)),
            entropy=fmean(_numbers(self.entropies)) if self.entropies else None,
        )


@contextmanager
def watching(network: nn.Module) -> Iterator[Looker]:
    """Around the passes of a step that is looked at: attention modules note how widely they spread."""
    modules = list(_attentions(network))
    for module in modules:
        module.watched = True
    try:
        yield Looker()
    finally:
        for module in modules:
            module.watched, module.entropy = False, None


def interval(every: int, total_steps: Iterable[int]) -> int:
    """Steps between two looks of a run whose learners take `total_steps` each; 0 for none."""
    return max(every, math.ceil(sum(total_steps) / MOST_LOOKS)) if every else 0


def signals(looks: Sequence[Look]) -> dict[str, float]:
    """What the looks of an epoch come to.

    `grad_norm/<term>`: median norm of the term's weighted gradient on the last shared layer; `grad_cosine/<a>-<b>`:
    mean cosine; `part_grad_norm/<part>`: mean norm of the joint gradient on a part of the network, 0 where it learns
    nothing; `attention_entropy`: mean over the attention modules, 1 where all keys are attended to alike.
    """
    found = {f"grad_norm/{name}": median(values) for name, values in _by_name(look.norms for look in looks).items()}
    cosines, parts = (look.cosines for look in looks), (look.parts for look in looks)
    found |= {f"grad_cosine/{name}": fmean(values) for name, values in _by_name(cosines).items()}
    found |= {f"part_grad_norm/{name}": fmean(values) for name, values in _by_name(parts).items()}
    entropies = [look.entropy for look in looks if look.entropy is not None]
    return found | ({"attention_entropy": fmean(entropies)} if entropies else {})


def _by_name(groups: Iterable[Mapping[str, float]]) -> dict[str, list[float]]:
    found: dict[str, list[float]] = defaultdict(list)
    for group in groups:
        for name, value in group.items():
            found[name].append(value)
    return found


def _attentions(network: nn.Module) -> Iterator[Watched]:
    return (module for module in network.modules() if isinstance(module, Watched))


def _gramian(rows: Sequence[Tensor]) -> list[list[float]]:
    if not rows:
        return []
    rows_NP = torch.stack(list(rows)).double()
    return (rows_NP @ rows_NP.T).tolist()


def _part_norms(learner: Learner) -> dict[str, float]:
    sizes = {}
    for name, modules in learner.parts.items():
        grads = [each.grad for module in modules for each in module.parameters() if each.grad is not None]
        if grads:
            sizes[str(name)] = get_total_norm(grads)
    return dict(zip(sizes, _numbers(list(sizes.values())), strict=True))


def _numbers(tensors: Sequence[Tensor]) -> list[float]:
    return torch.stack([tensor.float() for tensor in tensors]).tolist() if tensors else []
