"""How badly a stopped run had collapsed, by numbers checked by hand."""

from __future__ import annotations

from typing import Any, get_args

import pytest
from hypothesis import given, strategies as st

from core.health import RULES, Verdict
from core.health.severity import SEVERITIES, Collapse, severity


def stop(rule: str, epoch: int = 5, **evidence: Any) -> float:
    return severity(Verdict(level="stop", rule=rule, why="", epoch=epoch, evidence=evidence))


CASES = [
    # (1 + 1/epoch) / 2
    (stop("non_finite", epoch=1), 1.0),
    (stop("non_finite", epoch=4), 0.625),
    # share .9; the score is 1.25 times the majority's, so .8 of the way: (.9 + .8) / 2 / 2
    (stop("class_collapse", largest_share=0.9, f1_macro=0.25, majority_f1_macro=0.2), 0.425),
    # at the majority's score with all recordings in one class
    (stop("class_collapse", largest_share=1.0, f1_macro=0.2, majority_f1_macro=0.2), 0.5),
    (stop("class_collapse", largest_share=1.0, f1_macro=0.0, majority_f1_macro=0.2), 0.5),
    (stop("literal_one_class", largest_share=1.0, f1_macro=0.18), 0.5),
    # .05 / (.05 + .05) / 2, and a constant
    (stop("regression_collapse", spread_ratio=0.05), 0.25),
    (stop("regression_collapse", spread_ratio=0.0), 0.5),
    # 1000 times the usual is three decades: 3/4 / 2
    (stop("gradient_explosion", grad_norm=500.0, usual=0.5), 0.375),
    (stop("literal_gradient_norm", grad_norm_max=100.0), 1 / 3),
    # one class of several: 1/2 / 4, two: 2/3 / 4
    (stop("class_absent", **{"class": "SNİK"}), 0.125),
    (stop("literal_zero_f1", classes="SNİK, İTİK"), 1 / 6),
    # one below 0: 1/2 / 4; 40 % of the labels: .4 / 2; a tenth of what is possible: .9 / 2
    (stop("negative_r2", r2=-1.0), 0.125),
    (stop("out_of_reach", share=0.4), 0.2),
    (stop("attention_collapse", attention_entropy=0.1), 0.45),
    (stop("learned_odds", odds=0.02), 0.245),
]


@pytest.mark.parametrize(("found", "expected"), CASES)
def test_severity_by_hand(found: float, expected: float) -> None:
    assert found == pytest.approx(expected)


@pytest.mark.parametrize("rule", ["successive_halving", "hyperband", "median", "limit_time", "objective_absent"])
def test_a_stop_that_is_no_collapse_has_none(rule: str) -> None:
    assert stop(rule, largest_share=1.0) == 0.0


def test_every_rule_that_stops_has_its_severity() -> None:
    assert set(SEVERITIES) == set(get_args(Collapse))
    # Those that never stop by themselves.
    only_warn = {"term_not_falling", "task_dominance", "gradient_conflict", "no_gradient"}
    assert set(RULES) - set(SEVERITIES) == only_warn


@pytest.mark.parametrize("rule", get_args(Collapse))
def test_missing_or_unprintable_evidence_leaves_it_within_bounds(rule: str) -> None:
    words = dict.fromkeys(("grad_norm", "grad_norm_max", "usual", "largest_share", "f1_macro", "spread_ratio"), "nan")
    assert 0 < stop(rule) <= 1
    assert 0 < stop(rule, **words) <= 1


share, score = st.floats(0, 1), st.floats(0, 1)


@given(st.integers(1, 10_000), share, score, share)
def test_a_run_that_broke_is_worse_than_any_that_still_computes(
    epoch: int, one: float, f1: float, spread: float
) -> None:
    broke = stop("non_finite", epoch=epoch)
    assert broke > 0.5
    assert stop("class_collapse", largest_share=one, f1_macro=f1, majority_f1_macro=0.2) <= 0.5
    assert stop("regression_collapse", spread_ratio=spread) <= 0.5


@given(share, share, st.floats(0.01, 1), st.floats(0.01, 1))
def test_nearer_to_collapse_is_never_milder(a: float, b: float, f1: float, g1: float) -> None:
    low, high = sorted((a, b))
    worse, better = sorted((f1, g1))
    assert stop("class_collapse", largest_share=low, f1_macro=better, majority_f1_macro=0.2) <= stop(
        "class_collapse", largest_share=high, f1_macro=worse, majority_f1_macro=0.2
    )
    assert stop("regression_collapse", spread_ratio=high) <= stop("regression_collapse", spread_ratio=low)
    assert stop("gradient_explosion", grad_norm=1 + low, usual=0.01) <= stop(
        "gradient_explosion", grad_norm=1 + high, usual=0.01
    )
