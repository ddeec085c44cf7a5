"""Configurations of phase1 trained in full, and what the health rules would have done to those that end well.

The configurations are drawn from the space with seeds fixed here, beforehand; each is trained to its last epoch while
the rules only watch. A run is healthy when its last class skill, (macro-F1 - majority) / (1 - majority), is at least
0.2. Two processes train side by side, one thread each. With PARTS, what the space leaves at its default changes from
one configuration to the next: losses, heads, extractors, curricula, averaged weights, the U-Net.
"""

from __future__ import annotations

import random
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any, Final

from benchmarks.checks import ROOT

SKILL: Final = 0.2
FIRST_SEED: Final = 1000
"""The rules were mended after a look at seeds 0 to 99; from here on nobody has looked."""
MOST: Final = 150
"""Configurations drawn at most on the way to the healthy ones wanted."""
PROCESSES: Final = 2
PARTS: Final[Sequence[Mapping[str, Any]]] = (
    {},
    {"loss.regression": "gaussian_nll", "model.heads.class.temperature": True},
    {"model.extractors": "cross_task"},
    {"loss.weighting.method": "uncertainty", "augment.noise.level": 0.3, "augment.mixup.probability": 0.3},
    {"model.heads.peaks.blocks": 1, "model.heads.class.blocks": 1, "model.heads.threshold.paths": "global_local"},
    {"ema": {}},
    {"model.diffusion.enabled": True, "epochs": 12},
    {"loss.weighting.method": "pcgrad", "epochs": 12},
    {"model.backbone": "unet", "epochs": 5},
    {"model.signal_scale": "per_recording", "loss.label_smoothing": 0.05, "balance.sampling": "balanced"},
)
"""In turn, over what was drawn; the slow ones train for fewer epochs, all of which count."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one configuration."""

    seed: int
    skill: float
    """After the last epoch; minus infinity where training broke."""
    rule: str | None
    """The first that would have stopped it, and when."""

    @property
    def healthy(self) -> bool:
        """Whether it ended well."""
        return self.skill >= SKILL


def configurations(parts: Sequence[Mapping[str, Any]] = ({},)) -> Iterator[tuple[int, dict[str, Any]]]:
    """(seed, path -> value) of the drawn configurations, always the same ones, changed by each of `parts` in turn."""
    from abr_tune.plan.load import load_plan

    plan = load_plan(ROOT / "search_spaces" / "phase1.yaml")
    for seed in range(FIRST_SEED, FIRST_SEED + MOST):
        source = random.Random(seed)
        drawn = plan.space.propose(lambda side: side.at(source.random()))  # noqa: B023 - asked at once
        yield seed, {**plan.train, **drawn, **parts[(seed - FIRST_SEED) % len(parts)]}


def train_in_full(job: tuple[int, dict[str, Any]]) -> tuple[float, str | None]:
    """Class skill after the last epoch (minus infinity where training broke), and the rule that would stop it."""
    import torch

    from abr_tune.plan.load import load_plan
    from abr_tune.plan.overrides import resolve
    from core.health import judge
    from core.report import EpochReport

    torch.set_num_threads(1)
    seed, values = job
    plan = load_plan(ROOT / "search_spaces" / "phase1.yaml")
    data = plan.task.load(plan.data, folder=plan.folder)
    baselines = plan.task.baselines(data)
    history: list[EpochReport] = []
    rule: str | None = None
    with tempfile.TemporaryDirectory() as folder:
        options = resolve(plan.task.options, values)
        for report in plan.task.train(options, seed=seed, checkpoint=Path(folder), data=data):
            history.append(report)
            found = judge(history, plan.health, baselines, options.epochs)
            stops = [verdict for verdict in found if verdict.level == "stop"]
            rule = rule or (f"{stops[0].rule} at epoch {report.epoch}" if stops else None)
            if not report.complete:
                return float("-inf"), rule
    return history[-1].metrics.get("val/class/f1_macro:skill", float("-inf")), rule


def stopped_among_healthy(wanted: int, parts: Sequence[Mapping[str, Any]] = ({},)) -> tuple[int, int, int, int]:
    """Healthy runs found, how many of them a rule stops, the others drawn on the way, how many of those it stops."""
    return counted(found_healthy(wanted, parts))


def found_healthy(wanted: int, parts: Sequence[Mapping[str, Any]] = ({},)) -> list[Outcome]:
    """What became of the configurations, in order, until as many as `wanted` were healthy."""
    outcomes: list[Outcome] = []
    with get_context("spawn").Pool(PROCESSES) as pool:
        trained = pool.imap(train_in_full, configurations(parts))
        for seed, (skill, rule) in enumerate(trained, start=FIRST_SEED):
            outcomes.append(Outcome(seed, skill, rule))
            if sum(outcome.healthy for outcome in outcomes) == wanted:
                break
    return outcomes


def counted(outcomes: Sequence[Outcome]) -> tuple[int, int, int, int]:
    """As `stopped_among_healthy` says."""
    healthy = [outcome.rule for outcome in outcomes if outcome.healthy]
    others = [outcome.rule for outcome in outcomes if not outcome.healthy]
    return len(healthy), sum(map(bool, healthy)), len(others), sum(map(bool, others))
