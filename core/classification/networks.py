"""Networks that read batches of a classification: what is mixed is mixed here, where it is known what is read."""

# B examples, F features, P pixels a side, K classes.

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Self

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from core.classification.batches import ClassBatch, MixedClasses
from core.classification.options import Part
from core.classification.outputs import ClassOutputs
from core.data.images.views import show


def read(batch: ClassBatch, one: Callable[[ClassBatch], Tensor]) -> Tensor:
    """What `one` reads of the batch; of a mixed one the mixture of what it reads of the two."""
    if isinstance(batch, MixedClasses):
        return batch.share * one(batch) + (1 - batch.share) * one(batch.second)
    return one(batch)


class PlainNetwork(nn.Module):
    """A model that reads the inputs after they have been brought to a common scale."""

    def __init__(self, standardise: nn.Module, model: nn.Module) -> None:
        super().__init__()
        self.standardise = standardise
        self.model = model

    def forward(self, batch: ClassBatch) -> ClassOutputs:
        """Logits for the examples of `batch`; its labels are not read."""
        return ClassOutputs(self.model(read(batch, lambda each: self.standardise(each.inputs_B))))

    def parts(self) -> dict[Part, Sequence[nn.Module]]:
        """Every parameter in one part."""
        head = self.model.get_submodule("head")
        body = [module for name, module in self.model.named_children() if name != "head"]
        return {"backbone": [*body, self.standardise], "head": [head]}


class ImageNetwork(nn.Module):
    """A pretrained backbone and a read-out.

    As long as the backbone is as it came, its features of every view are known and it is not run: training the
    read-out alone then costs next to nothing. MixUp mixes these features; later it mixes pixels.

    With `keep_statistics` batch normalisation uses the pretrained statistics in training as well; its scales and shifts
    are trained either way.
    """

    trained: Tensor

    def __init__(
        self, backbone: nn.Module, *, features: int, num_classes: int, dropout: float, keep_statistics: bool
    ) -> None:
        super().__init__()
        self.keep_statistics = keep_statistics
        self.backbone = backbone
        self.head = nn.Sequential(nn.Dropout(dropout), nn.Linear(features, num_classes))
        self.register_buffer("trained", torch.tensor(False))

    def train(self, mode: bool = True) -> Self:
        """Into training mode, all but what keeps its statistics."""
        super().train(mode)
        if self.keep_statistics:
            for module in self.backbone.modules():
                if isinstance(module, _BatchNorm):
                    module.eval()
        return self

    def forward(self, batch: ClassBatch) -> ClassOutputs:
        """Logits for the examples of `batch`, in the first view each of them has; its labels are not read."""
        if self.training and any(parameter.requires_grad for parameter in self.backbone.parameters()):
            self.trained.fill_(True)
        return ClassOutputs(self.head(self._features(batch)))

    def _features(self, batch: ClassBatch) -> Tensor:
        if batch.features_BV is not None and not self.trained:
            return read(batch, lambda each: _first(each.features_BV))
        features_BF: Tensor = self.backbone(read(batch, lambda each: show(each.inputs_B, _first(each.views_BV))))
        return features_BF

    def parts(self) -> dict[Part, Sequence[nn.Module]]:
        """Every parameter in one part."""
        return {"backbone": [self.backbone], "head": [self.head]}


def _first(of_views_BV: Tensor | None) -> Tensor:
    if of_views_BV is None:
        raise ValueError("these examples have no views")
    return of_views_BV[:, 0]
