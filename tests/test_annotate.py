"""Notes and plots for Optuna's dashboard: written once, read back by the dashboard's own functions, inert."""

from __future__ import annotations

import json
import re
from pathlib import Path

import optuna
import pytest
from optuna.distributions import FloatDistribution
from optuna_dashboard import get_note, save_note
from optuna_dashboard._custom_plot_data import get_plotly_graph_objects

from abr_tune.annotate import annotate
from abr_tune.plan.yaml import dump
from abr_tune.report.notes import code, plain
from abr_tune.runs import RunFolder
from abr_tune.search.fidelity import Point
from abr_tune.search.ledger import Ending
from abr_tune.search.storage import sqlite_url
from abr_tune.search.study import Study
from core.tasks.task import Objective

METRIC = "val/class/f1_macro"
HOSTILE = "![x](http://evil.example/x.png) [y](javascript:alert(1)) <img src=x onerror=alert(1)> `$z$ www.evil.example"
BOX = {"lr": FloatDistribution(0, 1)}


def new_run(folder: Path, *, names: tuple[str, ...] = ("by hand",), trials: int = 12) -> RunFolder:
    """Trials with a learning rate below a half collapse."""
    run = RunFolder(folder)
    folder.mkdir()
    plan = {"name": folder.name, "task": "abr", "data": None, "objective": {"maximize": METRIC}}
    run.space.write_text(dump(plan), encoding="utf-8")
    run.plan.write_text(dump(plan), encoding="utf-8")
    study = Study(sqlite_url(run.study), folder.name, (Objective(METRIC),))
    for index in range(trials):
        values = {"lr": index / trials}
        number = study.begin(values, BOX, values, names[index] if index < len(names) else None)
        study.report(number, Point(1, 1, (0.1 * index,)))
        said = {"epoch": 1, "seconds": 1.0, "metrics": {METRIC: 0.1 * index}}
        if index < trials / 2:
            why = {"pruned_by": "class_collapse", "why": names[0]}
            study.finish(number, Ending(state="pruned", attributes=said | why))
        else:
            study.finish(number, Ending(state="complete", values=(0.1 * index,), attributes=said))
    study.close()
    return run


def load(run: RunFolder) -> optuna.Study:
    return optuna.load_study(study_name=run.name, storage=sqlite_url(run.study))


def note_of(study: optuna.Study, number: int) -> str:
    trial = optuna.trial.Trial(study, study.get_trials()[number]._trial_id)
    return get_note(trial)


def test_the_dashboard_reads_notes_and_plots(tmp_path: Path) -> None:
    run = new_run(tmp_path / "noted")
    annotate(run.path)
    study = load(run)
    note = get_note(study)
    assert note.startswith("## noted")
    assert plain(f"Trial 11 is best: {METRIC} 1.100") in note
    assert "[the best trial (11)](/dashboard/studies/1/trials?numbers=11)" in note
    assert "| class\\_collapse | 6 | 6 | – |" in note
    assert note_of(study, 0).startswith("**by hand** (start point), stopped by class\\_collapse after 1 epoch:")
    assert "`trials/0/history.jsonl`" in note_of(study, 0)
    assert "This is the **best** configuration." in note_of(study, 11)
    plots = get_plotly_graph_objects(study._storage.get_study_system_attrs(study._study_id))
    assert plots.keys() == {"abr-tune-collapse-map", "abr-tune-savings"}
    assert [bar["text"] for bar in json.loads(plots["abr-tune-collapse-map"])["data"]], "six bins at most"


def test_writing_again_changes_nothing_and_a_persons_note_stays(tmp_path: Path) -> None:
    run = new_run(tmp_path / "again")
    annotate(run.path)
    study = load(run)
    before = study._storage.get_study_system_attrs(study._study_id)
    annotate(run.path)
    assert load(run)._storage.get_study_system_attrs(study._study_id) == before
    first = optuna.trial.Trial(study, study.get_trials()[0]._trial_id)
    save_note(first, get_note(first) + "\n\nmine")
    save_note(study, "## mine")
    annotate(run.path)
    assert note_of(load(run), 0).endswith("mine")
    assert get_note(load(run)) == "## mine"


def test_a_note_of_ours_follows_the_run(tmp_path: Path) -> None:
    run = new_run(tmp_path / "grows")
    annotate(run.path)
    study = Study(sqlite_url(run.study), "grows", (Objective(METRIC),))
    number = study.begin({"lr": 0.5}, BOX, {"lr": 0.5}, None)
    study.finish(number, Ending(state="complete", values=(9.5,), attributes={"epoch": 1}))
    study.close()
    annotate(run.path)
    assert "Trial 12 is best" in get_note(load(run))
    assert "best** configuration" not in note_of(load(run), 11)


def test_no_text_of_a_run_becomes_markdown(tmp_path: Path) -> None:
    run = new_run(tmp_path / "hostile", names=(HOSTILE,))
    annotate(run.path)
    study = load(run)
    for note in (get_note(study), note_of(study, 0)):
        bare = re.sub(r"\\.", "", note)
        for markup in ("![", "](http", "](java", "<", "$", "http:", "www.", "javascript:"):
            assert markup not in bare, markup


@pytest.mark.parametrize(("text", "inert"), [("a_b*c", r"a\_b\*c"), ("x\n# y", r"x \# y"), ("<b>", r"\<b\>")])
def test_plain_text_is_escaped(text: str, inert: str) -> None:
    assert plain(text) == inert


def test_code_cannot_end_itself() -> None:
    assert code("a`b\nc") == "`a'b c`"


def test_a_run_that_never_began_gets_no_notes(tmp_path: Path) -> None:
    annotate(tmp_path)
    assert list(tmp_path.iterdir()) == []
