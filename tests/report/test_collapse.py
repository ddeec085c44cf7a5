"""Where runs collapse: counted along each lever, with intervals, and told from chance."""

from __future__ import annotations

import random
from math import log2
from typing import Any, cast

import numpy as np
import pytest

from abr_tune.report.collapse import FEWEST, collapse_map, collapsed_by, flat, information
from abr_tune.search.events import TrialRecord, TrialState


def trial(number: int, *, by: str | None = None, epochs: int = 6, **params: Any) -> TrialRecord:
    """A trial that ran to its end, or was stopped."""
    state: TrialState = "complete" if by is None else "pruned"
    value = 0.5 if by is None else None
    named = {name.replace("_", "."): setting for name, setting in params.items()}
    return TrialRecord(number=number, name=None, state=state, value=value, params=named, pruned_by=by, epochs=epochs)


def steep(count: int = 60) -> list[TrialRecord]:
    """Every trial with a rate above 0.5 collapses; the width has nothing to do with it."""
    rng = random.Random(0)
    found = []
    for number in range(count):
        rate = (number + 0.5) / count
        by = "class_collapse" if rate > 0.5 else None
        found.append(trial(number, by=by, rate=rate, width=rng.random(), loss=("plain", "focal")[number % 2]))
    return found


def test_the_lever_that_decides_comes_first_and_the_others_are_noise() -> None:
    found = collapse_map(steep())
    assert (found.trials, found.collapsed, found.left_out, found.absent) == (60, 30, 0, "")
    rate, *others = found.levers
    assert rate.lever == "rate"
    assert [(part.collapsed, part.trials) for part in rate.bins] == [(0, 10)] * 3 + [(10, 10)] * 3
    # The bin says everything there is to know of a fair coin: one bit.
    assert rate.information == pytest.approx(1.0)
    # No random deal comes near it: 1 of 2,000, times three levers.
    assert rate.p_value == pytest.approx(3 / 2000)
    assert not rate.noise
    assert {lever.lever for lever in others} == {"width", "loss"}
    assert all(lever.noise for lever in others)


def test_numbers_by_hand() -> None:
    # 3 of 4 and 1 of 4 collapse: the coin has one bit, of which each half leaves H(1/4) open.
    left_open = -(0.25 * log2(0.25) + 0.75 * log2(0.75))
    assert information(np.array([3, 1]), np.array([4, 4])) == pytest.approx(1 - left_open)


def test_categories_and_parts_of_lists_are_levers_too() -> None:
    records = [
        trial(number, by="non_finite" if number % 2 else None, loss=("plain", "focal")[number % 2], clamp=[0.5, 2.0])
        for number in range(20)
    ]
    [lever] = collapse_map(records).levers
    assert [(part.label, part.collapsed, part.trials, part.low) for part in lever.bins] == [
        ("focal", 10, 10, None),
        ("plain", 0, 10, None),
    ]
    assert dict(flat("a", {"b": [1, 2], "c": 3})) == {"a.b[0]": 1, "a.b[1]": 2, "a.c": 3}


def test_who_was_stopped_before_a_collapse_could_show_is_not_counted() -> None:
    """Collapses show at epoch 4; one that ranking stopped at epoch 2 might have collapsed, one at epoch 4 had not."""
    records = [trial(number, by="class_collapse", epochs=4, rate=float(number)) for number in range(6)]
    records += [trial(number, by="successive_halving", epochs=2, rate=float(number)) for number in range(6, 16)]
    records += [trial(number, by="successive_halving", epochs=4, rate=float(number)) for number in range(16, 22)]
    found = collapse_map(records)
    assert (found.trials, found.collapsed, found.left_out) == (12, 6, 10)


def test_an_audited_trial_counts_as_what_the_rule_said() -> None:
    audited = TrialRecord(
        number=0, name=None, state="complete", value=0.1, params={}, audited={"rule": "class_collapse", "epoch": 4}
    )
    assert collapsed_by(audited) == "class_collapse"
    assert collapsed_by(trial(1, by="successive_halving")) is None


def test_a_lever_of_another_kind_or_switched_off_is_left_out_where_it_is_missing() -> None:
    records = [
        trial(
            number,
            by="class_collapse" if number % 2 else None,
            **cast("dict[str, Any]", {"gamma": number / 20} if number > 9 else {}),
        )
        for number in range(20)
    ]
    [gamma] = collapse_map(records).levers
    assert sum(part.trials for part in gamma.bins) == 10


@pytest.mark.parametrize(
    ("records", "said"),
    [
        (steep(FEWEST - 1), "needs 10 trials that show it; this run has 9"),
        ([trial(number, rate=number / 20) for number in range(20)], "None of 20 trials collapsed"),
        ([trial(number, by="non_finite", rate=number / 20) for number in range(20)], "All 20 trials collapsed"),
    ],
)
def test_without_both_fates_there_is_no_map(records: list[TrialRecord], said: str) -> None:
    found = collapse_map(records)
    assert said in found.absent
    assert found.levers == ()
