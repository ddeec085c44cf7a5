"""The heads of the ABR network, as the options describe them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from core.data.scaling import Scaling
from core.models.features import FeatureSizes
from core.models.heads import LogitHead, NoClasses, ScalarHead, SignalHead
from core.models.peak_heads import LatencyHead
from core.models.threshold_head import ThresholdHead
from core.tasks.abr_head_options import HeadOptions, LatencyMethod, ThresholdPaths

LOCAL: Final[Mapping[ThresholdPaths, bool]] = {"global": False, "global_local": True}
"""Paths of the threshold head -> whether there is one over time."""


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Heads:
    """One head per loss term; all take `Features`."""

    classes: LogitHead | NoClasses
    threshold: ThresholdHead
    exist: LogitHead
    latency: LatencyHead | ScalarHead
    amplitude: ScalarHead
    signal: SignalHead


@dataclass(frozen=True, kw_only=True, slots=True)
class PeakSettings:
    """What the peak heads have in common."""

    sizes: FeatureSizes
    scaling: Scaling
    hidden: int
    dropout: float
    blocks: int
    spread: bool
    ms_per_sample: float


def build_heads(
    options: HeadOptions,
    sizes: FeatureSizes,
    scaling: Scaling,
    *,
    hidden: int,
    dropout: float,
    num_classes: int,
    ms_per_sample: float,
    spread: bool,
    outliers: float,
) -> Heads:
    """The heads that `options` describe, for a backbone of these sizes."""
    peaks = PeakSettings(
        sizes=sizes,
        scaling=scaling,
        hidden=hidden,
        dropout=dropout,
        blocks=options.peaks.blocks,
        spread=spread,
        ms_per_sample=ms_per_sample,
    )
    return Heads(
        classes=_class_head(options, sizes, hidden=hidden, dropout=dropout, num_classes=num_classes),
        threshold=ThresholdHead(
            sizes,
            hidden,
            dropout,
            scaling.threshold,
            local=LOCAL[options.threshold.paths],
            spread=spread,
            outliers=outliers,
        ),
        exist=LogitHead(sizes.summary, hidden, 1, dropout, blocks=peaks.blocks),
        latency=LATENCY[options.peaks.latency](peaks),
        amplitude=ScalarHead(sizes.summary, hidden, dropout, scaling.amplitude, blocks=peaks.blocks, spread=spread),
        signal=SignalHead(sizes.fine, sizes.fine_stride),
    )


def _class_head(
    options: HeadOptions, sizes: FeatureSizes, *, hidden: int, dropout: float, num_classes: int
) -> LogitHead | NoClasses:
    if not num_classes:
        return NoClasses()
    chosen = options.class_
    return LogitHead(sizes.summary, hidden, num_classes, dropout, blocks=chosen.blocks, apart=chosen.per_class)


def _soft_argmax(peaks: PeakSettings) -> LatencyHead:
    return LatencyHead(
        peaks.sizes,
        peaks.hidden,
        peaks.dropout,
        peaks.scaling.latency,
        ms_per_sample=peaks.ms_per_sample,
        blocks=peaks.blocks,
        spread=peaks.spread,
    )


def _bounded(peaks: PeakSettings) -> ScalarHead:
    return ScalarHead(
        peaks.sizes.summary,
        peaks.hidden,
        peaks.dropout,
        peaks.scaling.latency,
        blocks=peaks.blocks,
        spread=peaks.spread,
    )


LATENCY: Final[Mapping[LatencyMethod, Callable[[PeakSettings], LatencyHead | ScalarHead]]] = {
    "soft_argmax": _soft_argmax,
    "bounded": _bounded,
}
"""Every way to predict the latency, by name."""
