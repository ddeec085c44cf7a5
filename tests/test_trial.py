"""One training in a folder: what is on disk, what is yielded, and what an interruption leaves."""

import errno
import json
import logging
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from abr_tune.errors import EnvironmentFault
from abr_tune.trial import Crash, TrialStep, attempt, plain, read_history, run_trial
from core.health import HealthOptions
from core.report import EpochReport
from tests.search.tasks import BASELINES, METRIC, Rare, RareOptions


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


@pytest.mark.parametrize(
    "damage",
    [
        lambda lines: [*lines[:1], b"x" * 30 + lines[1][30:], *lines[2:]],
        lambda lines: lines[:2],
        lambda lines: [*lines[:2], lines[2][:40]],
        lambda lines: [lines[0], *lines[2:]],
        lambda lines: [],
    ],
    ids=["words", "lines lost", "torn", "a line lost", "empty"],
)
def test_where_the_history_is_damaged_training_begins_again_and_ends_the_same(tmp_path: Path, damage) -> None:
    whole = list(steps_of(tmp_path / "whole"))
    part = steps_of(tmp_path / "parts")
    for _ in range(5):
        next(part)
    part.close()
    path = tmp_path / "parts/history.jsonl"
    path.write_bytes(b"".join(damage(path.read_bytes().splitlines(keepends=True))))
    again = list(steps_of(tmp_path / "parts", since=4))
    assert [step.report for step in again] == [step.report for step in whole]
    assert "history.jsonl is damaged" in again[0].notes[0]
    assert again[0].notes[0].endswith("training begins again")
    assert not any(step.notes for step in again[1:])
    assert path.read_text() == (tmp_path / "whole/history.jsonl").read_text()


@pytest.mark.parametrize("lost", ["checkpoint", "."])
def test_a_lost_checkpoint_is_said_once_and_one_that_is_there_is_not(tmp_path: Path, lost: str) -> None:
    assert not any(step.notes for step in _three_epochs(tmp_path / "run"))
    assert not any(step.notes for step in steps_of(tmp_path / "run", since=3))
    shutil.rmtree(tmp_path / "run")
    _three_epochs(tmp_path / "run")
    shutil.rmtree(tmp_path / "run" / lost)
    again = list(steps_of(tmp_path / "run", since=3))
    assert epochs(again) == [1, 2, 3, 4, 5, 6]
    assert [step.notes for step in again] == [("its checkpoint is gone, it begins again at epoch 1",), *[()] * 5]


def _three_epochs(folder: Path) -> list[TrialStep]:
    steps = steps_of(folder)
    part = [next(steps) for _ in range(3)]
    steps.close()
    return part


def test_a_torn_line_after_the_checkpoint_is_no_damage(tmp_path: Path) -> None:
    """A full disk tore the line of an epoch whose checkpoint is damaged as well."""
    whole = list(steps_of(tmp_path / "whole"))
    part = steps_of(tmp_path / "parts")
    for _ in range(3):
        next(part)
    part.close()
    path = tmp_path / "parts/history.jsonl"
    with path.open("a") as file:
        file.write('{"epoch": 4, "pha')
    assert list(steps_of(tmp_path / "parts", since=3)) == whole[2:]
    assert path.read_text() == (tmp_path / "whole/history.jsonl").read_text()


class EveryFew(Rare):
    """Reports every third epoch, and says so in its checkpoint."""

    def __init__(self, every: int) -> None:
        self.every = every

    def train(self, options: RareOptions, *, seed: int, checkpoint: Path):
        done = int((checkpoint / "done").read_text()) if (checkpoint / "done").exists() else 0
        for epoch in range(max(done, self.every), options.epochs + 1, self.every):
            checkpoint.mkdir(parents=True, exist_ok=True)
            (checkpoint / "done").write_text(str(epoch))
            yield EpochReport(epoch=epoch, phase="all", metrics={METRIC: 0.9})


def test_a_task_that_reports_now_and_then_has_no_damaged_history(tmp_path: Path) -> None:
    given = {"seed": 0, "folder": tmp_path, "data": None, "health": HealthOptions(), "baselines": BASELINES}
    steps = run_trial(EveryFew(3), RareOptions(epochs=9), **given)
    assert epochs([next(steps), next(steps)]) == [3, 6]
    steps.close()
    again = list(run_trial(EveryFew(3), RareOptions(epochs=9), since=6, **given))
    assert epochs(again) == [6, 9]
    assert not again[0].notes


class Warns(Rare):
    """Logs as what trains does."""

    def train(self, options: RareOptions, *, seed: int, checkpoint: Path):
        logging.getLogger("core.training").warning("the first %s", "word")
        yield EpochReport(epoch=1, phase="all", metrics={METRIC: 0.9})
        yield EpochReport(epoch=2, phase="all", metrics={METRIC: 0.9})
        logging.getLogger("core.training").info("no warning")
        logging.getLogger("core.training").warning("another")
        yield EpochReport(epoch=3, phase="all", metrics={METRIC: 0.9})


def test_what_trains_is_heard_by_the_steps(tmp_path: Path) -> None:
    given = {"seed": 0, "folder": tmp_path, "data": None, "health": HealthOptions(), "baselines": BASELINES}
    steps = list(run_trial(Warns(), RareOptions(), **given))
    assert [step.notes for step in steps] == [("the first word",), (), ("another",)]
    assert TrialStep.from_json(json.loads(json.dumps(steps[0].to_json()))) == steps[0]
    assert not logging.getLogger("core").handlers


def raises(error: Exception):
    def steps():
        yield TrialStep(EpochReport(epoch=1, phase="all"))
        raise error

    return steps()


def hidden() -> Exception:
    """As a library says it that has its own exceptions."""
    error = RuntimeError("cannot write the file")
    error.__cause__ = OSError(errno.ENOSPC, "No space left on device", "weights.bin")
    return error


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (OSError(errno.ENOSPC, "No space left on device", "/far/x"), r"No space left on device \(/far/x\); free some"),
        (OSError(errno.EDQUOT, "Disk quota exceeded"), "free some of the quota"),
        (RuntimeError("I/O error: No space left on device (os error 28)"), "free some and give the same command"),
        (hidden(), r"weights\.bin\); free some"),
    ],
    ids=["full", "quota", "in words", "hidden"],
)
def test_a_full_disk_is_no_crash_of_the_task(tmp_path: Path, error: Exception, said: str) -> None:
    outcomes = attempt(raises(error), tmp_path)
    next(outcomes)
    with pytest.raises(EnvironmentFault, match=said):
        next(outcomes)
    assert not (tmp_path / "traceback.txt").exists()


@pytest.mark.parametrize("number", [errno.EACCES, errno.EROFS, errno.EIO])
def test_a_folder_that_cannot_be_written_to_is_no_crash_but_other_files_are_the_users(
    tmp_path: Path, number: int
) -> None:
    inside, outside = (OSError(number, os.strerror(number), str(place)) for place in (tmp_path / "checkpoint/x", "/x"))
    with pytest.raises(EnvironmentFault, match="mend that and give the same command again"):
        list(attempt(raises(inside), tmp_path))
    assert isinstance(list(attempt(raises(outside), tmp_path))[-1], Crash)


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
