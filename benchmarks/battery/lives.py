"""One command, lived through again and again: started, killed at a moment, and what is left of it afterwards."""

from __future__ import annotations

import json
import multiprocessing
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import weakref
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Protocol

ROOT: Final = Path(__file__).parents[2]
MARK: Final = "ABR_TUNE_BATTERY"
"""Environment variable by which everything that a life started is known, whoever adopted it."""
SECONDS_TO_LIVE: Final = 120.0
SECONDS_BETWEEN_LOOKS: Final = 0.001
PRELOADED: Final = (
    "__main__",
    "abr_tune.cli.app",
    "abr_tune.plan.load",
    "abr_tune.run",
    "abr_tune.report.page",
    "abr_tune.search.samplers",
    "benchmarks.battery.victims",
)
SECONDS_TO_BE_GONE: Final = 10.0
"""What a run leaves running when it has ended is looked for so long."""


class Life(Protocol):
    """A command that was started."""

    @property
    def pid(self) -> int:
        """Of its process, which leads a session of its own."""
        ...

    def ended(self, seconds: float = 0.0) -> int | None:
        """Its exit code, waited for so long; None while it lives."""
        ...

    def kill(self, *, group: bool) -> None:
        """SIGKILL to its process, or to its group."""
        ...


class Started:
    """A command in a process that this one started."""

    _process: subprocess.Popen[bytes]

    @property
    def pid(self) -> int:
        """Of its process."""
        return self._process.pid

    def ended(self, seconds: float = 0.0) -> int | None:
        """Its exit code; None while it lives."""
        try:
            return self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            return None

    def kill(self, *, group: bool) -> None:
        """SIGKILL to its process, or to its group."""
        (os.killpg if group else os.kill)(self.pid, signal.SIGKILL)


class Whole(Started):
    """The installed command."""

    def __init__(self, words: Sequence[str], said: Path, environment: Mapping[str, str]) -> None:
        command = [str(Path(sys.executable).with_name("abr-tune")), *words]
        with said.open("a", encoding="utf-8") as file:
            self._process = subprocess.Popen(
                command, stdout=file, stderr=file, cwd=ROOT, env=os.environ | environment, start_new_session=True
            )


class Loaded:
    """The same code in a process that is forked from one which has loaded its modules."""

    def __init__(self, words: Sequence[str], said: Path, environment: Mapping[str, str]) -> None:
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload(list(PRELOADED))
        self._process = context.Process(target=_command, args=(list(words), said, dict(environment)))
        self._process.start()

    @property
    def pid(self) -> int:
        """Of its process."""
        return self._process.pid or 0

    def ended(self, seconds: float = 0.0) -> int | None:
        """Its exit code; None while it lives."""
        self._process.join(seconds)
        return self._process.exitcode

    def kill(self, *, group: bool) -> None:
        """SIGKILL to its process, or to its group."""
        (os.killpg if group else os.kill)(self.pid, signal.SIGKILL)


def _command(words: list[str], said: Path, environment: Mapping[str, str]) -> None:
    os.setsid()
    os.chdir(ROOT)
    os.environ.update(environment)
    tempfile.tempdir = None
    with said.open("a", encoding="utf-8") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    from abr_tune.cli import main

    main(words)


