"""Run folders: where each file of a run lies, and how a run is found by its name."""

from __future__ import annotations

import difflib
import json
import os
import shlex
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, TextIO

from abr_tune.borders import SHAPES, SPACE, refuse_links
from abr_tune.errors import EnvironmentFault, UserError
from abr_tune.processes import Process, this_process

LOCK: Final = ".driver"
"""File in a run folder that its driver keeps locked, and that says who it is."""
SECONDS_FOR_A_LOOK: Final = 0.5
"""How long a lock is waited for that no living driver is known to hold."""


@dataclass(frozen=True, slots=True)
class RunFolder:
    """The files of one run, `results/<name>/`."""

    path: Path

    @property
    def name(self) -> str:
        """Name of the run."""
        return self.path.name

    @property
    def typed(self) -> str:
        """Its path, as a shell takes it."""
        return shlex.quote(str(self.path))

    @property
    def space(self) -> Path:
        """The space file as given."""
        return self.path / SPACE

    @property
    def plan(self) -> Path:
        """Everything resolved, defaults included."""
        return self.path / "plan.yaml"

    @property
    def environment(self) -> Path:
        """Versions, machine, commit, seeds, data fingerprint."""
        return self.path / "environment.json"

    @property
    def study(self) -> Path:
        """The Optuna study, unless another storage was named."""
        return self.path / "study.db"

    @property
    def events(self) -> Path:
        """What happened, one JSON object a line."""
        return self.path / "events.jsonl"

    @property
    def log(self) -> Path:
        """Messages and tracebacks."""
        return self.path / "run.log"

    @property
    def best_config(self) -> Path:
        """The best configuration; trains again to the score it claims."""
        return self.path / "best.yaml"

    @property
    def best(self) -> Path:
        """Weights and metrics of the best trial."""
        return self.path / "best"

    @property
    def start(self) -> Path:
        """Weights that every training of the run begins from, where it does not begin with random ones."""
        return self.path / "start"

    @property
    def summary(self) -> Path:
        """What `--json` prints."""
        return self.path / "summary.json"

    @property
    def report(self) -> Path:
        """The self-contained page."""
        return self.path / "report.html"

    def trial(self, number: int) -> Path:
        """Configuration, history and checkpoint of one trial."""
        return self.path / "trials" / str(number)

    def read_summary(self) -> dict[str, Any] | None:
        """The summary of a run that has one; raises `UserError` when its file is damaged."""
        if not self.summary.exists():
            return None
        anew = "the same `abr-tune run` writes it anew"
        try:
            if self.summary.is_symlink() or not self.summary.is_file():
                raise ValueError("it is no file")
            summary = json.loads(self.summary.read_text(encoding="utf-8"))
        except (ValueError, RecursionError) as mistake:
            raise UserError(f"{self.summary} is damaged: {mistake}; {anew}") from mistake
        if not isinstance(summary, dict):
            raise UserError(f"{self.summary} is damaged: it holds no summary; {anew}")
        return summary


def write_atomically(path: Path, text: str) -> None:
    """Put `text` at `path` so that a reader sees the old file or the new one, never half of one.

    What is no file, a device for instance, is written to and stays what it is.
    """
    if path.exists() and not path.is_file():
        path.write_text(text, encoding="utf-8")
        return
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    temporary.unlink(missing_ok=True)
    try:
        with temporary.open("x", encoding="utf-8") as file:  # follows no link that waits under this name
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError:  # on a full disk what is half written takes room
        temporary.unlink(missing_ok=True)
        raise


