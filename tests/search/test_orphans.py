"""What a killed driver left is found and ended; what anybody living has is left alone."""

import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from abr_tune import processes
from abr_tune.processes import Process, process, this_process
from abr_tune.search import orphans
from abr_tune.search.orphans import MARK, OWNER, PREFIX, end_processes, find_orphans, make_scratch, marking, sweep

DRIVER = """
import subprocess, sys
from pathlib import Path
from abr_tune.search import orphans
from abr_tune.search.orphans import make_scratch, marking
orphans.SHORT = Path(sys.argv[1])
folder = make_scratch()
(folder / "ray").mkdir()
with marking():
    marked = subprocess.Popen(["sleep", "60"])
with (folder / "ray/agent.log").open("w") as log:
    writing = subprocess.Popen(["sleep", "60"], stdout=log)
with (folder / "ray/agent.log").open() as log:
    reading = subprocess.Popen(["sleep", "60"], stdin=log)
print(folder, marked.pid, writing.pid, reading.pid, flush=True)
sys.stdin.read()
"""


@pytest.fixture(autouse=True)
def apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder for temporary folders of its own: other runs on this machine are none of these tests' business."""
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(orphans, "SHORT", tmp_path)


class Driver:
    """A process that made a temporary folder and started three: one marked, one that writes there, one that reads."""

    def __init__(self) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", DRIVER, tempfile.gettempdir()],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self.process.stdout is not None
        with self.process.stdout as said:
            folder, *pids = said.readline().split()
        self.folder = Path(folder)
        self.marked, self.writing, self.reading = map(int, pids)

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    @property
    def left(self) -> list[bool]:
        """Which of the three live."""
        return [not process(pid).gone and process(pid).began != "" for pid in (self.marked, self.writing, self.reading)]


@pytest.fixture
def driver() -> Iterator[Driver]:
    driver = Driver()
    yield driver
    driver.kill()
    assert driver.process.stdin is not None
    driver.process.stdin.close()
    for pid in (driver.marked, driver.writing, driver.reading):
        if process(pid).began:
            os.kill(pid, signal.SIGKILL)


def test_nothing_of_a_living_driver_is_touched(driver: Driver) -> None:
    mine = make_scratch()
    sweep()
    assert find_orphans() == []
    assert driver.folder.is_dir()
    assert mine.is_dir()
    assert driver.left == [True] * 3


def test_a_killed_drivers_processes_and_folder_are_found_and_ended(driver: Driver) -> None:
    (driver.folder / "ray/core").write_bytes(bytes(1000))
    driver.kill()
    [orphan] = find_orphans()
    assert orphan.owner.pid == driver.process.pid
    assert {each.pid for each in orphan.processes} == {driver.marked, driver.writing}
    assert orphan.folders == (driver.folder,)
    assert orphan.size >= 1000
    assert str(orphan).startswith(f"process {driver.process.pid}, which has ended, left processes ")
    assert str(orphan).endswith(f" and {driver.folder}")
    assert driver.left == [True] * 3, "finding changes nothing"
    assert orphan.end()
    assert driver.left == [False, False, True], "who only reads there is somebody else"
    assert not driver.folder.exists()
    assert find_orphans() == []


