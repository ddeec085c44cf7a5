"""What is compared: the best of a run, a configuration file, or one training, as plain settings and numbers."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import fmean
from typing import Any

from abr_tune.borders import refuse_links, within
from abr_tune.errors import UserError
from abr_tune.plan.yaml import read
from abr_tune.runs import RunFolder, find_run
from abr_tune.stages.folder import one_search
from abr_tune.trial import CONFIG, HISTORY, read_history

SETTINGS = ("task", "data", "train", "start", "seed", "health")
"""Keys of a configuration that say how it was trained."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Side:
    """One of two things to be compared."""

    name: str
    settings: Mapping[str, Any]
    """Path, beginning with a key of `SETTINGS` -> value."""
    once: Mapping[str, float] = field(default_factory=dict)
    """Metrics of a single training: the claims of a file, the last epoch of a history, the test split."""
    runs: tuple[Mapping[str, float], ...] = ()
    """Metrics at the end of each fresh run, in the order of the finalist's values."""
    folds: int = 0
    baselines: Mapping[str, float] = field(default_factory=dict)
    directions: Mapping[str, str] = field(default_factory=dict)
    """Objective -> maximize or minimize."""
    confusion: Mapping[str, Any] = field(default_factory=dict)
    """Split -> class names and counts."""
    fingerprint: str | None = None
    """Of the data; None when nobody wrote it down."""

    @property
    def metrics(self) -> frozenset[str]:
        """Every metric there is a value of."""
        return frozenset({*self.once, *(name for run in self.runs for name in run)})

    def values(self, metric: str) -> list[float]:
        """One value for each fresh run; a single one, or none, where there were no fresh runs."""
        found = [run[metric] for run in self.runs if metric in run]
        if found and len(found) == len(self.runs):
            return found
        return [self.once[metric]] if metric in self.once else []

    def value(self, metric: str) -> float | None:
        """The mean of `values`."""
        values = self.values(metric)
        return fmean(values) if values else None


def read_side(name_or_path: str, out: Path) -> Side:
    """A run by its name or folder, a configuration by its file, or a training by its folder; no code is imported.

    Raises:
        UserError: there is nothing of the kind, or the run has no best configuration yet.
    """
    path = Path(name_or_path)
    if path.is_file():
        beside = RunFolder(path.parent)
        if path.name == beside.best_config.name:
            refuse_links(beside.path)
            return _run(beside, name_or_path)
        return _file(path)
    if (path / CONFIG).is_file():
        refuse_links(path)
        return _training(path)
    return _run(RunFolder(one_search(find_run(name_or_path, out))), name_or_path)


def settings_of(content: Mapping[str, Any]) -> dict[str, Any]:
    """The settings of a configuration, one entry for each single value."""
    settings = dict(entry for key in SETTINGS if key in content for entry in _leaves(key, content[key]))
    settings.pop("start.weights", None)  # where they lie; which they are is told by their hash
    return settings


def _leaves(path: str, value: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(value, Mapping) and value:
        for key, part in value.items():
            yield from _leaves(f"{path}.{key}", part)
    else:
        yield path, value


def _run(run: RunFolder, name: str) -> Side:
    if not run.best_config.is_file():
        raise UserError(f"run {run.name} has no best configuration to compare yet; see: abr-tune show {run.typed}")
    side = _file(run.best_config)
    summary = run.read_summary() or {}
    scores: Mapping[str, Any] = _json(run.best / "scores.json")
    best = (summary.get("finalists") or [{}])[0]
    histories = [read_history(within(run.path, f"{fresh}/{HISTORY}")) for fresh in best.get("runs", ())]
    folds = best.get("folds", 0)
    baselines: dict[str, float] = {**summary.get("baselines", {})}
    for split in scores.values():
        baselines |= split["baselines"]
    if folds:  # the trivial predictor was scored on the plan's own division, not on these folds
        baselines = {name: value for name, value in baselines.items() if not name.startswith("val/")}
    return Side(
        name=name,
        settings=side.settings,
        once={**side.once, **_json(run.best / "metrics.json"), **summary.get("test", {})},
        runs=tuple(dict(history[-1].metrics) for history in histories if history),
        folds=folds,
        baselines=baselines,
        directions=side.directions,
        confusion={split: each["confusion"] for split, each in scores.items() if each["confusion"]},
        fingerprint=side.fingerprint,
    )


def _file(file: Path) -> Side:
    content: Mapping[str, Any] = read(file).data
    return Side(
        name=str(file),
        settings=settings_of(content),
        once=content.get("claims") or {},
        directions=_directions(content.get("objective")),
        fingerprint=(content.get("provenance") or {}).get("data_fingerprint"),
    )


def _training(folder: Path) -> Side:
    history = [report for report in read_history(folder / HISTORY) if report.complete]
    if not history:
        raise UserError(f"{folder} holds no finished epoch to compare")
    content: Mapping[str, Any] = read(folder / CONFIG).data
    return Side(name=str(folder), settings=settings_of(content), once=dict(history[-1].metrics))


def _directions(objective: Any) -> dict[str, str]:
    """Metric -> direction, of one objective or a list of them."""
    written: Sequence[Mapping[str, str | None]] = [objective] if isinstance(objective, Mapping) else objective or []
    return {metric: direction for each in written for direction, metric in each.items() if metric is not None}


def _json(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
