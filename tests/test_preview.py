"""`run --dry-run`: configurations of the space, without running anything."""

from pathlib import Path

import pytest

from abr_tune.plan.load import load_plan
from abr_tune.plan.overrides import resolve
from abr_tune.preview import preview, samples

SPACES = sorted((Path(__file__).parents[1] / "search_spaces").glob("*.yaml"))


@pytest.mark.parametrize("file", SPACES, ids=lambda file: file.stem)
def test_samples_lie_in_the_space_and_can_be_trained(file: Path) -> None:
    plan = load_plan(file)
    drawn = samples(plan, 200)
    for values in drawn:
        plan.space.encode(values)  # raises OutsideSpace
        resolve(plan.task.options, {**plan.train, **values})
    assert all(samples(plan, 200)[index] == values for index, values in enumerate(drawn))
    assert len({str(values) for values in drawn}) == 200


def test_conditions_and_orders_hold() -> None:
    plan = load_plan(next(file for file in SPACES if file.stem == "phase1"))
    drawn = samples(plan, 300)
    for values in drawn:
        assert ("loss.focal.gamma" in values) == (values["loss.class_loss"] == "focal")
        assert values["phases.boundaries"] == sorted(values["phases.boundaries"])
        if "balance.clamp" in values:
            assert values["balance.clamp"]["low"] <= values["balance.clamp"]["high"]
    assert {values["balance.scheme"] for values in drawn} == {"none", "balanced", "sqrt", "effective", "explicit"}
    # lr is spread evenly over three decades of log: about a third in each.
    for low in (1e-5, 1e-4, 1e-3):
        share = sum(low <= values["optimizer.lr"] < 10 * low for values in drawn) / 300
        assert 0.22 < share < 0.45


def test_another_seed_draws_others() -> None:
    file = SPACES[0]
    assert samples(load_plan(file), 5) != samples(load_plan(file, seed=99), 5)


def test_the_page_says_budget_and_start_points(capsys: pytest.CaptureFixture[str]) -> None:
    plan = load_plan(next(file for file in SPACES if file.stem == "smoke"))
    preview(plan)
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith(f"smoke: {len(plan.space.paths)} searched paths, {plan.budget.trials} trials")
    assert lines[2] == "start points:"
    assert [line.split(":")[0].strip() for line in lines[3 : 3 + len(plan.start_from)]] == [
        point.name for point in plan.start_from
    ]
