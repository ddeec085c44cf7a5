"""The options of phases and schedules that tasks share. Frozen, checked, free of torch.

A task says which loss terms and which parts of its network there are: `Phase[Term, Part]`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Annotated, Generic, Literal, Self, TypeVar

from pydantic import AfterValidator, Field, model_validator

from core.config import Fraction, MetricReached, NonNegative, Options

T = TypeVar("T", bound=str)
P = TypeVar("P", bound=str)

Sampling = Literal["natural", "balanced"]
"""natural: every example once an epoch; balanced: every class equally often, rare ones by repetition."""
Count = Annotated[int, Field(ge=1)]
Finite = Annotated[float, Field(allow_inf_nan=False)]


def _phase_name(name: str) -> str:
    if not re.fullmatch(r"[A-Za-z][A-Za-z0-9_]{0,31}", name, re.ASCII):
        raise ValueError(f"a phase is named by at most 32 letters, digits and _, a letter first, not {name}")
    return name


PhaseName = Annotated[str, AfterValidator(_phase_name)]


class Ramp(Options):
    """A number that goes from one value to another in a straight line over a phase, step by step."""

    from_: NonNegative = Field(default=0.0, alias="from")
    """Where it starts: the value just before the first step."""
    to: NonNegative = 1.0
    """What the last step has."""


class Fade(Options):
    """How far a gate is open, in a straight line over a phase: 0 is shut, 1 is open."""

    from_: Fraction = Field(default=0.0, alias="from")
    """Where it starts: the opening just before the first step."""
    to: Fraction = 1.0
    """The opening at the last step."""


class PhaseEnd(Options):
    """When a phase ends. With `reached` it may end earlier than `share` or `epoch` says, at the end of any epoch."""

    share: Annotated[float, Field(gt=0, lt=1)] | None = None
    """After this share of the run, rounded to epochs."""
    epoch: Count | None = None
    """With this epoch, counted from 1."""
    reached: MetricReached | None = None
    """With the epoch at whose end a validation metric is first there; reached before the phase, it leaves it out."""

    @model_validator(mode="after")
    def _one_latest(self) -> Self:
        if self.share is not None and self.epoch is not None:
            raise ValueError("give share or epoch, one of the two")
        if self.share is None and self.epoch is None and self.reached is None:
            raise ValueError("give share, epoch or reached")
        return self


class Phase(Options, Generic[T, P]):
    """A span of a run. What it does not name is as in plain training: on, open, free, at its own weight and rate."""

    terms: tuple[T, ...] | None = None
    """Loss terms that are on; null: all."""
    weights: dict[T, NonNegative | Ramp] = Field(default_factory=dict)
    """{term: factor on its weight}, a number or {from: 0, to: 1}; at 0 a term sends no gradient at all."""
    gates: dict[P, Fraction | Fade] = Field(default_factory=dict)
    """{part of the network: how far its branches are open}, a number or {from: 0, to: 1}; at 0 none is computed."""
    frozen: tuple[P, ...] = ()
    """Parts of the network that stay as they are: weights, statistics of batch normalisation, no weight decay."""
    lr: dict[P, NonNegative | Ramp] = Field(default_factory=dict)
    """{part of the network: factor on its learning rate}, a number or {from: 0, to: 1}."""
    sampling: Sampling | None = None
    """What batches are drawn from; null: what `balance.sampling` says."""
    until: PhaseEnd | None = None
    """When the next phase begins; the last phase has none."""

    @model_validator(mode="after")
    def _names_agree(self) -> Self:
        if self.terms == ():
            raise ValueError("terms names none: leave it out for all of them")
        for names, what in ((self.terms or (), "terms"), (self.frozen, "frozen")):
            if twice := [name for name in names if list(names).count(name) > 1]:
                raise ValueError(f"{what} names {twice[0]} twice")
        if self.terms is not None and (off := [term for term in self.weights if term not in self.terms]):
            raise ValueError(f"weights names {off[0]}, which is not among the terms of this phase")
        if held := [part for part in self.lr if part in self.frozen]:
            raise ValueError(f"{held[0]} is frozen: a learning rate moves nothing")
        return self


class Course(Options):
    """A number that follows a line through a start, a middle and an end over the whole run, step by step."""

    start: Finite
    middle: Finite
    end: Finite
    at: Annotated[float, Field(gt=0, lt=1)] = 0.5
    """Share of the run at which the middle is reached."""


class DropoutCourse(Course):
    """Dropout over the run; document 001: 0.1, then 0.2, then 0.15."""

    start: Annotated[float, Field(ge=0, lt=1)] = 0.1
    middle: Annotated[float, Field(ge=0, lt=1)] = 0.2
    end: Annotated[float, Field(ge=0, lt=1)] = 0.15


class WeightDecayCourse(Course):
    """Weight decay over the run; document 001: from 1e-4 to 5e-4."""

    start: NonNegative = 1e-4
    middle: NonNegative = 3e-4
    end: NonNegative = 5e-4


class ScheduleOptions(Options):
    """Numbers that change over the run, besides the learning rate."""

    dropout: DropoutCourse | None = None
    """In place of `model.dropout`, in all of the network; null leaves it alone. `{}` is document 001's."""
    weight_decay: WeightDecayCourse | None = None
    """In place of `optimizer.weight_decay`, where that applies; null leaves it alone. `{}` is document 001's."""


class EmaOptions(Options):
    """The exponential moving average of the weights, which is scored and saved in place of them (Polyak averaging)."""

    decay: Annotated[float, Field(ge=0, lt=1)] = 0.999
    """Share of the average that is kept at each optimiser step; 0 is the weights themselves. Over 1 / (1 - decay) steps
    it forgets: choose it by the steps of the run."""
    warmup: bool = True
    """Keep less of it at first, (1 + step) / (10 + step), so that the first weights do not linger."""


class StoppingOptions(Options):
    """A run ends early when a weighted sum of validation metrics has not risen for a while."""

    metrics: Annotated[dict[str, Finite], Field(min_length=1)]
    """{metric: weight}; a weight below 0 for a metric that should fall. Epochs in which one is absent do not count."""
    patience: Count = 40
    """Epochs without a rise, counted from the first epoch of the last phase and the end of warm-up (document 001:
    40)."""
    rise: NonNegative = 0.0
    """What counts as one: more than this above the best so far."""

    @model_validator(mode="after")
    def _validation_only(self) -> Self:
        for metric, weight in self.metrics.items():
            if not metric.startswith("val/"):
                raise ValueError(f"{metric} is no validation metric: val/class/f1_macro is one")
            if weight == 0:
                raise ValueError(f"{metric} has weight 0 and decides nothing: leave it out")
        return self

    def score(self, metrics: Mapping[str, float]) -> float | None:
        """The weighted sum; None where one of them is absent."""
        if any(name not in metrics for name in self.metrics):
            return None
        return sum(weight * metrics[name] for name, weight in self.metrics.items())


def waits_for(phases: Mapping[str, Phase[T, P]]) -> Iterator[MetricReached]:
    """The conditions on metrics that phases wait for."""
    for phase in phases.values():
        if phase.until is not None and phase.until.reached is not None:
            yield phase.until.reached
