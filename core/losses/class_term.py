"""The loss of the class: weighted, focal, smoothed, with shifted logits."""

# B examples, K classes.

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol

import torch
from torch import Tensor

from core.config import ClassLossOptions


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class ClassSettings:
    """What the class term needs besides predictions and labels."""

    class_weights_K: Tensor
    gamma: float
    """Of the focal loss; 0 is cross-entropy."""
    alpha: float = 1.0
    """Factor on the class term; 1 leaves it."""
    logit_shift_K: Tensor | None = None
    """What is added to the class logits before the loss, and only there."""
    label_smoothing: float


class ClassOutputs(Protocol):
    """What a network says that tells classes apart."""

    @property
    def class_logits_BK(self) -> Tensor:  # noqa: N802 - its shape
        """(B, K); K is 0 for data without classes."""
        ...


class ClassLabels(Protocol):
    """Examples with a class."""

    @property
    def class_B(self) -> Tensor:  # noqa: N802
        """Integer class, -1 where unknown."""
        ...


Numerator = Callable[[Any, Any, Any], Tensor]
Denominator = Callable[[Any, Any], Tensor]


@dataclass(frozen=True, slots=True)
class TermLoss:
    """A term's loss is numerator / denominator; the denominator depends on labels only."""

    numerator: Numerator
    """Of outputs, batch and settings."""
    denominator: Denominator
    """Of batch and settings."""


def settings_of(options: ClassLossOptions, class_weights_K: Tensor, class_shares: Sequence[float]) -> dict[str, Any]:
    """The fields of `ClassSettings` that the options come to; `class_shares` are those among what is drawn."""
    focal = options.class_loss == "focal"
    strength = options.logit_adjustment
    return {
        "class_weights_K": class_weights_K,
        "gamma": options.focal.gamma if focal else 0.0,
        "alpha": options.focal.alpha if focal else 1.0,
        "label_smoothing": options.label_smoothing,
        "logit_shift_K": logit_shift(class_shares, options.logit_adjustment, class_weights_K.device)
        if strength
        else None,
    }


def logit_shift(class_shares: Sequence[float], strength: float, device: torch.device | None = None) -> Tensor:
    """(K,) strength * log(share), Menon et al. 2021 (2007.07314); a class that is never drawn stays where it is."""
    share_K = torch.tensor(class_shares, dtype=torch.float32, device=device)
    return strength * torch.where(share_K > 0, share_K, 1.0).log()


def focal(
    logits_BK: Tensor, class_B: Tensor, weight_K: Tensor, *, gamma: float, label_smoothing: float = 0.0
) -> Tensor:
    """(B,) weighted focal loss per recording, Lin et al. 2017 (1708.02002); 0 where the class is unknown.

        sum_k q_k w_k (1 - p_k)^gamma (-log p_k)

    q is the true class, smoothed: 1 - s + s / K for it, s / K for the others. With gamma 0, the sum over recordings
    divided by the sum of the true classes' weights is torch's weighted cross-entropy.
    """
    known_B = class_B >= 0
    log_p_BK = logits_BK.log_softmax(-1)
    # The derivative of 0^gamma is infinite for gamma below 1: keep 1 - p off zero.
    miss_BK = (-torch.expm1(log_p_BK)).clamp_min(1e-7)
    loss_BK = -weight_K * log_p_BK * (miss_BK**gamma if gamma else 1.0)
    true_B = loss_BK.gather(-1, class_B.clamp_min(0).unsqueeze(-1)).squeeze(-1)
    smoothed_B = (1 - label_smoothing) * true_B + label_smoothing * loss_BK.mean(-1)
    return torch.where(known_B, smoothed_B, 0.0)


def _numerator(outputs: ClassOutputs, batch: ClassLabels, settings: ClassSettings) -> Tensor:
    if not outputs.class_logits_BK.shape[-1]:
        return outputs.class_logits_BK.sum()
    shift_K = settings.logit_shift_K
    loss = focal(
        outputs.class_logits_BK if shift_K is None else outputs.class_logits_BK + shift_K,
        batch.class_B,
        settings.class_weights_K,
        gamma=settings.gamma,
        label_smoothing=settings.label_smoothing,
    ).sum()
    return loss if settings.alpha == 1.0 else settings.alpha * loss


def _denominator(batch: ClassLabels, settings: ClassSettings) -> Tensor:
    if not len(settings.class_weights_K):
        return batch.class_B.new_zeros((), dtype=torch.float32)
    return torch.where(batch.class_B >= 0, settings.class_weights_K[batch.class_B.clamp_min(0)], 0.0).sum()


CLASS: Final = TermLoss(_numerator, _denominator)
