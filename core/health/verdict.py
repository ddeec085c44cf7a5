"""What a health rule says, and the form every rule has."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from core.health.history import History

Level = Literal["warn", "intervene", "stop"]
"""intervene: the training goes on with a lower learning rate, where it otherwise would be stopped."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What a rule found: its level, its name, a sentence a person can act on, and the numbers behind it."""

    level: Level
    rule: str
    why: str
    epoch: int
    evidence: Mapping[str, float | str] = field(default_factory=dict)


def lasting(epochs: int) -> str:
    """`for 1 epoch`, `for 3 epochs`."""
    return f"for {epochs} epoch{'' if epochs == 1 else 's'}"


Judgement = Callable[[History, Any, Mapping[str, float]], Iterator[Verdict]]
"""A rule: history, its own options, baselines by metric name -> what it says of the last report."""
