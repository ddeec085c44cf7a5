"""Tasks of banks that nobody here tunes to: other models, other data, other metrics, curves as they come.

The data are those that scikit-learn ships, thinned so that some classes are rare. Which of them a model has learnt
after an epoch is scored on a part it never sees. Nothing is made worse on purpose: some configurations collapse or
overflow because their settings are bad.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel
from sklearn.datasets import load_breast_cancer, load_digits
from sklearn.metrics import accuracy_score, f1_score, log_loss

from core.health import HealthOptions
from core.health.options import ClassCollapse
from core.report import EpochReport
from core.tasks import Objective

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
F1 = "val/class/f1_macro"
LOSS = "val/class/log_loss"
DIGITS_KEPT = (1.0, 0.7, 0.5, 0.35, 0.25, 0.18, 0.13, 0.1, 0.08, 0.06)
"""Share of each digit's training images that is kept, zero to nine."""
TUMOURS_KEPT = (0.15, 1.0)
"""malignant, benign."""


class Split(NamedTuple):
    """Standardised inputs and labels."""

    x_ND: Floats
    y_N: Ints
    val_x_ND: Floats
    val_y_N: Ints


@lru_cache(maxsize=4)
def split_of(data: Literal["digits", "tumours"]) -> Split:
    """Half of the recordings to train on, thinned, and half to score on, thinned alike."""
    loaded, kept = (load_digits(), DIGITS_KEPT) if data == "digits" else (load_breast_cancer(), TUMOURS_KEPT)
    stream = np.random.default_rng(5)
    x_ND, y_N = np.asarray(loaded.data, dtype=float), np.asarray(loaded.target, dtype=int)
    order_N = stream.permutation(len(y_N))
    chosen_N = np.array([index for index in order_N if stream.random() < kept[y_N[index]]])
    half = len(chosen_N) // 2
    train_N, val_N = chosen_N[:half], chosen_N[half:]
    middle_D, spread_D = x_ND[train_N].mean(axis=0), x_ND[train_N].std(axis=0) + 1e-3 * x_ND.std()
    scaled_ND = (x_ND - middle_D) / spread_D
    return Split(scaled_ND[train_N], y_N[train_N], scaled_ND[val_N], y_N[val_N])


def report_of(epoch: int, y_N: Ints, probability_NC: Floats, loss: float, *, with_loss: bool = False) -> EpochReport:
    """What an epoch says; without numbers where the predictions or the loss are not finite."""
    if not (math.isfinite(loss) and np.isfinite(probability_NC).all()):
        return EpochReport(epoch=epoch, phase="all", complete=False, evidence={"what": "loss", "streak": 1})
    guess_N = probability_NC.argmax(axis=1)
    counts_C = np.bincount(guess_N, minlength=probability_NC.shape[1])
    metrics = {
        F1: float(f1_score(y_N, guess_N, average="macro", zero_division=0)),
        "val/class/accuracy": float(accuracy_score(y_N, guess_N)),
        "val/class/largest_share": float(counts_C.max() / len(guess_N)),
        "val/class/predicted_classes": float((counts_C > 0).sum()),
        "val/class/probability_sd": float(probability_NC.std(axis=0).mean()),
    }
    if with_loss:
        metrics[LOSS] = float(log_loss(y_N, np.clip(probability_NC, 1e-9, 1), labels=range(probability_NC.shape[1])))
    return EpochReport(epoch=epoch, phase="all", metrics=metrics, health={"loss/class": loss}, active={"class": epoch})


def trivial(data: Literal["digits", "tumours"]) -> dict[str, float]:
    """Scores of always naming the commonest class, and of the class shares as probabilities."""
    part = split_of(data)
    shares_C = np.bincount(part.y_N) / len(part.y_N)
    guess_N = np.full(len(part.val_y_N), shares_C.argmax())
    prior_NC = np.tile(shares_C, (len(part.val_y_N), 1))
    return {
        F1: float(f1_score(part.val_y_N, guess_N, average="macro", zero_division=0)),
        LOSS: float(log_loss(part.val_y_N, prior_NC, labels=range(len(shares_C)))),
    }


