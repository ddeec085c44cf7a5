"""The options that classification tasks share; free of torch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Final, Literal, Self, get_args

from pydantic import Field, model_validator

from core.config import (
    BalanceOptions,
    ClassLossOptions,
    ComputeOptions,
    Fraction,
    MixUpOptions,
    OptimizerOptions,
    Options,
    Positive,
    WatchOptions,
)
from core.schedules import EmaOptions, Phase, PhaseEnd, PhaseName, ScheduleOptions, StoppingOptions
from core.training.phases import Span, planned, spans

Term = Literal["class"]
TERMS: Final[tuple[Term, ...]] = get_args(Term)
Part = Literal["backbone", "head"]
"""What reads the examples, and what tells the classes apart."""
HEADLINE: Final = "val/class/f1_macro"
"""What a classification is judged by unless a search says otherwise."""
Count = Annotated[int, Field(ge=1)]


class ClassPhase(Phase[Term, Part]):
    """A span of a training. What it does not name is as in plain training: free, at its own rate."""


Preset = Literal["none", "head_first"]

PRESETS: Final[Mapping[Preset, Mapping[str, ClassPhase]]] = {
    "none": {},
    # Document 002: the backbone is frozen until epoch 5 of 10, then trained at 5e-6 where the rest has 1e-4.
    "head_first": {
        "head": ClassPhase(frozen=("backbone",), until=PhaseEnd(share=0.5)),
        "all": ClassPhase(lr={"backbone": 0.05}),
    },
}
"""The documents' curricula; their epochs are shares of the lengths that the documents have in mind."""


class ClassPhaseOptions(Options):
    """When which part is trained: by `preset`, or by `plan`; neither: all of it from the start."""

    preset: Preset = "none"
    """head_first: document 002, the backbone is frozen at first, then trained at a rate of its own."""
    boundaries: tuple[Fraction, ...] = ()
    """Fractions of the run at which phase 2, 3, ... begin, rounded to epochs. None: what the phases say themselves."""
    backbone_lr: Positive | None = None
    """Factor on the learning rate of the backbone in the last phase of head_first (document 002: 5e-6 of 1e-4); null:
    0.05."""
    plan: dict[PhaseName, ClassPhase] = Field(default_factory=dict)
    """{name: phase}, in the order in which they come; see docs/phases.md."""

    @model_validator(mode="after")
    def _boundaries_fit(self) -> Self:
        if self.plan and self.preset != "none":
            raise ValueError(f"there is a plan and preset {self.preset}: give one of the two")
        phases = len(self.plan or PRESETS[self.preset]) or 1
        if self.boundaries and len(self.boundaries) != phases - 1:
            raise ValueError(f"{phases} phases need {phases - 1} boundaries, not {len(self.boundaries)}")
        if list(self.boundaries) != sorted(self.boundaries):
            raise ValueError("boundaries must increase")
        if self.backbone_lr is not None and self.preset != "head_first":
            raise ValueError("backbone_lr belongs to preset head_first; a plan says lr in its phases")
        return self

    def spans(self, epochs: int) -> tuple[Span, ...]:
        """The phases of a run of so many epochs. Raises ValueError for phases of the plan that can never come."""
        phases: Mapping[str, ClassPhase] = self.plan or PRESETS[self.preset]
        if not phases:
            return spans((TERMS,), (), epochs)
        if self.boundaries and not self.plan:
            phases = {name: phase.model_copy(update={"until": None}) for name, phase in phases.items()}
        if self.backbone_lr is not None:
            phases = {**phases, "all": ClassPhase(lr={"backbone": self.backbone_lr})}
        return planned(phases, self.boundaries, terms=TERMS, epochs=epochs)


class ClassBalanceOptions(BalanceOptions):
    """How rare classes are given weight in the loss and in the batches."""

    @model_validator(mode="after")
    def _explicit_needs_weights(self) -> Self:
        return self  # they may come with the data


class ClassOptimizer(OptimizerOptions):
    """AdamW with a cosine schedule after a linear warm-up; schedules count optimiser steps."""

    lr_of: dict[Part, Positive] = Field(default_factory=dict)
    """{part of the network: factor on the learning rate}, such as {backbone: 0.05}."""


class ClassAugmentOptions(Options):
    """What happens to training batches before the network sees them; a function of seed and epoch alone."""

    rare_below: Fraction = 0.1
    """A class is rare when it holds less than this share of the training examples."""
    mixup: MixUpOptions = MixUpOptions()


class ClassifierOptions(ComputeOptions):
    """One training run of a classifier."""

    epochs: Count = 20
    batch_size: Count = 32
    loss: ClassLossOptions = ClassLossOptions()
    balance: ClassBalanceOptions = ClassBalanceOptions()
    augment: ClassAugmentOptions = ClassAugmentOptions()
    optimizer: ClassOptimizer = ClassOptimizer()
    watch: WatchOptions = WatchOptions()
    phases: ClassPhaseOptions = ClassPhaseOptions()
    schedules: ScheduleOptions = ScheduleOptions()
    ema: EmaOptions | None = None
    """Score and save an average of the weights over the last steps; null: the weights themselves."""
    stopping: StoppingOptions | None = None
    """End the run early when a combined metric stands still; null: never."""

    @model_validator(mode="after")
    def _phases_come(self) -> Self:
        try:
            found = self.phases.spans(self.epochs)
        except ValueError as fault:
            raise ValueError(f"phases: {fault}") from fault
        for span in found:
            if set(span.frozen) == set(get_args(Part)):
                raise ValueError(f"phases: nothing to train in {span.name}: every part is frozen")
            if span.sampling is not None and self.loss.logit_adjustment:
                raise ValueError(
                    f"phases: loss.logit_adjustment counts on balance.sampling, and {span.name} draws otherwise"
                )
        return self
