"""The multi-task loss: a weighted sum of terms, each an average over the recordings that carry its label."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import torch
from torch import Tensor

from core.data.scaling import Scaling
from core.data.tensors import Batch
from core.losses.terms import TERMS, TermSettings
from core.models.network import Outputs
from core.tasks.abr_options import LossOptions, Term


class MultiTaskLoss:
    """Numerators and denominators by term, and their weighted sum.

    Accumulation over micro-batches: sum `denominators` over them first (labels suffice), then give each micro-batch's
    numerators the joint denominators. The gradients add up to those of the whole batch.
    """

    def __init__(
        self,
        *,
        weights: Mapping[Term, float],
        class_weights_K: Tensor,
        gamma: float,
        label_smoothing: float,
        huber_delta: float,
        scaling: Scaling,
    ) -> None:
        self.weights = dict(weights)
        self.settings = TermSettings(
            class_weights_K=class_weights_K,
            gamma=gamma,
            label_smoothing=label_smoothing,
            huber_delta=huber_delta,
            scaling=scaling,
        )

    def denominators(self, batch: Batch) -> dict[Term, Tensor]:
        """Term -> what its numerators are divided by: the sum of class weights, the number of labelled recordings."""
        return {term: loss.denominator(batch, self.settings) for term, loss in TERMS.items()}

    def numerators(self, outputs: Outputs, batch: Batch, terms: Iterable[Term]) -> dict[Term, Tensor]:
        """Term -> sum over the recordings that carry its label; terms of weight 0 are left out, never computed."""
        return {term: TERMS[term].numerator(outputs, batch, self.settings) for term in terms if self.weights[term] > 0}

    def values(self, numerators: Mapping[Term, Tensor], denominators: Mapping[Term, Tensor]) -> dict[Term, Tensor]:
        """Term -> unweighted loss; 0 where no recording carries the label."""
        return {
            term: numerator / torch.where(denominators[term] > 0, denominators[term], 1.0)
            for term, numerator in numerators.items()
        }

    def total(self, values: Mapping[Term, Tensor]) -> Tensor:
        """Sum of weight * value over the terms in `values`."""
        total = torch.zeros(())
        for term, value in values.items():
            total = total + self.weights[term] * value
        return total


def build_loss(options: LossOptions, scaling: Scaling, class_weights: Tensor) -> MultiTaskLoss:
    """The loss that `options` describe; `class_weights` is (K,), empty for data without classes."""
    return MultiTaskLoss(
        weights={term: options.weights.of(term) for term in TERMS},
        class_weights_K=class_weights,
        gamma=options.focal.gamma if options.class_loss == "focal" else 0.0,
        label_smoothing=options.label_smoothing,
        huber_delta=options.huber_delta,
        scaling=scaling,
    )
