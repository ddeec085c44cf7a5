"""The cataract task: the state of a lens, or any other class, from an image.

Importing this module imports neither torch nor what stands on it: the methods do.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import BaseModel

from core.data.images.pixels import SUFFIXES
from core.tasks.cataract_options import CataractOptions, ImageData, Photographs
from core.tasks.classifier import ClassifierTask

if TYPE_CHECKING:
    from torch import nn

    from core.classification.dataset import ClassifierDataset
    from core.classification.run import Recipe
    from core.classification.weights import About


class CataractTask(ClassifierTask):
    """Images, a pretrained backbone, a read-out."""

    name: ClassVar[str] = "cataract"
    options: ClassVar[type[BaseModel]] = CataractOptions
    data: ClassVar[Any] = ImageData
    suffixes: ClassVar[tuple[str, ...]] = SUFFIXES

    def load(self, data: Any, *, folder: Path) -> ClassifierDataset:
        """Images, drawn or read from files, with what the backbone says of their views, divided.

        Raises ValueError (DataMistakes, TooFewPatients) for files that are missing or make no sense.
        """
        from core.tasks.cataract_data import load_images

        return load_images(data, folder=folder)

    def recipe(self) -> Recipe:
        """A read-out on the backbone's features; views of training images."""
        from core.tasks.cataract_network import RECIPE

        return RECIPE

    def rebuilt(self, about: About) -> nn.Module:
        """The network of saved weights; raises ValueError for a header that makes no sense."""
        from core.tasks.cataract_network import rebuilt

        return rebuilt(about)

    def examples(self, files: Sequence[Path], about: About) -> Any:
        """(N, 3, P, P) pixels as the weights were trained on."""
        from core.data.listing import Listed
        from core.tasks.cataract_data import read_table

        listed = [Listed(file, file.name, "", file.name) for file in files]
        data = Photographs(source=files[0].parent, size=about.reading["size"], unreadable=0.0)
        return read_table(listed, data, class_names=("",), source=str(data.source))[0].inputs

    def views(self, count: int) -> Any:
        """The images as they are."""
        from core.data.images.views import plain

        return plain(count)[:, None]
