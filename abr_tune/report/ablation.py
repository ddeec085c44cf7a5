"""What each changed lever brought on the way from a start point to the best: trained where it was, else estimated."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np

from abr_tune.ablation import Ablation, Configuration, Step, greedy, levers_between, told, with_lever
from abr_tune.report.collapse import collapsed_by
from abr_tune.report.importances import FEWEST
from abr_tune.search.events import TrialRecord
from abr_tune.search.fidelity import Point, by_age
from abr_tune.surrogate import Surrogate, fit_surrogate
from core.tasks.task import Objective

FILE: Final = "ablation.json"
DEFAULTS: Final = "defaults"
WEAK: Final = 0.25
"""Share of the variance below which an estimate is said to be worth little."""

Points = Mapping[int, Sequence[Point]]
"""Trial -> what it reported, by epoch."""


def trained_ablation(folder: Path) -> Ablation | None:
    """The way that `abr-tune explain` trained; None while it has not."""
    file = folder / FILE
    return Ablation.from_json(json.loads(file.read_text(encoding="utf-8"))) if file.is_file() else None


def estimated_ablation(
    plan: Mapping[str, Any],
    records: Sequence[TrialRecord],
    points: Points,
    objective: Objective,
    best: TrialRecord | None,
) -> Ablation:
    """The way as a random forest over the trials sees it: nothing is trained. `plan` is the run's `plan.yaml`."""
    sign = 1 if objective.direction == "maximize" else -1
    name, values = start_of(plan)
    end = "" if best is None else f"trial {best.number}"
    shell = Ablation(metric=objective.metric, direction=objective.direction, start=name, end=end)
    if best is None:
        return _absent(shell, "There is no best configuration yet.")
    paths = tuple(dict.fromkeys((*plan.get("search", {}), *values, *best.params)))
    start, goal = (whole(plan, chosen, paths) for chosen in (values, best.params))
    levers = levers_between(start, goal, conditions(plan))
    if not levers:
        return _absent(shell, f"The best configuration is the start point {name} itself.")
    forest, age = surrogate(plan, records, points, objective, paths)
    if forest is None:
        return _absent(
            shell, f"An estimate needs {FEWEST} trials with a score at the same age, and settings that vary."
        )

    def promise(configurations: Sequence[Configuration]) -> list[float]:
        return [sign * value for value in forest.expect(configurations)]

    here, steps = start, []
    before = forest.by_tree([start])[:, 0]
    for lever in greedy(start, goal, levers, promise):
        here = with_lever(here, lever, goal)
        after = forest.by_tree([here])[:, 0]
        gains = sign * (after - before)
        low, high = np.quantile(gains, (0.05, 0.95))
        gain, interval = float(gains.mean()), (float(low), float(high))
        steps.append(
            Step(
                lever=lever.name,
                was={path: start[path] for path in lever.paths},
                becomes={path: goal[path] for path in lever.paths},
                value=float(after.mean()),
                gain=gain,
                interval=interval,
                told=told(gain, interval),
            )
        )
        before = after
    return Ablation(
        metric=shell.metric,
        direction=shell.direction,
        start=name,
        end=end,
        value=float(forest.expect([start])[0]),
        steps=tuple(steps),
        notes=tuple(_notes(forest, age)),
    )


def surrogate(
    plan: Mapping[str, Any], records: Sequence[TrialRecord], points: Points, objective: Objective, paths: Sequence[str]
) -> tuple[Surrogate | None, int]:
    """A forest over the trials at the latest age that enough of them reached, and that age.

    A trial that collapsed before it counts with the last score it had, or with the worst anybody had when it had none:
    leaving it out would hide where things go wrong.
    """
    curves = {number: by_age(each) for number, each in points.items()}
    reached = Counter(age for curve in curves.values() for age in curve)
    age = max((age for age, count in reached.items() if count >= FEWEST), default=0)
    if not age:
        return None, 0
    at_age = {number: curve[age].values[0] for number, curve in curves.items() if age in curve}
    worst = (min if objective.direction == "maximize" else max)(at_age.values())
    chosen: list[Configuration] = []
    values: list[float] = []
    for record in records:
        value = at_age.get(record.number)
        if value is None and collapsed_by(record) is not None:
            value = next((point.values[0] for point in reversed(points.get(record.number, ()))), worst)
        if value is not None:
            chosen.append(whole(plan, record.params, paths))
            values.append(value)
    return fit_surrogate(chosen, values), age


def start_of(plan: Mapping[str, Any], name: str | None = None) -> tuple[str, Mapping[str, Any]]:
    """A start point of a described plan: the named one, else the first, else the defaults.

    Raises KeyError when there is none of that name.
    """
    points = {
        point["name"]: {path: value for path, value in point.items() if path != "name"}
        for point in plan.get("start_from", ())
    }
    if name is not None and name != DEFAULTS:
        return name, points[name]
    if name is None and points:
        return next(iter(points.items()))
    return DEFAULTS, {}


def whole(plan: Mapping[str, Any], values: Mapping[str, Any], paths: Sequence[str]) -> dict[str, Any]:
    """A complete configuration: the plan's fixed value or the default for every path that `values` does not name."""
    return {path: values[path] if path in values else _default(plan.get("train", {}), path) for path in paths}


def conditions(plan: Mapping[str, Any]) -> dict[str, tuple[str, ...]]:
    """Searched path -> the paths its conditions are about."""
    searched: Mapping[str, Any] = plan.get("search", {})
    return {path: tuple(spread["when"]) for path, spread in searched.items() if spread.get("when")}


def _default(train: Any, path: str) -> Any:
    for part in path.split("."):
        train = train.get(part) if isinstance(train, Mapping) else None
    return train


def _absent(shell: Ablation, why: str) -> Ablation:
    return Ablation(metric=shell.metric, direction=shell.direction, start=shell.start, end=shell.end, absent=why)


def _notes(forest: Surrogate, age: int) -> list[str]:
    notes = [
        f"An estimate: a random forest over {forest.trials} trials at age {age}, of whose variance it explains "
        f"{max(0.0, forest.explained):.0%} in trials it was not fitted to. Nothing was trained for it: "
        "`abr-tune explain` does that."
    ]
    if forest.explained < WEAK:
        notes.append("It explains so little that the order and the gains may be chance.")
    return notes
