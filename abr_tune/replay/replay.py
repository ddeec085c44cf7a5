"""`abr-tune replay`: every method on every seed, in parallel processes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import dataclass, field
from multiprocessing import get_context
from typing import Final

from abr_tune.replay.ground import Ground
from abr_tune.replay.methods import METHODS, MethodName, Terms, play
from abr_tune.replay.rules import RulesReport, rules_report
from abr_tune.replay.score import Row, Score, row, score


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """What came of a replay."""

    budget: int
    """Epochs."""
    workers: int
    rules: RulesReport
    rows: tuple[Row, ...]
    """In the order of the methods asked for."""
    scores: dict[MethodName, tuple[Score, ...]] = field(repr=False)
    """By seed."""


def compare(
    ground: Ground,
    *,
    methods: Sequence[MethodName],
    seeds: int,
    budget: int,
    workers: int = 1,
    jobs: int = 1,
    progress: Callable[[int, int], None] = lambda _done, _all: None,
) -> Comparison:
    """Play `methods` with seeds 0 to `seeds - 1`, `jobs` searches at a time; how many makes no difference.

    `progress` hears how many of how many are done.
    """
    wanted = [(name, seed) for seed in range(seeds) for name in methods]
    found: dict[tuple[MethodName, int], Score] = {}
    with _pool(ground, jobs) as each:
        for name, result in each(wanted, budget, workers):
            found[name, result.seed] = result
            progress(len(found), len(wanted))
    scores = {name: tuple(found[name, seed] for seed in range(seeds)) for name in methods}
    return Comparison(
        budget=budget,
        workers=workers,
        rules=rules_report(ground),
        rows=tuple(row(name, METHODS[name].label, scores[name]) for name in methods),
        scores=scores,
    )


Each = Callable[[Sequence[tuple[MethodName, int]], int, int], Iterator[tuple[MethodName, Score]]]
_GROUND: Final[list[Ground]] = []
"""In a worker process: what it plays on, sent once."""


@contextmanager
def _pool(ground: Ground, jobs: int) -> Iterator[Each]:
    if jobs == 1:
        yield lambda wanted, budget, workers: (_scored(ground, name, seed, budget, workers) for name, seed in wanted)
        return
    with ProcessPoolExecutor(jobs, get_context("forkserver"), _receive, (ground,)) as pool:

        def each(
            wanted: Sequence[tuple[MethodName, int]], budget: int, workers: int
        ) -> Iterator[tuple[MethodName, Score]]:
            futures = [pool.submit(_work, name, seed, budget, workers) for name, seed in wanted]
            yield from (future.result() for future in as_completed(futures))

        yield each


def _receive(ground: Ground) -> None:
    _GROUND[:] = [ground]


def _work(name: MethodName, seed: int, budget: int, workers: int) -> tuple[MethodName, Score]:
    return _scored(_GROUND[0], name, seed, budget, workers)


def _scored(ground: Ground, name: MethodName, seed: int, budget: int, workers: int) -> tuple[MethodName, Score]:
    played = play(name, ground, Terms(seed=seed, budget=budget, workers=workers))
    return name, score(played, ground, seed=seed, budget=budget)
