"""What happens to training batches before the network sees them: noise for rare classes, MixUp."""

# B recordings, T samples, K classes, F frequencies.

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, fields, replace
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from core.config import AugmentOptions, MixUpOptions
from core.data.noise import density
from core.data.tensors import Batch

BAND_HZ: Final = (100.0, 3000.0)
"""Corners of the recording device whose noise is added: the usual ones of a click ABR."""
INPUTS: Final = ("signal_BT", "static_BS")
"""Columns of a batch that the network reads."""
PEAKS: Final = ("latency_B", "amplitude_B")


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class MixedBatch(Batch):
    """Recordings mixed two by two: what the network reads is the mixture, the labels are those of the first.

    A loss is `share` times the one for these labels plus `1 - share` times the one for the labels of `second`. For
    squared errors and cross-entropies that is the loss for mixed targets up to a constant, and a label that is missing
    in one of the two takes nothing from the other.
    """

    share: float
    """Of the first recording in the mixture."""
    second: Batch
    """The other recordings, in the same order."""


class Augmentation:
    """Noise, then MixUp, by the options; every draw comes from one generator that begins anew with each epoch."""

    def __init__(
        self, options: AugmentOptions, *, rare: Collection[int], signal_spread: float, sampling_rate_hz: float
    ) -> None:
        self.options = options
        self.rare = torch.tensor(sorted(rare), dtype=torch.int64)
        self.signal_spread = signal_spread
        self.sampling_rate_hz = sampling_rate_hz
        self.random = np.random.default_rng(0)
        self.mixes = False
        self.batches = self.mixed = 0

    def begin(self, random: np.random.Generator, reached: Collection[str]) -> None:
        """Begin an epoch; `reached` names the conditions on metrics that have been met so far."""
        self.random = random
        after = self.options.mixup.after
        self.mixes = self.options.mixup.probability > 0 and (after is None or str(after) in reached)
        self.batches = self.mixed = 0

    def __call__(self, batch: Batch) -> Batch:
        """The batch the network is trained on."""
        rare_B = torch.isin(batch.class_B, self.rare.to(batch.device))
        if self.options.noise.level > 0:
            batch = self._noisier(batch, rare_B)
        self.batches += 1
        if not self.mixes or not self._draws_mixup(rare_B):
            return batch
        self.mixed += 1
        return mixed(batch, self.options.mixup, self.random)

    def signals(self) -> dict[str, float]:
        """`mixup_share`: share of the epoch's batches that were mixed, where MixUp is asked for at all."""
        if not self.options.mixup.probability:
            return {}
        return {"mixup_share": self.mixed / max(1, self.batches)}

    def _draws_mixup(self, rare_B: Tensor) -> bool:
        drawn = self.random.random() < self.options.mixup.probability
        return drawn and not (self.options.mixup.skip_rare and bool(rare_B.any()))

    def _noisier(self, batch: Batch, rare_B: Tensor) -> Batch:
        count, samples = batch.signal_BT.shape
        noise_BT = residual(self.random, count, samples, sampling_rate_hz=self.sampling_rate_hz).to(batch.device)
        added_BT = torch.where(rare_B[:, None], noise_BT * (self.options.noise.level * self.signal_spread), 0.0)
        return replace(batch, signal_BT=batch.signal_BT + added_BT)


def rare_classes(class_N: NDArray[np.int64], names: Sequence[str], *, below: float) -> tuple[int, ...]:
    """The classes that hold less than the share `below` of the recordings that have a class."""
    count_K = np.bincount(class_N[class_N >= 0], minlength=len(names))
    return tuple(int(index) for index in np.flatnonzero(count_K < below * count_K.sum()))


def residual(random: np.random.Generator, count: int, samples: int, *, sampling_rate_hz: float) -> Tensor:
    """(count, samples) Gaussian noise of the spectrum measured on averaged recordings, with unit variance."""
    # Twice as long as it need be, so that the ends do not join.
    length = 2 * samples
    low_hz, high_hz = (np.array([corner]) for corner in BAND_HZ)
    frequency_F = np.fft.rfftfreq(length, 1 / sampling_rate_hz).astype(np.float64)
    power_F = density(frequency_F, low_hz, high_hz)[0]
    # Every frequency but the first and the last stands for two, its negative included.
    total = 2 * power_F.sum() - power_F[0] - power_F[-1]
    gain_F = torch.from_numpy(np.sqrt(power_F * length / total)).float()
    white_BT = torch.from_numpy(random.standard_normal((count, length), dtype=np.float32))
    noise_BT: Tensor = torch.fft.irfft(torch.fft.rfft(white_BT) * gain_F, n=length)
    return noise_BT[:, :samples]


def mixed(batch: Batch, options: MixUpOptions, random: np.random.Generator) -> MixedBatch:
    """The batch mixed with itself in another order, one share for all of it."""
    share = float(random.beta(options.alpha, options.alpha))
    second = batch.take(torch.from_numpy(random.permutation(len(batch))).to(batch.device))
    columns = {column.name: getattr(batch, column.name) for column in fields(Batch)}
    for name in INPUTS:
        columns[name] = share * columns[name] + (1 - share) * getattr(second, name)
    # The truth of a mixture is the mixture of the truths.
    truth_BT = share * batch.clean_BT + (1 - share) * second.clean_BT
    columns["clean_BT"] = truth_BT
    second = replace(second, clean_BT=truth_BT)
    if options.peaks == "left_out":
        nothing = {name: torch.full_like(columns[name], torch.nan) for name in PEAKS}
        columns |= nothing
        second = replace(second, **nothing)
    return MixedBatch(**columns, share=share, second=second)
