"""From options and recordings to a run: one network, loss and optimiser per fold, and what scores them."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from core.config import AugmentOptions
from core.data.augment import Augmentation, rare_classes
from core.data.balancing import class_weights, warn_of_double_counting
from core.data.draws import draw_signals, drawing, drawn_shares, draws, own_draw_signals
from core.data.recordings import Recordings
from core.data.scaling import Scaling, beyond_reach, bounded, fit_scaling
from core.data.tensors import Batch, as_batch
from core.losses.abr import build_loss
from core.losses.multitask import MultiTaskLoss
from core.metrics import Predictions, score, trivial_scores, with_skill
from core.models.network import AbrNetwork
from core.tasks.abr_calibration import applied_to_its_own, calibrated
from core.tasks.abr_data import AbrDataset, pooled
from core.tasks.abr_names import HEADLINE
from core.tasks.abr_options import TERMS, AbrOptions, Term
from core.tasks.abr_weights import About, network_for, predictions
from core.training.device import Compute, compute_for
from core.training.ema import Ema
from core.training.identity import identity
from core.training.optim import build_optimizer, steps_per_epoch
from core.training.phases import Span, conditions, samplings
from core.training.run import Evaluation, Learner, Run
from core.training.schedule import openings
from core.training.seeds import torch_seed
from core.training.start import begin_from

log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class _Part:
    """One fold, ready to be trained and scored."""

    network: AbrNetwork
    scaling: Scaling
    loss: MultiTaskLoss
    train: Batch
    val: Batch


def build_run(options: AbrOptions, data: AbrDataset, *, seed: int, start: Path | None = None) -> Run:
    """The run that `options` describe on `data`, its networks begun from the weights in `start`, if it is given.

    Raises ValueError when a phase has nothing to train, explicit class weights do not fit the classes, or the
    recordings are too short for the network, or `start` holds no weights, and NoCard (a ValueError) where torch can use
    no graphics card that is asked for.
    """
    compute = compute_for(options)
    parts = [
        _part(options, fold.train, fold.val, compute, seed=seed, fold=index) for index, fold in enumerate(data.folds)
    ]
    begun = None if start is None else begin_from(start, [part.network for part in parts])
    trained = _trained(options, parts)
    if options.model.diffusion.enabled and "signal" not in trained:
        raise ValueError(
            "model.diffusion has nothing to learn: signal has weight 0 or no recording its noise-free truth"
        )
    phases = options.phases.spans(options.epochs)
    for span in phases:
        if not set(span.lasting) & set(trained):
            names = ", ".join(span.terms)
            raise ValueError(f"nothing to train from epoch {span.first}: {names} have weight 0 or no labels")
    _tell_of_absent_phases(options, phases)
    reached = tuple(term for term in trained if any(term in span.on for span in phases))
    warn_of_double_counting(options.balance)
    labels = [train.hearing_class for train in data.trains()]
    drawn: dict[str, Any] = {"names": data.folds[0].train.class_names, "batch_size": options.batch_size}
    return Run(
        identity=identity(options, seed=seed, fingerprint=data.fingerprint, begun=begun, plan=options.phases.plan),
        seed=seed,
        epochs=options.epochs,
        batch_size=options.batch_size,
        optimizer=options.optimizer,
        phases=phases,
        terms=TERMS,
        trained=trained,
        learners=tuple(
            _learner(options, part, fold.train, compute, phases, fold=index)
            for index, (part, fold) in enumerate(zip(parts, data.folds, strict=True))
        ),
        evaluate=_evaluator(parts, data, _about(options, data, parts, trained=reached, seed=seed)),
        objective=HEADLINE,
        watch=options.watch,
        watched=conditions(phases, options.augment.mixup.after),
        schedules=options.schedules,
        stopping=options.stopping,
        signals_of={
            sampling: draw_signals(labels, drawing(options.balance, sampling), **drawn)
            for sampling in samplings(phases)
        },
        signals=own_draw_signals(labels, options.balance, **drawn)
        | _reach_signals(parts, data.trains())
        | ({} if begun is None else begun.signals),
    )


def baselines(data: AbrDataset, split: str, held_out: Sequence[Recordings]) -> Mapping[str, float]:
    """Scores of the trivial predictors, fitted per fold, on the pooled `held_out` recordings."""
    return trivial_scores(data.trains(), held_out, pooled(held_out), split=split, rare=data.rare).values


def _part(options: AbrOptions, train: Recordings, val: Recordings, compute: Compute, *, seed: int, fold: int) -> _Part:
    scaling = bounded(fit_scaling(train), options.model.bounds.by_target())
    names = train.class_names
    counts = np.bincount(train.hearing_class[train.hearing_class >= 0], minlength=len(names))
    weights = class_weights(counts, options.balance, names=names).to(compute.device)
    # Drawn on the processor: the first weights are the same on every device.
    torch.manual_seed(torch_seed(seed, "init", fold=fold))
    network = network_for(options, scaling, train).to(compute.device)
    network.bf16 = compute.bf16
    if network.diffusion is not None:
        network.diffusion.joint.fit(train)
    return _Part(
        network=network,
        scaling=scaling,
        loss=build_loss(
            options.loss,
            scaling,
            weights,
            balance=options.balance,
            class_names=names,
            class_shares=drawn_shares(train.hearing_class, options.balance, names=names).tolist(),
        ),
        train=as_batch(train, compute.device),
        val=as_batch(val, compute.device),
    )


def _learner(
    options: AbrOptions, part: _Part, train: Recordings, compute: Compute, phases: Sequence[Span], *, fold: int
) -> Learner:
    parts = part.network.parts()
    paced = dict.fromkeys((each for span in phases for each in span.lr), 1.0)
    steps = steps_per_epoch(len(train), batch_size=options.batch_size, accumulate=options.optimizer.accumulate)
    return Learner(
        fold=fold,
        network=part.network,
        loss=part.loss,
        optimizer=build_optimizer(
            part.network.parameter_groups(), options.optimizer, parts=parts, rates={**paced, **options.optimizer.lr_of}
        ),
        examples=part.train,
        draw_N=draws(train.hearing_class, options.balance, names=train.class_names),
        draws_of={
            sampling: draws(train.hearing_class, drawing(options.balance, sampling), names=train.class_names)
            for sampling in samplings(phases)
        },
        total_steps=steps * options.epochs,
        warmup_steps=round(steps * options.optimizer.warmup_epochs),
        shared=tuple(part.network.shared_parameters()),
        parts=parts,
        gates=part.network.gates(),
        ema=None if options.ema is None else Ema(part.network, options.ema),
        augment=_augmentation(options.augment, part.scaling, train),
        compute=compute,
    )


def _augmentation(options: AugmentOptions, scaling: Scaling, train: Recordings) -> Augmentation | None:
    if not options.noise.level and not options.mixup.probability:
        return None
    return Augmentation(
        options,
        rare=rare_classes(train.hearing_class, train.class_names, below=options.rare_below),
        signal_spread=scaling.signal,
        sampling_rate_hz=train.sampling_rate_hz,
    )


def _reach_signals(parts: Sequence[_Part], trains: Sequence[Recordings]) -> dict[str, float]:
    """`beyond_reach/<term>`: share of the training labels that its head cannot answer, over folds; absent if none."""
    shares = [beyond_reach(part.scaling, train) for part, train in zip(parts, trains, strict=True)]
    terms = dict.fromkeys(term for each in shares for term in each)
    return {f"beyond_reach/{term}": float(np.mean([each.get(term, 0.0) for each in shares])) for term in terms}


def _trained(options: AbrOptions, parts: Sequence[_Part]) -> tuple[Term, ...]:
    """Terms with a weight above 0 and labels in the training split of some fold."""
    labelled = {term for part in parts for term, weight in part.loss.denominators(part.train).items() if weight > 0}
    return tuple(term for term in TERMS if options.loss.weights.of(term) > 0 and term in labelled)


def _tell_of_absent_phases(options: AbrOptions, phases: Sequence[Span]) -> None:
    come = {span.name for span in phases}
    if absent := [name for name in options.phases.names if name not in come]:
        names = ", ".join(absent)
        log.warning("of %d epochs none is left for %s", options.epochs, names)


def _about(
    options: AbrOptions,
    data: AbrDataset,
    parts: Sequence[_Part],
    *,
    trained: Sequence[Term],
    seed: int,
) -> About:
    like = data.folds[0].train
    return About(
        options=options,
        seed=seed,
        fingerprint=data.fingerprint,
        class_names=like.class_names,
        sampling_rate_hz=like.sampling_rate_hz,
        samples=like.samples,
        unit=like.unit,
        trained=tuple(trained),
        scalings=tuple(part.scaling for part in parts),
        intervals={},
    )


def _evaluator(parts: Sequence[_Part], data: AbrDataset, about: About) -> Callable[[], Evaluation]:
    held_out = data.held_out("val")
    everything = pooled(held_out)
    trivial = baselines(data, "val", held_out)

    def evaluate() -> Evaluation:
        said = Predictions.joined(
            [predictions(part.network, part.scaling, part.val, trained=about.trained) for part in parts]
        )
        calibration = calibrated(said, everything, temperature=about.options.model.heads.class_.temperature)
        scored = applied_to_its_own(calibration, said, everything)
        scores = score(scored, everything, split="val", rare=data.rare)
        gates = openings(parts[0].network.gates())
        stored = replace(about, temperature=calibration.temperature, intervals=calibration.intervals, gates=gates)
        return Evaluation(values=with_skill(scores, trivial), about=stored.to_json())

    return evaluate