class SklearnOptions(BaseModel, frozen=True, extra="forbid"):
    """A linear model or a small network, fitted an epoch at a time by `partial_fit`."""

    epochs: int = 27
    model: Literal["linear", "network"] = "network"
    lr: float = 1e-3
    alpha: float = 1e-4
    """L2 penalty."""
    hidden: int = 32
    momentum: float = 0.9
    batch: int = 32
    averaged: bool = False
    """Linear model: predict with the mean of all steps' weights."""
    rare_weight: float = 0.0
    """Exponent of inverse class frequency in each recording's weight."""


class SklearnDigits:
    """Imbalanced digits by scikit-learn's incremental classifiers."""

    name = "sklearn_digits"
    options = SklearnOptions
    objective = Objective(F1)
    health = HealthOptions(class_collapse=ClassCollapse())

    def baselines(self, dataset: None) -> Mapping[str, float]:
        """Scores of the trivial predictors."""
        return trivial("digits")

    def train(self, options: SklearnOptions, *, seed: int, checkpoint: Path) -> Iterator[EpochReport]:
        """One report an epoch; an interrupted training begins again."""
        part = split_of("digits")
        classes_C = np.unique(part.y_N)
        weight_N = (len(part.y_N) / np.bincount(part.y_N)[part.y_N]) ** options.rare_weight
        model = self._model(options, seed)
        stream = np.random.default_rng(seed)
        for epoch in range(1, options.epochs + 1):
            order_N = stream.permutation(len(part.y_N))
            try:
                with warnings.catch_warnings(), np.errstate(all="ignore"):
                    warnings.simplefilter("ignore")
                    model.partial_fit(
                        part.x_ND[order_N],
                        part.y_N[order_N],
                        classes=classes_C,
                        sample_weight=weight_N[order_N] / weight_N.mean(),
                    )
                    probability_NC = model.predict_proba(part.val_x_ND)
                    fitted_NC = np.clip(model.predict_proba(part.x_ND), 1e-12, 1)
                    loss = float(-np.average(np.log(fitted_NC[np.arange(len(fitted_NC)), part.y_N]), weights=weight_N))
            except ValueError:  # scikit-learn's word for weights that overflowed
                probability_NC, loss = np.full((1, len(classes_C)), np.nan), math.nan
            said = report_of(epoch, part.val_y_N, probability_NC, loss)
            yield said
            if not said.complete:
                return

    def _model(self, options: SklearnOptions, seed: int) -> Any:
        from sklearn.linear_model import SGDClassifier
        from sklearn.neural_network import MLPClassifier

        if options.model == "linear":
            return SGDClassifier(
                loss="log_loss",
                alpha=options.alpha,
                learning_rate="constant",
                eta0=options.lr,
                average=options.averaged,
                random_state=seed,
            )
        return MLPClassifier(
            hidden_layer_sizes=(options.hidden,),
            solver="sgd",
            alpha=options.alpha,
            learning_rate_init=options.lr,
            momentum=options.momentum,
            batch_size=options.batch,
            random_state=seed,
        )


class TorchOptions(BaseModel, frozen=True, extra="forbid"):
    """A convolutional or a plain network."""

    epochs: int = 16
    net: Literal["conv", "plain"] = "conv"
    channels: int = 8
    hidden: int = 64
    dropout: float = 0.0
    optimizer: Literal["sgd", "adamw"] = "adamw"
    lr: float = 1e-3
    momentum: float = 0.9
    weight_decay: float = 1e-3
    smoothing: float = 0.0
    balance: Literal["none", "sqrt", "balanced"] = "none"
    scale: float = 1.0
    """Factor of the weights at the start."""


