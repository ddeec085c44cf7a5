"""What the figures show, from small hand-made runs."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest

from abr_tune.ablation import Ablation
from abr_tune.report import overview, plots
from abr_tune.report.absences import absences
from abr_tune.report.collapse import collapse_map
from abr_tune.report.data import Importances
from abr_tune.report.epochs import class_shares, gradient_norms
from abr_tune.report.levers import scales, slices, strands
from abr_tune.report.page import render
from abr_tune.report.pareto import pareto_rows
from abr_tune.report.scores import class_rows, confusion, reliability
from abr_tune.report.thinning import thinned
from core.report import EpochReport
from core.tasks.task import Objective
from tests.report.made import METRIC, record, run

BEST = record(1, value=0.6, name="by hand")
COLLAPSED = record(0, "pruned", pruned_by="class_collapse", why="one class", name="baseline", epochs=5)
BEHIND = record(2, "pruned", pruned_by="successive_halving", why="behind", epochs=4)


def test_curves_skip_trials_without_the_objective() -> None:
    data = run(BEST, COLLAPSED, curves={1: (0.4, 0.5, 0.6)})
    (curve,) = plots.curves(data, data.trials)
    assert (curve.trial, curve.outcome, curve.epochs, curve.values) == (1, "best", (1, 2, 3), (0.4, 0.5, 0.6))


def test_history_keeps_the_best_complete_value() -> None:
    """The stopped trial's 0.9 does not lead, nor does the one that misses its constraint; the line reaches the end."""
    missing = record(4, value=0.8, violations={"val/peak/exist_auroc": 0.1})
    trials = (record(0, value=0.3), BEHIND, record(3, value=0.2), missing, record(5, value=0.5), record(6, value=0.4))
    data = run(*trials, curves={2: (0.9,)})
    assert [(point.trial, point.value) for point in plots.history(data, data.trials)] == [
        (0, 0.3), (2, 0.9), (3, 0.2), (4, 0.8), (5, 0.5), (6, 0.4),
    ]  # fmt: skip
    assert [(step.trial, step.value) for step in plots.leading(data)] == [(0, 0.3), (5, 0.5), (6, 0.5)]
    falling = run(*trials[:3], objective=Objective(METRIC, "minimize"))
    assert [(step.trial, step.value) for step in plots.leading(falling)] == [(0, 0.3), (3, 0.2), (3, 0.2)]


FIRST = record(0, value=0.3, params={"lr": 1e-4, "clamp": {"low": 0.5}, "loss": "focal", "at": [0.1], "same": 1})
SECOND = record(1, value=0.4, params={"lr": 1e-2, "clamp": {"low": 0.7}, "loss": "ce", "at": [0.2], "same": 1})
THIRD = record(2, value=0.6, params={"lr": 1e-3, "clamp": None, "loss": "ce", "at": [0.2], "same": 1})


def test_slices_take_pairs_apart_and_know_their_axis() -> None:
    found = slices(run(FIRST, SECOND), (FIRST, SECOND))
    assert [(each.name, each.scale.log, each.xs) for each in found] == [
        ("lr", True, (1e-4, 1e-2)),
        ("clamp.low", False, (0.5, 0.7)),
        ("loss", False, ("focal", "ce")),
        ("at[0]", False, (0.1, 0.2)),
    ]
    assert found[0].values == (0.3, 0.4)


def test_places_on_a_scale() -> None:
    """1e-3 is half way from 1e-4 to 1e-2 by its logarithm; categories stand in alphabetical order."""
    by_name = {scale.name: scale for scale in scales([FIRST, SECOND, THIRD])}
    assert by_name["lr"].place(1e-3) == pytest.approx(0.5)
    assert by_name["at[0]"].place(0.125) == pytest.approx(0.25)
    assert by_name["loss"].ticks == ((0.0, "ce"), (1.0, "focal"))
    assert by_name["lr"].ticks == ((0.0, "0.0001"), (1.0, "0.01"))


def test_a_strand_skips_a_lever_that_was_off_and_ends_at_the_score() -> None:
    data = run(FIRST, SECOND, THIRD)
    found, lines = strands(data, data.trials)
    assert [scale.name for scale in found] == ["lr", "clamp.low", "loss", "at[0]", METRIC]
    assert lines[2].outcome == "best"
    assert lines[2].places == (pytest.approx(0.5), None, 0.0, 1.0, 1.0)
    assert lines[1].places[-1] == pytest.approx(1 / 3)
    assert strands(run(BEST), (BEST,)) == ((), ())


