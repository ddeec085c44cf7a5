"""The knobs of one training run on sounds and the data it is trained on; free of torch."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Discriminator, Field, Tag, field_validator

from core.classification.dataset import DivisionOptions
from core.classification.options import ClassAugmentOptions, ClassifierOptions
from core.config import Fraction, Options, Place
from core.data.audio.features import FeatureOptions
from core.data.listing import name_pattern

Count = Annotated[int, Field(ge=1)]
Normalise = Literal["none", "train", "document"]


class SimulatedCalls(DivisionOptions):
    """Chirps of several kinds in a long tail; everything made from them is called simulated."""

    source: Literal["simulated"] = "simulated"
    classes: Annotated[int, Field(ge=2, le=200)] = 12
    largest: Annotated[int, Field(ge=3, le=2000)] = 60
    """Calls of the most frequent kind; the others fall geometrically to `smallest`."""
    smallest: Annotated[int, Field(ge=1)] = 4
    test_share: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Of the long tail; `test` calls of each kind are drawn for the end anyway."""
    test: Annotated[int, Field(ge=0, le=1000)] = 10
    """Calls of each kind kept for the end."""
    rare_most: Annotated[int, Field(ge=0)] = 5
    """Kinds with at most so many calls to train on are rare."""
    features: FeatureOptions = FeatureOptions()


class LongTail(Options):
    """Fewer recordings of each class than there are, as a histogram of another data set has them.

    Classes, sorted by name, are given evenly spaced ranks of the sorted histogram.
    """

    counts: Path
    """A JSON file, {name: count}; relative to the space file."""
    key: str | None = None
    """Under which name the histogram stands in it, where there are several."""
    largest: Count = 40
    """What the largest class keeps; the others in proportion."""
    least: Count = 2
    """What every class keeps at least."""
    test: Annotated[int, Field(ge=0)] = 10
    """Recordings of each class that are set aside first, for the end."""


class RecordedSounds(DivisionOptions):
    """Sound files: wav, flac or ogg."""

    source: Place
    """A folder with a folder for each class, a folder whose files are named after their classes (`names`), or a .csv
    table with the columns path, class and, if recordings come from fewer speakers or sites, group."""
    names: str | None = None
    """How the names of the files in one folder are read: `{class}_{take}.wav`; `{group}` may stand in it."""
    long_tail: LongTail | None = None
    """Thin the classes out, to see what a long tail does."""
    class_weights: Path | None = None
    """A JSON file with class weights by name, read where `balance.scheme` is explicit without `balance.weights`
    (document 003); {scheme: {name: weight}} where it holds several, of which `class_weights_key` names one."""
    class_weights_key: str | None = None
    unreadable: Fraction = 0.01
    """Share of the files that may be damaged: they are named and left out; more are a mistake."""
    features: FeatureOptions = FeatureOptions()

    @field_validator("names")
    @classmethod
    def _names_a_class(cls, names: str | None) -> str | None:
        if names is not None:
            name_pattern(names)
        return names


def _kind(value: object) -> str:
    source = value.get("source", "simulated") if isinstance(value, dict) else getattr(value, "source", "simulated")
    return "simulated" if source == "simulated" else "recorded"


AudioData = Annotated[
    Annotated[SimulatedCalls, Tag("simulated")] | Annotated[RecordedSounds, Tag("recorded")], Discriminator(_kind)
]
"""The `data:` section: `{source: simulated, ...}` or `{source: recordings/, ...}`."""


class AudioModelOptions(Options):
    """The network that reads the features."""

    kind: Literal["cnn", "vit"] = "cnn"
    """cnn: AudioCNN, vit: AudioViT (document 003)."""
    size: Literal["tiny", "small"] = "tiny"
    """tiny trains on a CPU core in seconds an epoch."""
    normalise: Normalise = "train"
    """What the channels are brought to a common scale by: mean and spread over the training recordings; document 003's
    numbers (-8.80 and 62.53, 0.02 and 1.69, the third as it is); none: the features as they are."""
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.2
    """Share of features dropped before the read-out."""


class SpecAugmentOptions(Options):
    """Masks on training features, Park et al. 2019 (1904.08779): stretches are replaced by each coefficient's mean."""

    probability: Fraction = 0.0
    """Of a recording to be masked."""
    coefficients: Annotated[int, Field(ge=0, le=128)] = 8
    """Most neighbouring coefficients that are masked."""
    frames: Annotated[int, Field(ge=0, le=4096)] = 20
    """Most neighbouring frames that are masked."""


class AudioAugmentOptions(ClassAugmentOptions):
    """What happens to training batches before the network sees them; a function of seed and epoch alone."""

    masks: SpecAugmentOptions = SpecAugmentOptions()


class AudioOptions(ClassifierOptions):
    """One training run on sounds."""

    model: AudioModelOptions = AudioModelOptions()
    augment: AudioAugmentOptions = AudioAugmentOptions()
