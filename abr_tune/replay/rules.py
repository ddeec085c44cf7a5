"""The health rules by themselves, on every recorded run: what they save and what they would have cost."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from abr_tune.replay.ground import BAD, Fate, Ground, Run


@dataclass(frozen=True, slots=True, kw_only=True)
class RulesReport:
    """What the rules do to a bank when nothing else stops anything."""

    fates: Mapping[Fate, int]
    """How many runs end how."""
    stopped: Mapping[Fate, int]
    """Of these, how many a rule stops."""
    by_rule: Mapping[str, int]
    """Rule -> runs it stops, of all."""
    saved_of_bad: float | None
    """Share of the epochs of runs that end collapsed, diverged or not finite; None without such runs."""
    saved_of_all: float
    top_stopped: int
    """Of the ten best configurations."""
    best_unchanged: bool
    """Whether the best configuration comes through."""
    delay: float | None
    """Mean epochs from the end of grace to the stop, of runs that end collapsed; None where none is stopped."""


def rules_report(ground: Ground) -> RulesReport:
    """Judge every recorded run."""
    runs = ground.runs
    bad = [run for run in runs if run.fate in BAD]
    stopped = [run for run in runs if run.stop is not None]
    delays = [
        run.stop.epoch - run.grace
        for run in runs
        if run.fate == "collapsed" and run.stop is not None and run.grace is not None
    ]
    return RulesReport(
        fates=dict(Counter(run.fate for run in runs)),
        stopped=dict(Counter(run.fate for run in stopped)),
        by_rule=dict(Counter(run.stop.rule for run in stopped if run.stop is not None)),
        saved_of_bad=_share(bad) if bad else None,
        saved_of_all=_share(runs),
        top_stopped=sum(run.number in ground.top for run in stopped),
        best_unchanged=ground.ranked[0].stop is None,
        delay=sum(delays) / len(delays) if delays else None,
    )


def _share(runs: Sequence[Run]) -> float:
    """Epochs that need not be trained, of all these runs' epochs; the epoch in which one broke off counts as spent."""
    saved = sum(run.length - run.stop.epoch for run in runs if run.stop is not None)
    return saved / sum(run.length for run in runs)
