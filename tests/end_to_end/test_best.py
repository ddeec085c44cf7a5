"""The best configuration as a file: it trains again to what it claims, and its weights can be used."""

import json
import re
import shlex
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import pytest
import yaml
from safetensors.numpy import load_file

from core.data.files import read
from tests.end_to_end.commands import METRIC, Answer, Made, call, start, strict


@pytest.fixture(scope="module")
def retrained(little: Made, tmp_path_factory: pytest.TempPathFactory) -> Answer:
    """The best of the ABR run trained again, and with two fresh seeds."""
    out = tmp_path_factory.mktemp("retrained")
    return call("train", little.folder / "best.yaml", "--out", out, "--seeds", 3, "--json")


def best_of(made: Made) -> dict[str, object]:
    content: dict[str, object] = yaml.safe_load((made.folder / "best.yaml").read_text(encoding="utf-8"))
    return content


def test_the_file_has_the_promised_keys_and_every_option(little: Made) -> None:
    best = best_of(little)
    assert best.keys() >= {"task", "data", "train", "seed", "claims", "tolerance", "provenance"}
    assert best["train"]["optimizer"].keys() >= {"lr", "weight_decay", "warmup_epochs", "floor", "clip", "accumulate"}
    assert best["train"]["optimizer"]["lr"] == little.summary["best"]["params"]["optimizer.lr"]
    assert best["claims"][METRIC] == little.summary["best"]["value"]
    assert best["provenance"]["trial"] == little.summary["best"]["trial"]
    assert best["provenance"]["run"] == "little"


def test_it_trains_again_to_exactly_what_it_claims(little: Made, retrained: Answer) -> None:
    assert retrained.code == 0, retrained.err
    same = retrained.json[0]
    assert same["seed"] == 0
    assert same["value"] == same["claim"] == little.summary["best"]["value"]
    claims = best_of(little)["claims"]
    assert len(claims) > 30
    assert {name: same["metrics"][name] for name in claims} == claims


def test_fresh_seeds_are_those_of_the_confirmation_and_give_its_numbers(little: Made, retrained: Answer) -> None:
    fresh = retrained.json[1:]
    assert [row["seed"] for row in fresh] == [1, 2]
    assert [row["value"] for row in fresh] == little.summary["finalists"][0]["values"]
    assert fresh[0]["value"] != retrained.json[0]["value"]


def test_the_tolerance_for_fresh_seeds_holds_for_the_confirmation(little: Made, retrained: Answer) -> None:
    tolerance = best_of(little)["tolerance"]
    assert tolerance["same_seed"] == 0
    for row in retrained.json[1:]:
        assert row["tolerance"] == tolerance["fresh_seed"]
        assert abs(row["value"] - row["claim"]) <= row["tolerance"]


def test_its_weights_are_those_the_training_ends_with(little: Made, retrained: Answer) -> None:
    folder = Path(retrained.json[0]["folder"])
    newest = max(folder.glob("checkpoint/*/model.safetensors"))
    again, best = load_file(newest), load_file(little.folder / "best" / "model.safetensors")
    assert again.keys() == best.keys()
    for name, values in best.items():
        assert (again[name] == values).all(), name
    assert strict((little.folder / "best" / "metrics.json").read_text()) == retrained.json[0]["metrics"]


def test_a_person_reads_that_it_is_equal(quick: Callable[..., Made], tmp_path: Path) -> None:
    made = quick()
    answer = call("train", made.folder / "best.yaml", "--out", tmp_path, "--trust-code")
    assert answer.code == 0, answer.err
    value = made.summary["best"]["value"]
    said = answer.out.splitlines()[0]
    assert said == f"seed 0: val/class/f1_macro {value:.6f}; claimed {value:.6f}, equal"


def test_fewer_epochs_and_other_options_can_be_tried_without_claiming_anything(little: Made, tmp_path: Path) -> None:
    short = call("train", little.folder / "best.yaml", "--out", tmp_path, "--epochs", 1, "--json").json
    assert "claim" not in short[0]
    config = yaml.safe_load((Path(short[0]["folder"]) / "config.yaml").read_text())
    assert config["train"]["epochs"] == 1
    hot = call("train", little.folder / "best.yaml", "--out", tmp_path, "--set", "train.optimizer.lr=1e38", "--json")
    assert hot.code == 1
    assert (hot.json[0]["ended"], hot.json[0]["rule"]) == ("stopped", "non_finite")
    assert hot.json[0]["folder"] != short[0]["folder"]


def test_mistakes_in_the_file_are_named_with_their_place(little: Made, tmp_path: Path) -> None:
    file = tmp_path / "best.yaml"
    text = (little.folder / "best.yaml").read_text(encoding="utf-8")
    file.write_text(text.replace("batch_size", "batch_sise"), encoding="utf-8")
    answer = call("train", file)
    assert (answer.code, answer.out) == (2, "")
    assert re.search(rf"^{file}:\d+:\d+: error: batch_sise is not a training option", answer.err)
    assert "did you mean batch_size?" in answer.err


