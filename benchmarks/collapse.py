"""Collapse as knowledge: on recorded curves, fewer trials collapse when the sampler hears how badly others had.

    python -m benchmarks.collapse [BANK ...] [--seeds N]

The same search is played twice with equal seeds, by the driver that `abr-tune run` uses, in simulated time: once as it
is, and once with a sampler that only hears that a trial was pruned, with its curve, as a plain PRUNED says. Counted is
the share of the trials proposed by the model (start-up left out) whose recorded run collapses, diverges or breaks at
full length. The bank holds each configuration once: what is left to take bounds the share from below, so each search
begins a quarter as many trials as the bank has. Where the rankings stop trials before the health rules may judge them,
hardly any collapse is ever told, and the two searches are the same.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import fmean

from abr_tune.plan.plan import Budget, Pruner
from abr_tune.repeats import mean_interval, paired_interval
from abr_tune.replay.ground import BAD, Ground, load_ground
from abr_tune.replay.nearest import Shelf, Snapped
from abr_tune.replay.simulate import BestComplete, simulate
from abr_tune.search.driver import Driver
from abr_tune.search.memory import MemoryStudy
from abr_tune.search.observation import Observation, Proposer, Setting
from abr_tune.search.samplers import SAMPLERS

BANK = Path(__file__).parent / "banks" / "phase1"
BANKS = tuple(BANK.parent / name for name in ("phase1", "torch_digits", "sklearn_digits"))
"""Those of classes; in the fourth nothing is collapsed by a rule."""


class Plain:
    """A sampler that never hears why a trial was pruned."""

    def __init__(self, inner: Proposer) -> None:
        self._inner = inner
        self.running, self.progress, self.propose = inner.running, inner.progress, inner.propose

    def learn(self, number: int, observation: Observation | None) -> None:
        """Passed on without the violations."""
        self._inner.learn(number, None if observation is None else replace(observation, violations={}))


@dataclass(frozen=True, slots=True, kw_only=True)
class Shares:
    """By seed, the share of model-proposed trials that collapse."""

    bank: str
    pruner: str
    share_in_bank: float
    told: tuple[float, ...]
    """The sampler hears the violation."""
    plain: tuple[float, ...]
    """It hears PRUNED."""

    @property
    def difference(self) -> float:
        """Mean of told less plain; negative: fewer collapse."""
        return fmean(self.told) - fmean(self.plain)

    @property
    def interval(self) -> tuple[float, float] | None:
        """95 % interval of that, by seeds in pairs."""
        return paired_interval(self.plain, self.told)


def measure(bank: Path = BANK, *, seeds: int = 50, ranked: bool = False) -> Shares:
    """Play both searches for each seed; each begins as many trials as the bank's space file allows.

    Without `ranked` nothing but the health rules stops a trial; with it, the bank's own pruner does as well.
    """
    ground = load_ground(bank, trust_code=True)
    if not ranked:
        ground = replace(ground, plan=replace(ground.plan, pruner=Pruner(kind="none")))
    found = {told: tuple(_collapsed(ground, seed, told=told) for seed in range(seeds)) for told in (True, False)}
    return Shares(
        bank=bank.name,
        pruner=ground.plan.pruner.kind,
        share_in_bank=fmean(run.fate in BAD for run in ground.runs),
        told=found[True],
        plain=found[False],
    )


def _collapsed(ground: Ground, seed: int, *, told: bool) -> float:
    shelf = Shelf(ground.plan.space, ground.runs)
    sampler = replace(ground.plan.sampler, kind="tpe")
    plan = replace(ground.plan, sampler=sampler, seed=seed, budget=Budget(trials=ground.plan.budget.trials), audit=0.0)
    snapped: list[Snapped] = []

    def proposer(setting: Setting) -> Proposer:
        snapped.append(Snapped(SAMPLERS["tpe"](setting), shelf))
        return snapped[0] if told else Plain(snapped[0])

    driver = Driver(plan, MemoryStudy(), Path("nowhere"), lambda _event: None, proposer=proposer)
    played = simulate(
        driver, lambda key: snapped[0].taken[key], BestComplete(ground), budget=ground.length * len(ground.runs)
    )
    later = [course.run.fate in BAD for key, course in played.courses.items() if key >= sampler.startup_trials]
    return fmean(later)


def pooled(measured: Sequence[Shares]) -> tuple[float, tuple[float, float] | None]:
    """Mean difference over all seeds of all banks, and its 95 % interval, in pairs."""
    plain = [share for each in measured for share in each.plain]
    told = [share for each in measured for share in each.told]
    return fmean(told) - fmean(plain), paired_interval(plain, told)


def show(shares: Shares) -> Sequence[str]:
    """The measurement in lines."""
    lines = [
        f"{shares.bank}, pruner {shares.pruner}, {len(shares.told)} seeds: "
        f"{shares.share_in_bank:.1%} of its configurations collapse, diverge or break"
    ]
    for label, found in (("told how badly", shares.told), ("plain PRUNED", shares.plain)):
        interval = mean_interval(found)
        bounds = "" if interval is None else f" (95 % interval {interval[0]:.1%} to {interval[1]:.1%})"
        lines.append(f"  {label:15s} {fmean(found):.1%} of the trials the model proposed{bounds}")
    if shares.interval is not None:
        low, high = shares.interval
        lines.append(f"  difference      {shares.difference:+.1%} (95 % interval {low:+.1%} to {high:+.1%}, paired)")
    return lines


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("banks", nargs="*", type=Path, default=BANKS)
    parser.add_argument("--seeds", type=int, default=50)
    asked = parser.parse_args()
    alone = []
    for folder in asked.banks:
        for with_ranking in (False, True):
            shares = measure(folder, seeds=asked.seeds, ranked=with_ranking)
            print("\n".join(show(shares)), flush=True)
            alone += [] if with_ranking else [shares]
    difference, interval = pooled(alone)
    print(f"all banks without ranking: {difference:+.1%}, 95 % interval {interval}")
