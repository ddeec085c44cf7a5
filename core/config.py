"""The options that tasks share: optimiser, losses, class balance, phases. Frozen, checked, free of torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Final, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
NonNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Fraction = Annotated[float, Field(ge=0, le=1)]


@dataclass(frozen=True, slots=True)
class FoldersToo:
    """Mark of a path that may be one of a folder as well as one of a file."""


Place = Annotated[Path, FoldersToo()]
"""A file or a folder."""


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


class WatchOptions(Options):
    """What is looked at while a run trains, besides losses and the norm of the gradient; it changes no number."""

    every: Annotated[int, Field(ge=0)] = 20
    """Optimiser steps from one look to the next: gradients by term, attention, predicted classes, and a line in
    `checkpoint/watch.jsonl` (document 000: 10). 0 looks at none. A very long run is looked at less often."""


class FocalOptions(Options):
    """Focal loss, Lin et al. 2017 (1708.02002)."""

    gamma: Annotated[float, Field(ge=0, le=10)] = 2.0
    """0 is cross-entropy; larger values pass over what is already learnt."""
    alpha: Positive = 1.0
    """Factor on the whole class term (document 000: 0.25). Between classes it balances nothing: class weights do."""


class ClassLossOptions(Options):
    """The loss of the class."""

    class_loss: Literal["cross_entropy", "focal"] = "cross_entropy"
    focal: FocalOptions = FocalOptions()
    """Read when `class_loss` is focal."""
    label_smoothing: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Probability moved from the true class to all classes (document 002: 0.05, was 0.1)."""
    logit_adjustment: Annotated[float, Field(ge=0, le=10)] = 0.0
    """Logit adjustment, Menon et al. 2021 (2007.07314): in the class loss, each class's logit is raised by this times
    the logarithm of its share among what is drawn; 1 aims at the mean of the classes' recalls, 0 leaves the logits."""


WeightingMethod = Literal[
    "fixed",
    "uncertainty",
    "dynamic_average",
    "famo",
    "gradient_norm",
    "pcgrad",
    "mgda",
    "imtl_g",
    "aligned_mtl",
]


POSITIVE_ONLY: Final[frozenset[WeightingMethod]] = frozenset(
    {"uncertainty", "dynamic_average", "famo", "gradient_norm"}
)
"""Weightings that make no sense of a loss that can be negative, such as a likelihood."""


class WeightingOptions(Options):
    """How the terms are weighted against one another while they are trained, on top of the fixed weights."""

    method: WeightingMethod = "fixed"
    """fixed; uncertainty (1705.07115), dynamic_average (1803.10704), famo (2306.03792), gradient_norm (1711.02257): a
    factor for each term; pcgrad (2001.06782), mgda (1810.04650), imtl_g, aligned_mtl (2305.19000): the terms' gradients
    on the shared part of the network are combined, at the price of one backward pass for each term."""
    rate: Positive = 0.025
    """Learning rate of the factors: uncertainty, famo, gradient_norm (the last two publish 0.025)."""
    temperature: Positive = 2.0
    """dynamic_average: large values treat all terms alike."""
    restoring: Annotated[float, Field(ge=0, le=10)] = 1.5
    """gradient_norm: how strongly terms that lag behind are given larger gradients; 0 gives all the same."""
    normalise: Literal["none", "first"] = "none"
    """first: each loss is divided by its average over the first epoch it is trained in, before anything weights it."""


BalanceScheme = Literal["none", "balanced", "sqrt", "effective", "explicit", "dynamic"]


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
    """none, balanced (1/n), sqrt (1/sqrt n), effective (Cui et al. 2019), explicit (`weights`), dynamic (1 - recent
    recall on the training recordings, Tian et al. 2021, 2106.14917: changes after every epoch)."""
    weights: tuple[Positive, ...] | dict[str, Positive] | None = None
    """Explicit class weights: {CLASS: weight}, whatever the order of the classes, or a list in the order of the class
    names (document 000: [0.2, 5, 2, 3, 3])."""
    beta: Annotated[float, Field(ge=0, lt=1)] = 0.999
    """Effective-number smoothing: 0 leaves classes unweighted, near 1 approaches 1/n."""
    memory: Annotated[float, Field(ge=0, lt=1)] = 0.5
    """dynamic: share of the recall so far that is kept at each epoch; 0 knows the last epoch only. With few steps an
    epoch the weights swing to and fro: keep more."""
    power: Annotated[float, Field(ge=0, le=3)] = 1.0
    """Exponent applied to the scheme's weights before clamping (document 002: 1.0, was 1.5)."""
    clamp: Clamp | None = None
    """Bounds of the weights; their sum stays the number of classes."""
    renormalise: Literal["inside", "documented"] = "inside"
    """inside: scale found so that clamped weights sum to the number of classes and stay within the clamp;
    documented: clip, then divide by the mean (document 002), which leaves the clamp."""
    sampling: Literal["natural", "balanced"] = "natural"
    """balanced: every class equally often in training batches, rare ones by repetition."""
    sampling_fractions: dict[str, Positive] | None = None
    """{CLASS: factor} on how often a class is drawn into batches (document 002: {IOL Inserted: 0.33} on top of
    balanced); how often that is stands in the reports as `draw_share/<CLASS>` and `in_batch/<CLASS>`."""

    @model_validator(mode="after")
    def _explicit_needs_weights(self) -> Self:
        if self.scheme == "explicit" and self.weights is None:
            raise ValueError("scheme explicit needs weights: one number per class")
        return self

    @property
    def counts_twice(self) -> bool:
        """Whether class weights and sampling both make up for how rare a class is."""
        return self.sampling == "balanced" and self.scheme in {"balanced", "sqrt", "effective"}


