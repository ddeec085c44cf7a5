"""The training loop, visible as a loop: epochs in, epoch reports out."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from core.report import EpochReport
from core.training.checkpoint import Saved, load_checkpoint, save_checkpoint
from core.training.phases import Span, active, phase_at
from core.training.run import Learner, Run
from core.training.seeds import sequence, torch_seed
from core.training.signals import EpochSteps, slopes
from core.training.step import Step, optimise


def train(run: Run, folder: Path) -> Iterator[EpochReport]:
    """Train to the end of the budget, yielding a report after each epoch, its checkpoint in `folder` already.

    Where `folder` holds a checkpoint, training continues from it and the report it was saved with comes first again.
    When a loss, gradient or weight is not finite, a report with `complete=False` is yielded at that step, before a
    broken loss or gradient can change a weight; going on from there skips the step.

    Raises OtherRun when the checkpoint belongs to another configuration.
    """
    saved = load_checkpoint(folder, run)
    losses: dict[str, list[float]] = {}
    done = 0
    if saved is not None:
        losses = {term: list(values) for term, values in saved.losses.items()}
        done = saved.report.epoch
        yield saved.report
    for epoch in range(done + 1, run.epochs + 1):
        began = time.perf_counter()
        phase = phase_at(run.phases, epoch)
        steps = EpochSteps()
        for learner in run.learners:
            yield from _train_epoch(run, learner, epoch, phase, steps)
        for term, loss in steps.losses().items():
            losses.setdefault(term, []).append(loss)
        evaluation = run.evaluate()
        report = EpochReport(
            epoch=epoch,
            phase=phase.name,
            metrics=evaluation.values.values,
            health=_health(steps, losses),
            active=_active(run, epoch),
            absent=evaluation.values.absent,
            seconds=time.perf_counter() - began,
        )
        save_checkpoint(folder, run, Saved(report, losses), evaluation.about)
        yield report


def _train_epoch(run: Run, learner: Learner, epoch: int, phase: Span, steps: EpochSteps) -> Iterator[EpochReport]:
    """One pass over the training examples of one fold; yields only where something is not finite."""
    terms = [term for term in phase.terms if term in run.trained]
    groups = _groups(_order(run, learner, epoch), run.batch_size, run.optimizer.accumulate)
    torch.manual_seed(torch_seed(run.seed, "dropout", fold=learner.fold, epoch=epoch))
    learner.network.train()
    for number, group in enumerate(groups, 1):
        batches = [learner.examples.take(index_B) for index_B in group]
        step = optimise(
            learner,
            batches,
            terms,
            clip=run.optimizer.clip,
            floor=run.optimizer.floor,
            ratio=number == len(groups),
        )
        steps.steps.append(step)
        if step.broken is not None:
            # Whoever reads the report may use torch's generator: dropout must not notice.
            state = torch.get_rng_state()
            yield EpochReport(
                epoch=epoch,
                phase=phase.name,
                active=_active(run, epoch),
                complete=False,
                evidence=_evidence(learner, step),
            )
            torch.set_rng_state(state)


def _order(run: Run, learner: Learner, epoch: int) -> Tensor:
    """(N,) which examples come in which order: all of them once, or as many drawn with replacement."""
    random = np.random.default_rng(sequence(run.seed, "order", fold=learner.fold, epoch=epoch))
    count = len(learner.examples)
    if learner.draw_N is None:
        return torch.from_numpy(random.permutation(count))
    return torch.from_numpy(random.choice(count, size=count, p=learner.draw_N))


def _groups(index_N: Tensor, batch_size: int, accumulate: int) -> list[Sequence[Tensor]]:
    """Indices of the micro-batches of each optimiser step."""
    batches = torch.split(index_N, batch_size)
    return [batches[first : first + accumulate] for first in range(0, len(batches), accumulate)]


def _active(run: Run, epoch: int) -> dict[str, int]:
    return active(run.phases, epoch, warmup_epochs=run.optimizer.warmup_epochs, trained=run.trained, terms=run.terms)


def _health(steps: EpochSteps, losses: Mapping[str, Sequence[float]]) -> dict[str, float]:
    now = steps.losses()
    slope = slopes({term: losses[term] for term in now})
    signals = (
        steps.signals()
        | {f"loss/{term}": loss for term, loss in now.items()}
        | {f"loss_slope/{term}": value for term, value in slope.items()}
    )
    return {name: value for name, value in signals.items() if math.isfinite(value)}


def _evidence(learner: Learner, step: Step) -> dict[str, float | str]:
    progress = learner.progress
    found: dict[str, float | str] = {"step": progress.step, "streak": progress.streak, "lr": step.lr}
    if step.broken is not None:
        found["what"] = step.broken
    if step.term is not None:
        found["term"] = step.term
    if progress.last_finite_loss is not None:
        found["last_finite_loss"] = progress.last_finite_loss
    if learner.fold:
        found["fold"] = learner.fold
    return found
