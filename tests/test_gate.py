"""The gate: which criteria give go, investigate and no-go."""

from __future__ import annotations

import json
import math
from typing import get_args, get_type_hints

import pytest

from abr_tune.gate import COMPARISONS, WORST_FIRST, Result, judge_gate
from abr_tune.plan.plan import Bound, Criterion

F1 = Criterion("val/class/f1_macro", Bound(">", 0.40), Bound(">", 0.30))
ALL_CLASSES = Criterion("val/class/predicted_classes", Bound("==", 5))


@pytest.mark.parametrize(
    ("f1", "result"), [(0.41, "go"), (0.40, "investigate"), (0.31, "investigate"), (0.30, "no-go"), (0.1, "no-go")]
)
def test_a_value_is_placed_between_its_bounds(f1: float, result: str) -> None:
    verdict = judge_gate([F1], {"val/class/f1_macro": f1})
    assert (verdict.verdict, verdict.criteria[0].result, verdict.criteria[0].value) == (result, result, f1)


def test_the_worst_row_decides() -> None:
    metrics = {"val/class/f1_macro": 0.35, "val/class/predicted_classes": 5.0}
    assert judge_gate([ALL_CLASSES, F1], metrics).verdict == "investigate"
    assert judge_gate([ALL_CLASSES, F1], metrics | {"val/class/predicted_classes": 4.0}).verdict == "no-go"


def test_a_criterion_without_investigate_knows_only_go_and_no_go() -> None:
    assert judge_gate([ALL_CLASSES], {"val/class/predicted_classes": 4.67}).verdict == "no-go"


def test_an_absent_metric_is_no_go_with_the_reason() -> None:
    row = judge_gate([F1], {}, {"val/class/f1_macro": "no labelled recordings in the split"}).criteria[0]
    assert (row.result, row.value, row.why) == ("no-go", None, "no labelled recordings in the split")
    assert judge_gate([F1], {}).criteria[0].why == "the run did not report this metric"


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_value_that_is_not_finite_never_passes(value: float) -> None:
    row = judge_gate([Criterion("m", Bound(">", 0)), Criterion("m", Bound("<", 0))], {"m": value}).criteria
    assert [entry.result for entry in row] == ["no-go", "no-go"]


@pytest.mark.parametrize(
    ("operator", "below", "equal", "above"),
    [
        (">", False, False, True),
        (">=", False, True, True),
        ("<", True, False, False),
        ("<=", True, True, False),
        ("==", False, True, False),
    ],
)
def test_operators(operator: str, below: bool, equal: bool, above: bool) -> None:
    criterion = Criterion("m", Bound(operator, 2.0))  # type: ignore[arg-type]
    results = [judge_gate([criterion], {"m": value}).verdict == "go" for value in (1.0, 2.0, 3.0)]
    assert results == [below, equal, above]


def test_every_operator_and_result_is_known() -> None:
    assert set(COMPARISONS) == set(get_args(get_type_hints(Bound)["operator"]))
    assert set(WORST_FIRST) == set(get_args(Result))


def test_a_mean_of_counts_may_carry_rounding() -> None:
    assert judge_gate([ALL_CLASSES], {"val/class/predicted_classes": sum([5.0 / 3] * 3)}).verdict == "go"


def test_no_criteria_no_objection() -> None:
    assert judge_gate([], {}).verdict == "go"


def test_json_is_what_the_summary_holds() -> None:
    verdict = judge_gate([F1], {"val/class/f1_macro": 0.51}).to_json()
    assert json.loads(json.dumps(verdict)) == {
        "verdict": "go",
        "criteria": [
            {
                "metric": "val/class/f1_macro",
                "go": "> 0.4",
                "investigate": "> 0.3",
                "value": 0.51,
                "result": "go",
                "why": None,
                "next": [],
                "by_epoch": None,
            }
        ],
    }
