"""A task that is no ABR: two numbers from four, by a trunk with batch normalisation and dropout and a gated branch."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from core.config import MetricReached, OptimizerOptions, WatchOptions, WeightingOptions
from core.losses.weights import StepWeights
from core.metrics.values import Values
from core.models.gate import Gate
from core.schedules import EmaOptions, Phase, ScheduleOptions, StoppingOptions
from core.training.ema import Ema
from core.training.optim import build_optimizer, steps_per_epoch
from core.training.phases import planned
from core.training.run import Evaluation, Learner, Run

TERMS = ("left", "right")
ToyPhase = Phase[str, str]
ToyRun = Callable[..., Run]


@dataclass(frozen=True)
class Points:
    """N points and what is to be said of them."""

    x_N4: Tensor
    y_N2: Tensor

    def __len__(self) -> int:
        return len(self.x_N4)

    def take(self, index_B: Tensor) -> Points:
        return Points(self.x_N4[index_B], self.y_N2[index_B])


def points(count: int, seed: int) -> Points:
    random = np.random.default_rng(seed)
    x_N4 = random.normal(size=(count, 4))
    y_N2 = np.stack([x_N4[:, 0] - x_N4[:, 1], np.abs(x_N4[:, 2])], axis=1)
    return Points(torch.tensor(x_N4, dtype=torch.float32), torch.tensor(y_N2, dtype=torch.float32))


class Toy(nn.Module):
    """Trunk, a branch that can be held shut, and two heads."""

    def __init__(self, dropout: float) -> None:
        super().__init__()
        self.trunk = nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Dropout(dropout))
        self.branch = nn.Linear(8, 8)
        self.gate = Gate()
        self.heads = nn.ModuleDict({term: nn.Linear(8, 1) for term in TERMS})

    def forward(self, batch: Points) -> dict[str, Tensor]:
        h_B8 = self.trunk(batch.x_N4)
        h_B8 = self.gate(h_B8, lambda: self.branch(h_B8))
        return {term: head(h_B8).squeeze(-1) for term, head in self.heads.items()}


class ToyLoss:
    """Squared errors, each over the points."""

    def __init__(self) -> None:
        self.weights = StepWeights(dict.fromkeys(TERMS, 1.0), WeightingOptions())

    def denominators(self, batch: Points) -> dict[str, Tensor]:
        return dict.fromkeys(TERMS, torch.tensor(float(len(batch))))

    def numerators(self, outputs: Mapping[str, Tensor], batch: Points, terms: Iterable[str]) -> dict[str, Tensor]:
        truth = dict(zip(TERMS, batch.y_N2.T, strict=True))
        return {term: (outputs[term] - truth[term]).square().sum() for term in self.weights.on(terms)}

    def values(self, numerators: Mapping[str, Tensor], denominators: Mapping[str, Tensor]) -> dict[str, Tensor]:
        return {term: numerator / denominators[term] for term, numerator in numerators.items()}

    def total(self, values: Mapping[str, Tensor], weights: Mapping[str, float]) -> Tensor:
        return torch.stack([weights[term] * value for term, value in values.items()]).sum()

    def watch(self, outputs: Any, batch: Any, terms: Collection[str]) -> None:
        return

    def reported(self) -> dict[str, Any]:
        return {}

    def predicted(self, outputs: Any) -> dict[str, Tensor]:
        return {}

    def epoch_ended(self) -> None:
        return

    def signals(self) -> dict[str, float]:
        return {}

    def state(self) -> dict[str, Any]:
        return {}

    def restore(self, state: Mapping[str, Any]) -> None:
        return


def _evaluation(network: Toy, held_out: Points) -> Evaluation:
    network.eval()
    with torch.inference_mode():
        said = network(held_out)
    errors = {term: (said[term] - truth).square() for term, truth in zip(TERMS, held_out.y_N2.T, strict=True)}
    return Evaluation(Values({f"val/{term}/mse": float(error.mean()) for term, error in errors.items()}), {})


@pytest.fixture(scope="session")
def toy_run() -> ToyRun:
    """Makes a run of 3 steps an epoch over 24 points, with phases by name and the other options as in a file."""

    def make(
        *,
        epochs: int = 6,
        phases: Mapping[str, Mapping[str, Any]] | None = None,
        boundaries: tuple[float, ...] = (),
        optimizer: Mapping[str, Any] | None = None,
        rates: Mapping[str, float] | None = None,
        schedules: Mapping[str, Any] | None = None,
        ema: Mapping[str, Any] | None = None,
        stopping: Mapping[str, Any] | None = None,
        dropout: float = 0.2,
        seed: int = 1,
    ) -> Run:
        plan = {name: ToyPhase.model_validate(phase) for name, phase in (phases or {"all": {}}).items()}
        spans = planned(plan, boundaries, terms=TERMS, epochs=epochs)
        options = OptimizerOptions.model_validate({"lr": 0.01, "warmup_epochs": 0, **(optimizer or {})})
        torch.manual_seed(seed)
        network, train = Toy(dropout), points(24, seed=seed)
        parts: dict[str, list[nn.Module]] = {"trunk": [network.trunk], "branch": [network.branch]}
        parts |= {term: [head] for term, head in network.heads.items()}
        groups: dict[str, list[nn.Parameter]] = {"decay": [], "no_decay": []}
        for parameter in network.parameters():
            groups["decay" if parameter.ndim > 1 else "no_decay"].append(parameter)
        paced = dict.fromkeys((part for span in spans for part in span.lr), 1.0)
        steps = steps_per_epoch(len(train), batch_size=8, accumulate=options.accumulate)
        class_N = np.arange(24) % 8 == 0
        learner = Learner(
            fold=0,
            network=network,
            loss=ToyLoss(),
            optimizer=build_optimizer(groups, options, parts=parts, rates=paced | dict(rates or {})),
            examples=train,
            draw_N=None,
            total_steps=steps * epochs,
            warmup_steps=round(steps * options.warmup_epochs),
            shared=tuple(network.trunk.parameters()),
            parts=parts,
            gates={"branch": [network.gate]},
            draws_of={"natural": None, "balanced": np.where(class_N, 0.5 / 3, 0.5 / 21)},
            ema=None if ema is None else Ema(network, EmaOptions.model_validate(ema)),
        )
        reached = [span.until for span in spans if span.until is not None]
        return Run(
            identity={"seed": seed},
            seed=seed,
            epochs=epochs,
            batch_size=8,
            optimizer=options,
            phases=spans,
            terms=TERMS,
            trained=TERMS,
            learners=(learner,),
            evaluate=lambda: _evaluation(network, points(50, seed=99)),
            watch=WatchOptions(),
            watched=tuple(MetricReached.model_validate(each) for each in reached),
            schedules=ScheduleOptions.model_validate(schedules or {}),
            stopping=None if stopping is None else StoppingOptions.model_validate(stopping),
            signals_of={"natural": {}, "balanced": {"draw_share/rare": 0.5}},
        )

    return make
