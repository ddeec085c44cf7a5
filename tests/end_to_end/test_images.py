"""A folder of photographs of one's own: searched, confirmed on repeated folds, evaluated, predicted."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.end_to_end.commands import Answer, call

SPACE = """\
name: own
task: cataract
data: {source: photographs, size: 32, views: 2}
train: {epochs: 3, batch_size: 4, optimizer.lr: 0.01, phases.boundaries: [1.0]}
search:
  model.dropout: {uniform: [0, 0.5]}
objective: {minimize: val/class/nll}
pruner: none
health: {}
budget: {trials: 1}
confirm: {top: 1, seeds: 2, folds: 2}
gate:
  val/class/nll: {go: "< 0.6", by_epoch: 2}
"""


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a space file, and red and blue photographs in a folder each."""
    folder = tmp_path_factory.mktemp("own")
    random = np.random.default_rng(5)
    for name, colour in (("blue", (20, 20, 200)), ("red", (200, 20, 20))):
        (folder / "photographs" / name).mkdir(parents=True)
        for take in range(10):
            pixels = np.clip(np.array(colour) + random.normal(0, 20, (40, 50, 3)), 0, 255).astype(np.uint8)
            Image.fromarray(pixels).save(folder / "photographs" / name / f"{take}.png")
    (folder / "own.yaml").write_text(SPACE, encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def ran(place: Path) -> Answer:
    words = ("--out", place / "results", "--executor", "inline", "--json")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(place / "cache"))
        return call("run", place / "own.yaml", *words)


def test_a_folder_of_examples_is_nothing_to_warn_of(place: Path) -> None:
    said = call("validate", place / "own.yaml")
    assert (said.code, "warning" in said.out + said.err) == (0, False)
    elsewhere = call("validate", place / "own.yaml", "--set", "data.source=nowhere")
    assert "there is no file" in elsewhere.out + elsewhere.err


def test_confirmation_on_folds_says_how_far_they_are_apart(ran: Answer, place: Path) -> None:
    """Two folds, each trained with two seeds: four trainings, an interval between the folds' means."""
    assert ran.code == 0, ran.err
    confirmed = ran.json["best"]["confirmed"]
    assert (confirmed["folds"], confirmed["seeds"]) == (2, 2)
    low, high = confirmed["interval"]
    assert low < confirmed["mean"] < high
    where = place / "results" / "own" / "confirm"
    folders = sorted(each.name for each in where.iterdir())
    assert folders == ["0-1-fold1", "0-1-fold2", "0-2-fold1", "0-2-fold2"]
    [row] = ran.json["gate"]["criteria"]
    histories = [
        [json.loads(line) for line in (where / name / "history.jsonl").read_text(encoding="utf-8").splitlines()]
        for name in folders
    ]
    at_2, at_3 = (np.mean([reports[epoch]["metrics"][row["metric"]] for reports in histories]) for epoch in (1, 2))
    assert "at epoch 2" in (place / "results" / "own" / "report.html").read_text(encoding="utf-8")
    assert (row["value"], confirmed["mean"]) == (pytest.approx(at_2), pytest.approx(at_3))


def test_the_best_is_scored_on_a_labelled_folder_and_names_what_is_in_another(ran: Answer, place: Path) -> None:
    assert ran.code == 0, ran.err
    words = ("--out", place / "results")
    scored = call("evaluate", "own", "--data", place / "photographs", "--json", *words)
    assert scored.code == 0, scored.err
    assert scored.json["metrics"]["test/class/f1_macro"] > 0.9
    table = place / "said.csv"
    said = call("predict", "own", place / "photographs" / "red", "--to", table, *words)
    assert said.code == 0, said.err
    with table.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["name"] for row in rows] == [f"{take}.png" for take in range(10)]
    assert sum(row["class"] == "red" for row in rows) >= 9
    assert all(float(row["probability/red"]) + float(row["probability/blue"]) == pytest.approx(1) for row in rows)
