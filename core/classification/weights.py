"""Trained classifiers as a file that needs nothing beside it: weights, and a description in the header."""

# N examples, K classes.

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any, Final, Self

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field, TypeAdapter
from safetensors import SafetensorError, safe_open
from torch import nn

from core.classification.batches import ClassBatch
from core.data.check import is_name
from core.training.checkpoint import ABOUT
from core.training.saved import fill, first_line

CHUNK: Final = 128
"""Examples per forward pass outside training."""
MOST_CLASSES: Final = 10_000
MOST_FOLDS: Final = 100
MOST_NUMBERS: Final = 2**24
"""Of one example."""


@dataclass(frozen=True, kw_only=True, slots=True)
class About:
    """What stands in the header of `model.safetensors`."""

    task: str
    options: Mapping[str, Any]
    seed: int
    fingerprint: str
    """Of the data set trained on."""
    class_names: Annotated[tuple[str, ...], Field(min_length=1, max_length=MOST_CLASSES)]
    shape: tuple[Annotated[int, Field(ge=1)], ...]
    """Of one example as the network reads it."""
    reading: Mapping[str, Any]
    """How a file becomes such an example."""
    folds: Annotated[int, Field(ge=1, le=MOST_FOLDS)]

    def to_json(self) -> dict[str, Any]:
        """Plain numbers, words and lists."""
        return asdict(self)

    @classmethod
    def from_json(cls, record: Any) -> Self:
        """The description that `to_json` wrote. Raises ValueError for one that describes no model, whoever wrote it."""
        about = TypeAdapter(cls).validate_python(record)
        names = about.class_names
        if len(set(names)) != len(names) or not all(map(is_name, names)):
            raise ValueError("its class names cannot be those of a model")
        if math.prod(about.shape) > MOST_NUMBERS:
            raise ValueError(f"its examples of {about.shape} numbers cannot be those of a model")
        return about


@dataclass(frozen=True, slots=True, eq=False)
class TrainedClassifier:
    """The networks of all folds, ready to predict."""

    about: About
    networks: tuple[nn.Module, ...]


def load_classifier(path: Path, build: Callable[[About], nn.Module], *, task: str) -> TrainedClassifier:
    """The networks in a `model.safetensors`, each `build` of the header; nothing in the file is executed.

    Raises ValueError when the file is not one of this task, FileNotFoundError when there is none.
    """
    try:
        with safe_open(path, framework="pt") as file:
            about = About.from_json(json.loads((file.metadata() or {})[ABOUT]))
            if about.task != task:
                raise ValueError(f"it was trained for {about.task}")
            networks = [fill(build(about), file, f"fold{fold}.") for fold in range(about.folds)]
            return TrainedClassifier(about, tuple(networks))
    except (SafetensorError, KeyError, TypeError, ValueError, RuntimeError) as damage:
        raise ValueError(f"{path} holds no trained {task} model: {first_line(damage)}") from damage


def probabilities(network: nn.Module, batch: ClassBatch) -> NDArray[np.float64]:
    """(N, K) what a network says of examples."""
    network.eval()
    chunks = torch.arange(len(batch), device=batch.class_B.device).split(CHUNK)  # type: ignore[no-untyped-call]
    with torch.inference_mode():
        found = [network(batch.take(index)).class_logits_BK.double().softmax(-1).cpu() for index in chunks]
    return torch.cat(found).numpy()
