"""Configurations of a run trained on demand: side by side, each once, kept for the next question."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from abr_tune.ablation import Configuration
from abr_tune.errors import UserError
from abr_tune.plan.overrides import ImpossibleOptions, resolve
from abr_tune.plan.plan import Plan
from abr_tune.report.wording import counted
from abr_tune.search.executor import ExecutorName
from abr_tune.search.launch import Cluster
from abr_tune.search.search import Training, train_all
from abr_tune.trial import HISTORY, read_history


class Interrupted(Exception):
    """A signal came; what was trained is kept, and the same command goes on."""

    def __init__(self, signal: int) -> None:
        super().__init__(signal)
        self.signal = signal


@dataclass(slots=True)
class Retraining:
    """Trains configurations of a plan in `folder`, each with each seed once, and remembers what came of them."""

    plan: Plan
    folder: Path
    dataset: Any
    baselines: Mapping[str, float]
    executor: ExecutorName
    jobs: int | None
    stack: ExitStack
    """Ends the Ray that is started when the first training needs it."""
    say: Callable[[str], None]
    count: int = 0
    notes: list[str] = field(default_factory=list)
    _seen: dict[Path, float] = field(default_factory=dict)
    _cluster: Cluster | None = None

    def values(self, wanted: Sequence[tuple[Configuration, int]]) -> list[float]:
        """The objective of each configuration on its seed; those that are new are trained side by side."""
        folders = [self.place(configuration, seed) for configuration, seed in wanted]
        new = {
            folder: Training(options=self._options(configuration), seed=seed, folder=folder)
            for folder, (configuration, seed) in zip(folders, wanted, strict=True)
            if folder not in self._seen
        }
        if new:
            self._train(list(new.values()))
        return [self._seen[folder] for folder in folders]

    def possible(self, configuration: Configuration) -> bool:
        """Whether the task takes these settings together."""
        try:
            self._options(configuration)
        except ImpossibleOptions:
            return False
        return True

    def place(self, configuration: Configuration, seed: int) -> Path:
        """Named by what is trained, so that another budget or order finds it again."""
        told = json.dumps(self._options(configuration).model_dump(mode="json", by_alias=True), sort_keys=True)
        return self.folder / f"{hashlib.sha256(told.encode()).hexdigest()[:10]}-{seed}"

    def _options(self, configuration: Configuration) -> Any:
        return resolve(self.plan.task.options, {**self.plan.train, **configuration})

    def _train(self, trainings: list[Training]) -> None:
        if self.executor == "ray" and self._cluster is None:
            self._cluster = self.stack.enter_context(Cluster(jobs=self.jobs, resources=self.plan.resources))
        batch = train_all(
            trainings,
            self.plan,
            dataset=self.dataset,
            baselines=self.baselines,
            executor=self.executor,
            jobs=self.jobs,
            cluster=self._cluster,
        )
        if batch.signal is not None:
            raise Interrupted(batch.signal)
        for training in trainings:
            self._seen[training.folder] = self._value(training.folder)
        self.count += len(trainings)
        self.say(f"  {counted(self.count, 'training')} done")

    def _value(self, folder: Path) -> float:
        """The objective at the end of a training; a run that broke counts as the trivial predictor."""
        metric = self.plan.objective.metric
        found = [report.metrics[metric] for report in read_history(folder / HISTORY) if metric in report.metrics]
        if found:
            return float(found[-1])
        said = f"A training that broke before its first score counts as the trivial predictor ({metric})."
        if metric not in self.baselines:
            raise UserError(f"{folder} has no {metric}, and the task has no trivial score to count instead")
        if said not in self.notes:
            self.notes.append(said)
        return float(self.baselines[metric])
