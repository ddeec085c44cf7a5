"""What a file claims is trained again and compared: on its own seed, on fresh ones, and when something has changed."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from abr_tune.plan.config import load_config
from abr_tune.since import changed
from abr_tune.verify import fresh_seeds
from tests.end_to_end.commands import Answer, Made, call

METRIC = "val/class/f1_macro"
CONFIRMED = {"confirm: {top: 1, seeds: 2}": "confirm: {top: 1, seeds: 3}"}


def verify(made: Made, out: Path, *words: object) -> Answer:
    return call("verify", made.folder / "best.yaml", "--out", out, "--trust-code", *words)


def edit(made: Made, **keys: object) -> None:
    file = made.folder / "best.yaml"
    content = yaml.safe_load(file.read_text(encoding="utf-8"))
    for key, value in keys.items():
        content[key] = value(content[key]) if callable(value) else value
    file.write_text(yaml.safe_dump(content), encoding="utf-8")


def test_a_fresh_file_holds_exactly(quick: Callable[..., Made], tmp_path: Path) -> None:
    made = quick()
    answer = verify(made, tmp_path)
    assert answer.code == 0, answer.err
    assert answer.out.splitlines()[-1] == "the file holds: 2 of 2 values are as claimed"
    assert re.search(rf"^{METRIC} +0 +(\d\.\d+) +\1 +exactly that +holds$", answer.out, re.MULTILINE)
    assert "other than then" not in answer.err
    told = verify(made, tmp_path, "--json").json
    assert told["verdict"] == "holds"
    assert {row["metric"] for row in told["checks"]} == {METRIC, "val/class/accuracy"}
    assert all(row["got"] == row["claim"] == row["allowed"][0] for row in told["checks"])


def test_a_claim_that_is_too_good_is_found_out(quick: Callable[..., Made], tmp_path: Path) -> None:
    """A millionth more than the configuration gives is too much; a tolerance that allows it lets it pass."""
    made = quick()
    edit(made, claims=lambda claims: claims | {METRIC: claims[METRIC] + 1e-6})
    answer = verify(made, tmp_path)
    assert answer.code == 1
    assert "1 of 2 values are not as claimed, the furthest 1e-06 away" in answer.out
    edit(made, tolerance={"same_seed": 1e-5})
    assert verify(made, tmp_path).code == 0


def test_what_differs_is_said_before_training(quick: Callable[..., Made], tmp_path: Path) -> None:
    made = quick()

    def older(provenance: dict[str, object]) -> dict[str, object]:
        return provenance | {"versions": {"torch": "1.0"}, "data_fingerprint": "another", "machine": {"cores": 999}}

    edit(made, provenance=older)
    answer = verify(made, tmp_path)
    said = [line for line in answer.err.splitlines() if line.startswith("other than then")]
    assert [line.split(" was ")[0] for line in said] == [
        "other than then: version of torch",
        "other than then: machine: cores",
        "other than then: data fingerprint",
    ]
    assert answer.err.index("other than then") < answer.err.index("epoch 1/6")
    assert answer.code == 0
    assert next(changed({"commit": None}, "none"), None) is None


def test_fresh_seeds_are_new_ones_and_lie_where_they_are_expected(quick: Callable[..., Made], tmp_path: Path) -> None:
    made = quick(changes=CONFIRMED)
    config = load_config(made.folder / "best.yaml", trust_code=True)
    # The search used seed 0 and confirmation 1, 2, 3.
    assert list(fresh_seeds(config, 2)) == [4, 5]
    answer = verify(made, tmp_path, "--seeds", 2, "--json")
    assert [row["seed"] for row in answer.json["checks"]] == [4, 5]
    confirmed = config.provenance["confirmed"]
    low, high = answer.json["checks"][0]["allowed"]
    assert (low + high) / 2 == pytest.approx(confirmed["mean"])
    # Two runs, three seen: t(1 - 0.05/4, 2) = 6.205347 times sd times sqrt(4/3).
    assert (high - low) / 2 == pytest.approx(6.205347 * confirmed["sd"] * (4 / 3) ** 0.5)
    assert answer.code == 0


def test_a_training_that_breaks_verifies_nothing(quick: Callable[..., Made], tmp_path: Path) -> None:
    made = quick()
    edit(made, train=lambda train: train | {"lr": 1e30})
    answer = verify(made, tmp_path, "--json")
    assert answer.code == 1
    assert {row["verdict"] for row in answer.json["checks"]} == {"absent"}
    assert answer.json["checks"][0]["why"].startswith("it was stopped by non_finite")


def test_nothing_to_verify_is_a_mistake(quick: Callable[..., Made], tmp_path: Path) -> None:
    made = quick(changes={"confirm: {top: 1, seeds: 2}": "confirm: {top: 0}"})
    answer = verify(made, tmp_path, "--seeds", 1)
    assert (answer.code, answer.out) == (2, "")
    assert "does not say how much seeds differ" in answer.err
    edit(made, claims={})
    answer = verify(made, tmp_path)
    assert answer.code == 2
    assert "claims nothing: there is nothing to verify" in answer.err
