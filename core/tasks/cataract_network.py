"""The networks of the cataract task, and the views that are trained on."""

# B images, V views.

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import numpy as np
import torch
from torch import nn

from core.classification.batches import Change, ClassBatch
from core.classification.networks import ImageNetwork
from core.classification.run import Recipe
from core.classification.weights import About
from core.data.labelled import Labelled
from core.models.image import build_backbone
from core.tasks.cataract_options import CataractOptions


def _fresh(options: CataractOptions, train: Labelled, reading: Mapping[str, Any]) -> nn.Module:
    return _network(options, str(reading["backbone"]), len(train.class_names), pretrained=True)


def _network(options: CataractOptions, name: str, num_classes: int, *, pretrained: bool) -> ImageNetwork:
    backbone = build_backbone(name, pretrained=pretrained)
    return ImageNetwork(
        backbone,
        features=backbone.features,
        num_classes=num_classes,
        dropout=options.model.dropout,
        keep_statistics=options.model.batch_norm == "kept",
    )


def rebuilt(about: About) -> nn.Module:
    """The network of saved weights, the backbone's among them."""
    name = about.reading.get("backbone")
    if not isinstance(name, str):
        raise ValueError("it does not say which backbone it has")
    options = CataractOptions.model_validate(about.options)
    return _network(options, name, len(about.class_names), pretrained=False)


def one_view(batch: ClassBatch, random: np.random.Generator) -> ClassBatch:
    """Every image in one of its views."""
    if batch.views_BV is None:
        raise ValueError("these images have no views")
    index_B = random.integers(0, batch.views_BV.shape[1], len(batch))
    return batch.view(torch.from_numpy(index_B).to(batch.class_B.device))


def _change(options: CataractOptions, train: Labelled) -> Change | None:
    return one_view


RECIPE: Final = Recipe(task="cataract", fresh=_fresh, change=_change)
