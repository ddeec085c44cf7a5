"""The multi-task loss: a weighted sum of terms, each an average over the recordings that carry its label."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from core.config import WeightingOptions
from core.data.mixture import Mixture
from core.losses.class_term import ClassSettings, TermLoss
from core.losses.recall import RecentRecall
from core.losses.weights import StepWeights

Parts = dict[Any, Tensor]


class MultiTaskLoss:
    """Numerators and denominators by term, and their weighted sum.

    Accumulation over micro-batches: sum `denominators` over them first (labels suffice), then give each micro-batch's
    numerators the joint denominators. The gradients add up to those of the whole batch.
    """

    def __init__(
        self,
        terms: Mapping[Any, TermLoss],
        *,
        weights: Mapping[Any, float],
        settings: ClassSettings,
        weighting: WeightingOptions,
        recall: RecentRecall | None,
        class_names: Sequence[str],
    ) -> None:
        self.terms = terms
        self.weights = StepWeights(weights, weighting)
        self.settings = settings
        self.recall = recall
        self.watched: dict[Any, tuple[Tensor, Tensor]] = {}
        self.class_names = tuple(class_names)

    def denominators(self, batch: Any) -> Parts:
        """Term -> what its numerators are divided by: the sum of class weights, the number of labelled recordings."""
        return self._denominators(batch, self.terms, self.settings)

    def numerators(self, outputs: Any, batch: Any, terms: Iterable[Any]) -> Parts:
        """Term -> sum over the recordings that carry its label; terms of weight 0 are left out, never computed."""
        return self._numerators(outputs, batch, self.weights.on(terms), self.settings)

    def values(self, numerators: Mapping[Any, Tensor], denominators: Mapping[Any, Tensor]) -> Parts:
        """Term -> unweighted loss; 0 where no recording carries the label."""
        return {
            term: numerator / torch.where(denominators[term] > 0, denominators[term], 1.0)
            for term, numerator in numerators.items()
        }

    def total(self, values: Mapping[Any, Tensor], weights: Mapping[Any, float] | None = None) -> Tensor:
        """Sum of weight * value over the terms in `values`; without `weights`, by the fixed ones."""
        weights = self.weights.fixed if weights is None else weights
        total = torch.zeros((), device=self.settings.class_weights_K.device)
        for term, value in values.items():
            total = total + weights[term] * value
        return total

    def watch(self, outputs: Any, batch: Any, terms: Collection[Any]) -> None:
        """See what is predicted while `terms` are trained; mixed recordings have no one class."""
        if self.recall is None or "class" not in terms:
            return
        if not isinstance(batch, Mixture):
            self.recall.watch(outputs.class_logits_BK, batch.class_B)
        alike = replace(self.settings, class_weights_K=torch.ones_like(self.settings.class_weights_K))
        with torch.no_grad():
            found = self._numerators(outputs, batch, ["class"], alike), self._denominators(batch, ["class"], alike)
        before = self.watched.get("class")
        self.watched["class"] = found[0]["class"], found[1]["class"]
        if before is not None:
            self.watched["class"] = before[0] + found[0]["class"], before[1] + found[1]["class"]

    def reported(self) -> dict[Any, tuple[Tensor, Tensor]]:
        """Numerator and denominator since the last call, for terms whose own mean something else in each epoch.

        The class loss under weights that follow the recall would rise as they turn to what is missed: what is reported,
        and judged by the health rules, is the loss with all classes alike.
        """
        found, self.watched = self.watched, {}
        return found

    def predicted(self, outputs: Any) -> dict[str, Tensor]:
        """Class -> how many recordings are given it; empty for data without classes."""
        if not self.class_names:
            return {}
        # Not bincount, which has no deterministic form on every graphics card.
        class_B = outputs.class_logits_BK.detach().argmax(1)
        count_K = (class_B.unsqueeze(1) == torch.arange(len(self.class_names), device=class_B.device)).sum(0)
        return dict(zip(self.class_names, count_K, strict=True))

    def epoch_ended(self) -> None:
        """Take note that an epoch is over: class weights that follow the recall change now."""
        self.weights.epoch_ended()
        if self.recall is not None:
            self._weigh_classes(self.recall.epoch_ended())

    def signals(self) -> dict[str, float]:
        """`class_weight/<CLASS>`: the weights of the epoch, where they change."""
        if self.recall is None:
            return {}
        weights = self.settings.class_weights_K.tolist()
        return {f"class_weight/{name}": weight for name, weight in zip(self.class_names, weights, strict=True)}

    def state(self) -> dict[str, Any]:
        """What has been learnt besides the network, ready for JSON; asked for between epochs."""
        return {"weights": self.weights.state(), "recall": None if self.recall is None else self.recall.state()}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from what `state` gave."""
        self.weights.restore(state["weights"])
        if self.recall is not None:
            self.recall.restore(state["recall"])
            self._weigh_classes(self.recall.weights())

    def _weigh_classes(self, weights_K: Tensor) -> None:
        weights_K = weights_K.to(self.settings.class_weights_K.device)
        self.settings = replace(self.settings, class_weights_K=weights_K)

    def _numerators(self, outputs: Any, batch: Any, terms: Iterable[Any], settings: ClassSettings) -> Parts:
        found = {term: self.terms[term].numerator(outputs, batch, settings) for term in terms}
        if isinstance(batch, Mixture):
            return _mixed(batch, found, self._numerators(outputs, batch.second, found, settings))
        return found

    def _denominators(self, batch: Any, terms: Iterable[Any], settings: ClassSettings) -> Parts:
        found = {term: self.terms[term].denominator(batch, settings) for term in terms}
        if isinstance(batch, Mixture):
            return _mixed(batch, found, self._denominators(batch.second, found, settings))
        return found


def _mixed(batch: Mixture, first: Mapping[Any, Tensor], second: Mapping[Any, Tensor]) -> Parts:
    return {term: batch.share * value + (1 - batch.share) * second[term] for term, value in first.items()}
