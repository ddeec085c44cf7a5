"""The audit: a few trials run to their end whatever would stop them, and tell how often a stop is false.

Who is audited is settled before a trial begins, from the study's seed and the trial's number alone: nothing that
happens in the search can favour one trial over another, so the audited ones are a fair sample of the stopped ones.
The first verdict that would have ended such a trial is kept (`TrialRecord.audited`), and it trains on; `non_finite` and
the limits end it all the same. Its true ending counts like that of any trial.

A paused trial is not stopped yet: an audited one waits at its rung like the others and may be promoted. Only when the
search ends, and those never promoted are pruned, do the audited among them go on to their end. So nothing is spent on
trials that would have been promoted anyway, and the price is known: the rest of the training of a `share` of the trials
that were stopped. Where rankings stop instead of pausing, an audited trial trains on at once, and its later values are
among those that others are compared with; as it was behind, it hardly moves what they must reach.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import Final

from abr_tune.front import values_of
from abr_tune.search.events import TrialRecord
from core.health.odds import share_interval
from core.tasks.task import Objective

BROKE: Final = frozenset({"non_finite", "objective_absent"})
"""Ends of a pruned trial that are its own: a stop before would not have cost anything."""


def audited(seed: int, number: int, share: float) -> bool:
    """Whether the trial with this number is audited; a larger `share` audits the same trials and others."""
    drawn = int.from_bytes(blake2b(f"audit {seed} {number}".encode(), digest_size=8).digest(), "big")
    return drawn < share * 2**64


@dataclass(frozen=True, slots=True, kw_only=True)
class FalseStops:
    """Of the audited stops of one rule, how many were false."""

    rule: str | None
    """Who would have stopped them; None: all rules and rankings together."""
    judged: int
    """Audited trials whose end is known."""
    false: int
    """Of those, how many are among the leaders of the search: the stop would have lost one."""
    above_baseline: int | None
    """Of those, how many ended better than the trivial predictor; None where its score is not known."""

    @property
    def share(self) -> float:
        """Estimate of the share of stops that are false."""
        return self.false / self.judged

    @property
    def interval(self) -> tuple[float, float]:
        """95 % interval of that share (Jeffreys)."""
        return share_interval(self.false, self.judged)

    def __str__(self) -> str:
        low, high = self.interval
        return f"{self.false} of {self.judged} audited stops were false (95 % interval {low:.0%} to {high:.0%})"


def false_stops(
    records: Iterable[TrialRecord], leaders: Collection[int], objective: Objective, baseline: float | None = None
) -> tuple[FalseStops, ...]:
    """How often the audit found a stop false: over all first, then by rule, the most judged first.

    `leaders` are the numbers of the trials that are confirmed, or would be; `baseline` is what the trivial predictor
    scores on `objective`, the first of the plan. Empty when no audited trial has a known end: `why_unknown` says why.
    """
    known = [record for record in records if record.audited is not None and _end_known(record)]
    if not known:
        return ()
    rules = sorted({_rule(record) for record in known}, key=lambda rule: (-_count(known, rule), rule))
    return (
        _row(None, known, leaders, objective, baseline),
        *(_row(rule, [each for each in known if _rule(each) == rule], leaders, objective, baseline) for rule in rules),
    )


def why_unknown(records: Iterable[TrialRecord], share: float) -> str:
    """Why there is no estimate of false stops."""
    records = list(records)
    if share == 0:
        return "the audit is off: nobody knows how the stopped trials would have ended"
    if open_ones := sum(record.audited is not None for record in records):
        return f"the end of the audited stops is not known ({open_ones} failed, unfinished or over a limit)"
    stopped = sum(record.state == "pruned" and record.pruned_by not in BROKE for record in records)
    return f"none of the {stopped} stopped trials was drawn for the audit of {share:.0%}"


def _end_known(record: TrialRecord) -> bool:
    return record.state == "complete" or (record.state == "pruned" and record.pruned_by in BROKE)


def _rule(record: TrialRecord) -> str:
    return str((record.audited or {}).get("rule"))


def _count(records: Sequence[TrialRecord], rule: str) -> int:
    return sum(_rule(record) == rule for record in records)


def _row(
    rule: str | None,
    records: Sequence[TrialRecord],
    leaders: Collection[int],
    objective: Objective,
    baseline: float | None,
) -> FalseStops:
    sign = 1 if objective.direction == "maximize" else -1
    reached = [values[0] for record in records if (values := values_of(record))]
    return FalseStops(
        rule=rule,
        judged=len(records),
        false=sum(record.number in leaders for record in records),
        above_baseline=None if baseline is None else sum(sign * value > sign * baseline for value in reached),
    )
