"""When the alarm is raised, and what it says."""

from __future__ import annotations

from collections import Counter
from typing import get_args

import pytest

from abr_tune.search.alarm import ADVICE, alarm, alarm_of
from abr_tune.search.events import TrialRecord
from core.health.severity import Collapse


@pytest.mark.parametrize(
    ("stopped", "ended", "raised"),
    [
        (7, 7, False),
        (8, 8, True),
        (8, 9, False),
        (9, 9, True),
        (8, 10, True),
        (7, 10, False),
        (15, 19, False),
        (16, 20, True),
    ],
)
def test_all_of_eight_or_eight_in_ten(stopped: int, ended: int, raised: bool) -> None:
    assert (alarm(Counter(class_collapse=stopped), ended) is not None) == raised


def test_the_rule_that_did_most_is_named_with_what_to_change() -> None:
    found = alarm(Counter(non_finite=2, class_collapse=7), 10)
    assert found is not None
    assert found.rule == "class_collapse"
    assert found.why.startswith("9 of 10 trials were stopped by health rules, 7 of them by class_collapse: lower the")
    assert "check the labels" in found.why


def test_every_health_rule_has_its_advice() -> None:
    assert set(ADVICE) == set(get_args(Collapse))


def record(number: int, state: str, pruned_by: str | None = None, audited: str | None = None) -> TrialRecord:
    verdict = None if audited is None else {"rule": audited, "why": "", "epoch": 3}
    return TrialRecord(
        number=number, name=None, state=state, value=None, params={}, pruned_by=pruned_by, audited=verdict
    )


def test_audited_stops_count_and_failures_rankings_and_limits_do_not() -> None:
    collapsed = [record(number, "pruned", "class_collapse") for number in range(7)]
    assert alarm_of([*collapsed, record(7, "complete", audited="class_collapse")]) is not None
    assert alarm_of([*collapsed, record(7, "pruned", "successive_halving")]) is None
    assert alarm_of([*collapsed, record(7, "pruned", "limit_time")]) is None
    assert alarm_of([*collapsed, record(7, "failed"), record(8, "running")]) is None
