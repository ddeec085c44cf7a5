"""The data set of the cataract task: images, their views, and what a pretrained backbone says of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from core.classification.dataset import ClassifierDataset, dataset, divided
from core.data.cache import Cache, cache_folder
from core.data.images.pixels import SUFFIXES, PixelOptions
from core.data.images.simulated import simulate_eyes
from core.data.labelled import Labelled
from core.data.listing import Listed, classes_of, listed, table_of
from core.data.many import read_many
from core.extras import need
from core.tasks.cataract_options import ImageDataOptions, Photographs, SimulatedEyes


def load_images(data: SimulatedEyes | Photographs, *, folder: Path) -> ClassifierDataset:
    """Images with the features of their views, divided; relative paths are relative to `folder`.

    Raises ValueError (DataMistakes, TooFewPatients) for files that are missing or make no sense, MissingExtra where the
    packages that read images are not installed.
    """
    if isinstance(data, SimulatedEyes):
        table = simulate_eyes(data.images, data.rarest, size=data.size, seed=data.seed)
        return dataset([divided(_seen(table, data), data)], data, simulated=True, reading=_reading(data))
    source = folder / data.source
    files = listed(source, SUFFIXES, names=data.names)
    class_names = classes_of(files, source, names=data.names)
    table, skipped = read_table(files, data, class_names=class_names, source=str(source))
    return dataset([divided(_seen(table, data), data)], data, skipped=skipped, reading=_reading(data))


def read_table(
    files: Sequence[Listed], data: Photographs, *, class_names: tuple[str, ...], source: str
) -> tuple[Labelled, Mapping[str, str]]:
    """The files as a table of pixels, and which were left out and why."""
    need("images", "PIL")
    options = PixelOptions(size=data.size)
    read = read_many(
        "images",
        files,
        options.model_dump(mode="json"),
        shape=options.shape,
        dtype=np.uint8,
        cache=Cache(cache_folder() / "images", options.how()),
        most_unreadable=data.unreadable,
        source=source,
    )
    kept = [files[index] for index in read.kept]
    return table_of(kept, read.arrays, class_names), read.skipped


def _reading(data: ImageDataOptions) -> dict[str, Any]:
    return {"size": data.size, "backbone": data.backbone}


def _seen(table: Labelled, data: ImageDataOptions) -> Labelled:
    """The table with its views and what the backbone says of each."""
    from core.data.images.features import frozen_features, views_of

    views_NV = views_of(len(table), data.views, data.view, seed=data.seed)
    return replace(table, views=views_NV, features=frozen_features(table.inputs, views_NV, data.backbone))
