"""What is trained: records without behaviour, filled by a task and read by the loop."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, Self

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.optim import Optimizer

from core.config import MetricReached, OptimizerOptions, WatchOptions
from core.losses.weights import StepWeights
from core.metrics import Values
from core.schedules import Sampling, ScheduleOptions, StoppingOptions
from core.training.device import PROCESSOR, Compute
from core.training.ema import Ema
from core.training.phases import Span


class Gate(Protocol):
    """A branch of a network that can be held shut: `core.models.gate.Gate` is one."""

    open: float
    """From 0, shut, to 1."""


class Examples(Protocol):
    """Training examples in memory; a batch is an index into them."""

    def __len__(self) -> int:
        """How many."""
        ...

    def take(self, index_B: Tensor, /) -> Self:
        """Those at the index, in its order."""
        ...


class Loss(Protocol):
    """A weighted sum of terms, each a sum over examples divided by a sum of their weights."""

    def denominators(self, batch: Any, /) -> Mapping[Any, Tensor]:
        """Term -> sum of the weights of the examples that carry its label."""
        ...

    def numerators(self, outputs: Any, batch: Any, terms: Iterable[Any], /) -> Mapping[Any, Tensor]:
        """Term -> weighted sum over those examples; a term of weight 0 is missing."""
        ...

    def values(self, numerators: Mapping[Any, Tensor], denominators: Mapping[Any, Tensor], /) -> Mapping[Any, Tensor]:
        """Term -> loss before its weight."""
        ...

    def total(self, values: Mapping[Any, Tensor], weights: Mapping[Any, float], /) -> Tensor:
        """What is minimised: the sum of the values by their weights."""
        ...

    @property
    def weights(self) -> StepWeights:
        """What each term counts in a step."""
        ...

    def watch(self, outputs: Any, batch: Any, terms: Collection[Any], /) -> None:
        """See what is predicted while `terms` are trained."""
        ...

    def reported(self) -> Mapping[Any, tuple[Tensor, Tensor]]:
        """Numerator and denominator of what was watched since the last call, for terms that report other than that."""
        ...

    def predicted(self, outputs: Any, /) -> Mapping[str, Tensor]:
        """Class -> how many examples are given it; empty for a task without classes."""
        ...

    def epoch_ended(self) -> None:
        """Take note that an epoch is over."""
        ...

    def signals(self) -> Mapping[str, float]:
        """What is worth reporting of the epoch that is ending."""
        ...

    def state(self) -> Mapping[str, Any]:
        """What it has learnt, ready for JSON; asked for between epochs."""
        ...

    def restore(self, state: Mapping[str, Any], /) -> None:
        """Go on from what `state` gave."""
        ...


class Augment(Protocol):
    """What happens to a training batch before the network sees it."""

    def begin(self, random: np.random.Generator, reached: Collection[str], /) -> None:
        """Begin an epoch: where its draws come from, and which conditions on metrics have been met."""
        ...

    def __call__(self, batch: Any, /) -> Any:
        """The batch to train on."""
        ...

    def signals(self) -> Mapping[str, float]:
        """What is worth reporting of the epoch that is ending."""
        ...


@dataclass(kw_only=True, slots=True)
class Progress:
    """How far a learner has come; the part of its state that is neither weights nor moments."""

    step: int = 0
    """Optimiser steps tried, skipped ones included: the schedule counts these."""
    streak: int = 0
    """Steps in a row, up to now, in which something was not finite."""
    last_finite_loss: float | None = None
    rate: float = 1.0
    """What interventions have left of the scheduled learning rate."""
    lowered: list[int] = field(default_factory=list)
    """The epochs in, or after which it was lowered."""


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Learner:
    """One network in training; cross-validation trains one per fold, side by side."""

    fold: int
    network: nn.Module
    loss: Loss
    optimizer: Optimizer
    examples: Examples
    draw_N: NDArray[np.float64] | None
    """(N,) probability of each example to be drawn, with replacement; None passes over all of them once."""
    total_steps: int
    warmup_steps: int
    shared: tuple[nn.Parameter, ...] = ()
    """The weights that every term trains; read by weightings that look at gradients."""
    parts: Mapping[Any, Sequence[nn.Module]] = field(default_factory=dict)
    """Part of the network -> its modules; every parameter in exactly one part."""
    gates: Mapping[Any, Sequence[Gate]] = field(default_factory=dict)
    """Part of the network -> what opens and shuts its branches."""
    draws_of: Mapping[Sampling, NDArray[np.float64] | None] = field(default_factory=dict)
    """What `draw_N` is in phases that draw otherwise."""
    ema: Ema | None = None
    """The average of the network's weights, where that is what is scored and saved."""
    augment: Augment | None = None
    compute: Compute = PROCESSOR
    """Where the network, the examples and what the loss counts with are."""
    progress: Progress = field(default_factory=Progress)
    parameters: tuple[nn.Parameter, ...] = field(init=False)
    """The network's, gathered once: to walk through its modules takes longer than a small optimiser step."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "parameters", tuple(self.network.parameters()))


@dataclass(frozen=True, slots=True)
class Evaluation:
    """Scores of all learners together on what was held out, and what is stored with the weights."""

    values: Values
    about: Mapping[str, Any]
    """JSON-ready: all that is needed to use the weights."""


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Run:
    """One training: networks, losses, optimisers, phases, budget."""

    identity: Mapping[str, Any]
    """JSON-ready; a checkpoint continues only a run with the same one."""
    seed: int
    epochs: int
    batch_size: int
    optimizer: OptimizerOptions
    phases: tuple[Span, ...]
    terms: Sequence[str]
    """Every term of the task, in its order."""
    trained: Collection[str]
    """Terms with a weight above 0 and labels in the training split; the others are never on."""
    learners: tuple[Learner, ...]
    evaluate: Callable[[], Evaluation]
    objective: str | None = None
    """The task's headline metric, whose unrest is reported."""
    watch: WatchOptions = field(default_factory=WatchOptions)
    watched: tuple[MetricReached, ...] = ()
    """Conditions that something in the run waits for."""
    schedules: ScheduleOptions = field(default_factory=ScheduleOptions)
    stopping: StoppingOptions | None = None
    signals: Mapping[str, float] = field(default_factory=dict)
    """Numbers that hold for the whole run and stand among the health signals of every epoch."""
    signals_of: Mapping[Sampling, Mapping[str, float]] = field(default_factory=dict)
    """What stands in their place in phases that draw otherwise."""

    @property
    def compute(self) -> Compute:
        """Where it computes: all learners on one device."""
        return self.learners[0].compute
