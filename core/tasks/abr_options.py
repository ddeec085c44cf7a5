"""The knobs of one ABR training run and the data it is trained on; free of torch."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Final, Literal, Self

from pydantic import Discriminator, Field, Tag, model_validator

from core.config import (
    POSITIVE_ONLY,
    AugmentOptions,
    BalanceOptions,
    ClassLossOptions,
    ComputeOptions,
    NonNegative,
    OptimizerOptions,
    Options,
    Positive,
    WatchOptions,
    WeightingOptions,
)
from core.schedules import EmaOptions, ScheduleOptions, StoppingOptions
from core.tasks.abr_diffusion_options import DiffusionOptions
from core.tasks.abr_head_options import BoundsOptions, HeadOptions
from core.tasks.abr_names import PARTS, TERMS, Part, Term
from core.tasks.abr_phases import PhaseOptions
from core.tasks.abr_unet_options import Extraction, UNetOptions

__all__ = [
    "TERMS",
    "AbrData",
    "AbrOptimizer",
    "AbrOptions",
    "Backbone",
    "Input",
    "LossOptions",
    "ModelOptions",
    "ModelSize",
    "PhaseOptions",
    "RecordedData",
    "Regression",
    "SignalScale",
    "SimulatedData",
    "Term",
    "TermWeights",
]

Input = Literal["signal", "age", "intensity", "rate", "fmp"]
ModelSize = Literal["tiny", "small", "base"]
Backbone = Literal["encoder", "unet"]
SignalScale = Literal["absolute", "per_recording"]
Regression = Literal["huber", "gaussian_nll"]
Count = Annotated[int, Field(ge=1)]


class ModelOptions(Options):
    """The network: a backbone that all tasks share, one head per task."""

    backbone: Backbone = "encoder"
    """encoder: S4D blocks on tokens of eight samples; unet: a U-Net over all samples with attention (document 004),
    ten times the work of a step."""
    unet: UNetOptions = UNetOptions()
    """Read when `backbone` is unet."""
    extractors: Extraction = "shared"
    """What the heads of signal, peaks, class and threshold see (document 004). shared: all the same; separate: features
    of their own, from the shared ones; cross_task: these, and attention between the tasks."""
    size: ModelSize = "tiny"
    """tiny trains on a CPU core in seconds an epoch; small is wider and deeper; base is for a GPU."""
    inputs: tuple[Input, ...] = ("signal", "age", "intensity", "rate", "fmp")
    """What the network is shown. FMP is computed from the response by the device: it tells whether one is there."""
    signal_scale: SignalScale = "absolute"
    """absolute: the size of a waveform is part of what the network sees; per_recording: each is divided by its own root
    mean square, so that only its shape is (people and electrodes differ in size)."""
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.1
    """Share of features dropped before the heads and between the blocks."""
    diffusion: DiffusionOptions = DiffusionOptions()

    heads: HeadOptions = HeadOptions()
    """One head per task."""
    bounds: BoundsOptions = BoundsOptions()
    """Ranges that the regression heads answer within."""

    @model_validator(mode="after")
    def _sees_something(self) -> Self:
        if not self.inputs or len(set(self.inputs)) != len(self.inputs):
            raise ValueError("inputs must name at least one input, each once")
        return self

    @model_validator(mode="after")
    def _steps_are_told(self) -> Self:
        if self.diffusion.enabled and self.backbone == "unet" and not self.unet.film:
            raise ValueError("diffusion tells the network its step through unet.film, which is false")
        return self


class TermWeights(Options):
    """Weight of each loss term; 0 switches a term off, it then sends no gradient at all."""

    signal: NonNegative = 1.0
    peak_exist: NonNegative = 1.0
    peak_latency: NonNegative = 1.0
    peak_amplitude: NonNegative = 1.0
    class_: NonNegative = Field(default=1.0, alias="class")
    threshold: NonNegative = 1.0

    def of(self, term: Term) -> float:
        """The weight of `term`."""
        return float(getattr(self, "class_" if term == "class" else term))


REGRESSIONS: Final[tuple[Term, ...]] = ("peak_latency", "peak_amplitude", "threshold")
"""Terms that are errors in a number."""


class LossOptions(ClassLossOptions):
    """The multi-task loss: a weighted sum of terms, each over the recordings that carry its label."""

    weights: TermWeights = TermWeights()
    weighting: WeightingOptions = WeightingOptions()
    huber_delta: Positive = 1.0
    """Where the regression losses turn from squared to absolute, in units of the target's spread (document 001: 1)."""
    regression: Regression = "huber"
    """How an error in threshold, latency or amplitude counts. gaussian_nll: the heads predict a spread beside each
    number and the loss is the likelihood of the label, which can be negative: weightings that need positive losses
    refuse it."""
    nll_beta: Annotated[float, Field(ge=0, le=1)] = 0.5
    """gaussian_nll: beta-NLL, Seitzer et al. 2022 (2203.09168); 0 is the plain likelihood, under which recordings that
    are fitted badly stop counting, 1 fits the numbers as squared errors would."""
    outliers: Annotated[float, Field(ge=0, lt=0.5)] = 0.0
    """Share of threshold labels expected to have nothing to do with their recording: the head says how likely that is
    for each, and the loss is the likelihood of the mixture (document 001: outlier probability). 0 expects none."""
    auxiliary: NonNegative = 0.3
    """Weight, within the threshold term, of the second predictor of `model.heads.threshold.paths` global_local."""

    @model_validator(mode="after")
    def _likelihoods_can_be_negative(self) -> Self:
        signed = [term for term in REGRESSIONS if self.weights.of(term) > 0]
        if self.regression == "huber" or not signed:
            return self
        method = self.weighting.method
        if method in POSITIVE_ONLY or self.weighting.normalise == "first":
            what = f"weighting.method {method}" if method in POSITIVE_ONLY else "weighting.normalise first"
            raise ValueError(f"{what} needs losses above 0; with regression gaussian_nll {', '.join(signed)} are not")
        return self