class MetricReached(Options):
    """A validation metric has been above, or below, a number at the end of some epoch: from then on, for good."""

    metric: str = "val/class/f1_macro"
    above: Annotated[float, Field(allow_inf_nan=False)] | None = 0.75
    """Document 002's bound; give `below` instead for a metric that should fall."""
    below: Annotated[float, Field(allow_inf_nan=False)] | None = None

    @model_validator(mode="before")
    @classmethod
    def _below_alone(cls, given: Any) -> Any:
        return {"above": None, **given} if isinstance(given, Mapping) and given.get("below") is not None else given

    @model_validator(mode="after")
    def _one_bound(self) -> Self:
        if (self.above is None) == (self.below is None):
            raise ValueError("give above or below, one of the two")
        if not self.metric.startswith("val/"):
            raise ValueError(f"{self.metric} is no validation metric: val/class/f1_macro is one")
        return self

    def met(self, metrics: Mapping[str, float]) -> bool:
        """Whether it is at this moment; a metric that could not be computed has not reached anything."""
        value = metrics.get(self.metric)
        if value is None:
            return False
        return value > self.above if self.above is not None else self.below is not None and value < self.below

    def __str__(self) -> str:
        return f"{self.metric} > {self.above:g}" if self.above is not None else f"{self.metric} < {self.below:g}"


class NoiseOptions(Options):
    """Noise added to training recordings of rare classes, so that a few recordings are not learnt by heart."""

    level: Annotated[float, Field(ge=0, le=10)] = 0.0
    """Its spread as a share of the spread of the training signals; 0 adds none. Its spectrum is that measured on
    averaged recordings; the noise-free truth, where there is one, stays what it was."""


class MixUpOptions(Options):
    """MixUp, Zhang et al. 2018 (1710.09412): some batches are mixed with themselves in another order."""

    probability: Fraction = 0.0
    """Of a batch to be mixed (document 002: 0, was 0.5)."""
    alpha: Positive = 0.2
    """The share of the first recording is drawn from Beta(alpha, alpha): small values hardly mix."""
    skip_rare: bool = True
    """Leave a batch that holds a rare class as it is (document 002). Large batches nearly always hold one: the share of
    batches that were mixed stands in the reports as `mixup_share`."""
    peaks: Literal["mixed", "left_out"] = "mixed"
    """mixed: latency and amplitude of both recordings count by their shares, missing ones nothing; left_out: they are
    not trained on mixed recordings, which have two bumps."""
    after: MetricReached | None = None
    """Off until this is reached (document 002: {metric: val/class/f1_macro, above: 0.75})."""


class AugmentOptions(Options):
    """What happens to training batches before the network sees them; a function of seed and epoch alone."""

    rare_below: Fraction = 0.1
    """A class is rare when it holds less than this share of the training recordings that have a class."""
    noise: NoiseOptions = NoiseOptions()
    mixup: MixUpOptions = MixUpOptions()


Device = Literal["auto", "cpu", "cuda"]
Precision = Literal["auto", "float32", "bf16"]


class ComputeOptions(Options):
    """What a training computes on; `core.training.device` makes it so."""

    device: Device = "auto"
    """cpu; cuda: a graphics card (a search gives its trials one with `resources.gpus`); auto: in a search the card that
    `resources.gpus` gives or else the processor, in other trainings a card where torch can use one."""
    precision: Precision = "auto"
    """Of the trunk of the network while it is trained: float32, or bf16 by autocast. Heads, Fourier transforms, losses,
    weights, moments and all scores are float32 in any case. auto: bf16 on cards that compute in it, else float32."""
    deterministic: bool = False
    """Only algorithms that give the same numbers each time, on the same kind of device; slower on cards. On a processor
    equal seeds give equal numbers without it."""
