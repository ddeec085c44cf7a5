"""The options that tasks share: optimiser, losses, class balance, phases. Frozen, checked, free of torch."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
NonNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Fraction = Annotated[float, Field(ge=0, le=1)]


class Options(BaseModel):
    """Base of every options model: frozen, unknown names refused, field names or aliases accepted."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", validate_by_name=True, validate_by_alias=True, serialize_by_alias=True
    )


class OptimizerOptions(Options):
    """AdamW with a cosine schedule after a linear warm-up; schedules count optimiser steps."""

    lr: Positive = 1e-3
    """Peak learning rate."""
    weight_decay: NonNegative = 0.01
    """Decoupled weight decay; never applied to state-space parameters, biases and norms."""
    warmup_epochs: NonNegative = 1.0
    """Epochs of linear warm-up (document 000: 5 of a long run)."""
    floor: Fraction = 0.1
    """Final learning rate as a share of `lr` (document 000: 1e-5 of 1e-4)."""
    clip: Positive | None = 1.0
    """Largest gradient norm; null switches clipping off. The norm is logged before clipping."""
    accumulate: Annotated[int, Field(ge=1, le=1024)] = 1
    """Micro-batches per optimiser step; equal to one batch of their joint size."""


class FocalOptions(Options):
    """Focal loss, Lin et al. 2017 (1708.02002)."""

    gamma: Annotated[float, Field(ge=0, le=10)] = 2.0
    """0 is cross-entropy; larger values pass over what is already learnt."""


BalanceScheme = Literal["none", "balanced", "sqrt", "effective", "explicit"]


class Clamp(Options):
    """Bounds of class weights."""

    low: Annotated[float, Field(gt=0)] = 0.05
    high: Annotated[float, Field(gt=0)] = 20.0

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.low > self.high:
            raise ValueError(f"low {self.low} is above high {self.high}")
        return self


class BalanceOptions(Options):
    """How rare classes are given weight in the class loss and in the batches."""

    scheme: BalanceScheme = "none"
    """none, balanced (1/n), sqrt (1/sqrt n), effective (Cui et al. 2019), explicit (`weights`)."""
    weights: tuple[Positive, ...] | None = None
    """Explicit class weights in the order of the class names; document 000: [0.2, 5, 2, 3, 3]."""
    beta: Annotated[float, Field(ge=0, lt=1)] = 0.999
    """Effective-number smoothing: 0 leaves classes unweighted, near 1 approaches 1/n."""
    power: Annotated[float, Field(ge=0, le=3)] = 1.0
    """Exponent applied to the scheme's weights before clamping (document 002: 1.0, was 1.5)."""
    clamp: Clamp | None = None
    """Bounds of the weights; their sum stays the number of classes."""
    renormalise: Literal["inside", "documented"] = "inside"
    """inside: scale found so that clamped weights sum to the number of classes and stay within the clamp;
    documented: clip, then divide by the mean (document 002), which leaves the clamp."""
    sampling: Literal["natural", "balanced"] = "natural"
    """balanced: every class equally often in training batches, rare ones by repetition."""

    @model_validator(mode="after")
    def _explicit_needs_weights(self) -> Self:
        if self.scheme == "explicit" and self.weights is None:
            raise ValueError("scheme explicit needs weights: one number per class")
        return self
