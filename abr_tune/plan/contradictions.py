"""Parts of a space file that are right by themselves and cannot be meant together."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel

from abr_tune.plan.distributions import Choice, IntRange
from abr_tune.plan.grid import LARGEST_GRID, combinations, needs_points
from abr_tune.plan.overrides import option_paths
from abr_tune.plan.plan import Pruner, Sampler
from abr_tune.plan.source import Source
from abr_tune.plan.space import Categorical, Space
from abr_tune.plan.yaml import Loc
from core.tasks import TASKS
from core.tasks.task import Objective, Task


def refuse_sampler(source: Source, sampler: Sampler, space: Space, objectives: tuple[Objective, ...]) -> None:
    """Note a sampler that cannot work on this space or on this many objectives."""
    if sampler.kind == "grid":
        _refuse_grid(source, space)
    if sampler.kind == "cmaes":
        if len(objectives) > 1:
            hint = "tpe, gp and nsga2 seek a trade-off"
            _add(source, "sampler", f"cmaes improves one objective, not {len(objectives)}", hint)
        free = [item for item in space.parameters if not item.when]
        sides = [side for item in free for side in item.distribution.coordinates(item.path)]
        numbers = sum(not isinstance(side.domain, Categorical) for side in sides)
        if numbers < 2:
            message = f"cmaes needs two numbers that are always searched; here there are {numbers or 'none'}"
            _add(source, "sampler", message, "tpe takes any space")


def _refuse_grid(source: Source, space: Space) -> None:
    endless = [item for item in space.parameters if needs_points(item)]
    for item in endless:
        message = f"{item.path} is a range, and the grid sampler cannot tell how many of its values to try"
        source.add(("search", item.path), message, "say so with points: 5, or list the values as a choice", at_key=True)
    if not endless and combinations(space, enough=LARGEST_GRID) > LARGEST_GRID:
        message = f"the grid has more than {LARGEST_GRID:,} combinations"
        _add(source, "sampler", message, "search fewer paths, give ranges fewer points, or use qmc")


def refuse_pruner(source: Source, pruner: Pruner, task: Task) -> None:
    """Note a pruner that cannot compare what the trials of this task report."""
    if pruner.kind == "wilcoxon" and task.name in TASKS:
        message = (
            "wilcoxon takes each report for one fold or seed of a configuration and their mean for its value; "
            f"task {task.name} reports the epochs of one training"
        )
        _add(source, "pruner", message, "use successive_halving, hyperband or median")


def refuse_folds(source: Source, task: Task, data: Any, *, begun: bool) -> None:
    """Note folds of confirmation that the task, data of such a kind, or trainings `begun` from weights forbid."""
    section = source.data.get("confirm")
    folds = section.get("folds") if isinstance(section, dict) else None
    if isinstance(folds, bool) or not isinstance(folds, int) or folds < 2:
        return
    hint = "leave folds out, and the leaders are trained with fresh seeds on the same division"
    if getattr(task.folds, "__func__", None) is Task.folds:
        message: str | None = f"task {task.name} cannot divide its data into folds"
    elif begun and (data is None or task.indivisible(data) is None):
        message = "the weights of the earlier run have seen recordings that folds would hold out"
        hint = "leave folds out, or begin from random weights: `from: {run: ..., weights: false}`"
    else:
        message = None if data is None else task.indivisible(data)
    if message is not None:
        source.add(("confirm", "folds"), message, hint)


def refuse_beyond_the_run(
    source: Source, pruner: Pruner, options: type[BaseModel], train: Mapping[str, Any], space: Space
) -> None:
    """Note what is to happen at an epoch that no trial reaches."""
    epochs = longest_run(options, train, space)
    if epochs is None:
        return
    if pruner.kind not in {"none", "wilcoxon"} and pruner.min_epochs > epochs:
        message = f"min_epochs is {pruner.min_epochs}, but a trial trains for {epochs} epochs: nothing is ever stopped"
        source.add(("pruner", pruner.kind, "min_epochs"), message, f"at most {epochs}, or pruner: none")
    gate = source.data.get("gate")
    for metric, criterion in gate.items() if isinstance(gate, dict) else ():
        by_epoch = criterion.get("by_epoch") if isinstance(criterion, dict) else None
        if isinstance(by_epoch, int) and by_epoch > epochs:
            message = f"by_epoch is {by_epoch}, but a trial trains for {epochs} epochs"
            source.add(("gate", metric, "by_epoch"), message, "leave it out to judge the last epoch")


def longest_run(options: type[BaseModel], train: Mapping[str, Any], space: Space) -> int | None:
    """Epochs of the longest trial the space can make; None for a task whose options do not say."""
    known = option_paths(options).get("epochs")
    spread = next((item.distribution for item in space.parameters if item.path == "epochs"), None)
    if isinstance(spread, IntRange):
        return spread.high
    found = list(spread.values) if isinstance(spread, Choice) else [train.get("epochs", known and known.default)]
    return max((int(value) for value in found if isinstance(value, int | float)), default=None)


def _add(source: Source, key: str, message: str, hint: str) -> None:
    """Note a mistake where the kind of a choice stands: by itself, or as the key of its settings."""
    written = source.data.get(key)
    loc: Loc = (key, next(iter(written))) if isinstance(written, dict) else (key,)
    source.add(loc, message, hint, at_key=len(loc) > 1)
