"""Recordings as tensors in memory; a batch is an index into them."""

# B recordings, T samples, S static parameters.

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from core.data.recordings import Recordings


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Batch:
    """Signals, static parameters and labels of B recordings; a missing number is NaN, a missing class -1."""

    signal_BT: Tensor
    """In the unit of the recordings."""
    static_BS: Tensor
    """As recorded; the network standardises."""
    class_B: Tensor
    """Integer class, -1 where unknown."""
    threshold_B: Tensor
    """dB nHL."""
    peak_exist_B: Tensor
    """1, 0, or NaN where nobody looked."""
    latency_B: Tensor
    """ms."""
    amplitude_B: Tensor
    """Microvolts."""
    clean_BT: Tensor
    """Noise-free truth in the unit of the signal; rows of NaN where unknown."""

    def __len__(self) -> int:
        return len(self.signal_BT)

    @property
    def device(self) -> torch.device:
        """Where its tensors are."""
        return self.signal_BT.device

    def take(self, index_B: Tensor | slice) -> Self:
        """The recordings at `index_B` (integers), in its order; of a slice nothing is copied."""
        return type(self)(**{column.name: getattr(self, column.name)[index_B] for column in fields(self)})

    @classmethod
    def unlabelled(cls, signal_BT: Tensor, static_BS: Tensor) -> Self:
        """Recordings of which nothing else is known."""
        unknown_B = torch.full_like(signal_BT[:, 0], torch.nan)
        return cls(
            signal_BT=signal_BT,
            static_BS=static_BS,
            class_B=torch.full_like(unknown_B, -1, dtype=torch.int64),
            threshold_B=unknown_B,
            peak_exist_B=unknown_B,
            latency_B=unknown_B,
            amplitude_B=unknown_B,
            clean_BT=torch.full_like(signal_BT, torch.nan),
        )


def as_batch(recordings: Recordings, device: torch.device | str = "cpu") -> Batch:
    """All of `recordings` as one batch of single-precision tensors (copies: shared arrays are read-only)."""

    def single(values: NDArray[np.floating]) -> Tensor:
        return torch.tensor(values, dtype=torch.float32, device=device)

    return Batch(
        signal_BT=single(recordings.signal),
        static_BS=single(recordings.static),
        class_B=torch.tensor(recordings.hearing_class, dtype=torch.int64, device=device),
        threshold_B=single(recordings.threshold_db),
        peak_exist_B=single(recordings.peak_exist),
        latency_B=single(recordings.peak_latency_ms),
        amplitude_B=single(recordings.peak_amplitude_uv),
        clean_BT=single(recordings.signal * np.nan if recordings.clean is None else recordings.clean),
    )
