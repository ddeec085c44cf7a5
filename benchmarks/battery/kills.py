"""The driver killed with SIGKILL at moments of every kind, and the same command given again until the run is over.

Whatever a killed run became is held against the same run left in peace: every trial with all that is known of it, every
history line by line, the summary and `best.yaml`. With one worker nothing may differ; with two, order is chance.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Final

from abr_tune.plan import yaml
from abr_tune.report.wording import counted
from benchmarks.battery.aftermath import Counts, Story, happened, held_against
from benchmarks.battery.lives import Lives, after, lines
from benchmarks.battery.row import Row
from benchmarks.battery.victims import COST, SCORE, TRAINED

Space = Mapping[str, Any]
BASE: Final[Space] = {
    "task": "benchmarks.battery.victims:Walk",
    "train": {"epochs": 8, "milliseconds": 12.0},
    "search": {
        "pace": {"log": [0.01, 1.0]},
        "aim": {"uniform": [0, 1]},
        "style": {"choice": ["plain", "bold"]},
        "boldness": {"uniform": [0, 1], "when": {"style": "bold"}},
    },
    "start_from": [{"name": "by hand", "pace": 0.2}],
    "objective": {"maximize": SCORE},
    "confirm": {"top": 2, "seeds": 2},
}
PROMOTED: Final[Space] = {
    "pruner": {"successive_halving": {"reduction": 2}},
    "audit": 0.2,
    "budget": {"trials": 32},
}
SEARCHES: Final[Mapping[str, Space]] = {
    "promoted": PROMOTED,
    "several": {
        "objective": [{"maximize": SCORE}, {"minimize": COST}],
        "constraints": {COST: "< 6"},
        "sampler": "nsga2",
        "pruner": "none",
        "budget": {"trials": 24},
    },
    "epochs": {"sampler": "qmc", "pruner": {"hyperband": {"reduction": 2}}, "budget": {"trials": 80, "epochs": 160}},
    "stalled": {"sampler": "cmaes", "pruner": "median", "budget": {"trials": 60}, "stop": {"no_improvement": 12}},
}
"""What is searched inline: each asks something else of whoever goes on."""
CONFIRMING: Final[Space] = {
    "train": {"epochs": 8, "milliseconds": 4.0, "sleepy": 1},
    "pruner": "none",
    "sampler": "random",
    "budget": {"trials": 4},
    "confirm": {"top": 2, "seeds": 3},
}
LOADED: Final = 0.75
"""Share of the inline lives that begin with their modules loaded: most of the others' time is spent on that."""
GROUPS: Final = 0.3
"""Share of the kills that strike the whole process group."""
ENDING: Final = ("best.yaml", "best/metrics.json", "summary.json", "report.html")
"""What is written when a search is over, in this order."""
INLINE: Final = ("--executor", "inline")
PROMISED: Final = "0 zombies, 0 numbers twice, 0 lost, budget exact, all as in an uninterrupted run"


def inline(
    folder: Path, *, kills: int = 100, seed: int = 1, searches: Mapping[str, Space] = SEARCHES, loaded: float = LOADED
) -> Iterator[Row]:
    """Searches of several kinds, killed at every stage of their lives."""
    found = []
    for place, (name, space) in enumerate(searches.items()):
        share = kills // len(searches) + (place < kills % len(searches))
        found.append(_killed(folder / name, space, INLINE, share, random.Random(seed + place), loaded=loaded))
    yield _row("kill -9 of the driver, inline", found)


def on_ray(
    folder: Path, *, kills: int = 10, seed: int = 2, workers: Sequence[int] = (1, 2), space: Space = PROMOTED
) -> Iterator[Row]:
    """The same under Ray, so often with each number of workers: one ends as if it had been left in peace."""
    for jobs in workers:
        chance = random.Random(seed + jobs)
        found = _killed(folder / str(jobs), space, ("--jobs", str(jobs)), kills, chance, alike=jobs == 1)
        yield _row(f"kill -9 of the driver under Ray, {counted(jobs, 'worker')}", [found])


