"""`run --dry-run`: configurations of the space, without running anything."""

from pathlib import Path

import pytest

from abr_tune.plan.load import load_plan
from abr_tune.plan.overrides import resolve
from abr_tune.plan.stages import names_stages
from abr_tune.preview import preview, samples

SHIPPED = sorted((Path(__file__).parents[1] / "search_spaces").glob("*.yaml"))
SPACES = [file for file in SHIPPED if not names_stages(file)]


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
    start = lines.index("start points:")
    assert [line.split(":")[0].strip() for line in lines[start + 1 : start + 1 + len(plan.start_from)]] == [
        point.name for point in plan.start_from
    ]


def test_the_page_says_every_rule_of_the_complete_search(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    (tmp_path / "results" / "before").mkdir(parents=True)
    (tmp_path / "results" / "before" / "study.db").touch()
    file = tmp_path / "x.yaml"
    file.write_text(
        "task: abr\nfrom: results/before\nsampler: {cmaes: {startup_trials: 40}}\n"
        "search:\n  optimizer.lr: {log: [1e-4, 1e-2], guess: 1e-3, confidence: high}\n"
        "  model.dropout: {uniform: [0, 0.5]}\n"
        'constraints: {val/class/ece: "< 0.2"}\nlimits: {time: 5m, memory: 2GiB}\nstop: {no_improvement: 15}\n'
        "audit: 0.1\nbudget: {trials: 20, time: 1h, epochs: 300}\n"
    )
    preview(load_plan(file))
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == ("x: 2 searched paths, 20 trials, at most 1h00m and 300 epochs; maximize val/class/f1_macro")
    assert lines[2:9] == [
        f"from {tmp_path / 'results' / 'before'}: its best configuration first, its trials teach the sampler",
        "the best must meet val/class/ece < 0.2",
        "a trial may take 5m00s and 2,048 MiB",
        "the search ends after 15 trials in a row without a better best",
        "10% of the trials run to their end whatever stops them, to measure false stops",
        "optimizer.lr is expected near 0.001 (high confidence)",
        "no start points",
    ]
    assert lines[-3:] == [
        "note: all 20 trials are drawn at random: cmaes begins after startup_trials, 40",
        "note: cmaes does not use guesses: optimizer.lr",
        "note: cmaes does not learn from constraints; they still decide which trial can be the best",
    ]
