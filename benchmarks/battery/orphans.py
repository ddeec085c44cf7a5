"""Searches under Ray are killed beside one that lives on: the doctor names what they left, and takes away only that."""

from __future__ import annotations

import json
import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import psutil

from benchmarks.battery.row import Row

ROOT: Final = Path(__file__).parents[2]
MARK: Final = "ABR_TUNE_BATTERY"
"""Environment variable by which all that a search started is known here, whatever the doctor goes by."""
SPACE: Final = """\
name: sleepy
task: tests.search.tasks:Rare
train: {epochs: 400, act: sleep}
search: {lr: {log: [0.05, 1.0]}}
objective: {maximize: val/class/f1_macro}
pruner: none
sampler: random
budget: {trials: 4}
confirm: {top: 0}
"""
"""Epochs of a third of a second: it is killed long before its end."""
COMMAND: Final = str(Path(sys.executable).with_name("abr-tune"))
SECONDS_TO_BEGIN: Final = 90.0
SECONDS_TO_SETTLE: Final = 3.0
"""Ray ends some of its processes by itself when their driver is gone."""
SECONDS_TO_GO_ON: Final = 30.0


@dataclass(slots=True)
class Search:
    """A search under Ray, in a session of its own, and everything it started."""

    name: str
    out: Path
    process: subprocess.Popen[bytes]

    @classmethod
    def start(cls, name: str, folder: Path, temp: Path) -> Search:
        """Begin it; `temp` is where it, like the others, puts its temporary folder."""
        out = folder / "results"
        words = ("run", str(folder / "space.yaml"), "--name", name, "--out", str(out), "--jobs", "1", "--trust-code")
        environment = os.environ | {MARK: name, "TMPDIR": str(temp), "OMP_NUM_THREADS": "1"}
        with (folder / f"{name}.txt").open("wb") as said:
            return cls(
                name,
                out,
                subprocess.Popen(
                    [COMMAND, *words], cwd=ROOT, env=environment, stdout=said, stderr=said, start_new_session=True
                ),
            )

    @property
    def epochs(self) -> int:
        """That it has trained."""
        return sum(len(path.read_bytes().splitlines()) for path in self.out.glob(f"{self.name}/trials/*/history.jsonl"))

    @property
    def processes(self) -> set[int]:
        """Of its session, or with its mark: Ray's own write over the one or leave the other."""
        found = set()
        for each in psutil.process_iter(["status"]):
            try:
                ours = os.getsid(each.pid) == self.process.pid or each.environ().get(MARK) == self.name
            except (psutil.Error, OSError):
                continue
            if ours and each.info["status"] != psutil.STATUS_ZOMBIE:
                found.add(each.pid)
        return found

    def folders(self, temp: Path) -> set[str]:
        """Its temporary folders."""
        return {str(path) for path in temp.glob(f"at-{self.process.pid}-*")}

    def kill(self, *, group: bool) -> None:
        """SIGKILL to the driver, or to its whole group."""
        (os.killpg if group else os.kill)(self.process.pid, signal.SIGKILL)
        self.process.wait()


def orphans(folder: Path) -> Iterator[Row]:
    """Two are killed, the driver alone and with its group; a third trains on."""
    temp = folder / "t"
    temp.mkdir()
    (folder / "space.yaml").write_text(SPACE, encoding="utf-8")
    alive, alone, group = (Search.start(name, folder, temp) for name in ("alive", "alone", "group"))
    try:
        for each in (alive, alone, group):
            _until(lambda each=each: each.epochs >= 2, SECONDS_TO_BEGIN)  # type: ignore[misc]
        alone.kill(group=False)
        group.kill(group=True)
        time.sleep(SECONDS_TO_SETTLE)
        yield from _examined(folder, temp, alive, [alone, group])
    finally:
        for each in (alive, alone, group):
            for pid in each.processes:
                _end(pid)


