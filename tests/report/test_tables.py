"""Rows and sentences of the report, from small hand-made runs."""

from __future__ import annotations

from typing import Any, get_args

import pytest

from abr_tune.report import overview, tables
from abr_tune.report.outcomes import OUTCOMES, Outcome, outcome
from abr_tune.report.wording import fresh_runs, number
from abr_tune.search.events import TrialRecord
from core.tasks.task import Objective
from tests.report.made import METRIC, record, run

CONFIRMED: dict[str, Any] = {
    "state": "finished",
    "baselines": {METRIC: 0.2, "val/class/accuracy": 0.8},
    "best": {"trial": 1, "value": 0.6, "confirmed": {"seeds": 3, "mean": 0.5, "sd": 0.02}},
    "finalists": [
        {"trial": 1, "searched": 0.6, "values": [0.5, 0.48, 0.52], "metrics": {METRIC: 0.5, f"{METRIC}:skill": 0.375}}
    ],
    "test": {"test/class/f1_macro": 0.49},
}
BEST = record(1, value=0.6, metrics={METRIC: 0.6, f"{METRIC}:skill": 0.5, "val/class/accuracy": 0.9}, name="by hand")
COLLAPSED = record(0, "pruned", pruned_by="class_collapse", why="one class", name="baseline", epochs=5)
BEHIND = record(2, "pruned", pruned_by="successive_halving", why="behind", epochs=4)


@pytest.mark.parametrize(
    ("trial", "expected"),
    [
        (BEST, "best"),
        (record(9, value=0.1), "complete"),
        (COLLAPSED, "health"),
        (BEHIND, "ranking"),
        (record(3, "pruned", pruned_by="limit_time"), "other"),
        (record(4, "failed"), "failed"),
        (record(5, "running"), "unfinished"),
        (record(6, "waiting"), "unfinished"),
    ],
)
def test_how_a_trial_ended(trial: TrialRecord, expected: str) -> None:
    assert outcome(trial, BEST) == expected


def test_every_outcome_has_a_label() -> None:
    assert set(OUTCOMES) == set(get_args(Outcome))


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        ({"source": "simulated", "train": 15, "seed": 7}, "Simulated data (15 to train, seed 7)."),
        ({"source": "ihs.npz"}, "Data from ihs.npz."),
        (None, "The task brings its own data."),
    ],
)
def test_simulated_data_are_called_simulated(data: dict[str, Any] | None, expected: str) -> None:
    line = overview.data_line(run(data=data))
    assert line.startswith(expected)
    assert ("imulated" in line) == expected.startswith("Simulated")


def test_the_overview_of_a_finished_run() -> None:
    summary = CONFIRMED | {
        "epochs": {"spent": 12, "unpruned": 60},
        "gate": {"verdict": "no-go", "criteria": [{"metric": "a", "result": "no-go"}, {"metric": "b", "result": "go"}]},
    }
    assert list(overview.headline(run(COLLAPSED, BEST, BEHIND, summary=summary))) == [
        "Trial 1 (by hand) is best: val/class/f1_macro 0.600 on the validation data, where the trivial predictor "
        "scores 0.200: 50 % of the way from it to a perfect score.",
        "Trained again with 3 fresh seeds, it reaches 0.500 ± 0.020 (sd); this, and not the searched value, is what to "
        "expect.",
        "The search's own run of it was 0.100 better than the fresh ones.",
        "On test data that nothing was chosen by it scores 0.490.",
        "2 of 3 trials were stopped early: 1 by class_collapse, 1 by successive_halving. 12 epochs were trained of 60: "
        "80 % saved.",
        "The gate says no-go; missed: a.",
    ]


def test_the_overview_of_an_interrupted_run() -> None:
    sentences = list(overview.headline(run(COLLAPSED, record(1, "waiting"), record(2, "failed", error="boom"))))
    assert sentences == [
        "No trial has run to its end, so there is no best configuration yet.",
        "1 of 3 trials was stopped early: 1 by class_collapse.",
        "1 failed; the reasons are in the list of trials.",
        "1 is not finished: the same `abr-tune run` command continues.",
    ]
    assert list(overview.headline(run()))[-1] == "No trial has started."


def test_a_best_trial_without_skill_is_called_that() -> None:
    best = record(1, value=0.2, metrics={METRIC: 0.2, f"{METRIC}:skill": 0.0})
    sentences = list(overview.headline(run(best, summary={"baselines": {METRIC: 0.2}})))
    assert sentences[:2] == [
        "Trial 1 is best: val/class/f1_macro 0.200 on the validation data, where the trivial predictor scores 0.200.",
        "That is no better than the trivial predictor: nothing useful was found.",
    ]


def test_without_a_summary_the_leader_is_best() -> None:
    trials = (record(0, value=0.3), record(1, value=0.5), record(2, value=0.4))
    assert run(*trials).best == trials[1]
    assert run(*trials, objective=Objective(METRIC, "minimize")).best == trials[0]