def confirmation(folder: Path, *, kills: int = 5, seed: int = 3, loaded: float = 0.0) -> Iterator[Row]:
    """Killed while the leaders are trained again: what was finished is not trained once more."""
    lives, whole = _prepared(folder, CONFIRMING, INLINE, random.Random(seed), loaded)
    fresh = lives.run / "confirm"
    for _ in range(kills):
        trained = partial(_lines_below, fresh, TRAINED)
        lives.die(_grown(trained, lives.chance.randint(2, 7)), late=lives.chance.uniform(0, 0.04))
    counts = held_against(lives, whole, alike=True)
    # The epoch that a kill cut short may be trained once more; nothing else.
    again = _lines_below(fresh, TRAINED) - _lines_below(whole.run / "confirm", TRAINED)
    said = f"{happened([counts])}; {again} epochs trained again"
    yield Row(
        fault="kill -9 during confirmation",
        times=lives.kills,
        promised=f"{PROMISED}; nothing finished is trained again",
        happened=said,
        holds=counts.faultless and again <= lives.kills,
    )


def paused(folder: Path, *, kills: int = 5, seed: int = 4, loaded: float = 0.0) -> Iterator[Row]:
    """Killed as soon as another trial is paused at a rung."""
    lives, whole = _prepared(folder, PROMOTED, INLINE, random.Random(seed), loaded)
    for _ in range(kills):
        lives.die(_grown(partial(_named, lives, "trial_paused"), lives.chance.randint(1, 6)))
    counts = held_against(lives, whole, alike=True)
    fault = "kill -9 while trials are paused at a rung"
    yield Row(fault=fault, times=lives.kills, promised=PROMISED, happened=happened([counts]), holds=counts.faultless)


def _row(fault: str, found: list[tuple[Lives, Counts]]) -> Row:
    counts = [each for _, each in found]
    stages = sum((lives.stages for lives, _ in found), Counter[str]())
    said = ", ".join(f"{count} while {stage}" for stage, count in stages.items())
    if loaded := sum(lives.kills_loaded for lives, _ in found):
        said += f"; {loaded} with its modules loaded beforehand"
    return Row(
        fault=fault,
        times=sum(lives.kills for lives, _ in found),
        promised=PROMISED,
        happened=f"{happened(counts)} (killed {said})",
        holds=all(each.faultless for each in counts),
    )


def _killed(
    folder: Path,
    space: Space,
    words: tuple[str, ...],
    kills: int,
    chance: random.Random,
    *,
    alike: bool = True,
    loaded: float = 0.0,
) -> tuple[Lives, Counts]:
    """Kill a run so many times at moments of every kind, let it end, and hold it against one left in peace."""
    lives, whole = _prepared(folder, space, words, chance, loaded)
    for _ in range(2 * kills):
        if lives.kills == kills:
            break
        left = kills - lives.kills
        over = lives.seen("confirm")() or left <= max(1, kills // 5)
        _strike(lives, whole, "ending" if over else chance.choice(("starting", "training", "writing", "saving")))
    return lives, held_against(lives, whole, alike=alike)


def _strike(lives: Lives, whole: Story, stage: str) -> None:
    """One life, ended at a moment of that kind."""
    chance = lives.chance
    begun = lives.more_events(chance.randint(1, 30))
    moments = {
        "starting": (lambda: True, chance.uniform(0, whole.begins)),
        "training": (lives.more_events(1), chance.uniform(0, 0.2)),
        "writing": (after(begun, lives.seen("study.db-journal")), 0.0),
        "saving": (after(begun, lives.seen("trials/*/checkpoint/*.new")), 0.0),
        "ending": (lives.rewritten(chance.choice(ENDING)), chance.uniform(0, 0.1)),
    }
    wait, late = moments[stage]
    if lives.die(wait, late=late, group=chance.random() < GROUPS, whole=stage == "starting"):
        lives.stages[stage] += 1


def _prepared(
    folder: Path, space: Space, words: tuple[str, ...], chance: random.Random, loaded: float
) -> tuple[Lives, Story]:
    """A run that is to be killed, and the same one left in peace."""
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / "walk.yaml"
    file.write_text(yaml.dump({"name": "walk", **BASE, **space}), encoding="utf-8")
    left, killed = (
        Lives(
            folder=folder / name,
            words=(str(file), "--out", str(folder / name), "--trust-code", *words),
            run=folder / name / "walk",
            chance=chance,
            loaded=loaded,
        )
        for name in ("left", "killed")
    )
    whole = Story.of(left)
    left.left_lying()
    if whole.code:
        raise RuntimeError(f"the run that was left in peace ended with {whole.code}: {left.said()}")
    return killed, whole


def _grown(count: Callable[[], int], by: int) -> Callable[[], bool]:
    """True once there are so many more than now."""
    wanted = count() + by
    return lambda: count() >= wanted


def _lines_below(folder: Path, name: str) -> int:
    return sum(lines(path) for path in folder.glob(f"*/{name}"))


def _named(lives: Lives, event: str) -> int:
    return sum(said["event"] == event for said in lives.events())
