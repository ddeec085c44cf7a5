"""The way from one configuration to another: which levers, in which order, at what price."""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import pytest

from abr_tune.ablation import Ablation, Configuration, Lever, Step, greedy, levers_between, together, told
from abr_tune.errors import UserError
from abr_tune.explain import affordable, cost_of
from abr_tune.report.ablation import estimated_ablation, start_of, surrogate
from abr_tune.search.events import TrialRecord
from abr_tune.search.fidelity import Point
from abr_tune.surrogate import fit_surrogate
from core.tasks.task import Objective

F1 = Objective("val/class/f1_macro")
PLAN: dict[str, Any] = {
    "train": {"lr": 0.1, "width": 1.0, "loss": {"kind": "plain", "gamma": 2.0}},
    "search": {
        "lr": {"uniform": [0, 1]},
        "width": {"uniform": [0, 1]},
        "loss.kind": {"choice": ["plain", "focal"]},
        "loss.gamma": {"uniform": [0, 4], "when": {"loss.kind": ["focal"]}},
    },
    "start_from": [{"name": "by hand", "lr": 0.0}, {"name": "other", "width": 0.5}],
}


def test_what_only_matters_under_a_condition_changes_with_it() -> None:
    start = {"lr": 0.1, "kind": "plain", "gamma": 2.0, "same": 1}
    end = {"lr": 0.2, "kind": "focal", "gamma": 3.0, "same": 1}
    levers = levers_between(start, end, {"gamma": ("kind",)})
    assert [lever.name for lever in levers] == ["lr", "kind + gamma"]
    # Where the condition holds at both ends it is a lever of its own.
    assert [lever.name for lever in levers_between({**start, "kind": "focal"}, end, {"gamma": ("kind",)})] == [
        "lr",
        "gamma",
    ]


def test_the_greedy_order_is_not_that_of_single_gains() -> None:
    """a brings 3 alone; b brings 1 alone and 5 once a is there, c brings 2: so a, then b, then c."""

    def value(configuration: Configuration) -> float:
        a, b, c = (configuration[name] for name in "abc")
        return 3 * a + (5 if a else 1) * b + 2 * c

    levers = [Lever((name,)) for name in "cba"]
    zero, one = dict.fromkeys("abc", 0), dict.fromkeys("abc", 1)
    found = greedy(zero, one, levers, lambda tried: [value(each) for each in tried])
    assert [lever.name for lever in found] == ["a", "b", "c"]


def test_the_price_of_a_way() -> None:
    """Four levers, three seeds, two tried each time: 3 for the start, 4 at each of three choices, the end is known."""
    assert cost_of(4, 2, 3, end_known=True) == 3 + 3 * (2 + 2)
    assert cost_of(4, 1, 3, end_known=False) == 3 + 3 * 3 + 3
    # All four, then three, then two are tried.
    assert cost_of(4, 4, 1, end_known=True) == 1 + 4 + 3 + 2


def test_a_budget_buys_choice_or_fewer_steps() -> None:
    assert affordable(4, 3, None, end_known=True) == (4, 2)
    assert affordable(4, 3, 15, end_known=True) == (4, 2)
    assert affordable(4, 3, 14, end_known=True) == (4, 1)
    assert affordable(4, 3, 100, end_known=True) == (4, 4)
    # Twelve pay for four steps, eleven for three, six for two: the rest change together.
    assert affordable(4, 3, 12, end_known=True) == (4, 1)
    assert affordable(4, 3, 11, end_known=True) == (3, 1)
    assert affordable(4, 3, 6, end_known=True) == (2, 1)
    with pytest.raises(UserError, match="a budget of 5 trainings is too small: the shortest way takes 6"):
        affordable(4, 3, 5, end_known=True)
    assert affordable(1, 3, 3, end_known=True) == (1, 1)
    assert together([Lever(("a",)), Lever(("b", "c"))]).name == "a + b + c"


def test_an_interval_around_nothing_tells_nothing() -> None:
    assert told(0.1, (0.05, 0.15)) == "helped"
    assert told(-0.1, (-0.15, -0.05)) == "hurt"
    assert told(0.1, (-0.05, 0.25)) == "nothing told"
    assert told(0.1, None) == "nothing told"


def test_it_survives_its_file() -> None:
    step = Step(
        lever="lr",
        was={"lr": 0.1},
        becomes={"lr": 0.2},
        value=0.5,
        gain=0.1,
        interval=(0.0, 0.2),
        told="nothing told",
        values=(0.4, 0.6),
        runs=("ablation/x-1",),
    )
    way = Ablation(metric=F1.metric, direction="maximize", start="by hand", end="trial 3", steps=(step,), trainings=4)
    assert Ablation.from_json(json.loads(json.dumps(way.to_json()))) == way
    assert not way.estimated


