"""`abr-tune run` of a name that is there already: it goes on, refuses, or sets the old run aside."""

import json
import re
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.end_to_end.commands import IN_PROCESS, Made, call, files_in

Quick = Callable[..., Made]
UNTOUCHED = ("study.db", "trials", "confirm", "best.yaml", "summary.json", "events.jsonl")


def kept(made: Made) -> dict[str, bytes]:
    """What a run has found out, as bytes."""
    return {name: content for name, content in files_in(made.folder).items() if name.startswith(UNTOUCHED)}


def test_a_finished_run_is_not_run_again(quick: Quick) -> None:
    made = quick()
    before, trials = kept(made), made.trials
    again = made.again()
    assert again.code == 0, again.err
    assert made.trials == trials
    after = kept(made)
    for name in before.keys() - {"summary.json", "best.yaml"}:
        assert after[name] == before[name], name
    old, new = json.loads(before["summary.json"]), json.loads(after["summary.json"])
    for changing in ("seconds",):
        del old[changing], new[changing]
    assert new == old


def test_a_bigger_budget_goes_on_where_the_smaller_one_ended(quick: Quick) -> None:
    made = quick()
    before = made.trials
    more = made.again("--trials", 5)
    assert more.code == 0, more.err
    assert made.trials[:3] == before
    assert [trial.number for trial in made.trials] == [0, 1, 2, 3, 4]
    assert made.summary["trials"]["complete"] == 5
    assert re.search(r"^ +5/5  #4 ", more.err, re.MULTILINE)


def test_one_search_in_parts_is_the_search_in_one(tmp_path: Path, quick: Quick) -> None:
    made = quick("--trials", 2)
    made.again("--trials", 4)
    whole = call("run", made.file, "--out", tmp_path / "whole", "--trials", 4, *IN_PROCESS, "--json").json
    assert made.summary["best"] == whole["best"]
    assert made.summary["finalists"] == whole["finalists"]


@pytest.mark.parametrize(
    ("override", "difference"),
    [
        ("train.epochs=7", "train.epochs: was 6, is 7"),
        (
            "objective={maximize: val/class/accuracy}",
            "objective.maximize: was 'val/class/f1_macro', is 'val/class/accuracy'",
        ),
        ("objective={minimize: val/class/f1_macro}", "objective.minimize: was not set, is 'val/class/f1_macro'"),
    ],
)
def test_a_change_that_makes_scores_incomparable_is_refused_and_nothing_is_lost(
    quick: Quick, override: str, difference: str
) -> None:
    made = quick()
    before = files_in(made.folder)
    refused = made.again("--set", override)
    assert (refused.code, refused.out) == (2, "")
    assert difference in refused.err
    assert "--name" in refused.err
    assert "--fresh" in refused.err
    assert "Traceback" not in refused.err
    after = files_in(made.folder)
    assert before.keys() == after.keys()
    assert {name for name in after if after[name] != before[name]} <= {".driver"}
    assert made.again().code == 0


def test_other_data_are_refused_by_name(little: Made) -> None:
    refused = call("run", little.file, "--out", little.out, "--executor", "inline", "--set", "data.seed=8")
    assert refused.code == 2
    assert "data.seed: was 7, is 8" in refused.err
    refused = call("run", little.file, "--out", little.out, "--executor", "inline", "--seed", 3)
    assert refused.code == 2
    assert "seed: was 0, is 3" in refused.err


@pytest.mark.parametrize(
    "override", ["health.class_absent.patience=3", "pruner=median", "sampler=qmc", "search.lr={log: [0.1, 2.0]}"]
)
def test_what_does_not_change_the_meaning_of_scores_may_change(quick: Quick, override: str) -> None:
    made = quick()
    on = made.again("--set", override, "--trials", 4)
    assert on.code == 0, on.err
    assert len(made.trials) == 4


def test_fresh_sets_the_old_run_aside_whole(quick: Quick) -> None:
    made = quick()
    before = files_in(made.folder)
    fresh = made.again("--fresh", "--set", "train.epochs=4")
    assert fresh.code == 0, fresh.err
    assert made.summary["epochs"]["spent"] == 12
    [aside] = [path for path in made.out.iterdir() if path != made.folder]
    assert re.fullmatch(r"quick\.\d{8}T\d{6}", aside.name)
    assert str(aside) in fresh.err
    moved = files_in(aside)
    assert {**moved, ".driver": b""} == {**before, ".driver": b""}


def test_fresh_without_an_old_run_is_a_run(quick: Quick) -> None:
    made = quick("--fresh")
    assert made.answer.code == 0, made.answer.err
    assert [path.name for path in made.out.iterdir()] == ["quick"]


def test_a_mistake_in_the_data_can_be_mended_in_the_file(tmp_path: Path) -> None:
    text = "task: abr\ndata: {source: %s}\nsearch: {optimizer.lr: {log: [1e-4, 1e-2]}}\nbudget: {trials: 1}\n"
    file = tmp_path / "mended.yaml"
    for source in ("missing.npz", "missing-too.npz"):
        file.write_text(text % source, encoding="utf-8")
        refused = call("run", file, "--out", tmp_path / "results", "--executor", "inline")
        assert refused.code == 2
        assert f"the data cannot be used: {tmp_path / source}: no such file" in refused.err


def test_the_study_stays_sound(quick: Quick) -> None:
    made = quick()
    made.again("--trials", 4)
    with sqlite3.connect(made.folder / "study.db") as database:
        assert database.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    database.close()


def test_trials_without_the_study_they_belong_to_are_not_built_upon(quick: Quick, tmp_path: Path) -> None:
    """Another storage, or a study that was deleted: a new study would take over foreign checkpoints."""
    made = quick()
    moved = made.again("--storage", f"sqlite:///{tmp_path / 'elsewhere.db'}")
    assert moved.code == 2
    assert "is kept in its own study.db: leave --storage as it was" in moved.err
    (made.folder / "study.db").unlink()
    lost = made.again()
    assert lost.code == 2
    assert "has trials but no study.db" in lost.err
    assert made.again("--fresh").code == 0
