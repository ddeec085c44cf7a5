"""What one epoch of one training run says: plain numbers, ready for JSON."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any


class NotFinite(ValueError):
    """A report was to be made of a number that is none: `NotFinite(name, value, epoch, phase)`."""

    @property
    def name(self) -> str:
        """The metric or signal."""
        return str(self.args[0])

    @property
    def value(self) -> float:
        """NaN or an infinity."""
        return float(self.args[1])

    @property
    def epoch(self) -> int:
        """The report's."""
        return int(self.args[2])

    @property
    def phase(self) -> str:
        """The report's."""
        return str(self.args[3])

    def __str__(self) -> str:
        return f"{self.name} is {self.value} in the report of epoch {self.epoch}; report it as absent"


@dataclass(frozen=True, slots=True)
class Intervention:
    """What a report may be answered with, by `send`: train on with a lower learning rate instead of being stopped."""

    lower_rate: float
    """Factor on the learning rate from here on, over 0 and under 1."""


@dataclass(frozen=True, kw_only=True, slots=True)
class EpochReport:
    """The state of a run after an epoch, or at the step where a number stopped being finite.

    Every number in `metrics` and `health` is finite, except that a report with `complete=False` may say in `evidence`
    what was not. A metric that cannot be computed is missing from `metrics` and named in `absent` with the reason.
    """

    epoch: int
    """Epochs finished, counted from 1. An incomplete report carries the number of the epoch it broke off in."""
    phase: str
    """Name of the phase this epoch belonged to."""
    metrics: Mapping[str, float] = field(default_factory=dict)
    """`<split>/<task>/<metric>` and `<split>/<task>/<metric>:skill`, scored over the whole split."""
    health: Mapping[str, float] = field(default_factory=dict)
    """Signals of the epoch: `grad_norm`, `loss/<term>`, ... (names in the contracts' table, group health)."""
    active: Mapping[str, int] = field(default_factory=dict)
    """Term -> epochs it has been trained since the latest of end of warm-up, start of its phase and unfreezing.

    0 while any of these lies ahead; a term that is off is missing. Grace of the health rules counts from here.
    """
    absent: Mapping[str, str] = field(default_factory=dict)
    """Metric -> why it could not be computed."""
    seconds: float = 0.0
    """Wall time of the epoch, evaluation included."""
    ended_early: str = ""
    """Why training ends with this epoch though its budget is not spent; empty otherwise."""
    complete: bool = True
    """False when the report was sent from within an epoch because something was not finite."""
    evidence: Mapping[str, float | str] = field(default_factory=dict)
    """What was not finite, where: `step`, `what` (loss, gradient, weight), `term`, `streak`, `last_finite_loss`; with
    `rate_factor`, `interventions` and, where there is a checkpoint, `back_to`: the epoch an intervention returns to."""

    def __post_init__(self) -> None:
        for group in (self.metrics, self.health):
            for name, value in group.items():
                if not math.isfinite(value):
                    raise NotFinite(name, value, self.epoch, self.phase)

    def to_json(self) -> dict[str, Any]:
        """One line of `history.jsonl`, empty groups left out."""
        record = asdict(self)
        for name in ("active", "absent", "evidence", "ended_early"):
            if not record[name]:
                del record[name]
        if self.complete:
            del record["complete"]
        return record

    @classmethod
    def from_json(cls, record: Mapping[str, Any]) -> EpochReport:
        """The report that `to_json` wrote."""
        return cls(**record)
