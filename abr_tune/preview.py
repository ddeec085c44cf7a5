"""What a run would try, without running anything."""

from __future__ import annotations

import random
import sys
from typing import Any, Final

from abr_tune.console import clock, parameters
from abr_tune.plan.plan import Plan

SAMPLES: Final = 5


def preview(plan: Plan) -> None:
    """Print the budget, the start points and a few random configurations of the space."""
    limit = f", at most {clock(plan.budget.seconds)}" if plan.budget.seconds is not None else ""
    lines = [
        f"{plan.name}: {len(plan.space.paths)} searched paths, {plan.budget.trials} trials{limit}; "
        f"{plan.objective.direction} {plan.objective.metric}",
        f"sampler {plan.sampler.kind}, pruner {plan.pruner.kind}, "
        f"confirmation of {plan.confirm.top} leaders on {plan.confirm.seeds} fresh seeds",
        "start points:" if plan.start_from else "no start points",
        *(f"  {point.name}: {parameters(point.values) or 'the defaults'}" for point in plan.start_from),
        f"{SAMPLES} random configurations of the space:",
        *(f"  {parameters(sample)}" for sample in samples(plan, SAMPLES)),
    ]
    sys.stdout.writelines(f"{line}\n" for line in lines)


def samples(plan: Plan, count: int) -> list[dict[str, Any]]:
    """`count` configurations drawn evenly from the space with the plan's seed."""
    source = random.Random(plan.seed)  # noqa: S311 - no secret
    return [plan.space.propose(lambda side: side.at(source.random())) for _ in range(count)]
