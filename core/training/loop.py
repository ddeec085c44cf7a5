"""The training loop, visible as a loop: epochs in, epoch reports out."""

from __future__ import annotations

import math
import time
from collections.abc import Collection, Generator, Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np
import torch
from torch import Tensor

from core.config import MetricReached
from core.metrics import Values
from core.report import EpochReport, Intervention
from core.schedules import Sampling
from core.training import interventions
from core.training.checkpoint import Saved, load_checkpoint, save_checkpoint
from core.training.ema import averaged
from core.training.interventions import GoBack, begin_again, intervene
from core.training.phases import Span, active, come, phase_at
from core.training.run import Learner, Run
from core.training.schedule import adjust, enter, refuse_idle
from core.training.seeds import Purpose, sequence, torch_seed
from core.training.signals import EpochSteps, recent, slopes, spread
from core.training.step import Step, optimise
from core.training.stopping import Standstill
from core.training.watch import interval
from core.training.watch_log import WatchLog

Reports = Generator[EpochReport, Intervention | None]
"""Epoch reports, each of which may be answered."""


def train(run: Run, folder: Path) -> Reports:
    """Train to the end of the budget, yielding a report after each epoch, its checkpoint in `folder` already.

    Where `folder` holds a checkpoint, training continues from it and the report it was saved with comes first again.
    When a loss, gradient or weight is not finite, a report with `complete=False` is yielded at that step, before a
    broken loss or gradient can change a weight; going on from there skips the step.

    A report may be answered (`send`) with an Intervention, which lowers the learning rate from there on; an epoch that
    something was not finite in begins again from the last checkpoint, if there is one.

    Raises OtherRun when the checkpoint belongs to another configuration.
    """
    with run.compute.applied():
        yield from _epochs(run, folder)


def _epochs(run: Run, folder: Path) -> Reports:
    refuse_idle(run)
    saved = load_checkpoint(folder, run)
    losses: dict[str, list[float]] = {}
    reached: dict[str, int] = {}
    standstill, scores = Standstill(), list[float]()
    done = 0
    if saved is not None:
        losses, reached = {term: list(values) for term, values in saved.losses.items()}, dict(saved.reached)
        done, standstill, scores = saved.report.epoch, saved.standstill, list(saved.scores)
    log = WatchLog(folder)
    log.cut_after(done)
    if saved is not None:
        intervene(run, (yield saved.report), done)
        if saved.report.ended_early:
            return
    for epoch in range(done + 1, run.epochs + 1):
        began = time.perf_counter()
        phases = come(run.phases, reached)
        phase = phase_at(phases, epoch)
        while (steps := (yield from _train_folds(run, epoch, phases, folder, log, reached=reached))) is None:
            log.cut_after(epoch - 1)
        for term, loss in steps.losses().items():
            losses.setdefault(term, []).append(loss)
        with averaged(run.learners):
            evaluation = run.evaluate()
        _note_reached(run.watched, evaluation.values, reached, epoch)
        scores = recent(scores, evaluation.values.values.get(run.objective or ""))
        standstill, ended_early = _standing(run, standstill, evaluation.values, phases, epoch)
        report = EpochReport(
            epoch=epoch,
            phase=phase.name,
            metrics=evaluation.values.values,
            health=_health(run, steps, losses, phase) | spread(scores) | interventions.signals(run, epoch),
            active=_active(run, phases, epoch),
            absent=evaluation.values.absent,
            seconds=time.perf_counter() - began,
            ended_early=ended_early,
        )
        for learner in run.learners:
            learner.loss.epoch_ended()
        save_checkpoint(folder, run, Saved(report, losses, reached, standstill, scores), evaluation.about)
        intervene(run, (yield report), epoch)
        if ended_early:
            return


def _train_folds(
    run: Run, epoch: int, phases: Sequence[Span], folder: Path, log: WatchLog, *, reached: Collection[str]
) -> Generator[EpochReport, Intervention | None, EpochSteps | None]:
    """One pass over the training examples of every fold; None where an intervention has gone back to before it."""
    steps = EpochSteps()
    try:
        for learner in run.learners:
            yield from _train_epoch(run, learner, epoch, phases, log, reached=reached, steps=steps)
    except GoBack as back:
        begin_again(run, back.asked, epoch, lambda: _restored(folder, run))
        return None
    return steps


def _restored(folder: Path, run: Run) -> int | None:
    saved = load_checkpoint(folder, run)
    return None if saved is None else saved.report.epoch


