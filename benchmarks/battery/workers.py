"""Ray's workers killed with SIGKILL under a search that lives: in the middle of a trial, and while a trial pauses."""

from __future__ import annotations

import os
import random
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from abr_tune.plan import yaml
from benchmarks.battery.aftermath import Counts, Story, happened, held_against
from benchmarks.battery.kills import BASE, PROMOTED
from benchmarks.battery.lives import MARK, SECONDS_TO_LIVE, Life, Lives
from benchmarks.battery.row import Row

PLAIN: Final[Mapping[str, Any]] = {
    "train": {"epochs": 8, "milliseconds": 150.0},
    "sampler": "random",
    "pruner": "none",
    "budget": {"trials": 20},
    "confirm": {"top": 1, "seeds": 1},
}
"""What a trial becomes does not depend on who is trained beside it: with two workers, too, nothing may differ."""
PAUSING: Final[Mapping[str, Any]] = {
    **PROMOTED,
    "train": {"epochs": 8, "milliseconds": 100.0},
    "budget": {"trials": 20},
    "confirm": {"top": 1, "seeds": 1},
}
TRIES: Final = 2
"""Workers that may die under one trial before it fails, as it should."""
SECONDS_TO_HEAR: Final = 20.0


def workers(folder: Path, *, kills: int = 10, seed: int = 5) -> Iterator[Row]:
    """Most die in the middle of a trial, three while one pauses and its worker lies idle."""
    pausing = kills * 3 // 10
    chance = random.Random(seed)
    for name, space, count, alike in (("a", PLAIN, kills - pausing, True), ("b", PAUSING, pausing, False)):
        yield _row(folder / name, space, count, chance, alike=alike)


def _row(folder: Path, space: Mapping[str, Any], kills: int, chance: random.Random, *, alike: bool) -> Row:
    lives, whole = _prepared(folder, space, chance)
    killed, code = _hunted(lives, kills, while_pausing=not alike)
    counts = held_against(lives, whole, alike=alike)
    retried = sum(_losses(lives).values())
    doing = ", ".join(f"{count} {state}" for state, count in sorted(killed.items()))
    return Row(
        fault=f"kill -9 of a Ray worker {'in the middle of trials' if alike else 'while trials pause'}",
        times=killed.total(),
        promised="the search lives on, each trial under its number, budget exact" + (", same values" if alike else ""),
        happened=f"exit {code}, {retried} trainings went on; {happened([counts])} (killed {doing})",
        holds=_kept(counts, code, killed.total(), kills),
    )


def _kept(counts: Counts, code: int | None, killed: int, kills: int) -> bool:
    return counts.faultless and code == 0 and killed == kills


def _prepared(folder: Path, space: Mapping[str, Any], chance: random.Random) -> tuple[Lives, Story]:
    """A search under Ray whose workers are to be killed, and the same one left in peace."""
    folder.mkdir(parents=True)
    file = folder / "walk.yaml"
    file.write_text(yaml.dump({"name": "walk", **BASE, **space}), encoding="utf-8")
    made = {}
    for name, words in (("l", ("--executor", "inline")), ("k", ("--jobs", "2"))):
        place = folder / name
        made[name] = Lives(
            folder=place,
            words=(str(file), "--out", str(place), "--trust-code", *words),
            run=place / "walk",
            chance=chance,
        )
    return made["k"], Story.of(made["l"])


def _hunted(lives: Lives, kills: int, *, while_pausing: bool) -> tuple[Counter[str], int | None]:
    """One life, in which so many workers are killed; what they were doing, and the life's exit code."""
    killed: Counter[str] = Counter()
    life = lives.start(loaded=False)
    while killed.total() < kills and _wait(life, _moment(lives, while_pausing=while_pausing)):
        time.sleep(0.0 if while_pausing else lives.chance.uniform(0, 0.3))
        before = _losses(lives).total()
        if (doing := _kill_one(lives)) is not None:
            killed[doing] += 1
            _wait(life, lambda before=before: _losses(lives).total() > before, SECONDS_TO_HEAR)  # type: ignore[misc]
    return killed, life.ended(SECONDS_TO_LIVE)


def _moment(lives: Lives, *, while_pausing: bool) -> Callable[[], bool]:
    """True after another epoch, or another pause, when no open trial has lost all the workers it may."""
    wanted = "trial_paused" if while_pausing else "epoch"
    before = _named(lives, wanted)

    def come() -> bool:
        ended = {said["number"] for said in lives.events() if said["event"] == "trial_finished"}
        spent = {number for number, count in _losses(lives).items() if count >= TRIES}
        return spent <= ended and _named(lives, wanted) > before

    return come


def _kill_one(lives: Lives) -> str | None:
    """Kill a worker of Ray's that holds trials; what it was doing, by the title that Ray gives it."""
    mark, found = f"{MARK}={lives.folder}".encode(), {}
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            title = (entry / "cmdline").read_bytes().split(b"\0")[0].decode(errors="replace").strip()
            if title.startswith("ray::ResourceTrainable") and mark in (entry / "environ").read_bytes():
                found[int(entry.name)] = "training" if title.endswith(".train") else "idle"
        except OSError:
            continue
    if not found:
        return None
    pid = lives.chance.choice(sorted(found))
    os.kill(pid, signal.SIGKILL)
    return found[pid]


def _losses(lives: Lives) -> Counter[int]:
    """Trial -> how often it was said that its worker had died."""
    return Counter(
        said["number"] for said in lives.events() if said["event"] == "warning" and "its worker died" in said["text"]
    )


def _named(lives: Lives, event: str) -> int:
    return sum(said["event"] == event for said in lives.events())


def _wait(life: Life, happened: Callable[[], bool], seconds: float = SECONDS_TO_LIVE) -> bool:
    """Until something has happened; False when the life ends first, or so many seconds pass."""
    until = time.monotonic() + seconds
    while not happened():
        if life.ended() is not None or time.monotonic() > until:
            return False
        time.sleep(0.02)
    return True
