"""Health rules: one pure rule per way a training run goes wrong.

A rule reads the history of a run and says what it finds in its last report: a warning, or a stop with a reason and
the numbers behind it. A warning is repeated for as long as it holds. No rule judges a term that is off or in grace;
grace counts from `EpochReport.active`. The literal rules count epochs as their documents do.

Signals the rules read besides the metrics: `loss/<term>`, `grad_norm` (median of the epoch's steps), `grad_norm_max`,
`steps`, `non_finite` (skipped steps), and what is looked at every few steps: `grad_norm/<term>`, `grad_cosine/<a>-<b>`,
`part_grad_norm/<part>`, `attention_entropy`. A rule whose signals are missing stays silent.

A rule with `intervene` does not stop at first: its verdict asks for a lower learning rate.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, Literal

from core.health.attention import attention_collapse
from core.health.collapse import class_absent, class_collapse, literal_one_class, literal_zero_f1, regression_collapse
from core.health.history import History
from core.health.intervention import instead
from core.health.numbers import gradient_explosion, literal_gradient_norm, non_finite, term_not_falling
from core.health.options import HealthOptions, Stopping
from core.health.pulls import gradient_conflict, no_gradient, task_dominance
from core.health.regression import negative_r2, out_of_reach
from core.health.verdict import Judgement, Level, Verdict
from core.report import EpochReport

Rule = Literal[
    "non_finite",
    "class_collapse",
    "regression_collapse",
    "gradient_explosion",
    "term_not_falling",
    "class_absent",
    "task_dominance",
    "gradient_conflict",
    "no_gradient",
    "negative_r2",
    "out_of_reach",
    "attention_collapse",
    "literal_one_class",
    "literal_zero_f1",
    "literal_gradient_norm",
]
"""Names of the rules, as in the `health:` section and in `pruned_by`."""

RULES: Final[Mapping[Rule, Judgement]] = {
    "non_finite": non_finite,
    "class_collapse": class_collapse,
    "regression_collapse": regression_collapse,
    "gradient_explosion": gradient_explosion,
    "term_not_falling": term_not_falling,
    "class_absent": class_absent,
    "task_dominance": task_dominance,
    "gradient_conflict": gradient_conflict,
    "no_gradient": no_gradient,
    "negative_r2": negative_r2,
    "out_of_reach": out_of_reach,
    "attention_collapse": attention_collapse,
    "literal_one_class": literal_one_class,
    "literal_zero_f1": literal_zero_f1,
    "literal_gradient_norm": literal_gradient_norm,
}

FIRST: Final[Sequence[Level]] = ("stop", "intervene", "warn")
"""The order in which they are told."""


def judge(
    history: Sequence[EpochReport],
    options: HealthOptions,
    baselines: Mapping[str, float],
    length: int | None = None,
) -> tuple[Verdict, ...]:
    """What the rules say of the last report of a run: stops first, then what is done instead, then warnings.

    Empty while all is well.

    `baselines` maps metric names to the scores of trivial predictors; `length` is how many epochs the run is going to
    train, where that is known. A report sent from within an epoch is judged by
    `non_finite` alone: it carries no scores.
    """
    if not history:
        return ()
    view = History.of(history, length)
    names: tuple[Rule, ...] = ("non_finite",) if view.broken is not None else tuple(RULES)
    asked = {name: getattr(options, name) for name in names}
    found = [
        instead(view, verdict, rule.intervene if isinstance(rule, Stopping) else None)
        for name, rule in asked.items()
        if rule is not None
        for verdict in RULES[name](view, rule, baselines)
    ]
    return tuple(sorted(found, key=lambda verdict: FIRST.index(verdict.level)))


__all__ = ["RULES", "HealthOptions", "Level", "Rule", "Verdict", "judge"]