def test_best_stands_beside_the_baseline_and_start_points() -> None:
    data = run(COLLAPSED, BEST, BEHIND, curves={0: (0.3, 0.2)}, summary=CONFIRMED)
    rows = [(row.kind, row.name, row.value, row.skill, row.note) for row in tables.standing_rows(data)]
    assert rows == [
        ("best", "trial 1 (by hand)", 0.6, 0.5, "in the search, one seed"),
        ("best", "trial 1 (by hand), confirmed", 0.5, 0.375, "mean of 3 fresh seeds, sd 0.020"),
        ("best", "trial 1 (by hand), test", 0.49, None, "test data, scored once"),
        ("baseline", "trivial predictor", 0.2, 0.0, ""),
        ("start point", "baseline", 0.2, None, "trial 0, stopped by class_collapse at epoch 5"),
        ("start point", "by hand", 0.6, 0.5, "trial 1, ran to its end"),
    ]


@pytest.mark.parametrize(
    ("metric", "interval", "direction", "verdict"),
    [
        ("test/class/f1_macro", [0.05, 0.15], "maximize", "ours is better"),
        ("test/class/f1_macro", [-0.15, -0.05], "maximize", "ours is worse"),
        ("test/class/f1_macro", [-0.15, -0.05], "minimize", "ours is better"),
        ("test/class/f1_macro", [-0.15, 0.05], "maximize", "no clear difference"),
        ("test/threshold/mae_db", [-2.0, -1.0], "maximize", "ours is lower"),
        ("test/class/f1_macro", None, "maximize", ""),
    ],
)
def test_other_predictors_are_judged_by_the_interval(
    metric: str, interval: list[float] | None, direction: Any, verdict: str
) -> None:
    reference = {"name": "the tree", "metric": metric, "value": 0.4, "ours": 0.5, "interval": interval}
    data = run(BEST, summary=CONFIRMED | {"references": [reference]}, objective=Objective(METRIC, direction))
    assert [row.verdict for row in tables.reference_rows(data)] == [verdict]
    said = f"Beside the tree: 0.500 against 0.400 on {metric}, {verdict}."
    assert (said in list(overview.headline(data))) == bool(verdict)


def test_scores_are_the_confirmed_means_beside_baseline_and_test() -> None:
    (row,) = tables.metric_rows(run(BEST, summary=CONFIRMED))
    assert (row.metric, row.value, row.baseline, row.skill, row.test) == (METRIC, 0.5, 0.2, 0.375, 0.49)
    searched = tables.metric_rows(run(BEST, summary={"baselines": CONFIRMED["baselines"]}))
    assert [(row.metric, row.value) for row in searched] == [(METRIC, 0.6), ("val/class/accuracy", 0.9)]


def test_stops_are_counted_by_reason() -> None:
    again = record(3, "pruned", pruned_by="class_collapse", why="again", epochs=8)
    saved = {"saved_by": {"class_collapse": 27, "successive_halving": 16}}
    trials = (BEHIND, COLLAPSED, BEST, again, record(4, "failed", error="boom", epochs=0))
    rows = tables.stop_rows(run(*trials, summary=saved))
    assert [row.saved for row in rows] == [27, 16, None]
    assert [(row.rule, row.outcome, row.trials, row.epochs, row.typical, row.why) for row in rows] == [
        ("class_collapse", "health", 2, 13, 6.5, "one class"),
        ("successive_halving", "ranking", 1, 4, 4, "behind"),
        ("failed", "failed", 1, 0, 0, "boom"),
    ]


def test_a_stopped_trial_shows_the_score_it_had() -> None:
    data = run(COLLAPSED, BEST, curves={0: (0.1, 0.2)})
    rows = tables.trial_rows(data, data.trials)
    assert [(row.number, row.outcome, row.value, row.ended) for row in rows] == [
        (0, "health", 0.2, "class_collapse"),
        (1, "best", 0.6, "best configuration"),
    ]


def test_environment_is_flattened() -> None:
    rows = tables.environment_rows({"versions": {"torch": "2.13"}, "commit": None, "seeds": {"confirmation": [1, 2]}})
    assert rows == (("versions.torch", "2.13"), ("seeds.confirmation", "[1, 2]"))


def test_the_password_of_a_storage_is_not_passed_on() -> None:
    rows = tables.environment_rows({"launch": {"storage": "postgresql://me:secret@db.example/abr"}})
    assert rows == (("launch.storage", "postgresql://…@db.example/abr"),)


def test_commands_quote_the_folder() -> None:
    commands = [command for command, _ in overview.next_steps(run(BEST, summary=CONFIRMED), "my results/toy")]
    assert commands == [
        "abr-tune train 'my results/toy'/best.yaml",
        "abr-tune train 'my results/toy'/best.yaml --seeds 3",
        "abr-tune dashboard 'my results/toy'",
    ]


