"""A run that is interrupted or killed stays readable, and the next command ends it with the exact number of trials."""

import os
import pty
import re
import shlex
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

from tests.end_to_end.commands import QUICK, call, start, stored_trials, strict
from tests.postgres import Server

SLEEPY = ("--set", "train.act=sleep", "--set", "train.epochs=5", "--set", "confirm.seeds=1", "--trials", "2")
"""Five epochs of a third of a second: two trials take seconds, and are interrupted in the first."""


@pytest.fixture
def words(tmp_path: Path) -> list[str]:
    """A search that takes seconds, in a folder whose name needs quoting."""
    folder = tmp_path / "with space"
    folder.mkdir()
    (folder / "quick.yaml").write_text(QUICK, encoding="utf-8")
    place = ["run", str(folder / "quick.yaml"), "--out", str(folder / "results")]
    return [*place, *SLEEPY, "--name", "long", "--executor", "inline", "--trust-code"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "with space" / "results" / "long"


def wait_for(happened: Callable[[], bool], process: subprocess.Popen[str]) -> None:
    until = time.monotonic() + 60
    while not happened():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < until
        time.sleep(0.02)


def epochs_of(folder: Path, trial: int) -> list[int]:
    history = folder / f"trials/{trial}/history.jsonl"
    if not history.exists():
        return []
    return [strict(line)["epoch"] for line in history.read_text().splitlines(keepends=True) if line.endswith("\n")]


def interrupt(process: subprocess.Popen[str], number: int, folder: Path) -> tuple[float, str, str]:
    """Send the signal in the middle of the first trial; how long it then took, and what was printed."""
    wait_for(lambda: len(epochs_of(folder, 0)) >= 2, process)
    began = time.monotonic()
    process.send_signal(number)
    out, err = process.communicate(timeout=60)
    return time.monotonic() - began, out, err


def finished_as_planned(folder: Path) -> None:
    trials = stored_trials(folder / "study.db")
    assert [(trial.number, trial.state.name) for trial in trials] == [(number, "COMPLETE") for number in range(2)]
    for trial in trials:
        assert epochs_of(folder, trial.number) == list(range(1, 6))
        assert list(trial.intermediate_values) == list(range(1, 6))
    assert strict((folder / "summary.json").read_text())["epochs"] == {"spent": 10, "unpruned": 10}


@pytest.mark.slow
def test_a_terminal_gets_the_command_that_continues_in_one_piece(words: list[str], folder: Path) -> None:
    """Whatever its width: a line that is broken in two is two commands where it is pasted."""
    ours, theirs = pty.openpty()
    code = "from abr_tune.cli import main; main()"
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[2]), "COLUMNS": "80"}
    with subprocess.Popen([sys.executable, "-c", code, *words], stdout=theirs, stderr=theirs, env=environment) as run:
        os.close(theirs)
        threading.Thread(target=_interrupt_later, args=(run, folder), daemon=True).start()
        told = b""
        with suppress(OSError):  # the terminal is closed when the command has ended
            while part := os.read(ours, 4096):
                told += part
    os.close(ours)
    assert run.returncode == 130
    printed = re.search(r"interrupted; continue with: (abr-tune .*?)\r\n", told.decode())
    assert printed is not None
    typed = shlex.split(printed.group(1))
    assert len(printed.group(1)) > 80
    assert typed[:3] == ["abr-tune", *words[:2]]
    assert sorted(typed[2:]) == sorted(words[1:])


def _interrupt_later(run: "subprocess.Popen[bytes]", folder: Path) -> None:
    until = time.monotonic() + 60
    while not epochs_of(folder, 0) and time.monotonic() < until:
        time.sleep(0.05)
    run.send_signal(signal.SIGINT)


@pytest.mark.slow
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_the_command_that_is_printed_goes_on_to_the_exact_number(
    words: list[str], folder: Path, number: int, code: int
) -> None:
    process = start(*words)
    took, out, err = interrupt(process, number, folder)
    assert (process.returncode, out) == (code, "")
    assert took < 10
    assert "Traceback" not in err
    summary = strict((folder / "summary.json").read_text())
    assert (summary["state"], summary["trials"]["waiting"]) == ("interrupted", 1)
    [trial] = stored_trials(folder / "study.db")
    assert (trial.state.name, trial.user_attrs["resume"]) == ("WAITING", len(epochs_of(folder, 0)))

    printed = re.search(r"^interrupted; continue with: (abr-tune .*)$", err, re.MULTILINE)
    assert printed is not None, err
    again = call(*shlex.split(printed[1])[1:])
    assert again.code == 0, again.err
    finished_as_planned(folder)
    starts = [line for line in (folder / "events.jsonl").read_text().splitlines() if '"trial_started"' in line]
    assert [strict(line)["number"] for line in starts] == [0, 0, 1]
    assert strict(starts[1])["resumed_at"] >= 2


@pytest.mark.slow
def test_after_a_kill_the_study_is_sound_and_the_next_run_ends_it(words: list[str], folder: Path) -> None:
    process = start(*words)
    wait_for(lambda: len(epochs_of(folder, 1)) >= 2, process)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    with sqlite3.connect(folder / "study.db") as database:
        assert database.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    database.close()
    assert [trial.state.name for trial in stored_trials(folder / "study.db")] == ["COMPLETE", "RUNNING"]
    listed = call("trials", folder, "--json").json
    assert [trial["state"] for trial in listed] == ["complete", "running"]
    assert call("report", folder).code == 0

    again = call(*words)
    assert again.code == 0, again.err
    finished_as_planned(folder)


@pytest.mark.slow
def test_interruption_of_the_confirmation_goes_on_with_it(words: list[str], folder: Path) -> None:
    process = start(*words, "--set", "confirm.top=1", "--trials", "1")
    confirmed = folder / "confirm" / "0-1" / "history.jsonl"
    wait_for(lambda: confirmed.exists() and len(confirmed.read_text().splitlines()) >= 2, process)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert not (folder / "best.yaml").exists()
    before = len(confirmed.read_text().splitlines())
    assert before < 5
    printed = re.search(r"^interrupted; continue with: (abr-tune .*)$", err, re.MULTILINE)
    assert printed is not None, err
    assert call(*shlex.split(printed[1])[1:]).code == 0
    assert [strict(line)["epoch"] for line in confirmed.read_text().splitlines()] == list(range(1, 6))
    assert (folder / "best.yaml").exists()


@pytest.mark.slow
def test_a_second_command_on_the_same_run_is_turned_away(words: list[str], folder: Path) -> None:
    process = start(*words)
    wait_for(lambda: len(epochs_of(folder, 0)) >= 1, process)
    refused = call(*words)
    assert refused.code == 2
    assert f"being driven by process {process.pid}" in refused.err
    interrupt(process, signal.SIGINT, folder)
    assert process.returncode == 130


@pytest.mark.slow
def test_a_signal_is_obeyed_though_the_server_of_the_study_is_away(
    words: list[str], folder: Path, postgres: Server
) -> None:
    words = [*words, "--storage", postgres.url]
    process = start(*words)
    wait_for(lambda: len(epochs_of(folder, 0)) >= 1, process)
    postgres.control("-m", "fast", "stop")
    try:
        time.sleep(1)
        took, _, err = interrupt(process, signal.SIGINT, folder)
    finally:
        postgres.start()
    assert process.returncode == 130
    assert took < 10
    assert "Traceback" not in err
    _, err = (again := start(*words)).communicate(timeout=120)
    assert again.returncode == 0, err
    assert [epochs_of(folder, number) for number in range(2)] == [list(range(1, 6))] * 2
