"""What a run would try, without running anything."""

from __future__ import annotations

import math
import random
import sys
from typing import Any, Final

from abr_tune.console import clock, parameters
from abr_tune.plan.plan import Plan
from abr_tune.plan.space import Categorical, Coordinate, Int

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
    return [plan.space.propose(lambda side: _draw(side, source)) for _ in range(count)]


def _draw(side: Coordinate, source: random.Random) -> Any:
    domain = side.domain
    if isinstance(domain, Categorical):
        return source.choice(domain.choices)
    low, high = domain.low, domain.high
    value = math.exp(source.uniform(math.log(low), math.log(high))) if domain.log else source.uniform(low, high)
    if isinstance(domain, Int):
        return min(max(round(value), domain.low), domain.high)
    return min(max(value, low), high)
