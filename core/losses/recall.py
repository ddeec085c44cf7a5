"""Class weights that follow recent recall: what is missed now counts more in the next epoch."""

# B recordings, K classes.

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from core.config import BalanceOptions
from core.data.balancing import recall_weights


class RecentRecall:
    """Recall on the training recordings as they pass, averaged over epochs with a memory."""

    def __init__(self, options: BalanceOptions, classes: int) -> None:
        self.options = options
        self.recall: list[float | None] = [None] * classes
        self.hits_K = torch.zeros(classes)
        self.seen_K = torch.zeros(classes)

    def watch(self, logits_BK: Tensor, class_B: Tensor) -> None:
        """Count who was found; recordings without a class (-1) do not count."""
        known_B = (class_B >= 0).float()
        hit_B = (logits_BK.detach().argmax(-1) == class_B).float()
        index_B = class_B.clamp_min(0)
        self.seen_K, self.hits_K = self.seen_K.to(index_B.device), self.hits_K.to(index_B.device)
        self.seen_K.index_add_(0, index_B, known_B)
        self.hits_K.index_add_(0, index_B, known_B * hit_B)

    def epoch_ended(self) -> Tensor:
        """(K,) the class weights of the next epoch.

        A class's recall becomes memory * recall so far + (1 - memory) * the epoch's; it begins as that of the first
        epoch in which the class was drawn, and stays where it was not.
        """
        keep = self.options.memory
        for index, (hits, seen) in enumerate(zip(self.hits_K.tolist(), self.seen_K.tolist(), strict=True)):
            before = self.recall[index]
            if seen:
                self.recall[index] = hits / seen if before is None else keep * before + (1 - keep) * hits / seen
        self.hits_K.zero_()
        self.seen_K.zero_()
        return self.weights()

    def weights(self) -> Tensor:
        """(K,) by the recall known so far; all 1 before there is any."""
        return recall_weights(self.recall, self.options)

    def state(self) -> dict[str, Any]:
        """The recall of each class, None where it is unknown; asked for between epochs."""
        return {"recall": self.recall}

    def restore(self, state: Mapping[str, Any]) -> None:
        """The recall of each class."""
        self.recall = list(state["recall"])
