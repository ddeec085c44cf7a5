"""A plan as plain data with every default filled in, to be kept beside a run and compared key by key."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from pydantic_core import to_jsonable_python

from abr_tune.plan.distributions import Choice, Distribution, IntRange, Range
from abr_tune.plan.methods import PRUNERS, SAMPLERS
from abr_tune.plan.ordered import OrderedList, OrderedPair, Simplex
from abr_tune.plan.overrides import defaults_of
from abr_tune.plan.plan import Bound, Criterion, Plan, Pruner, Sampler
from abr_tune.plan.schema import Section
from abr_tune.plan.space import Parameter
from core.tasks.task import Objective


def describe_plan(plan: Plan) -> dict[str, Any]:
    """The plan under the keys of a space file, JSON-ready: equal exactly when two files ask for the same.

    `train` holds all training options, those that the search overrides included. Neither the file's own path nor the
    spelling of anything in it is part of it.
    """
    return {
        "name": plan.name,
        "about": plan.about,
        "task": plan.task_name,
        "data": _plain(plan.data),
        "train": defaults_of(plan.task.options, plan.train),
        "search": {item.path: _parameter(item) for item in plan.space.parameters},
        "start_from": [{"name": point.name, **_plain(dict(point.values))} for point in plan.start_from],
        "from": _since(plan),
        "objective": describe_objectives(plan.objectives),
        "constraints": {item.metric: _bound(item.bound) for item in plan.constraints},
        "health": _plain(plan.health),
        "pruner": _choice(plan.pruner, PRUNERS),
        "sampler": _choice(plan.sampler, SAMPLERS),
        "budget": {"trials": plan.budget.trials, "time": plan.budget.seconds, "epochs": plan.budget.epochs},
        "limits": {"time": plan.limits.seconds, "memory": plan.limits.bytes},
        "stop": _plain(asdict(plan.stop)),
        "audit": plan.audit,
        "confirm": _plain(asdict(plan.confirm)),
        "gate": {criterion.metric: _criterion(criterion) for criterion in plan.gate},
        "resources": _plain(asdict(plan.resources)),
        "seed": plan.seed,
    }


def _since(plan: Plan) -> Any:
    """The earlier run; with the content of its weights, where trainings begin from them."""
    if plan.since is None:
        return None
    run = os.path.relpath(plan.since.resolve(), plan.folder.resolve())
    return run if plan.start is None else {"run": run, "weights": plan.start.sha256}


def _parameter(item: Parameter) -> dict[str, Any]:
    when = {condition.path: list(condition.values) for condition in item.when}
    guess = {"guess": _plain(item.guess.value), "confidence": item.guess.confidence} if item.guess else {}
    points = {"points": item.points} if item.points is not None else {}
    return {**_distribution(item.distribution), **points, **guess, **({"when": when} if when else {})}


def _choice(choice: Pruner | Sampler, table: Mapping[str, type[Section]]) -> dict[str, Any]:
    """The kind and the settings it reads."""
    return {"kind": choice.kind, **{name: getattr(choice, name) for name in table[choice.kind].model_fields}}


def describe_objectives(objectives: Sequence[Objective]) -> Any:
    """As a space file says them: one as a mapping, several as a list of them."""
    written = [{one.direction: one.metric} for one in objectives]
    return written[0] if len(written) == 1 else written


def _distribution(spread: Distribution) -> Mapping[str, Any]:
    """The distribution as it is written in a space file."""
    match spread:
        case Range():
            return {"log" if spread.log else "uniform": [spread.low, spread.high]}
        case IntRange():
            return {"int": [spread.low, spread.high], **({"log": True} if spread.log else {})}
        case Choice():
            return {"choice": list(spread.values)}
        case OrderedPair():
            return {"ordered": {"low": list(spread.low), "high": list(spread.high)}}
        case OrderedList():
            return {"ordered": {"count": spread.count, "within": list(spread.within)}}
        case Simplex():
            return {"simplex": list(spread.names)}
    raise TypeError(f"{type(spread).__name__} cannot be described")


def _criterion(criterion: Criterion) -> dict[str, Any]:
    investigate = None if criterion.investigate is None else _bound(criterion.investigate)
    return {"go": _bound(criterion.go), "investigate": investigate, "by_epoch": criterion.by_epoch}


def _bound(bound: Bound) -> str:
    return f"{bound.operator} {bound.value!r}"


def _plain(value: Any) -> Any:
    return to_jsonable_python(value, by_alias=True, inf_nan_mode="constants")
