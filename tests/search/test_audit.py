"""The audit's draw, and the estimate of false stops."""

from __future__ import annotations

import pytest
from scipy.stats import beta, binomtest

from abr_tune.search.audit import audited, false_stops, why_unknown
from abr_tune.search.events import TrialRecord
from core.tasks.task import Objective

UP, DOWN = Objective("score"), Objective("score", "minimize")


def trial(
    number: int, state: str = "complete", value: float | None = 0.5, rule: str | None = None, **more
) -> TrialRecord:
    verdict = None if rule is None else {"rule": rule, "why": "", "epoch": 4}
    return TrialRecord(number=number, name=None, state=state, value=value, params={}, audited=verdict, **more)


def test_the_draw_has_its_share_and_is_settled_by_seed_and_number() -> None:
    drawn = {seed: [audited(seed, number, 0.05) for number in range(4000)] for seed in (0, 1)}
    assert binomtest(sum(drawn[0]), 4000, 0.05).pvalue > 0.01
    assert drawn[0] == [audited(0, number, 0.05) for number in range(4000)]
    both = sum(a and b for a, b in zip(drawn[0], drawn[1], strict=True))
    assert both < 40  # about 10 by chance: seeds draw by themselves


def test_a_larger_share_audits_the_same_trials_and_others() -> None:
    small, large = ({n for n in range(2000) if audited(7, n, share)} for share in (0.05, 0.3))
    assert small < large
    assert not any(audited(7, number, 0.0) for number in range(2000))
    assert all(audited(7, number, 1.0) for number in range(2000))


RECORDS = [
    trial(0, value=0.9),
    trial(1, value=0.8, rule="class_collapse"),  # a leader: the stop would have been false
    trial(2, value=0.3, rule="class_collapse"),  # above the baseline, and no leader
    trial(3, value=0.1, rule="class_collapse"),
    trial(4, "pruned", None, rule="successive_halving", pruned_by="non_finite"),
    trial(5, "pruned", None, rule="median", pruned_by="limit_time"),  # nobody knows
    trial(6, "failed", None, rule="median"),
    trial(7, "pruned", None, pruned_by="class_collapse"),  # not audited
]


def test_false_stops_over_all_and_by_rule() -> None:
    rows = false_stops(RECORDS, {0, 1}, UP, baseline=0.2)
    assert [(row.rule, row.judged, row.false, row.above_baseline) for row in rows] == [
        (None, 4, 1, 2),
        ("class_collapse", 3, 1, 2),
        ("successive_halving", 1, 0, 0),
    ]
    assert rows[0].share == 0.25
    assert rows[0].interval == pytest.approx(beta(1.5, 3.5).interval(0.95))
    assert str(rows[2]).startswith("0 of 1 audited stops were false (95 % interval 0% to ")


def test_below_a_baseline_is_better_where_small_is_good() -> None:
    rows = false_stops([trial(1, value=0.1, rule="median"), trial(2, value=0.3, rule="median")], (), DOWN, 0.2)
    assert rows[0].above_baseline == 1
    assert false_stops([trial(1, rule="median")], (), DOWN)[0].above_baseline is None


@pytest.mark.parametrize(
    ("records", "share", "said"),
    [
        (RECORDS[7:], 0.0, "the audit is off"),
        (RECORDS[5:], 0.05, "2 failed, unfinished or over a limit"),
        ([RECORDS[0], RECORDS[7]], 0.05, "none of the 1 stopped trials was drawn for the audit of 5%"),
    ],
)
def test_without_an_estimate_the_reason_is_said(records: list[TrialRecord], share: float, said: str) -> None:
    assert false_stops(records, {0}, UP, 0.2) == ()
    assert said in why_unknown(records, share)
