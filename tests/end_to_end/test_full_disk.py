"""A disk that is really full: what the command says, and that it goes on when there is room."""

import os
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
if str(ROOT) not in sys.path:
    sys.path.insert(0, str(ROOT))

from benchmarks.battery.disks import disks, may_mount  # noqa: E402
from benchmarks.battery.struck_checkpoints import killed  # noqa: E402
from tests.end_to_end.commands import Made  # noqa: E402

Quick = Callable[..., Made]
NEEDS_A_DISK = pytest.mark.skipif(not may_mount(), reason="only root may mount a disk of a few bytes")


@NEEDS_A_DISK
@pytest.mark.parametrize("what", ["checkpoints", "database", "run folder"])
def test_a_full_disk_is_told_and_the_run_goes_on_when_there_is_room(
    what: str, quick: Quick, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    run = tmp_path / "results/quick"
    place, storage = {
        "checkpoints": (run / "trials", ()),
        "database": (tmp_path / "small", ("--storage", f"sqlite:///{tmp_path}/small/study.db")),
        "run folder": (run, ()),
    }[what]
    with disks(place) as [disk]:
        disk.fill()
        made = quick(*storage)
        assert made.answer.code == 4
        assert "free some" in made.answer.err
        assert "give the same command again" in made.answer.err
        assert "Traceback" not in made.answer.err
        disk.free()
        again = made.again(*storage)
        assert again.code == 0, again.err
        trials = made.ask("trials", "--json").json
    assert [(trial["number"], trial["state"]) for trial in trials] == [(number, "complete") for number in range(3)]


def test_a_checkpoint_survives_the_end_of_whoever_writes_it(tmp_path: Path) -> None:
    row = killed(tmp_path, kills=6)
    assert row.kept, row.happened
    assert row.times == 6


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may make a folder that it cannot write to itself")
def test_a_disk_that_may_only_be_read_is_the_environment(quick: Quick, tmp_path: Path) -> None:
    with disks(tmp_path / "results/quick/trials") as [disk]:
        disk.only_read()
        made = quick()
        assert made.answer.code == 4
        assert "Read-only file system" in made.answer.err
