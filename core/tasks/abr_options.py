"""The knobs of one ABR training run and the data it is trained on; free of torch."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Discriminator, Field, Tag, model_validator

from core.config import (
    AugmentOptions,
    BalanceOptions,
    ComputeOptions,
    FocalOptions,
    Fraction,
    NonNegative,
    OptimizerOptions,
    Options,
    Positive,
    WatchOptions,
    WeightingOptions,
)
from core.tasks.abr_names import TERMS, Term

__all__ = [
    "TERMS",
    "AbrData",
    "AbrOptions",
    "Backbone",
    "Input",
    "LossOptions",
    "ModelOptions",
    "ModelSize",
    "PhaseOptions",
    "RecordedData",
    "SignalScale",
    "SimulatedData",
    "Term",
    "TermWeights",
]

Input = Literal["signal", "age", "intensity", "rate", "fmp"]
ModelSize = Literal["tiny", "small", "base"]
Backbone = Literal["encoder"]
SignalScale = Literal["absolute", "per_recording"]
Count = Annotated[int, Field(ge=1)]


class ModelOptions(Options):
    """The network: one shared encoder, one head per task."""

    backbone: Backbone = "encoder"
    """encoder: S4D blocks on tokens of eight samples."""
    size: ModelSize = "tiny"
    """tiny trains on a CPU core in seconds an epoch; small is wider and deeper; base is for a GPU."""
    inputs: tuple[Input, ...] = ("signal", "age", "intensity", "rate", "fmp")
    """What the network is shown. FMP is computed from the response by the device: it tells whether one is there."""
    signal_scale: SignalScale = "absolute"
    """absolute: the size of a waveform is part of what the network sees; per_recording: each is divided by its own root
    mean square, so that only its shape is (people and electrodes differ in size)."""
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.1
    """Share of features dropped before the heads and between the blocks."""

    @model_validator(mode="after")
    def _sees_something(self) -> Self:
        if not self.inputs or len(set(self.inputs)) != len(self.inputs):
            raise ValueError("inputs must name at least one input, each once")
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


class LossOptions(Options):
    """The multi-task loss: a weighted sum of terms, each over the recordings that carry its label."""

    weights: TermWeights = TermWeights()
    weighting: WeightingOptions = WeightingOptions()
    class_loss: Literal["cross_entropy", "focal"] = "cross_entropy"
    focal: FocalOptions = FocalOptions()
    """Read when `class_loss` is focal."""
    label_smoothing: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Probability moved from the true class to all classes (document 002: 0.05, was 0.1)."""
    logit_adjustment: Annotated[float, Field(ge=0, le=10)] = 0.0
    """Logit adjustment, Menon et al. 2021 (2007.07314): in the class loss, each class's logit is raised by this times
    the logarithm of its share among what is drawn; 1 aims at the mean of the classes' recalls, 0 leaves the logits."""
    huber_delta: Positive = 1.0
    """Where the regression losses turn from squared to absolute, in units of the target's spread (document 001: 1)."""


class PhaseOptions(Options):
    """When each term joins: `order` lists what every phase adds, `boundaries` when the later phases begin."""

    order: tuple[tuple[Term, ...], ...] = (
        ("class",),
        ("signal",),
        ("peak_exist", "peak_latency", "peak_amplitude"),
        ("threshold",),
    )
    """Document 000: classification, then signal, then peaks, then threshold."""
    boundaries: tuple[Fraction, ...] = ()
    """Fractions of the run at which phase 2, 3, ... begin, rounded to epochs; none: all terms from the start."""

    @model_validator(mode="after")
    def _boundaries_fit(self) -> Self:
        named = [term for phase in self.order for term in phase]
        if sorted(named) != sorted(TERMS):
            raise ValueError(f"order must name each of {', '.join(TERMS)} exactly once")
        if self.boundaries and len(self.boundaries) != len(self.order) - 1:
            needed = len(self.order) - 1
            raise ValueError(f"{len(self.order)} phases need {needed} boundaries, not {len(self.boundaries)}")
        if list(self.boundaries) != sorted(self.boundaries):
            raise ValueError("boundaries must increase")
        return self


class AbrOptions(ComputeOptions):
    """One training run of the ABR model."""

    epochs: Count = 20
    batch_size: Count = 64
    model: ModelOptions = ModelOptions()
    loss: LossOptions = LossOptions()
    balance: BalanceOptions = BalanceOptions()
    augment: AugmentOptions = AugmentOptions()
    optimizer: OptimizerOptions = OptimizerOptions()
    watch: WatchOptions = WatchOptions()
    phases: PhaseOptions = PhaseOptions()


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
