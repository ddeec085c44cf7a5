"""A lower learning rate instead of a stop: once or twice, then the stop after all."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

from core.health.history import History
from core.health.options import Intervene
from core.health.verdict import Verdict

RATE: Final = "rate_factor"
"""What earlier interventions have left of the scheduled learning rate; there only where a training takes them."""
MADE: Final = "interventions"
SINCE: Final = "since_intervention"
"""Epochs since the last one."""
BACK_TO: Final = "back_to"
"""The epoch whose checkpoint a broken training can return to."""


def instead(history: History, verdict: Verdict, asked: Intervene | None) -> Verdict:
    """The verdict, or where it is a stop what `asked` puts in its place: an intervention, or time to work for one.

    A training that takes no interventions is stopped, and so is one that broke before its first checkpoint: a loss or
    weight that is not finite can only be left behind.
    """
    state = history.last.health if history.broken is None else history.last.evidence
    if asked is None or verdict.level != "stop" or RATE not in state:
        return verdict
    made, since = int(float(state.get(MADE, 0))), state.get(SINCE)
    if history.broken is None and since is not None and float(since) <= asked.wait:
        why = (
            f"{verdict.why}; the learning rate was lowered at epoch {history.last.epoch - float(since):g}: time to work"
        )
        return replace(verdict, level="warn", why=why)
    if made >= asked.times:
        times = "once" if made == 1 else f"{made} times"
        return (
            replace(verdict, why=f"{verdict.why}; the learning rate had been lowered {times} before")
            if made
            else verdict
        )
    if history.broken is not None and not _can_go_on(history.last.evidence):
        return verdict
    left = float(state[RATE]) * asked.lower_rate
    why = (
        f"{verdict.why}; instead of a stop the learning rate is lowered to {left:.3g} of what was asked for "
        f"({made + 1} of {asked.times})"
    )
    evidence = {**verdict.evidence, "lower_rate": asked.lower_rate, "intervention": float(made + 1)}
    return replace(verdict, level="intervene", why=why, evidence=evidence)


def _can_go_on(evidence: Mapping[str, Any]) -> bool:
    return evidence.get("what") == "gradient" or BACK_TO in evidence
