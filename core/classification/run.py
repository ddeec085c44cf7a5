"""From options and examples to a run: one network, loss and optimiser per fold, and what scores them."""

# N examples, K classes.

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from core.classification.batches import Augmentation, Change, ClassBatch, as_batch
from core.classification.dataset import ClassifierDataset, pooled
from core.classification.options import HEADLINE, TERMS, ClassifierOptions
from core.classification.scores import scores, trivial
from core.classification.weights import About, probabilities
from core.config import BalanceOptions, WeightingOptions
from core.data.augment import rare_classes
from core.data.balancing import class_weights, warn_of_double_counting
from core.data.draws import draw_signals, drawing, drawn_shares, draws, own_draw_signals
from core.data.labelled import Labelled
from core.losses.class_term import CLASS, ClassSettings, settings_of
from core.losses.multitask import MultiTaskLoss
from core.losses.recall import RecentRecall
from core.metrics import with_skill
from core.training.device import Compute, compute_for
from core.training.ema import Ema
from core.training.identity import identity
from core.training.optim import build_optimizer, steps_per_epoch
from core.training.phases import Span, conditions, samplings
from core.training.run import Evaluation, Learner, Run
from core.training.seeds import torch_seed
from core.training.start import begin_from


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """What a task brings: its networks, and what it does to training batches."""

    task: str
    fresh: Callable[[Any, Labelled, Mapping[str, Any]], nn.Module]
    """Options, training examples and how they were read -> a network to be trained; torch is seeded already."""
    change: Callable[[Any, Labelled], Change | None]


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class _Setting:
    """What all folds have in common."""

    recipe: Recipe
    options: ClassifierOptions
    balance: BalanceOptions
    data: ClassifierDataset
    phases: Sequence[Span]
    compute: Compute
    seed: int


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class _Part:
    """One fold, ready to be trained and scored."""

    fold: int
    network: nn.Module
    loss: MultiTaskLoss
    train: ClassBatch
    val: ClassBatch


def build_run(
    recipe: Recipe, options: ClassifierOptions, data: ClassifierDataset, *, seed: int, start: Path | None = None
) -> Run:
    """The run that `options` describe on `data`, its networks begun from the weights in `start`, if it is given.

    Raises ValueError when explicit class weights do not fit the classes, the examples do not fit the network, or
    `start` holds no weights, and NoCard (a ValueError) where torch can use no graphics card that is asked for.
    """
    balance = _balance(options.balance, data)
    phases = options.phases.spans(options.epochs)
    setting = _Setting(
        recipe=recipe,
        options=options,
        balance=balance,
        data=data,
        phases=phases,
        compute=compute_for(options),
        seed=seed,
    )
    parts = [_part(setting, fold) for fold in range(len(data.folds))]
    begun = None if start is None else begin_from(start, [part.network for part in parts])
    warn_of_double_counting(balance)
    labels = [train.class_index for train in data.trains()]
    drawn: dict[str, Any] = {"names": data.class_names, "batch_size": options.batch_size}
    return Run(
        identity=identity(options, seed=seed, fingerprint=data.fingerprint, begun=begun, plan=options.phases.plan),
        seed=seed,
        epochs=options.epochs,
        batch_size=options.batch_size,
        optimizer=options.optimizer,
        phases=phases,
        terms=TERMS,
        trained=TERMS,
        objective=HEADLINE,
        learners=tuple(_learner(setting, part) for part in parts),
        evaluate=_evaluator(parts, data, _about(recipe, options, data, seed=seed)),
        watch=options.watch,
        watched=conditions(phases, options.augment.mixup.after),
        schedules=options.schedules,
        stopping=options.stopping,
        signals_of={
            sampling: draw_signals(labels, drawing(balance, sampling), **drawn) for sampling in samplings(phases)
        },
        signals=own_draw_signals(labels, balance, **drawn) | ({} if begun is None else begun.signals),
    )


def _balance(balance: BalanceOptions, data: ClassifierDataset) -> BalanceOptions:
    """The options with the weights that came with the data, where they are asked for."""
    if balance.scheme != "explicit" or balance.weights is not None:
        return balance
    if data.weights is None:
        raise ValueError("scheme explicit needs balance.weights, or data.class_weights: one number per class")
    return balance.model_copy(update={"weights": dict(data.weights)})


