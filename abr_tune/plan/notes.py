"""What is no mistake in a plan, but worth knowing before it runs."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping
from typing import Any, Final

from abr_tune.plan.distributions import Choice
from abr_tune.plan.fit import how_many
from abr_tune.plan.grid import LARGEST_GRID, combinations
from abr_tune.plan.overrides import resolve
from abr_tune.plan.plan import Plan, SamplerName
from abr_tune.plan.start import outside
from core.config import BalanceOptions

GENERATION: Final = 50
"""Trials of one generation of NSGA-II (Optuna's default)."""

NAMED: Final = 10
"""Start points outside the space that are named one by one."""

GUIDED: Final[tuple[SamplerName, ...]] = ("tpe",)
"""Samplers that stay near guesses."""


def notes(plan: Plan) -> list[str]:
    """One sentence for each."""
    parts = (_start_points, _grid, _random_trials, _unmodelled, _unheard, _value, _counted_twice)
    return [sentence for part in parts for sentence in part(plan)]


def _start_points(plan: Plan) -> Iterator[str]:
    strangers = outside(plan)
    for name, reasons in list(strangers.items())[:NAMED]:
        yield f"start point {name} runs but does not teach the sampler: {'; '.join(reasons)}"
    if len(strangers) > NAMED:
        yield f"so do {len(strangers) - NAMED} more of the {len(plan.start_from)} start points"


def _grid(plan: Plan) -> Iterator[str]:
    if plan.sampler.kind == "grid":
        size, trials = combinations(plan.space, enough=LARGEST_GRID), plan.budget.trials
        tried = "all of them" if trials >= size else f"{trials} of them, spread over the whole grid"
        yield f"the grid has {size:,} combinations; the budget tries {tried}"


def _random_trials(plan: Plan) -> Iterator[str]:
    kind, trials, begins = plan.sampler.kind, plan.budget.trials, plan.sampler.startup_trials
    if kind in {"tpe", "optuna_tpe", "gp", "cmaes"} and begins >= trials:
        yield f"all {trials} trials are drawn at random: {kind} begins after startup_trials, {begins}"
    if kind == "nsga2" and trials <= GENERATION:
        yield f"all {trials} trials are drawn at random: nsga2 begins after its first generation of {GENERATION}"


def _unmodelled(plan: Plan) -> Iterator[str]:
    """Optuna's GP and CMA-ES model the coordinates that every trial has; CMA-ES only numbers among them."""
    kind = plan.sampler.kind
    conditional = [item.path for item in plan.space.parameters if item.when]
    choices = [item.path for item in plan.space.parameters if not item.when and isinstance(item.distribution, Choice)]
    if kind in {"gp", "cmaes"} and conditional:
        yield f"{kind} draws paths with a condition at random: {', '.join(conditional)}"
    if kind == "cmaes" and choices:
        yield f"cmaes draws choices at random: {', '.join(choices)}"


def _unheard(plan: Plan) -> Iterator[str]:
    kind = plan.sampler.kind
    guessed = [item.path for item in plan.space.parameters if item.guess is not None]
    if guessed and kind not in GUIDED:
        yield f"{kind} does not use guesses: {', '.join(guessed)}"
    if kind == "cmaes" and plan.constraints:
        yield "cmaes does not learn from constraints; they still decide which trial can be the best"


def _value(plan: Plan) -> Iterator[str]:
    if plan.pruner.kind == "wilcoxon":
        yield "wilcoxon: each report is one fold or seed, and a trial's value is the mean over its reports"


def _counted_twice(plan: Plan) -> Iterator[str]:
    """Class weights by count on top of balanced batches."""
    field = plan.task.options.model_fields.get("balance")
    if field is None or field.annotation is not BalanceOptions:
        return
    draw, samples = random.Random(0), how_many(plan.train)  # noqa: S311 - a fixed sample, no secret
    drawn = [plan.space.propose(lambda side: side.at(draw.random())) for _ in range(samples)]
    balances = [_balance({**plan.train, **values}) for values in drawn]
    twice = sum(balance.counts_twice for balance in balances)
    if twice:
        often = "" if twice == samples else f", as {twice} of {samples} random configurations do"
        yield (
            "balance.sampling balanced and balance.scheme balanced, sqrt or effective together count twice how rare a "
            f"class is{often}; balance.scheme none or dynamic goes with balanced sampling"
        )


def _balance(values: Mapping[str, Any]) -> BalanceOptions:
    prefix = "balance."
    own = {path.removeprefix(prefix): value for path, value in values.items() if path.startswith(prefix)}
    return resolve(BalanceOptions, own)
