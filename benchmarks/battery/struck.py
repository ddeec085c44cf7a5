"""A run that something befalls on its way: how the command ended, what it said, and what it has become at last."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from abr_tune.plan import yaml
from benchmarks.battery.aftermath import Counts, Story, held_against
from benchmarks.battery.lives import SECONDS_TO_LIVE, Life, Lives
from benchmarks.battery.victims import SCORE

INLINE: Final = ("--executor", "inline")
ON_RAY: Final = ("--jobs", "1")
SPACE: Final[Mapping[str, Any]] = {
    "name": "walk",
    "task": "benchmarks.battery.victims:Walk",
    "train": {"epochs": 6, "milliseconds": 12.0},
    "search": {
        "pace": {"log": [0.01, 1.0]},
        "aim": {"uniform": [0, 1]},
        "style": {"choice": ["plain", "bold"]},
        "boldness": {"uniform": [0, 1], "when": {"style": "bold"}},
    },
    "objective": {"maximize": SCORE},
    "pruner": {"successive_halving": {"reduction": 2}},
    "budget": {"trials": 16},
    "confirm": {"top": 1, "seeds": 2},
}
"""Rungs, pauses and promotions, a sampler that learns, and confirmation: whatever is lost shows in the end."""


@dataclass
class Struck:
    """One run; `whole` is the same run left in peace."""

    lives: Lives
    whole: Story
    strikes: int = 0
    _counts: Counts | None = None

    @property
    def run(self) -> Path:
        """Its folder."""
        return self.lives.run

    def live(self, moment: Callable[[], bool] = lambda: True, strike: Callable[[], object] | None = None) -> Ending:
        """Start it, strike at a moment of its life if that is wanted, and let it end by itself."""
        said = self.lives.folder / "said.txt"
        before = said.stat().st_size if said.exists() else 0
        life = self.lives.start(loaded=bool(self.lives.loaded))
        began = time.monotonic()
        if strike is not None and _reached(life, moment):
            strike()
            self.strikes += 1
        code = life.ended(SECONDS_TO_LIVE)
        if code is None:
            life.kill(group=True)
            code = life.ended(SECONDS_TO_LIVE)
        return Ending(code, said.read_bytes()[before:].decode(errors="replace"), time.monotonic() - began)

    def after(self, least: int, most: int) -> Callable[[], bool]:
        """A moment: so many more lines are in its journal."""
        return self.lives.more_events(self.lives.chance.randint(least, most))

    def become(self) -> Counts:
        """What it is when it has lived to its end, held against the one left in peace."""
        return held_against(self.lives, self.whole, alike=True)

    def settled(self) -> Struck:
        """The same, once it has become what `counts` says."""
        self._counts = self.become()
        return self

    @property
    def counts(self) -> Counts:
        """What it was when it was `settled`."""
        return self._counts or self.become()


@dataclass(frozen=True)
class Ending:
    """How one life ended."""

    code: int | None
    said: str
    seconds: float

    def told(self, code: int, *words: str) -> bool:
        """Whether it ended with a code and said all these words, and with no traceback."""
        return self.code == code and all(word in self.said for word in words) and "Traceback" not in self.said


@dataclass(frozen=True)
class Quarry:
    """What is struck in many ways: a space, and what its run is without any."""

    file: Path
    whole: Story

    def run(self, folder: Path, *words: str, out: Path | None = None, seed: int = 0) -> Struck:
        """A run of it that has not begun, in a folder of its own; with `out`, its results lie there."""
        return Struck(_lives(self.file, folder, words, seed, out), self.whole)


def quarry(folder: Path, space: Mapping[str, Any] = SPACE, words: tuple[str, ...] = INLINE) -> Quarry:
    """A space and its run left in peace.

    Raises ValueError when even that does not end well.
    """
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / "space.yaml"
    file.write_text(yaml.dump(dict(space)), encoding="utf-8")
    lives = _lives(file, folder / "p", words, 0)
    if code := lives.live():
        said = (folder / "p/said.txt").read_text(encoding="utf-8")
        raise ValueError(f"the run that was left in peace ended with {code}: {said}")
    whole = Story.of(lives)
    lives.left_lying()
    return Quarry(file, whole)


def _lives(file: Path, folder: Path, words: tuple[str, ...], seed: int, out: Path | None = None) -> Lives:
    name = str(yaml.read(file).data["name"])
    return Lives(
        folder=folder,
        words=(str(file), "--out", str(out or folder), "--trust-code", *words),
        run=(out or folder) / name,
        loaded=float("inline" in words),
        chance=random.Random(seed),
    )


def _reached(life: Life, moment: Callable[[], bool]) -> bool:
    until = time.monotonic() + SECONDS_TO_LIVE
    while life.ended() is None and time.monotonic() < until:
        if moment():
            return True
        time.sleep(0.001)
    return False