COUNTING = """
import json, time
from pydantic import BaseModel
from core.report import EpochReport

class Options(BaseModel, frozen=True):
    epochs: int = 6
    pause: float = 0.0

class Counting:
    name, options = "counting", Options

    def train(self, options, *, seed, checkpoint):
        saved = checkpoint / "state.json"
        done, total = json.loads(saved.read_text()) if saved.exists() else (0, seed)
        for epoch in range(done + 1, options.epochs + 1):
            time.sleep(options.pause)
            total += epoch
            checkpoint.mkdir(exist_ok=True)
            with (checkpoint.parent / "trained.txt").open("a") as file:
                print(epoch, file=file)
            saved.write_text(json.dumps([epoch, total]))
            yield EpochReport(epoch=epoch, phase="all", metrics={"val/x/total": float(total)})
"""
"""A task that adds up its epochs, and notes each one it really trains."""


@pytest.mark.slow
def test_an_interrupted_training_goes_on_where_it_stopped(tmp_path: Path) -> None:
    (tmp_path / "counting.py").write_text(COUNTING, encoding="utf-8")
    file = tmp_path / "one.yaml"
    file.write_text("task: counting:Counting\nseed: 3\n", encoding="utf-8")
    process = start("train", file, "--out", tmp_path / "out", "--trust-code", "--set", "train.pause=0.3", "--json")
    until = time.monotonic() + 60
    while not (trained := list((tmp_path / "out").glob("trained/*/trained.txt"))):
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < until
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=30)
    assert (process.returncode, out) == (130, "")
    assert len(trained[0].read_text().split()) < 6
    printed = re.search(r"^interrupted; continue with: (abr-tune .*)$", err, re.MULTILINE)
    assert printed is not None, err
    [row] = call(*shlex.split(printed[1])[1:]).json
    # The seed 3 and 1 + 2 + 3 + 4 + 5 + 6.
    assert row["metrics"] == {"val/x/total": 24.0}
    assert trained[0].read_text().split() == ["1", "2", "3", "4", "5", "6"]
    history = Path(row["folder"]) / "history.jsonl"
    assert [json.loads(line)["epoch"] for line in history.read_text().splitlines()] == [1, 2, 3, 4, 5, 6]


@dataclass(frozen=True)
class Files:
    """Recordings in a file, and a run on them whose space file names it by a relative path."""

    recordings: Path
    made: Made


@pytest.fixture(scope="module")
def on_file(tmp_path_factory: pytest.TempPathFactory) -> Files:
    folder = tmp_path_factory.mktemp("on_file")
    assert call("data", "make", "--to", folder / "sim.npz", "--train", 300, "--val", 1, "--test", 1).code == 0
    (folder / "sim-train.npz").rename(folder / "recordings.npz")
    file = folder / "spaces" / "recorded.yaml"
    file.parent.mkdir()
    file.write_text(
        "name: recorded\ntask: abr\ndata: {source: ../recordings.npz}\ntrain: {epochs: 2}\n"
        "search: {optimizer.lr: {log: [1e-4, 1e-2]}}\nobjective: {minimize: val/threshold/mae_db}\n"
        "budget: {trials: 2}\npruner: none\nconfirm: {top: 0}\n",
        encoding="utf-8",
    )
    out = folder / "results"
    return Files(
        folder / "recordings.npz", Made(file, out, "recorded", call("run", file, "--out", out, "--executor", "inline"))
    )


@pytest.fixture
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Another working directory than any of the files'."""
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    return tmp_path / "elsewhere"


def test_the_smaller_value_wins_when_it_is_to_be_minimized(on_file: Files) -> None:
    assert on_file.made.answer.code == 0, on_file.made.answer.err
    values = [trial.value for trial in on_file.made.trials]
    assert on_file.made.summary["best"]["value"] == min(values) < max(values)


def test_relative_paths_of_the_data_survive(on_file: Files, elsewhere: Path) -> None:
    made = on_file.made
    best = best_of(made)
    assert best["data"]["source"] == "../../recordings.npz"
    row = call("train", made.folder / "best.yaml", "--json").json[0]
    assert row["value"] == row["claim"]
    assert (elsewhere / "results" / "trained").is_dir()
    again = made.again()
    assert again.code == 0, again.err
    assert len(made.trials) == 2


def test_a_run_is_scored_on_its_held_out_data_beside_baselines(on_file: Files, elsewhere: Path) -> None:
    scores = on_file.made.ask("evaluate", "--json").json
    summary = on_file.made.summary
    assert scores["metrics"]["val/threshold/mae_db"] == pytest.approx(summary["best"]["value"], rel=1e-6)
    baseline = summary["baselines"]["val/threshold/mae_db"]
    assert scores["baselines"]["val/threshold/mae_db"] == pytest.approx(baseline, rel=1e-6)
    tested = on_file.made.ask("evaluate", "--split", "test", "--json").json["metrics"]
    assert tested == pytest.approx(summary["test"], rel=1e-6)
    shown = on_file.made.ask("evaluate").out
    line = f"{'val/threshold/mae_db':36s} {summary['best']['value']:10.4f}   trivial {baseline:10.4f}"
    assert line in shown.splitlines()


