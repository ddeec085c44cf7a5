"""`abr-tune replay` as it is typed."""

import json
from pathlib import Path

import pytest

from abr_tune.cli import main


def call(*arguments: str) -> int:
    with pytest.raises(SystemExit) as ending:
        main([*arguments, "--trust-code"])
    return int(ending.value.code or 0)


def test_a_table_and_the_rules(six: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert call("replay", str(six), "--methods", "ours,random", "--seeds", "2", "--budget", "6x", "--jobs", "1") == 0
    said = capsys.readouterr()
    assert "6 recorded configurations of 10 epochs" in said.out
    assert "they save 40.0% of the epochs of the runs that end collapsed, diverged or not finite" in said.out
    assert "20.0% of all epochs; of the ten best they stop 1, the best is unchanged" in said.out
    rows = {line.split("  ")[0]: line for line in said.out.splitlines()}
    assert rows["random"].split()[1:5] != []
    assert "4/4 searches" in said.err


def test_json_and_page(six: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    options = ("--methods", "random", "--seeds", "1", "--budget", "60", "--jobs", "1", "--to", str(tmp_path), "--json")
    assert call("replay", str(six), *options) == 0
    printed = json.loads(capsys.readouterr().out)
    assert printed == json.loads((tmp_path / "replay.json").read_text())
    assert printed["rules"]["saved_of_bad"] == pytest.approx(0.4)
    assert printed["methods"][0]["regret"][-1] == 0
    assert printed["seeds"]["random"][0]["trials"] == 6
    page = (tmp_path / "replay.html").read_text()
    assert 'data-figure="figure-regret"' in page
    assert page.count("<script>") == 2


def test_rules_alone_simulate_nothing(six: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert call("replay", str(six), "--rules") == 0
    out = capsys.readouterr().out
    assert "health rules alone" in out
    assert "regret at" not in out


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (
            ("--methods", "optuna_tpee"),
            "--methods: there is no 'optuna_tpee'; did you mean optuna_tpe?; there are random",
        ),
        (("--budget", "much"), "--budget 'much' is neither epochs, as in 800, nor full trainings, as in 40x"),
        (("--pruner", "medium"), "medium is not a pruner"),
    ],
)
def test_mistakes_are_said(six: Path, options: tuple[str, str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert call("replay", str(six), *options) == 2
    assert said in capsys.readouterr().err


def test_no_bank_there(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert call("replay", str(tmp_path)) == 2
    assert "holds no bank; `abr-tune bank SPACE --trials N` records one" in capsys.readouterr().err