def studied(count: int = 120) -> tuple[list[TrialRecord], dict[int, Sequence[Point]]]:
    """Trials whose score is 0.6 of the rate and 0.3 of the kind; the width has nothing to do with it."""
    rng = random.Random(0)
    records, points = [], {}
    for number in range(count):
        params = {"lr": rng.random(), "width": rng.random(), "loss.kind": rng.choice(["plain", "focal"])}
        value = 0.6 * params["lr"] + 0.3 * (params["loss.kind"] == "focal")
        records.append(TrialRecord(number=number, name=None, state="complete", value=value, params=params, epochs=4))
        points[number] = (Point(1, 1, (rng.random(),)), Point(4, 4, (value,)))
    return records, points


def test_the_estimate_finds_what_made_the_scores() -> None:
    records, points = studied()
    best = TrialRecord(
        number=200, name=None, state="complete", value=0.9, params={"lr": 0.95, "width": 0.9, "loss.kind": "focal"}
    )
    way = estimated_ablation(PLAN, records, points, F1, best)
    assert (way.start, way.end, way.estimated) == ("by hand", "trial 200", True)
    gains = {step.lever: step.gain for step in way.steps}
    assert [step.lever for step in way.steps] == ["lr", "loss.kind", "width"]
    # From 0 to 0.95 at 0.6 each, and from plain to focal; a forest does not reach the very ends.
    assert gains["lr"] == pytest.approx(0.57, abs=0.06)
    assert gains["loss.kind"] == pytest.approx(0.3, abs=0.05)
    assert gains["width"] == pytest.approx(0.0, abs=0.03)
    assert [step.told for step in way.steps[:2]] == ["helped", "helped"]
    assert way.steps[-1].told == "nothing told"
    assert way.steps[0].was == {"lr": 0.0}
    # The gains lead from the first value to the last.
    ends = [way.value, *(step.value for step in way.steps)]
    assert [
        after - before for before, after in pairwise(value for value in ends if value is not None)
    ] == pytest.approx([step.gain for step in way.steps])


def test_a_metric_to_be_small_gains_by_falling() -> None:
    records, points = studied()
    down = Objective("val/threshold/mae_db", "minimize")
    best = TrialRecord(number=200, name=None, state="complete", value=0.1, params={"lr": 0.9, "width": 0.9})
    way = estimated_ablation(PLAN, records, points, down, best)
    assert way.steps[-1].lever == "lr"
    assert way.steps[-1].told == "hurt"


def test_a_trial_whose_age_stands_still_does_not_count_for_twenty() -> None:
    """Trial 0 reports age 5 at 30 epochs; all trials have age 4."""
    records, points = studied()
    points[0] = (*points[0], *(Point(epoch, 5, (0.5,)) for epoch in range(5, 35)))
    _, age = surrogate(PLAN, records, points, F1, ("lr", "width", "loss.kind"))
    assert age == 4


def test_collapsed_trials_count_with_the_score_they_died_with() -> None:
    """Half of the trials collapse at age 1, all with a rate above 0.5: without them nobody would know."""
    records, points = studied(80)
    for index, record in enumerate(records):
        if record.params["lr"] > 0.5:
            records[index] = TrialRecord(
                number=record.number,
                name=None,
                state="pruned",
                value=None,
                params=record.params,
                pruned_by="class_collapse",
                epochs=1,
            )
            points[record.number] = (Point(1, 1, (0.0,)),)
    best = TrialRecord(number=200, name=None, state="complete", value=0.3, params={"lr": 0.9, "width": 0.9})
    edge = {**PLAN, "start_from": [{"name": "edge", "lr": 0.45}]}
    way = estimated_ablation(edge, records, points, F1, best)
    [lr] = [step for step in way.steps if step.lever == "lr"]
    assert lr.gain is not None
    assert lr.gain < -0.1


def test_what_cannot_be_estimated_says_why() -> None:
    records, points = studied(5)
    best = TrialRecord(number=0, name=None, state="complete", value=0.5, params={"lr": 0.5})
    assert "needs 20 trials" in estimated_ablation(PLAN, records, points, F1, best).absent
    assert "no best" in estimated_ablation(PLAN, records, points, F1, None).absent
    same = TrialRecord(number=0, name=None, state="complete", value=0.5, params={"lr": 0.0})
    assert "is the start point by hand itself" in estimated_ablation(PLAN, records, points, F1, same).absent


def test_start_points_are_found_by_name_and_completed_by_what_the_plan_fixes() -> None:
    assert start_of(PLAN) == ("by hand", {"lr": 0.0})
    assert start_of(PLAN, "other") == ("other", {"width": 0.5})
    assert start_of(PLAN, "defaults") == ("defaults", {})
    assert start_of({"train": {}}) == ("defaults", {})


def test_a_forest_that_learnt_nothing_says_so() -> None:
    rng = random.Random(1)
    rows = [{"a": rng.random()} for _ in range(60)]
    noise = fit_surrogate(rows, [rng.random() for _ in rows])
    truth = fit_surrogate(rows, [row["a"] for row in rows])
    assert noise is not None
    assert truth is not None
    assert noise.explained < 0.2 < 0.9 < truth.explained
    assert fit_surrogate([{"a": 1.0}] * 30, [0.5] * 30) is None
