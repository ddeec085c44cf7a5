"""The multi-task loss: a weighted sum of terms, each an average over the recordings that carry its label."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from core.config import BalanceOptions, WeightingOptions
from core.data.augment import MixedBatch
from core.data.scaling import Scaling
from core.data.tensors import Batch
from core.losses.recall import RecentRecall
from core.losses.terms import TERMS, TermSettings
from core.losses.weights import StepWeights, refuse_signed
from core.models.outputs import Outputs
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
        settings: TermSettings,
        weighting: WeightingOptions,
        recall: RecentRecall | None,
        class_names: Sequence[str],
    ) -> None:
        self.weights = StepWeights(weights, weighting)
        self.settings = settings
        self.recall = recall
        self.watched: dict[Term, tuple[Tensor, Tensor]] = {}
        self.class_names = tuple(class_names)

    def denominators(self, batch: Batch) -> dict[Term, Tensor]:
        """Term -> what its numerators are divided by: the sum of class weights, the number of labelled recordings."""
        return _denominators(batch, TERMS, self.settings)

    def numerators(self, outputs: Outputs, batch: Batch, terms: Iterable[Term]) -> dict[Term, Tensor]:
        """Term -> sum over the recordings that carry its label; terms of weight 0 are left out, never computed."""
        return _numerators(outputs, batch, self.weights.on(terms), self.settings)

    def values(self, numerators: Mapping[Term, Tensor], denominators: Mapping[Term, Tensor]) -> dict[Term, Tensor]:
        """Term -> unweighted loss; 0 where no recording carries the label."""
        return {
            term: numerator / torch.where(denominators[term] > 0, denominators[term], 1.0)
            for term, numerator in numerators.items()
        }

    def total(self, values: Mapping[Term, Tensor], weights: Mapping[Term, float] | None = None) -> Tensor:
        """Sum of weight * value over the terms in `values`; without `weights`, by the fixed ones."""
        weights = self.weights.fixed if weights is None else weights
        total = torch.zeros((), device=self.settings.class_weights_K.device)
        for term, value in values.items():
            total = total + weights[term] * value
        return total

    def watch(self, outputs: Outputs, batch: Batch, terms: Collection[Term]) -> None:
        """See what is predicted while `terms` are trained; mixed recordings have no one class."""
        if self.recall is None or "class" not in terms:
            return
        if not isinstance(batch, MixedBatch):
            self.recall.watch(outputs.class_logits_BK, batch.class_B)
        alike = replace(self.settings, class_weights_K=torch.ones_like(self.settings.class_weights_K))
        with torch.no_grad():
            found = _numerators(outputs, batch, ["class"], alike), _denominators(batch, ["class"], alike)
        before = self.watched.get("class")
        self.watched["class"] = found[0]["class"], found[1]["class"]
        if before is not None:
            self.watched["class"] = before[0] + found[0]["class"], before[1] + found[1]["class"]

    def reported(self) -> dict[Term, tuple[Tensor, Tensor]]:
        """Numerator and denominator since the last call, for terms whose own mean something else in each epoch.

        The class loss under weights that follow the recall would rise as they turn to what is missed: what is reported,
        and judged by the health rules, is the loss with all classes alike.
        """
        found, self.watched = self.watched, {}
        return found

    def predicted(self, outputs: Outputs) -> dict[str, Tensor]:
        """Class -> how many recordings are given it; empty for data without classes."""
        if not self.class_names:
            return {}
        count_K = outputs.class_logits_BK.detach().argmax(1).bincount(minlength=len(self.class_names))
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


def _numerators(outputs: Outputs, batch: Batch, terms: Iterable[Term], settings: TermSettings) -> dict[Term, Tensor]:
    found = {term: TERMS[term].numerator(outputs, batch, settings) for term in terms}
    if isinstance(batch, MixedBatch):
        return _mixed(batch, found, _numerators(outputs, batch.second, found, settings))
    return found


def _denominators(batch: Batch, terms: Iterable[Term], settings: TermSettings) -> dict[Term, Tensor]:
    found = {term: TERMS[term].denominator(batch, settings) for term in terms}
    return (
        _mixed(batch, found, _denominators(batch.second, found, settings)) if isinstance(batch, MixedBatch) else found
    )


def _mixed(batch: MixedBatch, first: Mapping[Term, Tensor], second: Mapping[Term, Tensor]) -> dict[Term, Tensor]:
    return {term: batch.share * value + (1 - batch.share) * second[term] for term, value in first.items()}


def logit_shift(class_shares: Sequence[float], strength: float, device: torch.device | None = None) -> Tensor:
    """(K,) strength * log(share), Menon et al. 2021 (2007.07314); a class that is never drawn stays where it is."""
    share_K = torch.tensor(class_shares, dtype=torch.float32, device=device)
    return strength * torch.where(share_K > 0, share_K, 1.0).log()


def build_loss(
    options: LossOptions,
    scaling: Scaling,
    class_weights: Tensor,
    *,
    balance: BalanceOptions | None = None,
    class_names: Sequence[str] = (),
    class_shares: Sequence[float] = (),
) -> MultiTaskLoss:
    """The loss that `options` describe; `class_weights` is (K,), on the device of the outputs, empty without classes.

    Class weights change where `balance` says so. `class_shares` are those among the recordings that are drawn. Raises
    ValueError when the weighting of the terms cannot work with one of them.
    """
    focal = options.class_loss == "focal"
    weights = {term: options.weights.of(term) for term in TERMS}
    likelihood = options.regression == "gaussian_nll"
    signed = [term for term, weight in weights.items() if weight > 0 and likelihood and TERMS[term].regression]
    refuse_signed(options.weighting, signed)
    return MultiTaskLoss(
        weights=weights,
        settings=TermSettings(
            class_weights_K=class_weights,
            gamma=options.focal.gamma if focal else 0.0,
            alpha=options.focal.alpha if focal else 1.0,
            label_smoothing=options.label_smoothing,
            huber_delta=options.huber_delta,
            nll_beta=options.nll_beta if likelihood else None,
            outliers=options.outliers,
            auxiliary=options.auxiliary,
            scaling=scaling,
            logit_shift_K=logit_shift(class_shares, options.logit_adjustment, class_weights.device)
            if options.logit_adjustment
            else None,
        ),
        weighting=options.weighting,
        recall=RecentRecall(balance, len(class_weights)) if balance and balance.scheme == "dynamic" else None,
        class_names=class_names,
    )
