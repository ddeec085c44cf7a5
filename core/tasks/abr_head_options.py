"""The knobs of the ABR network's heads; free of torch."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from core.config import Options

Blocks = Annotated[int, Field(ge=0, le=8)]
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


class HeadOptions(Options):
    """One head per task. Whether they also predict a spread follows `loss.regression`."""

    class_: ClassHeadOptions = Field(default=ClassHeadOptions(), alias="class")
    threshold: ThresholdHeadOptions = ThresholdHeadOptions()
    peaks: PeakHeadsOptions = PeakHeadsOptions()
