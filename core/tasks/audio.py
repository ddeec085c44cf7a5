"""The audio task: which species, speaker or kind of sound a recording holds.

Importing this module imports neither torch nor what stands on it: the methods do.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import BaseModel

from core.data.audio.features import SUFFIXES, FeatureOptions
from core.tasks.audio_options import AudioData, AudioOptions
from core.tasks.classifier import ClassifierTask

if TYPE_CHECKING:
    from torch import nn

    from core.classification.dataset import ClassifierDataset
    from core.classification.run import Recipe
    from core.classification.weights import About


class AudioTask(ClassifierTask):
    """MFCC features of sound files, AudioCNN or AudioViT."""

    name: ClassVar[str] = "audio"
    options: ClassVar[type[BaseModel]] = AudioOptions
    data: ClassVar[Any] = AudioData
    suffixes: ClassVar[tuple[str, ...]] = SUFFIXES

    def load(self, data: Any, *, folder: Path) -> ClassifierDataset:
        """Features of the recordings, made up or read from files, divided by what they come from.

        Raises ValueError (DataMistakes, TooFewPatients) for files that are missing or make no sense.
        """
        from core.tasks.audio_data import load_sounds

        return load_sounds(data, folder=folder)

    def recipe(self) -> Recipe:
        """Networks on MFCC features; masks on training features."""
        from core.tasks.audio_network import RECIPE

        return RECIPE

    def rebuilt(self, about: About) -> nn.Module:
        """The network of saved weights; raises ValueError for a header that makes no sense."""
        from core.tasks.audio_network import rebuilt

        return rebuilt(about)

    def examples(self, files: Sequence[Path], about: About) -> Any:
        """(N, 3, coefficients, frames) features as the weights were trained on."""
        from core.data.listing import Listed
        from core.tasks.audio_data import read_table

        listed = [Listed(file, file.name, "", file.name) for file in files]
        options = FeatureOptions(**about.reading)
        return read_table(listed, options, class_names=("",), unreadable=0.0, source=str(files[0].parent))[0].inputs
