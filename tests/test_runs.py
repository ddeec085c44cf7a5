"""Run folders are found by name or path, and only one process drives a run."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from abr_tune.cli.show import ls
from abr_tune.errors import EnvironmentFault, UserError
from abr_tune.plan.schema import check_name
from abr_tune.runs import LOCK, RunFolder, driver_of, find_run, runs_in, sole_driver, write_atomically, write_json


def make_run(out: Path, name: str) -> Path:
    folder = out / name
    folder.mkdir(parents=True)
    (folder / "space.yaml").write_text("name: x\n")
    return folder


def test_a_run_is_found_by_name_and_by_path(tmp_path: Path) -> None:
    """Both ways lead to the same folder."""
    folder = make_run(tmp_path / "results", "phase1")
    assert find_run("phase1", tmp_path / "results") == folder
    assert find_run(str(folder), tmp_path / "elsewhere") == folder


def test_a_misspelt_run_is_suggested(tmp_path: Path) -> None:
    """The message names the run that was probably meant."""
    make_run(tmp_path, "phase1")
    with pytest.raises(UserError, match=r"no run 'phas1' in .*; did you mean phase1\?"):
        find_run("phas1", tmp_path)


def test_without_any_run_the_message_says_how_to_start_one(tmp_path: Path) -> None:
    """An empty results folder is the usual first mistake."""
    with pytest.raises(UserError, match=r"start one with `abr-tune run SPACE\.yaml`"):
        find_run("phase1", tmp_path / "results")


@pytest.mark.parametrize("name", ["../x", "a/b", "", ".hidden", "-rf", "a" * 65, "x\n"])
def test_names_that_could_leave_the_folder_are_refused(name: str) -> None:
    """A run's name is a folder name and nothing else."""
    with pytest.raises(ValueError, match="must begin with a letter or digit"):
        check_name(name)


def test_folders_without_a_space_file_are_not_runs(tmp_path: Path) -> None:
    """Only what `run` made is listed."""
    (tmp_path / "notes").mkdir()
    make_run(tmp_path, "phase1")
    assert [run.name for run in runs_in(tmp_path)] == ["phase1"]


def test_an_atomic_write_leaves_no_temporary_file(tmp_path: Path) -> None:
    """Old content is replaced whole."""
    target = tmp_path / "summary.json"
    write_atomically(target, "old")
    write_json(target, {"ä": 1})
    assert json.loads(target.read_text(encoding="utf-8")) == {"ä": 1}
    assert list(tmp_path.iterdir()) == [target]


def test_json_that_no_reader_takes_is_refused(tmp_path: Path) -> None:
    """NaN is not JSON; the old file stays."""
    target = tmp_path / "summary.json"
    write_json(target, {"x": 1.0})
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json(target, {"x": float("nan")})
    assert json.loads(target.read_text(encoding="utf-8")) == {"x": 1.0}


def test_a_second_driver_is_refused_and_told_who_holds_the_run(tmp_path: Path) -> None:
    """The lock ends with its process."""
    code = (
        "import sys; from pathlib import Path; from abr_tune.runs import sole_driver\n"
        "with sole_driver(Path(sys.argv[1])): print('held', flush=True); sys.stdin.read()"
    )
    holder = subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert holder.stdout is not None
    assert holder.stdout.readline() == "held\n"
    with pytest.raises(UserError, match=f"driven by process {holder.pid} on "), sole_driver(tmp_path):
        pass
    holder.communicate("")
    with sole_driver(tmp_path):
        assert RunFolder(tmp_path).path == tmp_path


@pytest.mark.parametrize(
    "said",
    ["", "[]", "[" * 100_000, '{"process": {"host": "h", "boot": "b", "pid": Infinity, "began": "1"}, "since": "x"}'],
    ids=["nothing", "a list", "too deep", "no number"],
)
def test_a_lock_whose_holder_says_nothing_sensible_is_nobodys(tmp_path: Path, said: str) -> None:
    with (tmp_path / LOCK).open("w", encoding="utf-8") as lock:
        lock.write(said)
        lock.flush()
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert driver_of(tmp_path) is None


def test_a_filesystem_without_locks_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(_file: object, _how: int) -> None:
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))

    monkeypatch.setattr(fcntl, "flock", unknown)
    with pytest.raises(EnvironmentFault, match="cannot be locked: Function not implemented"), sole_driver(tmp_path):
        pass


def test_a_name_that_no_file_can_have_is_a_mistake(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="cannot be looked at: File name too long"):
        find_run("a" * 300, tmp_path)


def test_a_damaged_summary_hides_no_other_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name, text in {"whole": '{"state": "finished"}', "cut": '{"state": "fin', "list": "[]"}.items():
        run = RunFolder(tmp_path / name)
        run.path.mkdir()
        run.space.touch()
        run.summary.write_text(text, encoding="utf-8")
    for name in ("cut", "list"):
        with pytest.raises(UserError, match=f"{name}/summary.json is damaged"):
            RunFolder(tmp_path / name).read_summary()
    ls(tmp_path, json=True)
    states = {row["name"]: row["state"] for row in json.loads(capsys.readouterr().out)}
    assert states == {"whole": "finished", "cut": "damaged", "list": "damaged"}
