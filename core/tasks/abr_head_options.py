"""The knobs of the ABR network's heads; free of torch."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from core.config import Options

Blocks = Annotated[int, Field(ge=0, le=8)]
Finite = Annotated[float, Field(allow_inf_nan=False)]


def _ascending(ends: tuple[float, float]) -> tuple[float, float]:
    if ends[0] >= ends[1]:
        raise ValueError(f"the lower end {ends[0]:g} is not below the upper end {ends[1]:g}")
    return ends


LatencyMethod = Literal["soft_argmax", "bounded"]
ThresholdPaths = Literal["global", "global_local"]


class ClassHeadOptions(Options):
    """From the summary of a recording to the logits of its classes."""

    blocks: Blocks = 0
    """Residual blocks before the read-out; 0: one hidden layer."""
    per_class: bool = False
    """Give every class an extractor of its own, half as wide, which no other class trains (document 001)."""
    temperature: bool = False
    """Divide the logits by one number fitted on the validation recordings after each epoch, Guo et al. 2017
    (1706.04599): the most probable class stays, how sure the model is changes. It is stored with the weights."""


class ThresholdHeadOptions(Options):
    """From a recording to its hearing threshold, within the range of the training labels."""

    paths: ThresholdPaths = "global"
    """global: from the summary of the recording; global_local: also from the waveform's own features, with a second
    predictor that sees these alone (document 001); `loss.auxiliary` is its weight."""


class PeakHeadsOptions(Options):
    """From a recording to wave V: whether it is there, when, how large."""

    blocks: Blocks = 0
    """Residual blocks of existence, latency and amplitude, each its own (document 001); 0: one hidden layer each."""
    latency: LatencyMethod = "soft_argmax"
    """soft_argmax (1801.07372): the mean time under a learnt distribution over the recording, which moves as the wave
    does and cannot leave the recording; bounded: a number within the range of the training labels, wherever it lies."""


Range = Annotated[tuple[Finite, Finite], AfterValidator(_ascending)]


class BoundsOptions(Options):
    """Ranges that heads answer within; null: that of the training labels with a margin of a tenth on either side."""

    threshold_db: Range | None = None
    """Such as [0, 120] for every audiometer, whatever the training labels reach."""
    latency_ms: Range | None = None
    """Document 001: [1, 8], which 39 % of the clinic's labels lie beyond; the rule `out_of_reach` then says so."""
    amplitude_uv: Range | None = None
    """Document 001: [-0.5, 0.5]."""

    def by_target(self) -> dict[str, tuple[float, float] | None]:
        """Under the names of the targets in `core.data.scaling`."""
        return {"threshold": self.threshold_db, "latency": self.latency_ms, "amplitude": self.amplitude_uv}


class HeadOptions(Options):
    """One head per task. Whether they also predict a spread follows `loss.regression`."""

    class_: ClassHeadOptions = Field(default=ClassHeadOptions(), alias="class")
    threshold: ThresholdHeadOptions = ThresholdHeadOptions()
    peaks: PeakHeadsOptions = PeakHeadsOptions()
