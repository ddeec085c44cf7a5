"""What a phase and the schedules set in a learner: for an epoch what is frozen, for each step the numbers."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

import torch
from torch import nn

from core.schedules import ScheduleOptions
from core.training.optim import pace, set_decay
from core.training.phases import Span, along, level, through
from core.training.run import Gate, Learner, Run

log = logging.getLogger(__name__)

DROPOUTS: Final = (nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.Dropout3d, nn.AlphaDropout, nn.FeatureAlphaDropout)


def enter(run: Run, learner: Learner, span: Span) -> None:
    """Make the network ready to be trained for an epoch of `span`: frozen parts stay as at evaluation."""
    learner.network.train()
    for part in _frozen_somewhere(run.phases):
        held = part in span.frozen
        for module in learner.parts.get(part, ()):
            module.requires_grad_(not held)
            if held:
                # Statistics of batch normalisation move in training mode, gradients or not.
                module.eval()


def adjust(run: Run, learner: Learner, span: Span, *, epoch: int, step: int, steps: int) -> dict[str, float]:
    """Set what step `step` (counted from 1) of `steps` in an epoch of `span` is made with; returns it by signal name.

    Weights of the terms and rates of the parts are factors on what they are elsewhere.
    """
    share = through(span, epoch, step, steps)
    learner.loss.weights.factors = {term: level(value, share) for term, value in span.weights.items()}
    found = {f"gate/{part}": opening for part, opening in _openings(learner, span, share)}
    pace(learner.optimizer, {part: level(value, share) for part, value in span.lr.items()})
    return found | _follow(learner, run.schedules, ((epoch - 1) * steps + step) / (run.epochs * steps))


def openings(gates_of: Mapping[Any, Sequence[Gate]]) -> dict[Any, float]:
    """Part -> how far its gates are open now; parts that are wholly open are left out."""
    return {part: gates[0].open for part, gates in gates_of.items() if gates and gates[0].open != 1}


def refuse_idle(run: Run) -> None:
    """Raise ValueError for a phase in which nothing that is free is trained by anything that is on.

    Notes parts that a phase freezes, gates or paces and that the network has not.
    """
    for learner in run.learners:
        for span in run.phases:
            _note_missing(learner, span)
            if span.frozen and not _moves_something(run, learner, span):
                raise ValueError(
                    f"nothing to train in phase {span.name}: what {', '.join(span.on)} would train is frozen"
                )
        if run.schedules.dropout is not None and not any(_dropouts(learner.network)):
            raise ValueError("schedules.dropout: this network has no dropout; give model.dropout a value above 0")


def _moves_something(run: Run, learner: Learner, span: Span) -> bool:
    """Whether the terms of a phase depend on a weight that it leaves free, tried on two examples."""
    batch = learner.examples.take(torch.arange(min(2, len(learner.examples)), device=learner.compute.device))
    enter(run, learner, span)
    learner.network.eval()
    try:
        with learner.compute.generators_kept():
            outputs = learner.network(batch)
        parts = learner.loss.numerators(outputs, batch, [term for term in span.on if term in run.trained])
        return any(part.requires_grad for part in parts.values())
    finally:
        enter(run, learner, _all_free(span))


def _all_free(span: Span) -> Span:
    return Span(span.name, span.first, span.terms, span.last)


def _note_missing(learner: Learner, span: Span) -> None:
    has: Mapping[str, Mapping[str, Any]] = {"gates": learner.gates, "freezes": learner.parts, "paces": learner.parts}
    named: Mapping[str, Sequence[str]] = {
        "gates": tuple(span.gates),
        "freezes": span.frozen,
        "paces": tuple(span.lr),
    }
    for verb, parts in named.items():
        if missing := [part for part in parts if not has[verb].get(part)]:
            log.warning("phase %s %s %s, of which this network has nothing", span.name, verb, ", ".join(missing))


def _frozen_somewhere(phases: Sequence[Span]) -> list[str]:
    return list(dict.fromkeys(part for span in phases for part in span.frozen))


def _openings(learner: Learner, span: Span, share: float) -> Iterator[tuple[str, float]]:
    """Open every gate as far as the phase says, and tell of those that it names."""
    for part, gates in learner.gates.items():
        opening = level(span.gates.get(part, 1.0), share)
        for gate in gates:
            gate.open = opening
        if part in span.gates:
            yield part, opening


def _follow(learner: Learner, schedules: ScheduleOptions, share: float) -> dict[str, float]:
    """Dropout and weight decay at a share of the run."""
    found: dict[str, float] = {}
    if schedules.dropout is not None:
        found["dropout"] = along(schedules.dropout, share)
        for module in _dropouts(learner.network):
            module.p = found["dropout"]
    if schedules.weight_decay is not None:
        found["weight_decay"] = along(schedules.weight_decay, share)
        set_decay(learner.optimizer, found["weight_decay"])
    return found


def _dropouts(network: nn.Module) -> Iterator[Any]:
    return (module for module in network.modules() if isinstance(module, DROPOUTS))