@pytest.mark.parametrize("suffix", [".parquet", ".csv"])
def test_predictions_have_a_row_for_every_recording(on_file: Files, elsewhere: Path, suffix: str) -> None:
    target = elsewhere / "new" / f"predictions{suffix}"
    answer = on_file.made.ask("predict", on_file.recordings, "--to", target)
    assert answer.code == 0, answer.err
    table = pd.read_parquet(target) if suffix == ".parquet" else pd.read_csv(target)
    recordings = read(on_file.recordings)
    assert list(table["patient"]) == list(recordings.patient)
    shares = table[[name for name in table if name.startswith("probability/")]]
    assert shares.shape[1] == 5
    assert (shares.sum(axis=1) - 1).abs().max() < 1e-5
    assert (table["class"] == shares.idxmax(axis=1).str.removeprefix("probability/")).all()
    assert {"threshold_db", "threshold_db_plus_minus", "wave_v_latency_ms"} <= set(table.columns)
    first = table["signal"][0]
    samples = first if suffix == ".parquet" else json.loads(first)
    assert len(samples) == recordings.signal.shape[1]


def test_the_two_kinds_of_prediction_file_say_the_same(on_file: Files, elsewhere: Path) -> None:
    for name in ("p.parquet", "p.csv"):
        on_file.made.ask("predict", on_file.recordings, "--to", elsewhere / name)
    parquet, csv = pd.read_parquet("p.parquet"), pd.read_csv("p.csv")
    pd.testing.assert_frame_equal(parquet.drop(columns="signal"), csv.drop(columns="signal"), check_dtype=False)
    assert [list(row) for row in parquet["signal"]] == [json.loads(row) for row in csv["signal"]]


def test_weights_can_be_named_by_their_folder(on_file: Files, elsewhere: Path) -> None:
    by_folder = call("evaluate", on_file.made.folder / "best", "--json").json
    assert by_folder == on_file.made.ask("evaluate", "--json").json


@pytest.mark.parametrize(
    ("file", "to", "message"),
    [
        ("missing.npz", "p.csv", "no such file"),
        ("{recordings}", "p.xlsx", "predictions go to a .parquet or .csv file, not to p.xlsx"),
        ("{space}", "p.csv", "no predictions for"),
    ],
)
def test_what_cannot_be_predicted_is_said(on_file: Files, elsewhere: Path, file: str, to: str, message: str) -> None:
    given = file.format(recordings=on_file.recordings, space=on_file.made.file)
    answer = on_file.made.ask("predict", given, "--to", to)
    assert answer.code == 2
    assert message in answer.err
    assert not Path(to).exists()


def test_any_trial_can_be_exported_and_trains_to_its_value(on_file: Files, elsewhere: Path) -> None:
    made = on_file.made
    worse = max(made.trials, key=lambda trial: trial.value)
    target = elsewhere / "deep" / "worse.yaml"
    assert made.ask("export", "--trial", worse.number, "--to", target).code == 0
    row = call("train", target, "--json").json[0]
    assert (row["metric"], row["value"]) == ("val/threshold/mae_db", worse.value)
    assert row["claim"] == worse.value


def test_the_best_is_exported_by_default_to_standard_output(on_file: Files, elsewhere: Path) -> None:
    text = on_file.made.ask("export").out
    assert yaml.safe_load(text)["provenance"]["trial"] == on_file.made.summary["best"]["trial"]
    Path("best.yaml").write_text(text, encoding="utf-8")
    row = call("train", "best.yaml", "--json").json[0]
    assert row["value"] == row["claim"] == on_file.made.summary["best"]["value"]


@pytest.mark.parametrize(
    ("trial", "message"),
    [("7", "has no trial 7 that was trained"), ("worst", "--trial takes `best` or a number, not 'worst'")],
)
def test_a_trial_that_is_not_there_cannot_be_exported(on_file: Files, trial: str, message: str) -> None:
    answer = on_file.made.ask("export", "--trial", trial)
    assert (answer.code, answer.out) == (2, "")
    assert message in answer.err


def test_a_run_that_switches_a_rule_off_leaves_it_off_in_its_best(tmp_path: Path) -> None:
    file = tmp_path / "lax.yaml"
    file.write_text(
        "task: abr\ndata: {source: simulated, train: 120, val: 80, test: 80}\ntrain: {epochs: 6}\n"
        "search: {optimizer.lr: {log: [1e-8, 1e-7]}}\nhealth: {class_collapse: off, regression_collapse: off}\n"
        "budget: {trials: 1}\nconfirm: {top: 0}\n",
        encoding="utf-8",
    )
    assert call("run", file, "--out", tmp_path / "results", "--executor", "inline").code == 0
    row = call("train", tmp_path / "results" / "lax" / "best.yaml", "--out", tmp_path, "--json").json[0]
    assert row["ended"] == "complete"
    assert row["value"] == row["claim"]
