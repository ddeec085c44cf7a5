"""Rows and sentences of the report, from small hand-made runs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, get_args

import pytest

from abr_tune.report import overview, plots, tables
from abr_tune.report.data import Importances, ReportData
from abr_tune.report.outcomes import OUTCOMES, Outcome, outcome
from abr_tune.report.wording import number
from abr_tune.search.events import TrialRecord, TrialState
from core.report import EpochReport
from core.tasks.task import Objective

METRIC = "val/class/f1_macro"


def record(number: int, state: TrialState = "complete", **changes: Any) -> TrialRecord:
    defaults: dict[str, Any] = {"name": None, "value": None, "params": {}, "epochs": 3}
    return TrialRecord(number=number, state=state, **(defaults | changes))


def run(*trials: TrialRecord, curves: Mapping[int, tuple[float, ...]] | None = None, **changes: Any) -> ReportData:
    reports = {
        number: tuple(
            EpochReport(epoch=epoch, phase="all", metrics={METRIC: value}) for epoch, value in enumerate(values, 1)
        )
        for number, values in (curves or {}).items()
    }
    defaults: dict[str, Any] = {
        "name": "toy",
        "about": "",
        "task": "abr",
        "objective": Objective(METRIC),
        "data": {"source": "simulated", "train": 15, "val": 20, "test": 40, "seed": 7},
        "space_text": "",
        "summary": {},
        "environment": {},
        "importances": Importances(absent="too few"),
    }
    return ReportData(trials=trials, curves=reports, **(defaults | changes))


CONFIRMED: dict[str, Any] = {
    "state": "finished",
    "baselines": {METRIC: 0.2, "val/class/accuracy": 0.8},
    "best": {"trial": 1, "value": 0.6, "confirmed": {"seeds": 3, "mean": 0.5, "sd": 0.02}},
    "finalists": [{"trial": 1, "values": [0.5, 0.48, 0.52], "metrics": {METRIC: 0.5, f"{METRIC}:skill": 0.375}}],
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
        ({"source": "simulated", "train": 15, "seed": 7}, "Simulated recordings (15 to train, seed 7)."),
        ({"source": "ihs.npz"}, "Recordings from ihs.npz."),
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
        "Trial 1 (by hand) is best: val/class/f1_macro 0.600 on the validation recordings, where the trivial predictor "
        "scores 0.200: 50 % of the way from it to a perfect score.",
        "Trained again with 3 fresh seeds it reaches 0.500 ± 0.020 (sd); this, and not the searched value, is what to "
        "expect.",
        "On test recordings that nothing was chosen by it scores 0.490.",
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
        "Trial 1 is best: val/class/f1_macro 0.200 on the validation recordings, where the trivial predictor scores "
        "0.200.",
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
        ("best", "trial 1 (by hand), test", 0.49, None, "test recordings, scored once"),
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
    rows = tables.stop_rows(run(BEHIND, COLLAPSED, BEST, again, record(4, "failed", error="boom", epochs=0)))
    assert [(row.rule, row.outcome, row.trials, row.epochs, row.typical, row.why) for row in rows] == [
        ("class_collapse", "health", 2, 13, 6.5, "one class"),
        ("successive_halving", "ranking", 1, 4, 4, "behind"),
        ("failed", "failed", 1, 0, 0, "boom"),
    ]


def test_a_stopped_trial_shows_the_score_it_had() -> None:
    rows = tables.trial_rows(run(COLLAPSED, BEST, curves={0: (0.1, 0.2)}))
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


@pytest.mark.parametrize(("value", "text"), [(None, "–"), (0.0, "0.000"), (0.5417, "0.542"), (0.0012, "0.0012")])
def test_numbers_for_people(value: float | None, text: str) -> None:
    assert number(value) == text


# what the figures show


def test_curves_skip_epochs_without_the_objective() -> None:
    data = run(BEST, COLLAPSED, curves={1: (0.4, 0.5, 0.6)})
    (curve,) = plots.curves(data)
    assert (curve.trial, curve.outcome, curve.epochs, curve.values) == (1, "best", (1, 2, 3), (0.4, 0.5, 0.6))


def test_history_keeps_the_best_complete_value() -> None:
    trials = (record(0, value=0.3), BEHIND, record(3, value=0.2), record(4, value=0.5))
    data = run(*trials, curves={2: (0.9,)})
    assert [(point.trial, point.value, point.best_so_far) for point in plots.history(data)] == [
        (0, 0.3, 0.3),
        (2, 0.9, 0.3),
        (3, 0.2, 0.3),
        (4, 0.5, 0.5),
    ]
    falling = plots.history(run(*trials, objective=Objective(METRIC, "minimize")))
    assert [point.best_so_far for point in falling] == [0.3, 0.2, 0.2]


def test_panels_take_pairs_apart_and_know_their_axis() -> None:
    first = record(0, value=0.3, params={"lr": 1e-4, "clamp": {"low": 0.5}, "loss": "focal", "at": [0.1]})
    second = record(1, value=0.4, params={"lr": 1e-2, "clamp": {"low": 0.7}, "loss": "ce", "at": [0.2]})
    panels = plots.panels(run(first, second))
    assert [(panel.name, panel.log, panel.xs) for panel in panels] == [
        ("lr", True, (1e-4, 1e-2)),
        ("clamp.low", False, (0.5, 0.7)),
        ("loss", False, ("focal", "ce")),
        ("at[0]", False, (0.1, 0.2)),
    ]
