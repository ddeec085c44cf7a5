"""One pure rule per way a training run goes wrong."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from core.config import Options
from core.report import EpochReport

Level = Literal["warn", "stop"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What a rule found: its level, its name, a sentence a person can act on, and the numbers behind it."""

    level: Level
    rule: str
    why: str
    epoch: int
    evidence: Mapping[str, float | str] = field(default_factory=dict)


class HealthOptions(Options):
    """Which rules watch a run, and their settings."""


def judge(
    history: Sequence[EpochReport], options: HealthOptions, baselines: Mapping[str, float]
) -> tuple[Verdict, ...]:
    """What the rules say of the last report of a run: stops first, then warnings; empty while all is well."""
    return ()