class TorchDigits:
    """Imbalanced digits by small torch networks."""

    name = "torch_digits"
    options = TorchOptions
    objective = Objective(F1)
    health = HealthOptions(class_collapse=ClassCollapse())

    def baselines(self, dataset: None) -> Mapping[str, float]:
        """Scores of the trivial predictors."""
        return trivial("digits")

    def train(self, options: TorchOptions, *, seed: int, checkpoint: Path) -> Iterator[EpochReport]:
        """One report an epoch; an interrupted training begins again."""
        import torch
        from torch import nn

        part = split_of("digits")
        torch.manual_seed(seed)
        x_ND, val_x_ND = (torch.tensor(each, dtype=torch.float32) for each in (part.x_ND, part.val_x_ND))
        y_N = torch.tensor(part.y_N)
        net = _net(options)
        with torch.no_grad():
            for parameter in net.parameters():
                parameter.mul_(options.scale)
        power = {"none": 0.0, "sqrt": 0.5, "balanced": 1.0}[options.balance]
        weight_C = (len(part.y_N) / torch.bincount(y_N).float()) ** power
        loss_of = nn.CrossEntropyLoss(weight=weight_C / weight_C.mean(), label_smoothing=options.smoothing)
        if options.optimizer == "sgd":
            optimizer: torch.optim.Optimizer = torch.optim.SGD(
                net.parameters(), options.lr, momentum=options.momentum, weight_decay=options.weight_decay
            )
        else:
            optimizer = torch.optim.AdamW(net.parameters(), options.lr, weight_decay=options.weight_decay)
        order = torch.Generator().manual_seed(seed)
        for epoch in range(1, options.epochs + 1):
            net.train()
            losses = []
            for index_B in torch.randperm(len(y_N), generator=order).split(32):
                loss = loss_of(net(x_ND[index_B]), y_N[index_B])
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                losses.append(loss.item())
            net.eval()
            with torch.no_grad():
                probability_NC = net(val_x_ND).double().softmax(dim=1).numpy()
            said = report_of(epoch, part.val_y_N, probability_NC, float(np.mean(losses)))
            yield said
            if not said.complete:
                return


def _net(options: TorchOptions) -> Any:
    from torch import nn

    if options.net == "plain":
        return nn.Sequential(
            nn.Linear(64, options.hidden), nn.ReLU(), nn.Dropout(options.dropout), nn.Linear(options.hidden, 10)
        )
    return nn.Sequential(
        nn.Unflatten(1, (1, 8, 8)),
        nn.Conv2d(1, options.channels, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(options.channels, 2 * options.channels, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Dropout(options.dropout),
        nn.Linear(8 * options.channels, 10),
    )


class BoostingOptions(BaseModel, frozen=True, extra="forbid"):
    """Gradient-boosted trees; an epoch is three more of them."""

    epochs: int = 27
    lr: float = 0.1
    depth: int = 3
    leaf: int = 1
    subsample: float = 1.0
    features: float = 1.0
    loss: Literal["log_loss", "exponential"] = "log_loss"
    rare_weight: float = 0.0
    """Exponent of inverse class frequency in each recording's weight."""


class Boosting:
    """Imbalanced tumours by boosted trees, judged by their log-loss: smaller is better, and overfitting shows."""

    name = "boosting"
    options = BoostingOptions
    objective = Objective(LOSS, "minimize")
    health = HealthOptions(class_collapse=ClassCollapse())

    def baselines(self, dataset: None) -> Mapping[str, float]:
        """Scores of the trivial predictors."""
        return trivial("tumours")

    def train(self, options: BoostingOptions, *, seed: int, checkpoint: Path) -> Iterator[EpochReport]:
        """One report for every three trees; an interrupted training begins again."""
        from sklearn.ensemble import GradientBoostingClassifier

        part = split_of("tumours")
        weight_N = (len(part.y_N) / np.bincount(part.y_N)[part.y_N]) ** options.rare_weight
        model = GradientBoostingClassifier(
            loss=options.loss,
            learning_rate=options.lr,
            max_depth=options.depth,
            min_samples_leaf=options.leaf,
            subsample=options.subsample,
            max_features=options.features,
            warm_start=True,
            random_state=seed,
        )
        for epoch in range(1, options.epochs + 1):
            model.set_params(n_estimators=3 * epoch)
            with warnings.catch_warnings(), np.errstate(all="ignore"):
                warnings.simplefilter("ignore")
                model.fit(part.x_ND, part.y_N, sample_weight=weight_N)
                probability_NC = model.predict_proba(part.val_x_ND)
            said = report_of(epoch, part.val_y_N, probability_NC, float(model.train_score_[-1]), with_loss=True)
            yield said
            if not said.complete:
                return


SKLEARN = SklearnDigits()
TORCH = TorchDigits()
BOOSTING = Boosting()