def _part(setting: _Setting, fold: int) -> _Part:
    options, balance, device = setting.options, setting.balance, setting.compute.device
    train, val = setting.data.folds[fold].train, setting.data.folds[fold].val
    names = train.class_names
    weights_K = class_weights(train.counts(), balance, names=names).to(device)
    shares_K = drawn_shares(train.class_index, balance, names=names)
    # Drawn on the processor: the first weights are the same on every device.
    torch.manual_seed(torch_seed(setting.seed, "init", fold=fold))
    return _Part(
        fold=fold,
        network=setting.recipe.fresh(options, train, setting.data.reading).to(device),
        loss=MultiTaskLoss(
            {"class": CLASS},
            weights={"class": 1.0},
            settings=ClassSettings(**settings_of(options.loss, weights_K, shares_K.tolist())),
            weighting=WeightingOptions(),
            recall=RecentRecall(balance, len(names)) if balance.scheme == "dynamic" else None,
            class_names=names,
        ),
        train=as_batch(train).to(device),
        val=as_batch(val).to(device),
    )


def _learner(setting: _Setting, part: _Part) -> Learner:
    options, balance, phases = setting.options, setting.balance, setting.phases
    train = setting.data.folds[part.fold].train
    parts = part.network.parts()  # type: ignore[operator]
    paced = dict.fromkeys((each for span in phases for each in span.lr), 1.0)
    steps = steps_per_epoch(len(train), batch_size=options.batch_size, accumulate=options.optimizer.accumulate)
    change = setting.recipe.change(options, train)
    mixup = options.augment.mixup
    rare = rare_classes(train.class_index, train.class_names, below=options.augment.rare_below)
    return Learner(
        fold=part.fold,
        network=part.network,
        loss=part.loss,
        optimizer=build_optimizer(
            _groups(part.network), options.optimizer, parts=parts, rates={**paced, **options.optimizer.lr_of}
        ),
        examples=part.train,
        draw_N=draws(train.class_index, balance, names=train.class_names),
        draws_of={
            sampling: draws(train.class_index, drawing(balance, sampling), names=train.class_names)
            for sampling in samplings(phases)
        },
        total_steps=steps * options.epochs,
        warmup_steps=round(steps * options.optimizer.warmup_epochs),
        parts=parts,
        ema=None if options.ema is None else Ema(part.network, options.ema),
        augment=Augmentation(mixup, rare=rare, change=change) if mixup.probability or change is not None else None,
        compute=setting.compute,
    )


def _groups(network: nn.Module) -> dict[str, list[nn.Parameter]]:
    """Biases and norms are vectors: they are not decayed."""
    groups: dict[str, list[nn.Parameter]] = {"no_decay": [], "decay": []}
    for parameter in network.parameters():
        groups["no_decay" if parameter.ndim < 2 else "decay"].append(parameter)
    return groups


def _about(recipe: Recipe, options: ClassifierOptions, data: ClassifierDataset, *, seed: int) -> About:
    like = data.folds[0].train
    return About(
        task=recipe.task,
        options=options.model_dump(mode="json", by_alias=True),
        seed=seed,
        fingerprint=data.fingerprint,
        class_names=like.class_names,
        shape=like.inputs.shape[1:],
        reading=dict(data.reading),
        folds=len(data.folds),
    )


def _evaluator(parts: Sequence[_Part], data: ClassifierDataset, about: About) -> Callable[[], Evaluation]:
    held_out = data.held_out("val")
    everything = pooled(held_out)
    fold_N = np.repeat(np.arange(len(held_out)), [len(part) for part in held_out])
    baseline = scores(trivial(data.trains(), held_out), everything, split="val", rare=data.rare, fold_N=fold_N).values

    def evaluate() -> Evaluation:
        said_NK = np.concatenate([probabilities(part.network, part.val) for part in parts])
        found = scores(said_NK, everything, split="val", rare=data.rare, fold_N=fold_N)
        return Evaluation(values=with_skill(found, baseline), about=about.to_json())

    return evaluate
