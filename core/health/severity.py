"""How badly a stopped run had collapsed: what a sampler is told, so that it moves away from such configurations."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any, Final, Literal

from core.health.verdict import Verdict

Collapse = Literal[
    "non_finite",
    "class_collapse",
    "regression_collapse",
    "gradient_explosion",
    "class_absent",
    "negative_r2",
    "out_of_reach",
    "attention_collapse",
    "learned_odds",
    "literal_one_class",
    "literal_zero_f1",
    "literal_gradient_norm",
]
"""Rules whose stop means that the run had gone wrong, as opposed to being worse than others or too expensive."""

HALF_SPREAD: Final = 0.05
"""Ratio of spreads at which a regression counts as half way to constant: the default under which its rule stops."""

Evidence = Mapping[str, Any]
Nearness = Callable[[Verdict], float]


def severity(verdict: Verdict) -> float:
    """How badly a run had collapsed when it was stopped, over 0 to 1; 0 for a stop that says nothing of the kind.

    NaN and infinity lie in [0.5, 1], the earlier the worse; everything that still computes lies in (0, 0.5], so that
    no collapse counts as worse than a run that broke. Evidence that is missing counts as complete collapse.

    | stopped by | severity | grows with |
    |---|---|---|
    | non_finite | (1 + 1/epoch) / 2 | an earlier epoch |
    | class_collapse, literal_one_class | nearness / 2 | the share of one class, nearness to the majority's score |
    | regression_collapse | 0.05 / (0.05 + spread) / 2 | a smaller spread of the predictions |
    | gradient_explosion, literal_gradient_norm | d / (1 + d) / 2 | d, the decades above the usual (or above 1) |
    | class_absent, literal_zero_f1 | c / (1 + c) / 4 | c, the classes never found |
    | negative_r2 | r / (1 + r) / 4 | r, how far R² lies below 0 |
    | out_of_reach | share / 2 | the share of labels that cannot be answered |
    | attention_collapse | (1 - entropy) / 2 | a smaller entropy of the attention |
    | learned_odds | (1 - odds) / 4 | smaller odds of a good end |

    Rankings between trials, limits and an absent objective have severity 0: they are not collapse.
    """
    measure = SEVERITIES.get(verdict.rule)
    return 0.0 if measure is None else measure(verdict)


def _broken(verdict: Verdict) -> float:
    return (1 + 1 / max(1, verdict.epoch)) / 2


def _one_class(verdict: Verdict) -> float:
    """Mean of the largest predicted share and of majority's score over score, each at most 1; at least 1/2."""
    seen = verdict.evidence
    share, score, majority = (_number(seen, name) for name in ("largest_share", "f1_macro", "majority_f1_macro"))
    at_majority = min(1.0, majority / score) if score and majority is not None else 1.0
    return (min(1.0, 1.0 if share is None else share) + at_majority) / 4


def _constant(verdict: Verdict) -> float:
    spread = _number(verdict.evidence, "spread_ratio") or 0.0
    return HALF_SPREAD / (HALF_SPREAD + max(0.0, spread)) / 2


def _explosion(verdict: Verdict) -> float:
    seen = verdict.evidence
    norm = _number(seen, "grad_norm" if "usual" in seen else "grad_norm_max")
    usual = _number(seen, "usual") or 1.0
    if norm is None:
        return 0.5
    decades = max(TINY, math.log10(max(norm, TINY) / usual))
    return decades / (1 + decades) / 2


def _never_found(verdict: Verdict) -> float:
    names = str(verdict.evidence.get("classes", verdict.evidence.get("class", "")))
    missing = len(names.split(", "))
    return missing / (1 + missing) / 4


def _worse_than_mean(verdict: Verdict) -> float:
    below = max(0.0, -(_number(verdict.evidence, "r2") or 0.0))
    return max(TINY, below / (1 + below) / 4)


def _unanswerable(verdict: Verdict) -> float:
    share = _number(verdict.evidence, "share")
    return max(TINY, min(1.0, 1.0 if share is None else share) / 2)


def _narrow(verdict: Verdict) -> float:
    return (1 - min(1.0, max(0.0, _number(verdict.evidence, "attention_entropy") or 0.0))) / 2 or TINY


def _hopeless(verdict: Verdict) -> float:
    return (1 - (_number(verdict.evidence, "odds") or 0.0)) / 4


def _number(evidence: Evidence, name: str) -> float | None:
    """A finite number of the evidence; what was stored as the word `nan` or `inf` counts as missing."""
    value = evidence.get(name)
    return float(value) if isinstance(value, int | float) and math.isfinite(value) else None


TINY: Final = 1e-12

SEVERITIES: Final[Mapping[str, Nearness]] = {
    "non_finite": _broken,
    "class_collapse": _one_class,
    "regression_collapse": _constant,
    "gradient_explosion": _explosion,
    "class_absent": _never_found,
    "negative_r2": _worse_than_mean,
    "out_of_reach": _unanswerable,
    "attention_collapse": _narrow,
    "learned_odds": _hopeless,
    "literal_one_class": _one_class,
    "literal_zero_f1": _never_found,
    "literal_gradient_norm": _explosion,
}