@dataclass(kw_only=True)
class Lives:
    """A run in `folder` (its results folder and whatever it needs), and the command that makes and continues it."""

    folder: Path
    words: tuple[str, ...]
    """Of `abr-tune`, after `run`."""
    run: Path
    """The run's own folder."""
    chance: random.Random
    loaded: float = 0.0
    """Share of the lives that begin in a process with its modules loaded, which saves most of a start."""
    kills: int = 0
    kills_loaded: int = 0
    """Of them, in such a process."""
    stages: Counter[str] = field(default_factory=Counter)
    """Stage of its life -> how often it was killed in it."""
    sessions: set[int] = field(default_factory=set)
    """One for each life."""

    def __post_init__(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        # A short path: those of Ray's sockets end at 107 characters.
        self.temporary = Path(tempfile.mkdtemp(prefix="k"))
        weakref.finalize(self, shutil.rmtree, self.temporary, ignore_errors=True)

    @property
    def environment(self) -> dict[str, str]:
        """By which its lives are known, and where they put what is temporary."""
        return {MARK: str(self.folder), "TMPDIR": str(self.temporary), "OMP_NUM_THREADS": "1"}

    def start(self, *, loaded: bool) -> Life:
        """The command, in a process group of its own; what it says is kept in `said.txt`."""
        life = (Loaded if loaded else Whole)(("run", *self.words), self.folder / "said.txt", self.environment)
        self.sessions.add(life.pid)
        return life

    def live(self) -> int:
        """Let it live to its end; returns its exit code."""
        life = self.start(loaded=self.loaded == 1)
        code = life.ended(SECONDS_TO_LIVE)
        if code is None:
            life.kill(group=True)
            raise TimeoutError(f"{' '.join(self.words)} did not end within {SECONDS_TO_LIVE:.0f} s")
        return code

    def die(self, wait: Callable[[], bool], *, late: float = 0.0, group: bool = False, whole: bool = False) -> bool:
        """Kill it, or its whole process group, `late` seconds after `wait` is true; whether it lived so long.

        `whole`: it begins with nothing loaded.
        """
        loaded = not whole and self.chance.random() < self.loaded
        life = self.start(loaded=loaded)
        until = time.monotonic() + SECONDS_TO_LIVE
        while not wait() and life.ended() is None and time.monotonic() < until:
            time.sleep(SECONDS_BETWEEN_LOOKS)
        code = life.ended(late)
        if code is None:
            life.kill(group=group)
            code = life.ended(SECONDS_TO_LIVE)
        killed = code == -signal.SIGKILL
        self.kills += killed
        self.kills_loaded += killed and loaded
        return killed

    def left_lying(self) -> list[str]:
        """Temporary folders that its lives have not put away; here they are."""
        found = sorted(entry.name for entry in self.temporary.iterdir())
        shutil.rmtree(self.temporary, ignore_errors=True)
        return found

    def said(self) -> str:
        """The last line that a life of it wrote."""
        told = (self.folder / "said.txt").read_text(encoding="utf-8", errors="replace").strip().splitlines()
        return told[-1] if told else "nothing"

    def events(self) -> list[dict[str, Any]]:
        """What the run's journal holds, without lines that were torn."""
        path = self.run / "events.jsonl"
        lines = path.read_text(encoding="utf-8").splitlines(keepends=True) if path.exists() else []
        return [json.loads(line) for line in lines if line.endswith("}\n") and line.startswith("{")]

    def more_events(self, count: int = 1) -> Callable[[], bool]:
        """True once the journal has so many lines more than now."""
        path = self.run / "events.jsonl"
        wanted = lines(path) + count
        return lambda: lines(path) >= wanted

    def seen(self, *patterns: str) -> Callable[[], bool]:
        """True while the run's folder holds a file like one of these."""
        return lambda: any(any(self.run.glob(pattern)) for pattern in patterns)

    def rewritten(self, name: str) -> Callable[[], bool]:
        """True once a file of the run's folder is newer than now, or there at all."""
        path = self.run / name
        before = _age(path)
        return lambda: _age(path) != before


def _age(path: Path) -> int:
    try:
        return path.stat().st_mtime_ns
    except FileNotFoundError:
        return 0


def lines(path: Path) -> int:
    """Lines of a file; none where there is none."""
    try:
        return path.read_bytes().count(b"\n")
    except FileNotFoundError:
        return 0


def after(first: Callable[[], bool], second: Callable[[], bool]) -> Callable[[], bool]:
    """True once `second` is, after `first` was."""
    begun: list[None] = []

    def both() -> bool:
        if not begun and first():
            begun.append(None)
        return bool(begun) and second()

    return both


def processes(lives: Lives) -> dict[int, str]:
    """Number -> name of every process that some life of a run has started."""
    mark, found = f"{MARK}={lives.folder}".encode(), {}
    for entry in Path("/proc").iterdir():
        if not entry.name.isdecimal():
            continue
        try:
            session = int((entry / "stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()[3])
            if session in lives.sessions or mark in (entry / "environ").read_bytes().split(b"\0"):
                found[int(entry.name)] = (entry / "comm").read_text(encoding="utf-8", errors="replace").strip()
        except OSError:
            continue
    return found


def left_running(lives: Lives) -> dict[int, str]:
    """Processes that are still there some seconds after their run ended; they are ended here."""
    until = time.monotonic() + SECONDS_TO_BE_GONE
    while (found := processes(lives)) and time.monotonic() < until:
        time.sleep(0.1)
    for number in found:
        with _gone():
            os.kill(number, signal.SIGKILL)
    return found


@contextmanager
def _gone() -> Iterator[None]:
    try:
        yield
    except ProcessLookupError:
        return