def test_a_place_that_is_reached_through_a_link(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    (tmp_path / "real").mkdir()
    (link := tmp_path / "link").symlink_to("real")
    monkeypatch.setenv("TMPDIR", str(link))
    monkeypatch.setattr(tempfile, "tempdir", str(link))
    monkeypatch.setattr(orphans, "SHORT", link)
    driver: Driver = request.getfixturevalue("driver")
    driver.kill()
    [orphan] = find_orphans()
    assert {each.pid for each in orphan.processes} == {driver.marked, driver.writing}
    assert orphan.end()


def test_processes_are_found_when_their_folder_is_gone_already(driver: Driver) -> None:
    driver.kill()
    for path in sorted(driver.folder.rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()
    driver.folder.rmdir()
    sweep()
    assert driver.left == [False, False, True]


@pytest.mark.parametrize(
    ("change", "found"),
    [
        pytest.param({}, False, id="this process"),
        pytest.param({"began": "1"}, True, id="another one that had its number"),
        pytest.param({"boot": "another pid:[1]"}, True, id="before the machine was started anew"),
        pytest.param({"host": "elsewhere"}, False, id="on another machine"),
    ],
)
def test_a_number_alone_decides_nothing(change: dict[str, str], found: bool) -> None:
    folder = make_scratch()
    (folder / OWNER).write_text(json.dumps(this_process().to_json() | change))
    assert [orphan.folders for orphan in find_orphans()] == ([(folder,)] if found else [])


def test_another_container_that_shares_the_folder_is_left_alone() -> None:
    folder = make_scratch()
    start = this_process().boot.split()[0]
    (folder / OWNER).write_text(json.dumps(this_process().to_json() | {"pid": 2**22 - 1, "boot": f"{start} pid:[1]"}))
    assert find_orphans() == []


def test_where_the_system_tells_no_start_nobody_is_dead_of_a_start(monkeypatch: pytest.MonkeyPatch) -> None:
    """As on macOS, for a folder that Linux made on a disk of both."""
    (make_scratch() / OWNER).write_text(json.dumps(this_process().to_json() | {"boot": "another pid:[1]"}))
    monkeypatch.setattr(processes, "boot", lambda: "")
    assert find_orphans() == []


@pytest.mark.parametrize("said", ["", "{", '{"pid": 1}', "[]"])
def test_a_folder_that_does_not_say_whose_it_is_goes_by_its_name(tmp_path: Path, said: str) -> None:
    mine, dead = tmp_path / f"at-{os.getpid()}-abc", tmp_path / f"at-{2**22 - 1}-abc"
    for folder in (mine, dead):
        folder.mkdir()
        (folder / OWNER).write_text(said)
    assert [orphan.folders for orphan in find_orphans()] == [(dead,)]


@pytest.mark.parametrize("name", ["at-x-abc", "other", "at-12", "at-4194303-a b"])
def test_other_folders_are_no_orphans(tmp_path: Path, name: str) -> None:
    (tmp_path / name).mkdir()
    (tmp_path / "at-4194303-file").write_text("")
    (tmp_path / "at-4194303-link").symlink_to(tmp_path / name)
    sweep()
    assert {path.name for path in tmp_path.iterdir()} == {name, "at-4194303-file", "at-4194303-link"}


def test_a_temporary_folder_is_nobody_elses_business() -> None:
    folder = make_scratch()
    assert folder.stat().st_mode & 0o777 == 0o700
    assert folder.name.startswith(f"at-{os.getpid()}-")


def test_a_long_path_leaves_no_room_for_sockets_so_a_short_one_is_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(orphans, "SHORT", Path("/tmp"))
    first, second = make_scratch(), make_scratch()
    try:
        assert [folder.parent for folder in (first, second)] == [Path("/tmp")] * 2
        assert first != second
        session = f"session_2026-11-20_10-33-29_791966_{os.getpid()}/sockets/plasma_store"
        assert len(str(first / "r" / session)) <= 107
        (first / OWNER).write_text(json.dumps(this_process().to_json() | {"began": "1"}))
        [orphan] = [orphan for orphan in find_orphans() if first in orphan.folders]
        assert orphan.end()
    finally:
        (second / OWNER).unlink()
        second.rmdir()
    assert list(tmp_path.iterdir()) == []


def test_folders_that_their_owners_take_away_meanwhile_are_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(orphans, "PROC", tmp_path / "none")
    folders = [tmp_path / f"{PREFIX}1-{number}" for number in range(50)]
    over = threading.Event()

    def come_and_go() -> None:
        while not over.is_set():
            for folder in folders:
                folder.mkdir()
            for folder in folders:
                folder.rmdir()

    owner = threading.Thread(target=come_and_go)
    owner.start()
    try:
        assert all(find_orphans() == [] for _ in range(300))
    finally:
        over.set()
        owner.join()


def test_a_temporary_folder_has_its_name_only_once_it_says_whose_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In another container, which sees the folder, its process is none."""
    seen: list[bool] = []

    def look(event: str, arguments: tuple[object, ...]) -> None:
        if event == "os.rename" and watching:
            seen.append((Path(str(arguments[0])) / OWNER).stat().st_size > 0)
            seen.append(not list(tmp_path.glob(f"{PREFIX}*")))

    watching = [True]
    sys.addaudithook(look)
    make_scratch()
    watching.clear()
    assert seen == [True, True]


def test_the_mark_goes_with_the_context() -> None:
    def marked() -> bool:
        return subprocess.run(["sh", "-c", f'test -n "${MARK}"'], check=False).returncode == 0

    with marking():
        assert marked()
    assert not marked()


def test_what_is_started_while_processes_are_looked_for_is_ended_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ray's raylet starts workers and agents whenever it likes."""
    look, started = orphans._own_processes, []

    def start() -> None:
        with marking():
            started.append(subprocess.Popen(["sleep", "60"]))

    def looked() -> Iterator[Process]:
        yield from look()
        if len(started) == 1:
            start()

    monkeypatch.setattr(orphans, "_own_processes", looked)
    start()
    assert end_processes()
    assert len(started) == 2
    assert [each.wait(10) for each in started] == [-signal.SIGKILL] * 2
