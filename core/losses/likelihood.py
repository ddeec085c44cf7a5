"""Regression losses per recording, from errors in units of the target's spread: robust, likelihood, mixture."""

# B recordings. An error is (prediction - label) / spread, so that a spread of 1 is that of the labels.

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional


def cleaned_error(prediction_B: Tensor, target_B: Tensor, *, spread: float) -> Tensor:
    """(B,) prediction less target in units of `spread`; 0, with gradient 0, where the target is NaN.

    NaN must not enter the arithmetic: where() on a finished loss alone would still send NaN gradients.
    """
    known_B = target_B.isfinite()
    return torch.where(known_B, prediction_B - torch.where(known_B, target_B, 0.0), 0.0) / spread


def huber(error_B: Tensor, *, delta: float) -> Tensor:
    """(B,) e² / 2 up to |e| = delta, then delta (|e| - delta / 2)."""
    return functional.huber_loss(error_B, torch.zeros_like(error_B), reduction="none", delta=delta)


def huber_normaliser(delta: float) -> float:
    """Log of the integral of exp(-huber(e)) over all e, which makes a density of it.

    sqrt(2 pi) erf(delta / sqrt 2) + 2 / delta exp(-delta² / 2): a Gaussian's middle and two exponential tails.
    """
    middle = math.sqrt(2 * math.pi) * math.erf(delta / math.sqrt(2))
    return math.log(middle + 2 / delta * math.exp(-(delta**2) / 2))


def gaussian_nll(error_B: Tensor, log_var_B: Tensor) -> Tensor:
    """(B,) -log N(e; 0, v) = (log v + e² / v + log 2 pi) / 2, with log v = `log_var_B` in the units of the error."""
    return 0.5 * (log_var_B + error_B.square() * torch.exp(-log_var_B) + math.log(2 * math.pi))


def held_weight(log_var_B: Tensor, beta: float) -> Tensor:
    """(B,) v^beta without gradient: the weight of beta-NLL, Seitzer et al. 2022 (2203.09168).

    Without it (beta 0) recordings that are fitted badly get a large spread and stop counting towards the mean; with
    beta 1 the mean is fitted as by squared error. The paper's advice is 0.5.
    """
    return torch.exp(beta * log_var_B.detach())


def mixture_nll(inlier_nll_B: Tensor, outlier_logit_B: Tensor, *, outlier_nll: float, prior: float) -> Tensor:
    """(B,) negative log-likelihood when a label has nothing to do with its recording with probability p.

        -log((1 - p) exp(-inlier_nll) + p exp(-outlier_nll)) + KL(p || prior)

    p is the sigmoid of `outlier_logit_B`, the prior counts as much as one label. A label far from the prediction is
    taken for an outlier and hardly pulls.
    """
    log_out_B, log_in_B = functional.logsigmoid(outlier_logit_B), functional.logsigmoid(-outlier_logit_B)
    mixed_B = -torch.logaddexp(log_in_B - inlier_nll_B, log_out_B - outlier_nll)
    divergence_B = log_out_B.exp() * (log_out_B - math.log(prior)) + log_in_B.exp() * (log_in_B - math.log1p(-prior))
    return mixed_B + divergence_B
