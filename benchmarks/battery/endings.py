"""A search is asked to end in every way there is, at moments of every kind, and continued until it is over."""

from __future__ import annotations

import fcntl
import os
import random
import signal
import subprocess
import sys
import termios
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

from abr_tune.plan import yaml
from abr_tune.processes import began
from abr_tune.stop import stop_run
from benchmarks.battery.aftermath import Story, happened, held_against
from benchmarks.battery.kills import BASE
from benchmarks.battery.lives import ROOT, SECONDS_TO_LIVE, Life, Lives, Started, Whole, processes
from benchmarks.battery.row import Row

Way = Literal["int", "int to all", "int twice", "term", "term to all", "hup", "stop", "terminal"]
Moment = Literal["starting", "training", "confirming", "ending"]
CODES: Final[Mapping[Way, int]] = {
    "int": 130,
    "int to all": 130,
    "int twice": 130,
    "term": 143,
    "term to all": 143,
    "hup": 129,
    "stop": 130,
    "terminal": 129,
}
"""How the command is asked to end, to all: with its process group; and the exit code that shells expect of it."""
TRIED: Final[Sequence[tuple[Way, Moment]]] = (
    ("term", "starting"),
    ("int", "starting"),
    ("hup", "starting"),
    ("int", "training"),
    ("int to all", "training"),
    ("int twice", "training"),
    ("term", "training"),
    ("term to all", "training"),
    ("hup", "training"),
    ("stop", "training"),
    ("terminal", "training"),
    ("term", "confirming"),
    ("int to all", "ending"),
)
"""In this order: of a run that has come to its confirmation, no training is left."""
SPACE: Final[Mapping[str, Any]] = {
    "train": {"epochs": 8, "milliseconds": 100.0},
    "sampler": "random",
    "pruner": "none",
    "confirm": {"top": 1, "seeds": 2},
}
"""What a trial becomes does not depend on who is trained beside it."""
SECONDS_ALLOWED: Final = 10.0
SECONDS_TO_BE_GONE: Final = 1.0
SECONDS_BETWEEN: Final = 0.3
"""From one Ctrl-C to the next."""


@dataclass(frozen=True, slots=True)
class Ended:
    """What became of one command that was asked to end."""

    way: Way
    moment: Moment
    code: int | None
    """None: it had to be killed."""
    seconds: float
    processes: int
    folders: int
    traceback: bool


class InTerminal(Started):
    """The installed command in a terminal of its own."""

    def __init__(self, words: Sequence[str], said: Path, environment: Mapping[str, str]) -> None:
        self._terminal, there = os.openpty()

        def lead() -> None:
            os.setsid()
            fcntl.ioctl(there, termios.TIOCSCTTY, 0)

        command = [str(Path(sys.executable).with_name("abr-tune")), *words]
        self._process = subprocess.Popen(
            command,
            stdin=there,
            stdout=there,
            stderr=there,
            cwd=ROOT,
            env=os.environ | environment,
            preexec_fn=lead,  # noqa: PLW1509
        )
        os.close(there)
        self._open = True
        self._reader = threading.Thread(target=self._read, args=(said,))
        self._reader.start()

    def close(self) -> None:
        """Close the terminal, as its window is closed."""
        self._open = False
        self._reader.join()
        os.close(self._terminal)

    def _read(self, said: Path) -> None:
        os.set_blocking(self._terminal, False)
        with said.open("ab") as file:
            while self._open:
                try:
                    file.write(os.read(self._terminal, 65536))
                except BlockingIOError:
                    time.sleep(0.02)
                except OSError:
                    return


def inline(
    folder: Path, *, tried: Sequence[tuple[Way, Moment]] = TRIED, trials: int = 20, seed: int = 6
) -> Iterator[Row]:
    """Every ending of a search in this process."""
    lives, whole = _prepared(folder, ("--executor", "inline"), trials, random.Random(seed))
    yield _row(lives, whole, "inline", tried)


def on_ray(
    folder: Path, *, tried: Sequence[tuple[Way, Moment]] = TRIED, trials: int = 20, seed: int = 7
) -> Iterator[Row]:
    """Every ending of a search under Ray."""
    lives, whole = _prepared(folder, ("--jobs", "2"), trials, random.Random(seed))
    yield _row(lives, whole, "under Ray", tried)


@contextmanager
def _hanging_up_counts() -> Iterator[None]:
    """Commands started in this context hear SIGHUP, also where this one, under nohup, does not."""
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    try:
        yield
    finally:
        signal.signal(signal.SIGHUP, before)