def test_a_slice_knows_where_its_trials_collapse() -> None:
    """Ten trials at each loss; all collapses are at one of them."""
    trials = [
        record(n, "pruned", pruned_by="class_collapse", epochs=5, params={"loss": "ce", "x": n}) if n < 8
        else record(n, value=0.5, epochs=9, params={"loss": "ce" if n < 10 else "focal", "x": n})
        for n in range(20)
    ]  # fmt: skip
    data = run(*trials, curves=dict.fromkeys(range(20), (0.1,)), collapses=collapse_map(trials))
    loss = next(each for each in slices(data, trials) if each.name == "loss")
    assert loss.collapse is not None
    assert [(found.label, found.share) for found in loss.collapse.bins] == [("ce", 0.8), ("focal", 0.0)]


def test_thousands_are_thinned_evenly_and_the_notable_stay() -> None:
    """101 of 1000 at most; the best, the start point and every tenth or so of the rest; the page says so."""
    trials = [record(n, value=1 - abs(n - 500) / 1000, name="by hand" if n == 777 else None) for n in range(1000)]
    data = run(*trials)
    few = thinned(data, data.trials, 2000)
    assert (len(few.records), few.said) == (1000, "")
    rising = [record(n, "pruned", epochs=2, name="by hand" if n == 777 else None) for n in range(1000)]
    rising[400] = record(400, value=0.9)
    some = thinned(run(*rising), rising, 100)
    numbers = [one.number for one in some.records]
    assert len(numbers) == 100
    assert {0, 400, 777, 999} <= set(numbers)
    assert max(after - before for before, after in pairwise(numbers)) <= 11
    assert some.said.startswith("100 of 1,000 trials are drawn: the best")
    many = thinned(data, data.trials, 100)
    assert len(many.records) <= 101, "500 trials in a row that each were the best so far are thinned too"
    assert data.best in many.records


def reports(*epochs: dict[str, Any]) -> tuple[EpochReport, ...]:
    return tuple(EpochReport(epoch=number, phase="all", **epoch) for number, epoch in enumerate(epochs, 1))


WATCHED = {
    1: reports(
        {"metrics": {"val/class/share/A": 0.9, "val/class/share/B": 0.1}, "health": {"grad_norm": 2.0}},
        {"metrics": {"val/class/share/A": 0.6, "val/class/share/B": 0.4}, "health": {"grad_norm": 1.0}},
    ),
    0: reports({"metrics": {"val/class/share/A": 1.0}, "health": {"grad_norm": 0.0, "grad_norm/class": 0.5}}),
}


def test_shares_and_norms_of_the_best_and_of_a_collapsed_trial() -> None:
    data = run(COLLAPSED, BEST, watched=WATCHED)
    best, collapsed = class_shares(data)
    assert best.title == "trial 1 (by hand): the best"
    assert collapsed.title == "trial 0 (baseline): collapsed, stopped by class_collapse"
    assert [(trace.name, trace.epochs, trace.values) for trace in best.traces] == [
        ("A", (1, 2), (0.9, 0.6)),
        ("B", (1, 2), (0.1, 0.4)),
    ]
    norms = gradient_norms(data)
    assert [(trace.name, trace.values) for trace in norms[0].traces] == [("all", (2.0, 1.0))]
    assert [(trace.name, trace.values) for trace in norms[1].traces] == [("class", (0.5,))], "0 has no logarithm"


TWO = (Objective(METRIC), Objective("val/threshold/mae_db", "minimize"))


def test_the_front_of_two_objectives() -> None:
    """(.6, 9) and (.5, 7) beat each other, (.5, 8) is behind the second, (.9, 1) misses a constraint."""
    trials = (
        record(0, value=0.5, values=(0.5, 8.0)),
        record(1, value=0.6, values=(0.6, 9.0), name="by hand"),
        record(2, value=0.5, values=(0.5, 7.0)),
        record(3, value=0.9, values=(0.9, 1.0), violations={"val/peak/exist_auroc": 0.05}),
        BEHIND,
    )
    data = run(*trials, objectives=TWO)
    assert [(row.trial, row.standing, row.missed) for row in pareto_rows(data)] == [
        (1, "front", ()),
        (2, "front", ()),
        (0, "dominated", ()),
        (3, "infeasible", ("val/peak/exist_auroc by 0.050",)),
    ]
    assert data.best == trials[1]
    assert pareto_rows(run(*trials)) == ()


def test_the_overview_of_several_objectives() -> None:
    trials = (
        record(0, value=0.5, values=(0.5, 8.0)),
        record(1, value=0.6, values=(0.6, 9.0), metrics={TWO[1].metric: 9.0}),
    )
    data = run(*trials, objectives=TWO)
    said = " ".join(overview.headline(data))
    assert f"2 of 2 complete trials are beaten by no other in {METRIC} and val/threshold/mae_db together" in said
    missing = [replace(trial, violations={"val/peak/exist_auroc": 0.1}) for trial in trials]
    assert "beaten by no other" not in " ".join(overview.headline(run(*missing, objectives=TWO)))
    assert ("val/threshold/mae_db", "9") in [(tile.label, tile.value) for tile in overview.tiles(data)]


