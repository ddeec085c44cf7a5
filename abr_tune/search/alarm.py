"""The alarm: nearly every trial is stopped by health rules, so the space or the rules are wrong, not the trials."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Final

from abr_tune.search.events import AlarmRaised, TrialRecord

ALL_OF: Final = 8
"""So many trials ended, every one by a health rule."""
MOST_OF: Final = 10
"""Of at least so many ended trials ..."""
SHARE: Final = 0.8
"""... this share was stopped by health rules."""

ADVICE: Final[Mapping[str, str]] = {
    "non_finite": "lower the upper bound of the learning rate, tighten gradient clipping, and look for NaN or extreme "
    "values in the data",
    "class_collapse": "lower the upper bound of the learning rate, give the classes more weight (loss.weights, "
    "balance), check the labels, and raise grace or patience of class_collapse if good runs leave the plateau late",
    "regression_collapse": "raise the weight of the term concerned, lower the upper bound of the learning rate, check "
    "the labels' scale, and raise grace or patience of regression_collapse if good runs leave the plateau late",
    "gradient_explosion": "lower the upper bound of the learning rate, lengthen the warm-up, tighten gradient clipping",
    "class_absent": "give rare classes more weight, raise min_samples or patience of class_absent, or let it only warn "
    "(patience: null)",
    "negative_r2": "raise the weight of the term concerned, check the labels' scale, or let negative_r2 only warn "
    "(patience: null)",
    "out_of_reach": "widen the bounds of the head concerned (model.bounds), or leave them to the training labels",
    "attention_collapse": "lower the upper bound of the learning rate, lengthen the warm-up, tighten gradient clipping",
    "learned_odds": "few runs of this space end well from such a state: change its bounds, and see in the audit "
    "whether the stops are right",
    "literal_one_class": "this rule also stops about half of the runs that would end well: use class_collapse instead",
    "literal_zero_f1": "this rule also stops a fifth of the runs that would end well: use class_absent instead",
    "literal_gradient_norm": "raise its limit, which depends on the scale of the losses, or use gradient_explosion",
}
"""Health rule (`Collapse` in core.health.severity) -> what to change when it stops nearly everything."""


def stopped_by(record: TrialRecord) -> str | None:
    """The health rule that ended a trial, or would have ended it but for the audit."""
    rule = (record.audited or {}).get("rule") or record.pruned_by
    return rule if rule in ADVICE else None


def alarm(stops: Mapping[str, int], ended: int) -> AlarmRaised | None:
    """The alarm for `stops` (health rule -> trials) among `ended` trials, complete and pruned; None while all is well.

    Raised when all of the first 8, or 8 in 10 of at least 10, were stopped by health rules.
    """
    stopped = sum(stops.values())
    if ended < ALL_OF or stopped < (SHARE if ended >= MOST_OF else 1.0) * ended:
        return None
    rule, count = max(stops.items(), key=lambda item: item[1])
    most = "all of them" if count == stopped else f"{count} of them"
    why = f"{stopped} of {ended} trials were stopped by health rules, {most} by {rule}: {ADVICE[rule]}"
    return AlarmRaised(rule, why)


def alarm_of(records: Iterable[TrialRecord]) -> AlarmRaised | None:
    """The alarm for the trials of a study, if there is one."""
    ended = [record for record in records if record.state in {"complete", "pruned"}]
    return alarm(Counter(rule for record in ended if (rule := stopped_by(record)) is not None), len(ended))
