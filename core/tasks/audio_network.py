"""The networks of the audio task, and what it does to training features."""

# B recordings, A channels, M coefficients, L frames.

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

import numpy as np
import torch
from torch import Tensor, nn

from core.classification.batches import Change, ClassBatch
from core.classification.networks import PlainNetwork
from core.classification.run import Recipe
from core.classification.weights import About
from core.data.labelled import Labelled
from core.models.audio import Standardise, build_audio_model
from core.tasks.audio_options import AudioModelOptions, AudioOptions, Normalise, SpecAugmentOptions

DOCUMENT: Final = ((-8.80, 0.02, 0.0), (62.53, 1.69, 1.0))
"""Document 003's means and spreads of the channels; the third it leaves as it is."""


Moments = tuple[Sequence[float], Sequence[float]]
"""Mean and spread of each channel."""


def _of_training(train: Labelled) -> Moments:
    mean_A = train.inputs.mean((0, 2, 3), dtype=np.float64)
    sd_A = train.inputs.std((0, 2, 3), dtype=np.float64)
    return mean_A.tolist(), np.where(sd_A > 1e-6, sd_A, 1.0).tolist()


def _none(train: Labelled) -> Moments:
    channels = train.inputs.shape[1]
    return [0.0] * channels, [1.0] * channels


MOMENTS: Final[Mapping[Normalise, Callable[[Labelled], Moments]]] = {
    "none": _none,
    "train": _of_training,
    "document": lambda train: DOCUMENT,
}
"""What the network subtracts and divides by, from the training recordings."""


def _fresh(options: AudioOptions, train: Labelled, reading: Mapping[str, Any]) -> nn.Module:
    channels, rows, columns = train.inputs.shape[1:]
    return _network(
        options.model, (channels, rows, columns), len(train.class_names), *MOMENTS[options.model.normalise](train)
    )


def _network(
    options: AudioModelOptions,
    shape: tuple[int, int, int],
    num_classes: int,
    mean: Sequence[float],
    sd: Sequence[float],
) -> PlainNetwork:
    model = build_audio_model(options.kind, options.size, shape=shape, num_classes=num_classes, dropout=options.dropout)
    return PlainNetwork(Standardise(mean, sd), model)


def rebuilt(about: About) -> nn.Module:
    """The network of saved weights; its means and spreads stand among the weights."""
    options = AudioOptions.model_validate(about.options)
    if len(about.shape) != 3:
        raise ValueError(f"features of {about.shape} are no channels of coefficients and frames")
    channels = about.shape[0]
    return _network(options.model, about.shape, len(about.class_names), [0.0] * channels, [1.0] * channels)


class Masks:
    """SpecAugment: stretches of coefficients and of frames are replaced by what each coefficient is on the average.

    The average of the channel would not do: the first coefficient lies hundreds of dB below it.
    """

    def __init__(self, options: SpecAugmentOptions, train: Labelled) -> None:
        self.options = options
        mean_AM = train.inputs.mean((0, 3), dtype=np.float64)
        self.mean_AM1 = torch.tensor(mean_AM, dtype=torch.float32).unsqueeze(-1)

    def __call__(self, batch: ClassBatch, random: np.random.Generator) -> ClassBatch:
        """The batch with some of its recordings masked."""
        x_BAML = batch.inputs_B
        _, _, rows, columns = x_BAML.shape
        masked_BM = self._stretches(len(batch), rows, self.options.coefficients, random)
        masked_BL = self._stretches(len(batch), columns, self.options.frames, random)
        some_B11 = random.random(len(batch))[:, None, None] < self.options.probability
        hidden_BML = torch.from_numpy((masked_BM[:, :, None] | masked_BL[:, None, :]) & some_B11).to(x_BAML.device)
        mean_AM1: Tensor = self.mean_AM1.to(x_BAML.device)
        return replace(batch, inputs_B=torch.where(hidden_BML.unsqueeze(1), mean_AM1, x_BAML))

    def _stretches(self, count: int, length: int, most: int, random: np.random.Generator) -> np.ndarray:
        """(count, length) one stretch each, of a length drawn from 0 to `most`, somewhere."""
        wide = random.integers(0, min(most, length) + 1, count)
        first = random.integers(0, length - wide + 1)
        place = np.arange(length)
        return np.asarray((place >= first[:, None]) & (place < (first + wide)[:, None]))


def _change(options: AudioOptions, train: Labelled) -> Change | None:
    masks = options.augment.masks
    return Masks(masks, train) if masks.probability else None


RECIPE: Final = Recipe(task="audio", fresh=_fresh, change=_change)