def _train_epoch(
    run: Run,
    learner: Learner,
    epoch: int,
    phases: Sequence[Span],
    log: WatchLog,
    *,
    reached: Collection[str],
    steps: EpochSteps,
) -> Reports:
    """One pass over the training examples of one fold; yields only where something is not finite."""
    phase = phase_at(phases, epoch)
    terms = [term for term in phase.on if term in run.trained]
    groups = _groups(_order(run, learner, epoch, phase.sampling), run.batch_size, run.optimizer.accumulate)
    torch.manual_seed(torch_seed(run.seed, "dropout", fold=learner.fold, epoch=epoch))
    enter(run, learner, phase)
    if learner.augment is not None:
        learner.augment.begin(_random(run, learner, "augment", epoch), reached)
    every = interval(run.watch.every, (each.total_steps for each in run.learners))
    for number, group in enumerate(groups, 1):
        batches = [_batch(learner, index_B) for index_B in group]
        steps.settings = adjust(run, learner, phase, epoch=epoch, step=number, steps=len(groups))
        step = optimise(
            learner,
            batches,
            terms,
            clip=run.optimizer.clip,
            floor=run.optimizer.floor,
            ratio=number == len(groups),
            look=every > 0 and (learner.progress.step + 1) % every == 0,
        )
        steps.steps.append(step)
        if learner.ema is not None and step.broken is None:
            learner.ema.update()
        if step.look is not None:
            log.write({"epoch": epoch, "step": learner.progress.step, "fold": learner.fold} | step.row())
        if step.broken is not None:
            # Whoever reads the report may use torch's generators: dropout must not notice.
            with learner.compute.generators_kept():
                asked = yield EpochReport(
                    epoch=epoch,
                    phase=phase.name,
                    active=_active(run, phases, epoch),
                    complete=False,
                    evidence=_evidence(learner, step, epoch),
                )
            if asked is not None and epoch > 1:
                raise GoBack(asked)
            intervene(run, asked, epoch)


def _order(run: Run, learner: Learner, epoch: int, sampling: Sampling | None = None) -> Tensor:
    """(N,) which examples come in which order: all of them once, or as many drawn with replacement."""
    random = _random(run, learner, "order", epoch)
    count = len(learner.examples)
    draw_N = learner.draw_N if sampling is None else learner.draws_of[sampling]
    if draw_N is None:
        return torch.from_numpy(random.permutation(count)).to(learner.compute.device)
    return torch.from_numpy(random.choice(count, size=count, p=draw_N)).to(learner.compute.device)


def _random(run: Run, learner: Learner, purpose: Purpose, epoch: int) -> np.random.Generator:
    return np.random.default_rng(sequence(run.seed, purpose, fold=learner.fold, epoch=epoch))


def _batch(learner: Learner, index_B: Tensor) -> Any:
    batch = learner.examples.take(index_B)
    return batch if learner.augment is None else learner.augment(batch)


def _note_reached(watched: Sequence[MetricReached], values: Values, reached: dict[str, int], epoch: int) -> None:
    """Enter the conditions that are met now for the first time; raises ValueError for a metric there never is."""
    for condition in watched:
        _refuse_unknown(condition.metric, values)
        if condition.met(values.values):
            reached.setdefault(str(condition), epoch)


def _refuse_unknown(metric: str, values: Values) -> None:
    known = {*values.values, *values.absent}
    if metric not in known:
        near = get_close_matches(metric, known, n=1, cutoff=0.0)
        raise ValueError(f"{metric} is no metric of this run; did you mean {', '.join(near)}?")


def _standing(
    run: Run, before: Standstill, values: Values, phases: Sequence[Span], epoch: int
) -> tuple[Standstill, str]:
    """How early stopping stands after an epoch, and why the run ends with it, if it does.

    What comes before the last phase, or in the warm-up, is not yet the training that could stand still.
    """
    if run.stopping is None:
        return before, ""
    for metric in run.stopping.metrics:
        _refuse_unknown(metric, values)
    if epoch < max(phases[-1].first, math.ceil(run.optimizer.warmup_epochs)):
        return before, ""
    after = before.after(values.values, run.stopping)
    return after, after.verdict(run.stopping) if epoch < run.epochs else ""


def _groups(index_N: Tensor, batch_size: int, accumulate: int) -> list[Sequence[Tensor]]:
    """Indices of the micro-batches of each optimiser step."""
    batches = torch.split(index_N, batch_size)
    return [batches[first : first + accumulate] for first in range(0, len(batches), accumulate)]


def _active(run: Run, phases: Sequence[Span], epoch: int) -> dict[str, int]:
    return active(phases, epoch, warmup_epochs=run.optimizer.warmup_epochs, trained=run.trained, terms=run.terms)


def _health(run: Run, steps: EpochSteps, losses: Mapping[str, Sequence[float]], phase: Span) -> dict[str, float]:
    now = steps.losses()
    slope = slopes({term: losses[term] for term in now})
    signals = (
        steps.signals()
        | {f"loss/{term}": loss for term, loss in now.items()}
        | {f"loss_slope/{term}": value for term, value in slope.items()}
        | dict(run.signals)
        | dict(run.signals_of[phase.sampling] if phase.sampling is not None else {})
        | _averaged([learner.loss.signals() for learner in run.learners])
        | _averaged([learner.augment.signals() for learner in run.learners if learner.augment is not None])
    )
    return {name: value for name, value in signals.items() if math.isfinite(value)}


def _averaged(folds: Sequence[Mapping[str, float]]) -> dict[str, float]:
    return {name: fmean(signals[name] for signals in folds) for name in (folds[0] if folds else ())}


def _evidence(learner: Learner, step: Step, epoch: int) -> dict[str, float | str]:
    progress = learner.progress
    found: dict[str, float | str] = {"step": progress.step, "streak": progress.streak, "lr": step.lr}
    found |= {"rate_factor": progress.rate, "interventions": len(progress.lowered)}
    if epoch > 1:
        found["back_to"] = epoch - 1
    if step.broken is not None:
        found["what"] = step.broken
    if step.term is not None:
        found["term"] = step.term
    if progress.last_finite_loss is not None:
        found["last_finite_loss"] = progress.last_finite_loss
    if learner.fold:
        found["fold"] = learner.fold
    return found
