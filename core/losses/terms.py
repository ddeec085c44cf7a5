"""One function per loss term: a sum over the recordings that carry the label, and what to divide it by."""

# B recordings, K classes, T samples.

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor
from torch.nn import functional

from core.data.scaling import Scaling, Target
from core.data.tensors import Batch
from core.losses.class_term import CLASS, ClassSettings, Denominator, TermLoss
from core.losses.likelihood import cleaned_error, gaussian_nll, held_weight, huber, huber_normaliser, mixture_nll
from core.models.heads import UNLABELLED
from core.models.outputs import Outputs
from core.tasks.abr_options import Term


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class TermSettings(ClassSettings):
    """What the terms need besides predictions and labels."""

    huber_delta: float
    """In units of the target's spread."""
    nll_beta: float | None = None
    """Regression by beta-NLL, which needs predicted spreads; None is the Huber loss."""
    outliers: float = 0.0
    """Share of threshold labels expected to be wrong; above 0 the loss is that of a mixture."""
    auxiliary: float = 0.0
    """Weight of the threshold's second predictor, where there is one."""
    scaling: Scaling


def regression(
    said_B: Tensor,
    log_var_B: Tensor | None,
    label_B: Tensor,
    target: Target | None,
    settings: TermSettings,
    *,
    outlier_logit_B: Tensor | None = None,
) -> Tensor:
    """(B,) loss of the error in units of the target's spread; 0, with gradient 0, where the label is NaN.

    Huber loss or beta-NLL, and with `outlier_logit_B` the likelihood of a mixture, in which a label that has nothing to
    do with its recording lies anywhere in the range of the labels. Raises ValueError for a likelihood without a spread.
    """
    target = target or UNLABELLED
    error_B = cleaned_error(said_B, label_B, spread=target.sd)
    if settings.nll_beta is None:
        weight_B, loss_B = torch.ones_like(error_B), huber(error_B, delta=settings.huber_delta)
        normaliser = huber_normaliser(settings.huber_delta)
    elif log_var_B is None:
        raise ValueError("a likelihood needs predicted spreads: the network was built for another loss.regression")
    else:
        relative_B, normaliser = log_var_B - 2 * math.log(target.sd), 0.0
        weight_B, loss_B = held_weight(relative_B, settings.nll_beta), gaussian_nll(error_B, relative_B)
    if outlier_logit_B is not None and settings.outliers:
        # A density above 1 would make the mixture of a Huber loss negative.
        anywhere = math.log(max(1.0, (target.high - target.low) / target.sd))
        loss_B = mixture_nll(loss_B + normaliser, outlier_logit_B, outlier_nll=anywhere, prior=settings.outliers)
    return torch.where(label_B.isfinite(), weight_B * loss_B, 0.0)


def _exist_numerator(outputs: Outputs, batch: Batch, settings: TermSettings) -> Tensor:
    known_B = batch.peak_exist_B.isfinite()
    target_B = torch.where(known_B, batch.peak_exist_B, 0.0)
    loss_B = functional.binary_cross_entropy_with_logits(outputs.exist_logit_B, target_B, reduction="none")
    return torch.where(known_B, loss_B, 0.0).sum()


def _latency_numerator(outputs: Outputs, batch: Batch, settings: TermSettings) -> Tensor:
    target = settings.scaling.latency
    return regression(outputs.latency_B, outputs.latency_log_var_B, batch.latency_B, target, settings).sum()


def _amplitude_numerator(outputs: Outputs, batch: Batch, settings: TermSettings) -> Tensor:
    target = settings.scaling.amplitude
    return regression(outputs.amplitude_B, outputs.amplitude_log_var_B, batch.amplitude_B, target, settings).sum()


def _threshold_numerator(outputs: Outputs, batch: Batch, settings: TermSettings) -> Tensor:
    target = settings.scaling.threshold or UNLABELLED
    loss = regression(
        outputs.threshold_B,
        outputs.threshold_log_var_B,
        batch.threshold_B,
        target,
        settings,
        outlier_logit_B=outputs.outlier_logit_B,
    ).sum()
    if outputs.threshold_auxiliary_B is None or not settings.auxiliary:
        return loss
    second_B = cleaned_error(outputs.threshold_auxiliary_B, batch.threshold_B, spread=target.sd)
    return loss + settings.auxiliary * huber(second_B, delta=settings.huber_delta).sum()


def _signal_numerator(outputs: Outputs, batch: Batch, settings: TermSettings) -> Tensor:
    spread = settings.scaling.clean or settings.scaling.signal
    known_BT = batch.clean_BT.isfinite()
    error_BT = torch.where(known_BT, outputs.signal_BT - torch.where(known_BT, batch.clean_BT, 0.0), 0.0)
    loss = (error_BT / spread).square().mean(-1).sum()
    diffusion_BT = outputs.diffusion_error_BT
    return loss if diffusion_BT is None else loss + diffusion_BT.square().mean(-1).sum()


def _known(batch_column: Callable[[Batch], Tensor]) -> Denominator:
    """The number of recordings that carry a label."""
    return lambda batch, settings: batch_column(batch).isfinite().sum().to(torch.float32)


TERMS: Final[Mapping[Term, TermLoss]] = {
    "signal": TermLoss(_signal_numerator, _known(lambda batch: batch.clean_BT[:, 0])),
    "peak_exist": TermLoss(_exist_numerator, _known(lambda batch: batch.peak_exist_B)),
    "peak_latency": TermLoss(_latency_numerator, _known(lambda batch: batch.latency_B)),
    "peak_amplitude": TermLoss(_amplitude_numerator, _known(lambda batch: batch.amplitude_B)),
    "class": CLASS,
    "threshold": TermLoss(_threshold_numerator, _known(lambda batch: batch.threshold_B)),
}