def test_a_run_is_continued_from_its_copy_only_where_paths_cannot_break() -> None:
    assert "abr-tune run out/toy/space.yaml --out out --name toy" in dict(overview.next_steps(run(), "out/toy"))
    recorded = run(data={"source": "ihs.npz"})
    assert list(dict(overview.next_steps(recorded, "out/toy"))) == ["abr-tune dashboard out/toy"]


@pytest.mark.parametrize(
    ("value", "text"),
    [(None, "–"), (0.0, "0.000"), (0.5417, "0.542"), (0.0012, "0.0012"), (5.0, "5"), (-12.5, "-12.500")],
)
def test_numbers_for_people(value: float | None, text: str) -> None:
    assert number(value) == text


def test_finalists_show_by_how_much_the_search_flattered_them() -> None:
    """Mean .5, sd .02; t(.975, 2) = 4.3027 times .02 / sqrt(3) is .0497 to either side; then less is better."""
    (row,) = tables.finalist_rows(run(BEST, summary=CONFIRMED))
    assert (row.place, row.trial, row.searched) == (1, 1, 0.6)
    assert (row.mean, row.sd, row.optimism) == (pytest.approx(0.5), pytest.approx(0.02), pytest.approx(0.1))
    assert row.interval == (pytest.approx(0.5 - 0.0497, abs=1e-4), pytest.approx(0.5 + 0.0497, abs=1e-4))
    (falling,) = tables.finalist_rows(run(BEST, summary=CONFIRMED, objective=Objective(METRIC, "minimize")))
    assert falling.optimism == pytest.approx(-0.1)
    assert tables.finalist_rows(run(BEST, summary={"finalists": [{"trial": 1, "searched": 0.6, "values": []}]})) == ()


def test_counts_and_shares_of_classes_are_no_scores() -> None:
    metrics = {METRIC: 0.6, "val/class/count/SNİK": 38.0, "val/class/share/SNİK": 0.1}
    summary = {"baselines": dict.fromkeys(metrics, 0.1)}
    assert [row.metric for row in tables.metric_rows(run(record(1, value=0.6, metrics=metrics), summary=summary))] == [
        METRIC
    ]


AUDITED = record(7, value=0.55, audited={"rule": "class_collapse", "epoch": 4, "why": "one class"})
MISSING = record(8, value=0.9, violations={"val/peak/exist_auroc": 0.1, "val/threshold/mae_db": 0.0})


def test_trials_say_what_was_audited_and_what_they_miss() -> None:
    data = run(AUDITED, MISSING)
    assert [row.why for row in tables.trial_rows(data, data.trials)] == [
        "audit: class_collapse would have stopped it at epoch 4",
        "misses val/peak/exist_auroc by 0.100",
    ]
    assert data.best == AUDITED, "a trial that misses a constraint is not the best"


def test_the_overview_says_whether_the_stops_can_be_trusted() -> None:
    audit = {"rows": [{"rule": None, "judged": 10, "false": 1, "share": 0.1, "interval": [0.011, 0.381]}]}
    alarm = {"rule": "class_collapse", "why": "9 of 10 trials were stopped by health rules"}
    sentences = list(overview.headline(run(BEST, MISSING, summary={"audit": audit, "alarm": alarm})))
    assert "Alarm: 9 of 10 trials were stopped by health rules." in sentences
    assert (
        "Of 10 stopped trials that the audit let run to the end, 1 turned out to be among the leaders: 10 % of the "
        "stops are false (95 % interval 1 % to 38 %)."
    ) in sentences
    assert "1 complete trial cannot be best because of a missed constraint: val/peak/exist_auroc (1)." in sentences


def test_the_overview_says_so_when_even_the_best_misses_a_constraint() -> None:
    best = {"trial": 8, "value": 0.9, "metrics": {}, "params": {}, "violations": {"val/peak/exist_auroc": 0.1}}
    sentences = list(overview.headline(run(MISSING, summary={"best": best})))
    assert (
        "1 complete trial misses a constraint: val/peak/exist_auroc (1). "
        "The one named best misses one too: val/peak/exist_auroc by 0.1."
    ) in sentences


def test_a_missed_gate_says_what_to_try_next() -> None:
    missed = {"metric": "a", "result": "no-go", "next": ["raise the class weight", "lower the learning rate"]}
    gate = {"verdict": "no-go", "criteria": [missed, {"metric": "b", "result": "go"}]}
    last = list(overview.headline(run(BEST, summary={"gate": gate})))[-1]
    assert last == "What to try next: raise the class weight; lower the learning rate."


@pytest.mark.parametrize(
    ("confirmed", "said"),
    [
        ({"seeds": 3, "folds": 0}, "3 fresh seeds"),
        ({"seeds": 1}, "1 fresh seed"),
        ({"seeds": 1, "folds": 5}, "1 fresh seed, each on 5 folds"),
    ],
)
def test_fresh_runs_are_counted_with_their_folds(confirmed: dict[str, Any], said: str) -> None:
    assert fresh_runs(confirmed) == said
