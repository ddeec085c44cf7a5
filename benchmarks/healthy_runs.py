"""Configurations of phase1 trained in full, and what the health rules would have done to those that end well.

The configurations are drawn from the space with seeds fixed here, beforehand; each is trained to its last epoch while
the rules only watch. A run is healthy when its last class skill, (macro-F1 - majority) / (1 - majority), is at least
0.2. Two processes train side by side, one thread each.
"""

from __future__ import annotations

import random
import tempfile
from collections.abc import Iterator
from multiprocessing import get_context
from pathlib import Path
from typing import Any, Final

from benchmarks.checks import ROOT

SKILL: Final = 0.2
MOST: Final = 90
"""Configurations drawn at most on the way to the healthy ones wanted."""
PROCESSES: Final = 2


def configurations() -> Iterator[tuple[int, dict[str, Any]]]:
    """(seed, path -> value) of the drawn configurations, always the same ones."""
    from abr_tune.plan.load import load_plan

    plan = load_plan(ROOT / "search_spaces" / "phase1.yaml")
    for seed in range(MOST):
        source = random.Random(seed)
        drawn = plan.space.propose(lambda side: side.at(source.random()))  # noqa: B023 - asked at once
        yield seed, {**plan.train, **drawn}


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


def stopped_among_healthy(wanted: int) -> tuple[int, int, int, int]:
    """Healthy runs found, how many of them a rule stops, the others drawn on the way, how many of those it stops."""
    healthy: list[str | None] = []
    others: list[str | None] = []
    with get_context("spawn").Pool(PROCESSES) as pool:
        for skill, rule in pool.imap(train_in_full, configurations()):
            (healthy if skill >= SKILL else others).append(rule)
            if len(healthy) == wanted:
                break
    return len(healthy), sum(map(bool, healthy)), len(others), sum(map(bool, others))
