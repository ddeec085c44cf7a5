"""`abr-tune compare` on runs that were really made."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tests.end_to_end.commands import METRIC, Made, call


def best_of(made: Made) -> int:
    return int(made.summary["best"]["trial"])


def test_two_runs_with_their_confusion_matrices(little: Made, quick: Callable[..., Made], tmp_path: Path) -> None:
    """A run and another of its trials; the other side of a task of its own has other metrics and no matrix."""
    other_trial = next(trial.number for trial in little.trials if trial.number in {0, 3} - {best_of(little)})
    trial = little.folder / "trials" / str(other_trial)
    told = call("compare", little.folder, trial, "--json").json
    assert (told["a"], told["b"]) == (str(little.folder), str(trial))
    rows = {row["metric"]: row for row in told["metrics"]}
    finalist = little.summary["finalists"][0]
    assert rows[METRIC]["a"] == pytest.approx(finalist["mean"])
    assert rows[METRIC]["runs_a"] == 2
    assert rows[METRIC]["delta"] == pytest.approx(rows[METRIC]["b"] - rows[METRIC]["a"])
    assert rows[METRIC]["relative_percent"] == pytest.approx(100 * rows[METRIC]["delta"] / rows[METRIC]["a"])
    assert rows["val/class/accuracy"]["baseline_a"] == little.summary["baselines"]["val/class/accuracy"]
    matrix = np.array(told["confusion"]["val"]["a"]["counts"])
    assert matrix.sum() == 120
    # Recordings are counted, whatever they weigh; of a class's those on the diagonal are its recall.
    for place, name in enumerate(told["confusion"]["val"]["a"]["classes"]):
        recall = little.summary["best"]["metrics"][f"val/class/recall/{name}"]
        assert matrix[place, place] / matrix[place].sum() == pytest.approx(recall)
    assert told["confusion"]["val"]["b"] is None
    assert told["settings"].keys() == {"train.optimizer.lr", "train.loss.weights.peak_exist"}

    made = quick()
    other = call("compare", little.folder, made.folder / "best.yaml", "--json").json
    shared = [row["metric"] for row in other["metrics"] if row["delta"] is not None]
    assert set(shared) == {"val/class/f1_macro", "val/class/accuracy"}
    assert other["settings"]["task"] == {"a": "abr", "b": "tests.search.tasks:Rare"}


def test_a_person_reads_a_table(quick: Callable[..., Made]) -> None:
    made = quick()
    answer = made.ask("compare", made.folder / "trials" / "0")
    assert answer.code == 0, answer.err
    assert "val/class/f1_macro" in answer.out
    assert "has 2 fresh runs" in answer.out
    same = made.ask("compare", made.name)
    assert "no setting differs" in same.out
    assert "+0.0000" in same.out


def test_what_has_no_best_is_a_mistake(tmp_path: Path) -> None:
    answer = call("compare", "this", "that", "--out", tmp_path)
    assert (answer.code, answer.out) == (2, "")
    assert "no run 'this'" in answer.err