def _examined(folder: Path, temp: Path, alive: Search, dead: list[Search]) -> Iterator[Row]:
    """What the doctor says of them, then what it does."""
    left = {each.name: (each.processes, each.folders(temp)) for each in dead}
    count = sum(len(pids) + len(folders) for pids, folders in left.values())
    living, trained = alive.processes, alive.epochs
    before = _doctor(folder, temp)
    still = {each.name: (each.processes, each.folders(temp)) for each in dead}
    yield _named(before, left, still, dead, living | alive.folders(temp))
    after = _doctor(folder, temp, "--repair")
    gone = sum(len(each.processes) + len(each.folders(temp)) for each in dead)
    kept = len(living & alive.processes)
    _until(lambda: alive.epochs > trained + 2, SECONDS_TO_GO_ON)
    done = [said for said in after["repaired"] if not said["error"]]
    yield Row(
        fault="doctor --repair beside a search that lives",
        times=len(dead),
        promised="nothing of the dead is left, nothing of the living is touched",
        happened=(
            f"{count} left before, {gone} after {len(done)} repairs; {kept} of "
            f"{len(living)} processes of the living, and {alive.epochs - trained} more epochs"
        ),
        holds=gone == 0 and kept == len(living) and bool(alive.folders(temp)) and alive.epochs > trained + 2,
    )
    yield _continued(folder, temp, after, dead[0])


def _named(
    before: dict[str, Any], left: dict[str, Any], still: dict[str, Any], dead: list[Search], living: set[int | str]
) -> Row:
    """Whether what is left is named, all of it and nothing of the living, and is still there afterwards."""
    sentences = [each["sentence"] for each in before["findings"] if each["check"] == "orphans"]
    words = [word.strip(",") for sentence in sentences for word in sentence.split()]
    pids, folders = (set().union(*(each[index] for each in left.values())) for index in (0, 1))
    told_pids, told_folders = sum(str(pid) in words for pid in pids), sum(path in words for path in folders)
    waiting = [each["sentence"] for each in before["findings"] if each["check"] == "unfinished"]
    known = sum(any(f"/{each.name}:" in sentence for sentence in waiting) for each in dead)
    extra = sum("/alive:" in sentence for sentence in waiting) + sum(str(each) in words for each in living)
    return Row(
        fault="kill -9 of the driver under Ray, alone and with its group",
        times=len(dead),
        promised="the doctor names all they left and which runs wait, and changes nothing",
        happened=(
            f"named: {told_pids} of {len(pids)} processes, {told_folders} of {len(folders)} folders, {known} of "
            f"{len(dead)} runs, {extra} of the living; {'all' if still == left else 'not all'} still there"
        ),
        holds=(
            (told_pids, told_folders, known, extra) == (len(pids), len(folders), len(dead), 0)
            and len(folders) == len(dead)
            and still == left
        ),
    )


def _continued(folder: Path, temp: Path, after: dict[str, Any], dead: Search) -> Row:
    """The command that the doctor gives goes on with the run."""
    remedies = [
        each["remedy"]
        for each in after["findings"]
        if each["check"] == "unfinished" and f"/{dead.name}:" in each["sentence"]
    ]
    command = remedies[0].partition("abr-tune ")[2] if remedies else ""
    before = dead.epochs
    words = [COMMAND, *shlex.split(command), "--executor", "inline"]
    environment = os.environ | {MARK: dead.name, "TMPDIR": str(temp)}
    with (folder / "again.txt").open("wb") as said:
        again = subprocess.Popen(words, cwd=ROOT, env=environment, stdout=said, stderr=said, start_new_session=True)
    _until(lambda: dead.epochs > before or again.poll() is not None, SECONDS_TO_GO_ON)
    again.send_signal(signal.SIGINT)
    code = again.wait(SECONDS_TO_GO_ON)
    holds = dead.epochs > before and code == 130
    last = "" if holds else ": " + (folder / "again.txt").read_text(encoding="utf-8", errors="replace").strip()[-200:]
    trials = len(list(dead.out.glob(f"{dead.name}/trials/*")))
    return Row(
        fault="the command that the doctor gives for a killed run",
        times=1,
        promised="goes on with the trial that was killed",
        happened=f"{dead.epochs - before} epochs more, {trials} trials in all, ended with {code} by Ctrl-C{last}",
        holds=holds and trials == 1,
    )


def _doctor(folder: Path, temp: Path, *words: str) -> dict[str, Any]:
    command = [COMMAND, "doctor", "--quick", "--json", "--out", str(folder / "results"), *words]
    environment = os.environ | {"TMPDIR": str(temp)}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    return dict(json.loads(done.stdout))


def _until(happened: Callable[[], bool], seconds: float) -> bool:
    until = time.monotonic() + seconds
    while not happened():
        if time.monotonic() > until:
            return False
        time.sleep(0.05)
    return True


def _end(pid: int) -> None:
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return
