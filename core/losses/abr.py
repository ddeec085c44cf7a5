"""The loss of the ABR task."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from core.config import BalanceOptions
from core.data.scaling import Scaling
from core.losses.class_term import settings_of
from core.losses.multitask import MultiTaskLoss
from core.losses.recall import RecentRecall
from core.losses.terms import TERMS, TermSettings
from core.losses.weights import refuse_signed
from core.tasks.abr_options import REGRESSIONS, LossOptions


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
    weights = {term: options.weights.of(term) for term in TERMS}
    likelihood = options.regression == "gaussian_nll"
    signed = [term for term in REGRESSIONS if weights[term] > 0 and likelihood]
    refuse_signed(options.weighting, signed)
    return MultiTaskLoss(
        TERMS,
        weights=weights,
        settings=TermSettings(
            **settings_of(options, class_weights, class_shares),
            huber_delta=options.huber_delta,
            nll_beta=options.nll_beta if likelihood else None,
            outliers=options.outliers,
            auxiliary=options.auxiliary,
            scaling=scaling,
        ),
        weighting=options.weighting,
        recall=RecentRecall(balance, len(class_weights)) if balance and balance.scheme == "dynamic" else None,
        class_names=class_names,
    )