SCORES = {
    "val": {"confusion": {"classes": ["A", "B"], "counts": [[1, 0], [0, 1]]}, "calibration": []},
    "test": {
        "confusion": {"classes": ["A", "B"], "counts": [[6, 2], [0, 0]]},
        "calibration": [
            {"low": 0.5, "high": 0.75, "confidence": 0.6, "accuracy": 0.5, "count": 30},
            {"low": 0.75, "high": 1.0, "confidence": 0.9, "accuracy": 0.7, "count": 10},
        ],
    },
}


def test_confusion_and_calibration_are_those_of_the_test_recordings() -> None:
    """Six of eight A are right; no B is there. (30 * .1 + 10 * .2) / 40 = .125."""
    table = confusion(run(BEST, scores=SCORES))
    assert table is not None
    assert (table.split, table.classes) == ("test", ("A", "B"))
    assert [(row.truth, row.counts, row.shares, row.total) for row in table.rows] == [
        ("A", (6, 2), (0.75, 0.25), 8),
        ("B", (0, 0), (0.0, 0.0), 0),
    ]
    calibration = reliability(run(BEST, scores=SCORES))
    assert calibration is not None
    assert (calibration.split, calibration.ece) == ("test", pytest.approx(0.125))


def test_classes_stand_rarest_first_with_their_f1() -> None:
    """B: 4 of 4 found, taken for it 5 times, 2 * 4 / (4 + 5); A: 2 * 3 / (8 + 3). C occurs nowhere and is left out."""
    counts = [[3, 1, 4], [0, 4, 0], [0, 0, 0]]
    asked = {"test": {"confusion": {"classes": ["A", "B", "C"], "counts": counts, "trained": [30, 2, 1]}}}
    table = confusion(run(BEST, scores=asked))
    assert table is not None
    assert not table.dense
    rows = class_rows(table)
    assert [(row.name, row.trained, row.found, row.total) for row in rows] == [("B", 2, 4, 4), ("A", 30, 3, 8)]
    assert [row.f1 for row in rows] == pytest.approx([8 / 9, 6 / 11])
    untold = confusion(run(BEST, scores={"test": {"confusion": {"classes": ["A", "B", "C"], "counts": counts}}}))
    assert untold is not None
    assert [(row.name, row.trained) for row in class_rows(untold)] == [("A", None), ("B", None)]


def test_many_classes_fit_on_the_page() -> None:
    """60 shares of 1/60 each: seven by name, the other 53 as one; cells of the matrix without words."""
    names = [f"class {index}" for index in range(60)]
    shares = {f"val/class/share/{name}": 1 / 60 for name in names}
    reports = tuple(EpochReport(epoch=epoch, phase="class", metrics=shares) for epoch in (1, 2))
    [traced] = class_shares(run(BEST, watched={BEST.number: reports}))
    assert [trace.name for trace in traced.traces] == [*names[:7], "53 other classes"]
    assert traced.traces[-1].values == pytest.approx((53 / 60, 53 / 60))
    counts = [[int(row == column) for column in range(60)] for row in range(60)]
    page = render(run(BEST, scores={"test": {"confusion": {"classes": names, "counts": counts}}}), "toy")
    assert page.count('title="1 of 1 class ') == 60
    assert "1 of 1 class 3 taken for class 3" in page
    assert page.count("<meter") == 60


def test_what_is_missing_is_said_with_its_reason() -> None:
    said = dict(absences(run(COLLAPSED, summary={"state": "finished"}, collapses=collapse_map([COLLAPSED]))))
    assert said["Gate"] == "the space file names no criteria"
    assert said["Finalists"] == "no trial has run to its end"
    assert said["What mattered"] == "too few"
    assert said["Where trials collapse"].startswith("Where runs collapse needs")
    assert said["Pareto front"] == "the search has one objective"
    assert said["Confusion matrix"] == "the best weights were not scored on held-out data"
    assert said["Gradient norms"].endswith("no report holds the signal grad_norm")


def test_what_is_there_is_not_called_missing() -> None:
    data = run(
        COLLAPSED, FIRST, SECOND,
        scores=SCORES, watched=WATCHED, environment={"commit": "x"}, importances=Importances({"lr": 1.0}, 3, 20),
        ablation=Ablation(metric=METRIC, direction="maximize", start="defaults", end="trial 1"),
        summary={
            "state": "finished",
            "gate": {"verdict": "go", "criteria": []},
            "finalists": [{"trial": 1, "searched": 0.4, "values": [0.4]}],
            "audit": {"rows": [{"rule": None}]},
        },
    )  # fmt: skip
    assert set(dict(absences(data))) == {"Pareto front"}
    why = dict(
        absences(run(BEST, ablation=Ablation(metric="", direction="maximize", start="", end="", absent="no forest")))
    )
    assert why["The way to the best"] == "no forest"
    norms = dict(absences(run(BEST, watched={1: WATCHED[1]})))["Gradient norms of each head"]
    assert norms == "the reports hold grad_norm of all weights together, none by head"
