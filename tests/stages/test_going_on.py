"""An order that is interrupted or killed goes on in the stage where it was."""

import json
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.end_to_end.commands import call, start
from tests.stages.conftest import IN_PROCESS, write


def wait_for(happened: Callable[[], bool], process: subprocess.Popen[str]) -> None:
    until = time.monotonic() + 60
    while not happened():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < until
        time.sleep(0.02)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_a_second_command_goes_on_in_the_second_stage(tmp_path: Path, number: signal.Signals) -> None:
    file, out = write(tmp_path, ("> 0.3", "> 0.3")), tmp_path / "results"
    # The second naps: it takes seconds, and is interrupted after its first epoch.
    slowly = ("--set", "two.train.nap=0.3", "--set", "two.train.epochs=5", "--set", "confirm.top=0")
    words = ["run", str(file), "--out", str(out), *IN_PROCESS, *slowly]
    process = start(*words)
    history = out / "way" / "two" / "trials" / "0" / "history.jsonl"
    wait_for(lambda: history.exists() and history.read_bytes().count(b"\n") >= 1, process)
    process.send_signal(number)
    _, told = process.communicate(timeout=60)
    assert process.returncode == (143 if number == signal.SIGTERM else -9)
    if number == signal.SIGTERM:
        assert "interrupted; continue with: abr-tune run " in told
        summary = json.loads((out / "way" / "summary.json").read_text())
        assert (summary["state"], summary["gate"]) == ("interrupted", None)
    shown = call("show", "way", "--out", out)
    assert (shown.code, "continue   abr-tune run " in shown.out) == (0, True)
    before = history.read_bytes()
    first = (out / "way" / "one" / "study.db").stat().st_mtime_ns
    again = call(*words)
    assert again.code == 0, again.err
    assert "one has finished before" in again.err
    assert (out / "way" / "one" / "study.db").stat().st_mtime_ns == first
    lines = history.read_bytes()
    assert lines.startswith(before)
    assert [json.loads(line)["epoch"] for line in lines.splitlines()] == [1, 2, 3, 4, 5]
    # Begun at 0.64 and 0.4 of the way in each epoch, without a second start: 1 - 0.36 * 0.6^5.
    summary = json.loads((out / "way" / "summary.json").read_text())
    assert summary["best"]["value"] == pytest.approx(1 - 0.36 * 0.6**5)
    assert (summary["state"], summary["gate"]["verdict"]) == ("finished", "go")
