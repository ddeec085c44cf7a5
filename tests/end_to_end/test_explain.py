"""`abr-tune explain`: a way that is really trained, kept, and shown."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from tests.end_to_end.commands import Answer, Made

METRIC = "val/class/f1_macro"
FROZEN = {"  - {name: by hand}\n": "  - {name: frozen, lr: 1e-6, power: 0.0}\n", "{trials: 3}": "{trials: 6}"}


def explain(made: Made, *words: object) -> Answer:
    return made.ask("explain", "--executor", "inline", "--trust-code", *words)


def trained(made: Made) -> dict[str, float]:
    """Folder -> when its history was last written."""
    return {path.parent.name: path.stat().st_mtime for path in made.folder.glob("ablation/*/history.jsonl")}


def test_from_a_frozen_start_to_the_best(quick: Callable[..., Made]) -> None:
    made = quick(changes=FROZEN)
    answer = explain(made, "--json")
    assert answer.code == 0, answer.err
    way = answer.json
    assert (way["start"], way["metric"], way["seeds"]) == ("frozen", METRIC, [1, 2])
    assert {step["lever"] for step in way["steps"]} == {"lr", "power"}
    # It starts at the majority's score and ends where confirmation was.
    assert way["value"] == pytest.approx(4 / 9)
    finalist = made.summary["finalists"][0]
    assert way["steps"][-1]["values"] == finalist["values"]
    assert way["steps"][-1]["runs"] == finalist["runs"]
    assert sum(step["gain"] for step in way["steps"]) == pytest.approx(finalist["mean"] - 4 / 9)
    # The start on two seeds, two levers tried on one seed, the chosen one on the other.
    assert way["trainings"] == len(trained(made)) == 2 + 2 + 1
    assert set(way["steps"][0]["raced"]) == {"lr", "power"}
    chosen = way["steps"][0]["lever"]
    assert way["steps"][0]["raced"][chosen] == max(way["steps"][0]["raced"].values())
    assert json.loads((made.folder / "ablation.json").read_text()) == way


def test_what_was_trained_is_not_trained_again(quick: Callable[..., Made]) -> None:
    made = quick(changes=FROZEN)
    first = explain(made, "--budget", 4, "--json").json
    before = trained(made)
    second = explain(made, "--json").json
    assert {name: trained(made)[name] for name in before} == before
    assert second["value"] == first["value"]


def test_a_person_reads_which_lever_brought_how_much(quick: Callable[..., Made]) -> None:
    made = quick(changes=FROZEN)
    answer = explain(made, "--from", "defaults", "--seeds", 1)
    assert answer.code == 0, answer.err
    assert f"{METRIC}, 1 seed each" in answer.out
    assert "lr 0.5 -> " in answer.out
    assert answer.out.splitlines()[-1]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--from", "nobody"], "has no start point 'nobody'; there are frozen, defaults"),
        (["--budget", 1], "a budget of 1 training is too small: the shortest way takes 4"),
    ],
)
def test_mistakes(quick: Callable[..., Made], words: list[object], message: str) -> None:
    answer = explain(quick(changes=FROZEN), *words)
    assert (answer.code, answer.out) == (2, "")
    assert message in answer.err


def test_a_run_without_a_best_has_nothing_to_explain(quick: Callable[..., Made]) -> None:
    made = quick(
        changes={"{log: [0.05, 1.0]}": "{log: [1e30, 1e31]}", "  - {name: by hand}\n": "  - {name: a, lr: 1e30}\n"}
    )
    assert made.answer.code == 1
    answer = explain(made)
    assert answer.code == 2
    assert "has no best configuration to explain yet" in answer.err