class AbrOptimizer(OptimizerOptions):
    """AdamW with a cosine schedule after a linear warm-up; schedules count optimiser steps."""

    lr_of: dict[Part, Positive] = Field(default_factory=dict)
    """{part of the network: factor on the learning rate}, such as {attention: 0.3}; state-space parameters keep their
    cap. Document 004: rates of their own for transformers."""


class AbrOptions(ComputeOptions):
    """One training run of the ABR model."""

    epochs: Count = 20
    batch_size: Count = 64
    model: ModelOptions = ModelOptions()
    loss: LossOptions = LossOptions()
    balance: BalanceOptions = BalanceOptions()
    augment: AugmentOptions = AugmentOptions()
    optimizer: AbrOptimizer = AbrOptimizer()
    watch: WatchOptions = WatchOptions()
    phases: PhaseOptions = PhaseOptions()
    schedules: ScheduleOptions = ScheduleOptions()
    ema: EmaOptions | None = None
    """Score and save an average of the weights over the last steps; null: the weights themselves."""
    stopping: StoppingOptions | None = None
    """End the run early when a combined metric stands still; null: never."""

    @model_validator(mode="after")
    def _phases_come(self) -> Self:
        try:
            spans = self.phases.spans(self.epochs)
        except ValueError as fault:
            raise ValueError(f"phases: {fault}") from fault
        for span in spans if self.phases.full else ():
            if not any(self.loss.weights.of(term) > 0 for term in TERMS if term in span.lasting):
                raise ValueError(f"phases: nothing to train in {span.name}: {', '.join(span.terms)} have weight 0")
            if set(span.frozen) == set(PARTS):
                raise ValueError(f"phases: nothing to train in {span.name}: every part is frozen")
            if span.sampling is not None and self.loss.logit_adjustment:
                raise ValueError(
                    f"phases: loss.logit_adjustment counts on balance.sampling, and {span.name} draws otherwise"
                )
        return self


class SimulatedData(Options):
    """Recordings from the physiological simulator; everything made from them is called simulated."""

    source: Literal["simulated"] = "simulated"
    train: Count = 1500
    """Recordings to train on."""
    val: Count = 2000
    """Recordings to validate on; at least 8 patients of each class by quota."""
    test: Count = 4000
    """Recordings scored once, at the end; at least 8 patients of each class by quota."""
    seed: Annotated[int, Field(ge=0, lt=2**32)] = 7
    rare: tuple[str, ...] = ()
    """Classes whose mean F1 is reported as `f1_rare`, by name."""


class RecordedData(Options):
    """Recordings from a file, split by patient."""

    source: Path
    """A `.npz` or `.parquet` file written by `abr-tune data import` or `abr-tune data make`."""
    split: Literal["by_patient", "leave_one_patient_out"] = "by_patient"
    """leave_one_patient_out: every patient is held out once; validation scores pool the held-out predictions."""
    val_share: Annotated[float, Field(gt=0, lt=1)] = 0.2
    """Share of patients held out for validation (by_patient)."""
    test_share: Annotated[float, Field(ge=0, lt=1)] = 0.2
    """Share of patients kept for the end (by_patient)."""
    seed: Annotated[int, Field(ge=0, lt=2**32)] = 7
    """Which patients are held out (by_patient)."""
    rare: tuple[str, ...] = ()
    """Classes whose mean F1 is reported as `f1_rare`, by name."""

    @model_validator(mode="after")
    def _leaves_training_patients(self) -> Self:
        if self.val_share + self.test_share >= 1:
            raise ValueError("val_share and test_share leave no patients to train on")
        return self


def _kind(value: object) -> str:
    source = value.get("source", "simulated") if isinstance(value, dict) else getattr(value, "source", "simulated")
    return "simulated" if source == "simulated" else "recorded"


AbrData = Annotated[
    Annotated[SimulatedData, Tag("simulated")] | Annotated[RecordedData, Tag("recorded")], Discriminator(_kind)
]
"""The `data:` section: `{source: simulated, ...}` or `{source: recordings.npz, ...}`."""
