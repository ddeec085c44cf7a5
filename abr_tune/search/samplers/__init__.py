"""Who proposes configurations. Each proposal is seeded from the search's seed and the trial's number alone, so that a
continued search proposes what an uninterrupted one would.

A sampler never sees the durable study but observations: what a trial taught, at the ages it reached.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Final

from abr_tune.plan.plan import SamplerName
from abr_tune.search.observation import Proposer, Setting
from abr_tune.search.samplers.coordinates import distribution, seed_of
from abr_tune.search.samplers.grid import Grid
from abr_tune.search.samplers.stock import CMAES, GP, NSGA2, TPE, Stock
from abr_tune.search.samplers.tpe import Tpe
from abr_tune.search.samplers.uniform import Qmc, Random

__all__ = ["SAMPLERS", "distribution", "seed_of"]

SAMPLERS: Final[Mapping[SamplerName, Callable[[Setting], Proposer]]] = {
    "tpe": Tpe,
    "optuna_tpe": partial(Stock, kind=TPE),
    "gp": partial(Stock, kind=GP),
    "cmaes": partial(Stock, kind=CMAES),
    "nsga2": partial(Stock, kind=NSGA2),
    "random": Random,
    "qmc": Qmc,
    "grid": Grid,
}
