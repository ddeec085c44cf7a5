"""What a run would try, without running anything."""

from __future__ import annotations

import random
import sys
from collections.abc import Iterator
from typing import Any, Final

from abr_tune.console import brief, clock, parameters
from abr_tune.gate import written
from abr_tune.plan.notes import notes
from abr_tune.plan.plan import Plan
from abr_tune.plan.stages import Stages

SAMPLES: Final = 5


def preview(plan: Plan) -> None:
    """Print the budget and every rule, the start points and a few random configurations of the space."""
    lines = [
        f"{plan.name}: {len(plan.space.paths)} searched paths, {plan.budget.trials} trials{_more_budget(plan)}; "
        + " and ".join(f"{one.direction} {one.metric}" for one in plan.objectives),
        f"sampler {plan.sampler.kind}, pruner {plan.pruner.kind}, "
        f"confirmation of {plan.confirm.top} leaders on {plan.confirm.seeds} fresh seeds",
        *_rules(plan),
        "start points:" if plan.start_from else "no start points",
        *(f"  {point.name}: {parameters(point.values) or 'the defaults'}" for point in plan.start_from),
        f"{SAMPLES} random configurations of the space:",
        *(f"  {parameters(sample)}" for sample in samples(plan, SAMPLES)),
        *(f"note: {note}" for note in notes(plan)),
        *map(str, plan.warnings),
    ]
    sys.stdout.writelines(f"{line}\n" for line in lines)


def preview_stages(stages: Stages) -> None:
    """Print what each stage would do, as far as that is known before the one before it has been run."""
    count = len(stages.stages)
    for index, stage in enumerate(stages.stages, 1):
        sys.stdout.write(f"stage {index} of {count}\n")
        preview(stage.plan)
        sys.stdout.write("\n")
    names = " -> ".join(stage.name for stage in stages.stages)
    sys.stdout.write(
        f"{stages.name}: {names}; each begins from the best configuration and weights of the one before, and the "
        "order ends at a gate that is not go\n"
    )


def samples(plan: Plan, count: int) -> list[dict[str, Any]]:
    """`count` configurations drawn evenly from the space with the plan's seed."""
    source = random.Random(plan.seed)  # noqa: S311 - no secret
    return [plan.space.propose(lambda side: side.at(source.random())) for _ in range(count)]


def _more_budget(plan: Plan) -> str:
    seconds, epochs = plan.budget.seconds, plan.budget.epochs
    most = [clock(seconds)] if seconds is not None else []
    most += [f"{epochs} epochs"] if epochs is not None else []
    return f", at most {' and '.join(most)}" if most else ""


def _rules(plan: Plan) -> Iterator[str]:
    """One line for each of the rules that most plans leave out."""
    if plan.since is not None:
        yield f"from {plan.since}: its best configuration first, its trials teach the sampler"
        if plan.start is not None:
            yield f"  every training begins from its best weights, SHA-256 {plan.start.sha256[:12]}..."
        if plan.inherited:
            yield f"  what the file leaves open is as in its best configuration: {parameters(plan.inherited)}"
    if plan.constraints:
        told = (f"{item.metric} {written(item.bound)}" for item in plan.constraints)
        yield f"the best must meet {', '.join(told)}"
    limits = [clock(plan.limits.seconds)] if plan.limits.seconds is not None else []
    limits += [f"{plan.limits.bytes / 2**20:,.0f} MiB"] if plan.limits.bytes is not None else []
    if limits:
        yield f"a trial may take {' and '.join(limits)}"
    if plan.stop.no_improvement is not None:
        yield f"the search ends after {plan.stop.no_improvement} trials in a row without a better best"
    if plan.audit and plan.pruner.kind != "none":
        yield f"{plan.audit:.0%} of the trials run to their end whatever stops them, to measure false stops"
    for item in plan.space.parameters:
        if item.guess is not None:
            yield f"{item.path} is expected near {brief(item.guess.value)} ({item.guess.confidence} confidence)"
