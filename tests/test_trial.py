"""One training in a folder: what is on disk, what is yielded, and what an interruption leaves."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from abr_tune.trial import Crash, TrialStep, attempt, plain, read_history, run_trial
from core.health import HealthOptions
from core.report import EpochReport
from tests.search.tasks import BASELINES, Rare, RareOptions


def steps_of(folder: Path, *, seed: int = 3, since: int = 0, **options):
    return run_trial(
        Rare(),
        RareOptions(**options),
        seed=seed,
        folder=folder,
        data=None,
        health=HealthOptions(),
        baselines=BASELINES,
        since=since,
    )


def epochs(steps) -> list[int]:
    return [step.report.epoch for step in steps]


def test_history_holds_every_report_when_it_is_yielded(tmp_path: Path) -> None:
    reports = []
    for step in steps_of(tmp_path, epochs=4):
        reports.append(step.report)
        assert read_history(tmp_path / "history.jsonl") == reports
    assert epochs(steps_of(tmp_path / "again", epochs=4)) == [1, 2, 3, 4]


def test_config_can_be_read_as_yaml_and_says_what_is_trained(tmp_path: Path) -> None:
    list(steps_of(tmp_path, epochs=2, lr=0.25))
    config = yaml.safe_load((tmp_path / "config.yaml").read_text())
    assert config["task"] == "rare"
    assert config["seed"] == 3
    assert config["train"] == {"epochs": 2, "lr": 0.25, "power": 1.0, "act": "train"}


def test_nan_from_a_huge_learning_rate_stops_at_its_step(tmp_path: Path) -> None:
    steps = list(steps_of(tmp_path, epochs=6, lr=1e300))
    assert len(steps) == 1
    assert steps[0].report.complete is False
    assert steps[0].stop is not None
    assert steps[0].stop.rule == "non_finite"
    assert [report.complete for report in read_history(tmp_path / "history.jsonl")] == [False]


def test_collapse_is_the_last_step(tmp_path: Path) -> None:
    steps = list(steps_of(tmp_path, epochs=12, lr=1e-9))
    assert [bool(step.stop) for step in steps] == [False] * (len(steps) - 1) + [True]
    assert steps[-1].stop.rule == "class_collapse"
    assert len(steps) < 12


def test_interrupted_and_resumed_is_the_uninterrupted_run(tmp_path: Path) -> None:
    whole = list(steps_of(tmp_path / "whole"))
    part = steps_of(tmp_path / "parts")
    for _ in range(3):
        next(part)
    part.close()
    resumed = list(steps_of(tmp_path / "parts", since=3))
    assert resumed == whole[2:]  # the report of the checkpoint comes again
    assert (tmp_path / "parts/history.jsonl").read_text() == (tmp_path / "whole/history.jsonl").read_text()


@pytest.mark.parametrize(("since", "expected"), [(0, [1, 2, 3, 4, 5, 6]), (2, [3, 4, 5, 6]), (6, [6])])
def test_a_finished_training_only_says_again_what_is_not_known(tmp_path: Path, since: int, expected: list[int]) -> None:
    list(steps_of(tmp_path))
    before = (tmp_path / "history.jsonl").read_text()
    assert epochs(steps_of(tmp_path, since=since)) == expected
    assert (tmp_path / "history.jsonl").read_text() == before


@pytest.mark.parametrize("damage", ["lost", "torn"])
def test_a_report_lost_between_checkpoint_and_history_comes_back(tmp_path: Path, damage: str) -> None:
    part = steps_of(tmp_path)
    for _ in range(4):
        next(part)
    part.close()
    path = tmp_path / "history.jsonl"
    lines = path.read_text().splitlines(keepends=True)
    path.write_text("".join(lines[:3]) + ("" if damage == "lost" else lines[3][:20]))
    assert epochs(steps_of(tmp_path, since=3)) == [4, 5, 6]
    assert [report.epoch for report in read_history(path)] == [1, 2, 3, 4, 5, 6]


def test_without_a_checkpoint_the_old_history_is_dropped(tmp_path: Path) -> None:
    list(steps_of(tmp_path, seed=1))
    (tmp_path / "checkpoint/state.json").unlink()
    assert epochs(steps_of(tmp_path, seed=2, since=6)) == [1, 2, 3, 4, 5, 6]
    list(steps_of(tmp_path / "fresh", seed=2))
    assert (tmp_path / "history.jsonl").read_text() == (tmp_path / "fresh/history.jsonl").read_text()


def test_stricter_rules_stop_a_resumed_training_where_they_would_have(tmp_path: Path) -> None:
    lenient, strict = HealthOptions(class_collapse=None), HealthOptions()

    def train(health: HealthOptions, epochs: int):
        options = RareOptions(lr=1e-9, epochs=epochs)
        settings = {"seed": 3, "folder": tmp_path, "data": None, "baselines": BASELINES}
        return list(run_trial(Rare(), options, health=health, **settings))

    assert len(train(lenient, 10)) == 10
    again = train(strict, 12)
    assert again[-1].stop.rule == "class_collapse"
    assert len(again) < 10


def test_an_exception_of_the_task_becomes_a_crash_with_a_traceback(tmp_path: Path) -> None:
    outcomes = list(attempt(steps_of(tmp_path, act="raise"), tmp_path))
    assert [type(outcome) for outcome in outcomes] == [TrialStep, Crash]
    assert outcomes[1].error == "RuntimeError: a bug in the user's code"
    text = (tmp_path / "traceback.txt").read_text()
    assert "tasks.py" in text
    assert "a bug in the user's code" in text


def test_an_interruption_is_not_a_crash(tmp_path: Path) -> None:
    def interrupted():
        yield TrialStep(EpochReport(epoch=1, phase="all"))
        raise KeyboardInterrupt

    outcomes = attempt(interrupted(), tmp_path)
    next(outcomes)
    with pytest.raises(KeyboardInterrupt):
        next(outcomes)


def test_steps_survive_the_way_back_from_a_worker(tmp_path: Path) -> None:
    for step in steps_of(tmp_path, lr=1e-9, epochs=8):
        assert TrialStep.from_json(json.loads(json.dumps(step.to_json()))) == step


def test_evidence_that_is_not_finite_is_written_in_words() -> None:
    assert plain({"loss": float("nan"), "norm": float("-inf"), "step": 3}) == {"loss": "nan", "norm": "-inf", "step": 3}


def test_threads_are_pinned_without_importing_torch(tmp_path: Path) -> None:
    code = (
        "import sys, os, abr_tune.trial as t; t.pin_threads(2); assert 'torch' not in sys.modules;"
        "assert os.environ['OMP_NUM_THREADS'] == '2'; import torch; assert torch.get_num_threads() == 2;"
        "t.pin_threads(1); assert torch.get_num_threads() == 1"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=Path(__file__).parents[1])