def _row(lives: Lives, whole: Story, where: str, tried: Sequence[tuple[Way, Moment]]) -> Row:
    with _hanging_up_counts():
        ends = [_ended(lives, way, moment) for way, moment in tried]
    counts = held_against(lives, whole, alike=True)
    wrong = [f"{end.code} after {end.way} while {end.moment}" for end in ends if end.code != CODES[end.way]]
    longest = max(ends, key=lambda end: end.seconds)
    left, lying, told = (sum(getattr(end, name) for end in ends) for name in ("processes", "folders", "traceback"))
    each = ", ".join(f"{count} while {moment}" for moment, count in Counter(end.moment for end in ends).items())
    return Row(
        fault=f"Ctrl-C, twice, SIGTERM, SIGHUP, stop, closed terminal, {where}",
        times=len(ends),
        promised="130, 143 or 129 within 10 s, nothing left, no traceback, continued as if nothing had been",
        happened=(
            f"longest {longest.seconds:.1f} s ({longest.way} while {longest.moment}), "
            f"wrong codes: {'; '.join(wrong) or 'none'}, {left} processes, {lying} folders, {told} tracebacks left; "
            f"{happened([counts])} ({each})"
        ),
        holds=not wrong and longest.seconds < SECONDS_ALLOWED and not (left or lying or told) and counts.faultless,
    )


def _prepared(folder: Path, words: tuple[str, ...], trials: int, chance: random.Random) -> tuple[Lives, Story]:
    """A search that is to be ended again and again, and the same one left in peace."""
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / "walk.yaml"
    file.write_text(yaml.dump({"name": "walk", **BASE, **SPACE, "budget": {"trials": trials}}), encoding="utf-8")
    left, ended = (
        Lives(
            folder=folder / name,
            words=(str(file), "--out", str(folder / name), "--trust-code", *how),
            run=folder / name / "walk",
            chance=chance,
        )
        for name, how in (("l", ("--executor", "inline")), ("e", words))
    )
    return ended, Story.of(left)


def _ended(lives: Lives, way: Way, moment: Moment) -> Ended:
    """One life that is asked to end at a moment of that kind."""
    before = _tracebacks(lives)
    come = _moments(lives)[moment]
    kind = InTerminal if way == "terminal" else Whole
    life = kind(("run", *lives.words), lives.folder / "said.txt", lives.environment)
    lives.sessions.add(life.pid)
    until = time.monotonic() + SECONDS_TO_LIVE
    while not come() and life.ended() is None and time.monotonic() < until:
        time.sleep(0.005)
    time.sleep(lives.chance.uniform(0, 0.2))
    asked = time.monotonic()
    _ask(life, way, lives)
    code = life.ended(SECONDS_TO_LIVE)
    took = time.monotonic() - asked
    until = time.monotonic() + SECONDS_TO_BE_GONE
    while _running(lives) and time.monotonic() < until:
        time.sleep(0.02)
    left = len(_running(lives))
    if code is None:
        life.kill(group=True)
    lying = sum(1 for _ in lives.temporary.iterdir())
    return Ended(way, moment, code, took, left, lying, _tracebacks(lives) > before)


def _running(lives: Lives) -> list[int]:
    """Processes that its lives started and that run; those that have ended and wait for the system to notice do not."""
    return [pid for pid in processes(lives) if began(pid)]


def _moments(lives: Lives) -> dict[Moment, Callable[[], bool]]:
    """When a life that begins now has come so far."""
    if "inline" in lives.words:
        starting = lives.rewritten(".driver")
    else:

        def starting() -> bool:
            return any(lives.temporary.glob("at-*/r/session_2*"))

    return {
        "starting": starting,
        "training": lives.more_events(3),
        "confirming": lives.seen("confirm/*/history.jsonl"),
        "ending": lives.rewritten("best.yaml"),
    }


def _ask(life: Life, way: Way, lives: Lives) -> None:
    """Ask it to end."""
    try:
        if isinstance(life, InTerminal):
            life.close()
        elif way == "stop":
            list(stop_run(lives.run))
        elif way in {"int to all", "term to all"}:
            os.killpg(life.pid, signal.SIGINT if way == "int to all" else signal.SIGTERM)
        elif way == "int twice":
            os.kill(life.pid, signal.SIGINT)
            time.sleep(SECONDS_BETWEEN)
            os.kill(life.pid, signal.SIGINT)
        else:
            os.kill(life.pid, {"int": signal.SIGINT, "term": signal.SIGTERM, "hup": signal.SIGHUP}[way])
    except ProcessLookupError:
        return


def _tracebacks(lives: Lives) -> int:
    """That were shown to whoever sat there."""
    path = lives.folder / "said.txt"
    return path.read_text(encoding="utf-8", errors="replace").count("Traceback") if path.exists() else 0
