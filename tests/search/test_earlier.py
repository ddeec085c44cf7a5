"""A search that begins `from:` an earlier run: what it keeps, what it drops, and what it says of that."""

from dataclasses import replace
from pathlib import Path

import pytest

from abr_tune.plan import yaml
from abr_tune.plan.describe import describe_plan
from abr_tune.plan.distributions import Range
from abr_tune.plan.plan import Bound, Budget, Constraint, Plan, Pruner, StartPoint
from abr_tune.plan.space import Parameter, Space
from abr_tune.search.earlier import recall
from core.tasks.task import Objective
from tests.search.tasks import METRIC, plan
from tests.search.test_driver import run

POINTS = (
    StartPoint("good", {"lr": 0.5, "power": 1.0}),
    StartPoint("slow", {"lr": 0.01, "power": 1.0}),
    StartPoint("edge", {"lr": 0.9, "power": 1.9}),
    StartPoint("buggy", {"lr": 0.3, "act": "raise"}),
)


@pytest.fixture(scope="module")
def before(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Plan]:
    folder = tmp_path_factory.mktemp("earlier") / "rare"
    first = plan(start_from=POINTS, budget=Budget(trials=3), pruner=Pruner(kind="none"))
    run(first, folder)
    (folder / "plan.yaml").write_text(yaml.dump(describe_plan(first)))
    return folder, first


def test_trials_that_lie_in_the_space_teach_and_the_best_is_tried_first(before) -> None:
    folder, first = before
    narrow = Space((Parameter("lr", Range(0.1, 1.0, log=True)), Parameter("power", Range(0.0, 2.0))))
    earlier = recall(replace(first, space=narrow, since=folder))
    assert [raw for raw, _ in earlier.trials] == [{"lr": 0.5, "power": 1.0}, {"lr": 0.9, "power": 1.9}]
    values = {raw["lr"]: seen.values for raw, seen in earlier.trials}
    records = {record.params["lr"]: record for record in run(first, folder).records if record.state == "complete"}
    assert values == {lr: records[lr].values for lr in (0.5, 0.9)}
    assert sorted(earlier.trials[0][1].curve) == [1, 2, 3, 4, 5, 6]
    best = max(records.values(), key=lambda record: record.value)
    assert (earlier.start.name, earlier.start.values["lr"]) == ("best of rare", best.params["lr"])
    assert "2 of its 3 trials lie in this space" in earlier.said
    assert "lr" in earlier.said.split("the others do not")[1]


def test_best_yaml_says_what_the_best_is(before, tmp_path: Path) -> None:
    folder, first = before
    (folder / "best.yaml").write_text(yaml.dump({"train": {"epochs": 6, "lr": 0.25, "power": 0.5, "act": "train"}}))
    try:
        earlier = recall(replace(first, since=folder))
        records = run(replace(first, since=folder, start_from=(), budget=Budget(trials=1)), tmp_path).records
    finally:
        (folder / "best.yaml").unlink()
    assert earlier.start.values == {"lr": 0.25, "power": 0.5}
    assert [(record.name, dict(record.params)) for record in records] == [("best of rare", {"lr": 0.25, "power": 0.5})]


def test_a_path_that_was_fixed_then_has_the_value_it_was_fixed_at(before) -> None:
    folder, first = before
    wider = Space((*first.space.parameters, Parameter("epochs", Range(1.0, 10.0))))
    assert {raw["epochs"] for raw, _ in recall(replace(first, space=wider, since=folder)).trials} == {6}


def test_other_objectives_teach_nothing(before) -> None:
    folder, first = before
    other = replace(first, objectives=(Objective("val/class/accuracy"),), since=folder)
    earlier = recall(other)
    assert earlier.trials == ()
    assert earlier.start is not None
    assert "measured by other objectives and teach nothing" in earlier.said


def test_trials_of_an_earlier_run_are_judged_by_the_constraints_of_now(tmp_path: Path) -> None:
    """Then an accuracy was asked for that nobody has, now an F1 that only some have."""
    unmet = Constraint("val/class/accuracy", Bound(">", 2.0))
    points = tuple(StartPoint(str(lr), {"lr": lr, "power": 1.0}) for lr in (1e-3, 0.3, 0.9))
    first = plan(start_from=points, budget=Budget(trials=3), constraints=(unmet,))
    records = run(first, tmp_path).records
    (tmp_path / "plan.yaml").write_text(yaml.dump(describe_plan(first)))
    met = max(record.value for record in records)
    now = replace(first, since=tmp_path, constraints=(Constraint(METRIC, Bound(">=", met)),))
    found = {raw["lr"]: seen.violations for raw, seen in recall(now).trials}
    assert {lr for lr, missed in found.items() if missed == {METRIC: 0.0}} == {
        r.params["lr"] for r in records if r.value == met
    }
    assert recall(replace(now, constraints=())).start is not None
    assert {tuple(seen.violations) for _, seen in recall(replace(now, constraints=())).trials} == {()}


def test_objectives_in_another_order_are_the_same(before, tmp_path: Path) -> None:
    _, first = before
    both = (Objective(METRIC), Objective("val/class/accuracy"))
    two = replace(first, objectives=both, start_from=(), budget=Budget(trials=1))
    record = run(two, tmp_path / "rare").records[0]
    (tmp_path / "rare/plan.yaml").write_text(yaml.dump(describe_plan(two)))
    turned = recall(replace(two, objectives=both[::-1], since=tmp_path / "rare"))
    assert turned.trials[0][1].values == record.values[::-1]
    assert turned.trials[0][1].curve[6] == record.values[::-1]


def test_without_from_there_is_nothing() -> None:
    assert recall(plan()) is None
