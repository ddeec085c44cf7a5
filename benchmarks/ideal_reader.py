"""What an ideal reader makes of simulated recordings: the classes' posterior under the simulator's own law.

    python -m benchmarks.ideal_reader [--every 8] [--to ideal-reader.npz]

Nobody who sees what a network sees (waveform, age in whole years, level, rate, FMP) and nothing else can do better on
average than Bayes' rule with the true law. Here it is computed: for every class, patients are drawn from the simulator
and weighted by how probable they make the level and the recording, whose noise is Gaussian given its band, tilt, burst
and depth; what is not seen is integrated out. Where a response is so clear that hardly any drawn patient fits, draws
are led to the posterior's modes (importance sampling with mixtures of t: Cappe et al., Statistics and Computing 2008).

Left out of the law: that the mains' share also takes from the rest of the noise (1 %), tilts and bursts between the
steps of a grid. Both make the reader a little worse than ideal, as does the error of its sums.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from multiprocessing import get_context
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from benchmarks.ideal.evidence import posterior
from benchmarks.ideal.law import Floats, Law, Seen
from core.data import cohort
from core.data.simulator import simulate_split
from core.metrics import weights_of
from core.tasks.abr_options import SimulatedData

# N recordings, T samples, C classes

DATA: Final = SimulatedData(train=9600, val=4000, test=20000, seed=7)
"""Of recovery.yaml and small.yaml, as far as the reader is concerned."""

_law: list[Law] = []


def _prepare(seed: int) -> None:
    threadpool_limits(limits=1)
    _law.append(Law(seed))


def _read(job: tuple[int, Floats, Floats]) -> tuple[int, Floats, float]:
    place, signal_T, static_4 = job
    seen = Seen.of(_law[0], signal_T, static_4)
    return place, *posterior(_law[0], seen, np.random.default_rng([place, 1]))


def posteriors(split: str, data: SimulatedData, every: int, processes: int) -> dict[str, NDArray[Any]]:
    """Of the recordings of a split, with only each `every`-th of the normal ones.

    `place` (N,) where in the split, `probability` (N, C), `counting` (N,) draws behind the weakest sum that matters,
    `weight` (N,) in metrics, which makes up for what was left out, and `truth` (N,). A third of a second for each.
    """
    table, _ = simulate_split(split, getattr(data, split), data.seed)
    normal_N = table.hearing_class == cohort.NORMAL
    read_N = ~normal_N | (np.cumsum(normal_N) % every == 0)
    weight_N = weights_of(table) * np.where(normal_N, normal_N.sum() / (normal_N & read_N).sum(), 1.0)
    place_N = np.flatnonzero(read_N)
    jobs = [(n, table.signal[n].astype(np.float64), table.static[n].astype(np.float64)) for n in place_N.tolist()]
    found, began = {}, time.monotonic()
    with get_context("spawn").Pool(processes, _prepare, (data.seed,)) as pool:
        for place, probability_C, counting in pool.imap_unordered(_read, jobs, chunksize=4):
            found[place] = probability_C, counting
            if len(found) % 100 == 0:
                print(f"{len(found)} of {len(jobs)} recordings, {time.monotonic() - began:.0f} s", flush=True)
    return {
        "place": place_N,
        "probability": np.stack([found[n][0] for n in place_N.tolist()]),
        "counting": np.array([found[n][1] for n in place_N.tolist()]),
        "weight": weight_N[place_N],
        "truth": table.hearing_class[place_N],
    }


def decided(probability_NC: Floats, weight_N: Floats) -> NDArray[np.int64]:
    """(N,) the classes that make the macro-F1 highest that the posteriors themselves expect; no label is looked at.

    A class is claimed where its probability times a factor of its own is highest: that is the form of the best
    decision for measures of the confusion matrix (Narasimhan et al., ICML 2015).
    """
    ln_NC = np.log(probability_NC + 1e-12)
    classes = probability_NC.shape[1]
    factor_C, best = np.zeros(classes), -1.0
    for step in (1.0, 0.5, 0.2, 0.1, 0.05):
        moved = True
        while moved:
            moved = False
            for change_C in step * np.vstack([np.eye(classes), -np.eye(classes)]):
                expected = _expected(probability_NC, weight_N, (ln_NC + factor_C + change_C).argmax(axis=1))
                if expected > best + 1e-9:
                    factor_C, best, moved = factor_C + change_C, expected, True
    return np.asarray((ln_NC + factor_C).argmax(axis=1))


def _expected(probability_NC: Floats, weight_N: Floats, said_N: NDArray[np.int64]) -> float:
    """Macro-F1 when the truth is drawn from the posteriors."""
    claimed_NC = np.eye(probability_NC.shape[1])[said_N]
    right_C = weight_N @ (probability_NC * claimed_NC)
    count_C = weight_N @ probability_NC + weight_N @ claimed_NC
    return float((2 * right_C / np.maximum(count_C, 1e-12)).mean())


def main(arguments: Sequence[str] | None = None) -> int:
    """Read the test recordings of the benchmarks, say what comes of it, keep the posteriors."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--every", type=int, default=8, help="of the normal recordings read one in so many (8)")
    parser.add_argument("--processes", type=int, default=2, help="side by side (2)")
    parser.add_argument("--to", type=Path, default=Path("ideal-reader.npz"), help="for benchmarks.targets --ideal")
    chosen = parser.parse_args(arguments)
    if chosen.every < 1 or chosen.processes < 1:
        parser.error("--every and --processes are 1 or more")
    if not chosen.to.absolute().parent.is_dir():
        parser.error(f"there is no folder {chosen.to.parent} to keep the posteriors in")
    found = posteriors("test", DATA, chosen.every, chosen.processes)
    np.savez(chosen.to, **found)
    said_N = decided(found["probability"], found["weight"])
    print(f"macro-F1 expected by the posteriors {_expected(found['probability'], found['weight'], said_N):.3f}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
