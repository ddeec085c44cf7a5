"""The knobs of one training run on images and the data it is trained on; free of torch."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, Discriminator, Field, Tag

from core.classification.dataset import DivisionOptions
from core.classification.options import ClassifierOptions, ClassPhaseOptions
from core.config import Fraction, Options, Place
from core.data.images.options import ViewOptions

Count = Annotated[int, Field(ge=1)]


def _known(name: str) -> str:
    if name != "efficientnet_lite0" and not name.startswith("timm:"):
        raise ValueError(f"{name} is no backbone: efficientnet_lite0, or timm:NAME for a model of timm")
    return name


class ImageDataOptions(DivisionOptions):
    """How images are read, whatever they come from."""

    size: Annotated[int, Field(ge=32, le=1024)] = 96
    """Pixels a side."""
    backbone: Annotated[str, AfterValidator(_known)] = "efficientnet_lite0"
    """The pretrained network that reads them: efficientnet_lite0, or timm:NAME (needs the package timm). While it is
    frozen its features are computed once and shared by all trials."""
    views: Annotated[int, Field(ge=1, le=64)] = 6
    """Views of each image that are trained on: the image itself, the others augmented."""
    view: ViewOptions = ViewOptions()


class SimulatedEyes(ImageDataOptions):
    """Drawings of eyes in the four classes of document 002; everything made from them is called simulated."""

    source: Literal["simulated"] = "simulated"
    images: Annotated[int, Field(ge=8, le=100_000)] = 600
    rarest: Annotated[int, Field(ge=1)] = 12
    """Of them, those with an artificial lens."""


class Photographs(ImageDataOptions):
    """Image files."""

    source: Place
    """A folder with a folder for each class, a folder whose files are named after their classes (`names`), or a .csv
    table with the columns path, class and, if there are several images of one patient, group."""
    names: str | None = None
    """How the names of the files in one folder are read: `{class}_{take}.jpg`; `{group}` may stand in it."""
    unreadable: Fraction = 0.01
    """Share of the files that may be damaged: they are named and left out; more are a mistake."""


def _kind(value: object) -> str:
    source = value.get("source", "simulated") if isinstance(value, dict) else getattr(value, "source", "simulated")
    return "simulated" if source == "simulated" else "recorded"


ImageData = Annotated[
    Annotated[SimulatedEyes, Tag("simulated")] | Annotated[Photographs, Tag("recorded")], Discriminator(_kind)
]
"""The `data:` section: `{source: simulated, ...}` or `{source: photographs/, ...}`."""


class ImageModelOptions(Options):
    """The read-out on the backbone's features."""

    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.2
    """Share of features dropped before the read-out."""
    batch_norm: Literal["kept", "batch"] = "kept"
    """Statistics of batch normalisation in a backbone that is trained. kept: the pretrained ones; batch: those of each
    batch, which are mostly chance in batches below about 16 and undo what was pretrained."""


class CataractOptions(ClassifierOptions):
    """One training run on images."""

    epochs: Count = 10
    batch_size: Count = 16
    model: ImageModelOptions = ImageModelOptions()
    phases: ClassPhaseOptions = ClassPhaseOptions(preset="head_first")
    """Document 002: the backbone is frozen for the first half, then trained at a twentieth of the rate."""