def write_json(path: Path, content: object) -> None:
    """`write_atomically` of indented JSON; refuses NaN and infinity, which JSON does not know."""
    write_atomically(path, json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def runs_in(out: Path) -> list[RunFolder]:
    """The runs in a results folder, oldest first."""
    if not out.is_dir():
        return []
    # Unlike is_file: nobody's where one may not look.
    folders = [RunFolder(path) for path in out.iterdir() if os.path.isfile(path / SPACE)]  # noqa: PTH113
    return sorted(folders, key=lambda run: run.space.stat().st_mtime)


def find_run(name_or_path: str, out: Path = Path("results")) -> Path:
    """The folder of a run given by its name under `out`, or by a path.

    Raises:
        UserError: there is no such run, and names that are close are suggested; or links lead out of its folder.
    """
    for candidate in (out / name_or_path, Path(name_or_path)):
        try:
            if (candidate / SPACE).is_file():
                refuse_links(candidate)
                return candidate
        except OSError as fault:
            raise UserError(f"{fault.filename} cannot be looked at: {fault.strerror}") from fault
    known = [run.name for run in runs_in(out)]
    close = difflib.get_close_matches(name_or_path, known, n=1)
    if close:
        hint = f"did you mean {close[0]}?"
    elif known:
        hint = f"runs there: {', '.join(known[-5:])}"
    else:
        hint = "start one with `abr-tune run SPACE.yaml`"
    raise UserError(f"no run {name_or_path!r} in {out} and no run folder at that path; {hint}")


@dataclass(frozen=True, slots=True)
class Driving:
    """Who drives a run, as its lock file says."""

    process: Process
    since: str

    def __str__(self) -> str:
        return f"{self.process} since {self.since}"


@contextmanager
def sole_driver(folder: Path, *, join: bool = False) -> Iterator[bool]:
    """Hold a run for one driver; the lock goes with the process, however it ends.

    Gives whether this process is that driver: with `join`, another may be.

    Raises:
        UserError: another process drives this run, or the folder cannot be written to.
        EnvironmentFault: its filesystem knows no locks.
    """
    lock, first = _held(folder)
    with lock:
        if not first and not join:
            raise UserError(
                f"run {folder.name} is being driven by {_read(lock) or 'another process'}; stop it first with "
                f"`abr-tune stop {RunFolder(folder).typed}`, or give this one another name with --name"
            )
        if first:
            lock.truncate(0)
            said = {"process": this_process().to_json(), "since": datetime.now(UTC).isoformat(timespec="seconds")}
            lock.write(json.dumps(said))
            lock.flush()
        yield first


def driver_of(folder: Path) -> Driving | None:
    """Who drives a run now, as far as its lock tells; None when nobody does. Nothing is written."""
    try:
        if (folder / LOCK).is_symlink():
            raise UserError(f"{folder / LOCK} is a link: a run folder holds its files itself")
        with (folder / LOCK).open(encoding="utf-8") as lock:
            return None if _locked(lock, shared=True) else _read(lock)
    except FileNotFoundError:
        return None
    except OSError as fault:
        raise UserError(f"{folder / LOCK} cannot be read: {fault.strerror}") from fault


def _held(folder: Path) -> tuple[TextIO, bool]:
    """The file of a run's lock, and whether the lock could be had.

    Whoever only looks holds it for a moment too, and whoever just got it has not said yet who he is: both are waited
    for. A lock that was taken away, because its run was refused, is no longer one.
    """
    until = time.monotonic() + SECONDS_FOR_A_LOOK
    while True:
        lock = _lock_file(folder)
        try:
            had = _locked(lock)
        except OSError as fault:
            lock.close()
            raise EnvironmentFault(
                f"{folder / LOCK} cannot be locked: {fault.strerror}; give a folder whose filesystem knows locks with "
                "--out"
            ) from fault
        if had:
            if os.fstat(lock.fileno()).st_nlink:
                return lock, True
        elif time.monotonic() > until or ((driving := _read(lock)) is not None and not driving.process.gone):
            return lock, False
        lock.close()
        time.sleep(0.01)


def _lock_file(folder: Path) -> TextIO:
    try:
        while True:
            folder.mkdir(parents=True, exist_ok=True)
            with suppress(FileNotFoundError):  # a run that was refused has just taken its folder away
                return (folder / LOCK).open("a+", encoding="utf-8")
    except OSError as fault:
        raise UserError(f"{folder} cannot be written to: {fault.strerror}") from fault


def _locked(lock: TextIO, *, shared: bool = False) -> bool:
    """Whether the lock could be had; closing the file gives it back. A shared one is had unless there is a driver."""
    import fcntl

    try:
        fcntl.flock(lock, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _read(lock: TextIO) -> Driving | None:
    """What the holder of the lock wrote; None when it has not yet."""
    lock.seek(0)
    try:
        said = json.loads(lock.read())
        return Driving(Process.from_json(said["process"]), said["since"])
    except SHAPES:
        return None
