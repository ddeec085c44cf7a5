"""The gate: does a result meet the success criteria of its space file? Go, investigate or no-go."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Final, Literal

from abr_tune.plan.plan import Bound, Criterion

Result = Literal["go", "investigate", "no-go"]
"""A row's result, and the verdict: that of the worst row."""
WORST_FIRST: Final[tuple[Result, ...]] = ("no-go", "investigate", "go")

COMPARISONS: Final[Mapping[str, Callable[[float, float], bool]]] = {
    ">": operator.gt,
    ">=": operator.ge,
    "<": operator.lt,
    "<=": operator.le,
    "==": operator.eq,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class GateRow:
    """One criterion, judged."""

    metric: str
    go: str
    investigate: str | None
    value: float | None
    """None when the metric is absent or not finite."""
    result: Result
    why: str | None = None
    """Why a row without a value is no-go."""
    by_epoch: int | None = None
    """The epoch that the value is of; None: the last."""
    next: tuple[str, ...] = ()
    """What to try where it is missed."""


@dataclass(frozen=True, slots=True)
class GateVerdict:
    """The verdict and the rows it follows from."""

    verdict: Result
    criteria: tuple[GateRow, ...]

    def to_json(self) -> dict[str, Any]:
        """The `gate` of `summary.json`."""
        return {"verdict": self.verdict, "criteria": [asdict(row) for row in self.criteria]}


def judge_gate(
    criteria: Iterable[Criterion], metrics: Mapping[str, float], absent: Mapping[str, str] | None = None
) -> GateVerdict:
    """Judge `metrics` (the confirmed validation means); a metric that is missing is no-go.

    `absent` says why a metric could not be computed, where that is known. Without criteria there is nothing to miss:
    the verdict is go.
    """
    return verdict_of(_row(criterion, metrics.get(criterion.metric), absent or {}) for criterion in criteria)


def verdict_of(judged: Iterable[GateRow]) -> GateVerdict:
    """The verdict that follows from judged rows."""
    rows = tuple(judged)
    return GateVerdict(
        next((result for result in WORST_FIRST if any(row.result == result for row in rows)), "go"), rows
    )


def meets(value: float, bound: Bound) -> bool:
    """Whether `value` satisfies `bound`; a mean that should equal a count may differ by rounding."""
    if bound.operator == "==":
        return math.isclose(value, bound.value, rel_tol=1e-9, abs_tol=1e-9)
    return COMPARISONS[bound.operator](value, bound.value)


def written(bound: Bound) -> str:
    """A bound as the space file has it: `> 0.4`."""
    return f"{bound.operator} {bound.value:g}"


def _row(criterion: Criterion, value: float | None, absent: Mapping[str, str]) -> GateRow:
    known = value is not None and math.isfinite(value)
    why = None
    result: Result = "no-go"
    if value is None:
        why = absent.get(criterion.metric, "the run did not report this metric")
    elif not known:
        why = f"the metric is {value}"
    elif meets(value, criterion.go):
        result = "go"
    elif criterion.investigate is not None and meets(value, criterion.investigate):
        result = "investigate"
    return GateRow(
        metric=criterion.metric,
        go=written(criterion.go),
        investigate=None if criterion.investigate is None else written(criterion.investigate),
        value=value if known else None,
        result=result,
        why=why,
        by_epoch=criterion.by_epoch,
    )
