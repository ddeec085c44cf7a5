"""Metrics that training options name: what a phase, MixUp or early stopping waits for."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import BaseModel

from abr_tune.plan.metric_names import fault_of
from abr_tune.plan.overrides import option_paths
from abr_tune.plan.source import Source
from abr_tune.plan.yaml import Loc
from core.config import MetricReached
from core.schedules import StoppingOptions


def refuse_unknown_metrics(source: Source, at: Loc, options: type[BaseModel], values: Mapping[str, Any]) -> None:
    """Note metrics in the option values of the section at `at` that no training of the task reports."""
    known_task = ":" not in str(source.data.get("task"))
    for path, value in values.items():
        for inside, metric, at_key in _metrics(options, path, value):
            fault = fault_of(metric, known_task=known_task)
            place = source.place_of_option(at, path)
            if fault is not None and place not in source.wrong:
                source.add(source.existing(inside, place), *fault, at_key=at_key)


def _metrics(options: type[BaseModel], path: str, value: Any) -> Iterator[tuple[Loc, str, bool]]:
    """Where below `path` a metric is named, which one, and whether it is a key there."""
    option = option_paths(options).get(path)
    if option is not None and issubclass(option.owner, MetricReached) and option.name == "metric":
        if isinstance(value, str):
            yield (), value, False
    elif isinstance(value, Mapping):
        weighted = option is not None and issubclass(option.owner, StoppingOptions) and option.name == "metrics"
        for key, part in value.items():
            if weighted:
                yield (key,), str(key), True
            else:
                for inside, metric, at_key in _metrics(options, f"{path}.{key}", part):
                    yield (key, *inside), metric, at_key
