"""Examples of a classification as tensors, and examples mixed two by two."""

# B examples, K classes, V views.

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, fields, replace
from typing import Any, Protocol, Self

import numpy as np
import torch
from torch import Tensor

from core.config import MixUpOptions
from core.data.labelled import Labelled


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class ClassBatch:
    """B examples in memory; a batch is an index into them."""

    inputs_B: Tensor
    """(B, ...) as the data have them."""
    class_B: Tensor
    """Integer class."""
    views_BV: Tensor | None = None
    """(B, V, numbers), see `Labelled.views`."""
    features_BV: Tensor | None = None
    """(B, V, F), see `Labelled.features`."""

    def __len__(self) -> int:
        return len(self.inputs_B)

    def take(self, index_B: Tensor) -> Self:
        """The examples at `index_B` (integers), in its order."""
        return self._each(lambda column: column[index_B])

    def to(self, device: torch.device) -> Self:
        """The examples on a device."""
        return self._each(lambda column: column.to(device))

    def view(self, index_B: Tensor) -> Self:
        """The examples with one view each, the one at `index_B`."""
        row_B = torch.arange(len(self), device=index_B.device)
        return replace(
            self,
            views_BV=None if self.views_BV is None else self.views_BV[row_B, index_B].unsqueeze(1),
            features_BV=None if self.features_BV is None else self.features_BV[row_B, index_B].unsqueeze(1),
        )

    def _each(self, change: Any) -> Self:
        columns: dict[str, Any] = {column.name: getattr(self, column.name) for column in fields(ClassBatch)}
        changed: dict[str, Any] = {name: None if value is None else change(value) for name, value in columns.items()}
        return type(self)(**changed)


def as_batch(table: Labelled) -> ClassBatch:
    """All of a table as tensors on the CPU (copies: shared arrays are read-only)."""
    return ClassBatch(
        inputs_B=torch.tensor(table.inputs),
        class_B=torch.tensor(table.class_index, dtype=torch.int64),
        views_BV=None if table.views is None else torch.tensor(table.views),
        features_BV=None if table.features is None else torch.tensor(table.features),
    )


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class MixedClasses(ClassBatch):
    """Examples that are to be read mixed two by two; the labels are those of the first.

    The loss is `share` times the one for these labels plus `1 - share` times the one for those of `second`.
    """

    share: float
    """Of the first example in the mixture."""
    second: ClassBatch
    """The other examples, in the same order."""


class Change(Protocol):
    """What a task does to training batches by itself: views, masks."""

    def __call__(self, batch: ClassBatch, random: np.random.Generator, /) -> ClassBatch:
        """The batch to train on; every draw comes from `random`."""
        ...


class Augmentation:
    """A task's own changes, then MixUp; every draw comes from one generator that begins anew with each epoch."""

    def __init__(self, mixup: MixUpOptions, *, rare: Collection[int], change: Change | None) -> None:
        self.mixup = mixup
        self.rare = torch.tensor(sorted(rare), dtype=torch.int64)
        self.change = change
        self.random = np.random.default_rng(0)
        self.mixes = False
        self.batches = self.mixed = 0

    def begin(self, random: np.random.Generator, reached: Collection[str]) -> None:
        """Begin an epoch; `reached` names the conditions on metrics that have been met so far."""
        self.random = random
        after = self.mixup.after
        self.mixes = self.mixup.probability > 0 and (after is None or str(after) in reached)
        self.batches = self.mixed = 0

    def __call__(self, batch: ClassBatch) -> ClassBatch:
        """The batch the network is trained on."""
        if self.change is not None:
            batch = self.change(batch, self.random)
        self.batches += 1
        if not self.mixes or not self._draws_mixup(batch):
            return batch
        self.mixed += 1
        return mixed(batch, self.mixup, self.random)

    def signals(self) -> dict[str, float]:
        """`mixup_share`: share of the epoch's batches that were mixed, where MixUp is asked for at all."""
        return {"mixup_share": self.mixed / max(1, self.batches)} if self.mixup.probability else {}

    def _draws_mixup(self, batch: ClassBatch) -> bool:
        drawn = self.random.random() < self.mixup.probability
        return drawn and not (self.mixup.skip_rare and bool(torch.isin(batch.class_B.cpu(), self.rare).any()))


def mixed(batch: ClassBatch, options: MixUpOptions, random: np.random.Generator) -> MixedClasses:
    """The batch beside itself in another order, one share for all of it; what reads it does the mixing."""
    share = float(random.beta(options.alpha, options.alpha))
    order_B = torch.from_numpy(random.permutation(len(batch))).to(batch.class_B.device)
    columns = {column.name: getattr(batch, column.name) for column in fields(ClassBatch)}
    return MixedClasses(**columns, share=share, second=batch.take(order_B))
