"""What runs in a Ray worker: one training after another in the same process."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any, Final

from ray import tune

from abr_tune.search.executor import Job, Shared
from abr_tune.search.fidelity import age_of
from abr_tune.trial import Crash, Leave, TrialStep, attempt, closable, run_trial
from core.report import EpochReport

JOB: Final = "job"
STEPS: Final = "steps"
ERROR: Final = "error"
DONE: Final = "done"
SECONDS_PER_CHUNK: Final = 1.0
"""Epochs are trained for about so long before their reports go back together, unless a ruling is due earlier."""


def packed(job: Job) -> dict[str, str]:
    """A job as Ray's trial configuration: one text, which Ray neither searches nor flattens."""
    record = {
        "options": job.options.model_dump(mode="json", by_alias=True),
        "seed": job.seed,
        "folder": str(job.folder.absolute()),
        "config": job.config,
        "since": job.since,
        "milestones": job.milestones,
        "leave": job.leave.to_json(),
    }
    return {JOB: json.dumps(record)}


def unpacked(result: dict[str, Any]) -> list[TrialStep]:
    """The steps of one chunk."""
    return [TrialStep.from_json(record) for record in json.loads(result[STEPS])]


class Worker(tune.Trainable):  # type: ignore[misc]
    """Trains jobs; Ray hands the same process one after another, and `shared` only once."""

    def setup(self, config: dict[str, Any], shared: Shared | None = None) -> None:
        """Keep what all trainings have in common, and begin the first."""
        assert shared is not None  # noqa: S101 - tune.with_parameters always passes it
        self._shared = shared
        self._begin(config)

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        """Begin the next job in this process."""
        self._outcomes.close()
        self._begin(new_config)
        return True

    def step(self) -> dict[str, Any]:
        """Train for about a second, or until a ruling is due, the training ends or the task's code raises."""
        steps: list[TrialStep] = []
        until = time.monotonic() + SECONDS_PER_CHUNK
        for outcome in self._outcomes:
            if isinstance(outcome, Crash):
                return {STEPS: _text(steps), ERROR: outcome.error, DONE: True}
            steps.append(outcome)
            if outcome.stop or self._due(outcome.report) or time.monotonic() >= until:
                return {STEPS: _text(steps), DONE: outcome.stop is not None}
        return {STEPS: _text(steps), DONE: True}

    def cleanup(self) -> None:
        """Let the task close what it holds."""
        self._outcomes.close()

    def _due(self, report: EpochReport) -> bool:
        return age_of(report, self._shared.objectives) in self._milestones

    def _begin(self, config: dict[str, Any]) -> None:
        job, shared = json.loads(config[JOB]), self._shared
        folder = Path(job["folder"])
        steps = run_trial(
            shared.task,
            shared.task.options.model_validate(job["options"]),
            seed=job["seed"],
            folder=folder,
            data=shared.dataset,
            health=shared.health,
            baselines=shared.baselines,
            config=job["config"],
            since=job["since"],
            cpus=shared.cpus,
            leave=Leave.from_json(job["leave"]),
            limits=shared.limits,
            expendable=True,
        )
        self._milestones = frozenset(job["milestones"])
        self._outcomes = closable(attempt(steps, folder))


def _text(steps: list[TrialStep]) -> str:
    return json.dumps([step.to_json() for step in steps])
