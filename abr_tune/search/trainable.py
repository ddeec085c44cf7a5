"""What runs in a Ray worker: one training after another in the same process."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any, Final

import ray
from ray import tune

from abr_tune.errors import EnvironmentFault
from abr_tune.search.executor import Job, Shared
from abr_tune.search.fidelity import age_of
from abr_tune.search.orphans import sweep
from abr_tune.search.parcels import Away, Parcel, TooLarge
from abr_tune.trial import Crash, Leave, TrialStep, attempt, closable, run_trial
from core.report import EpochReport

JOB: Final = "job"
STEPS: Final = "steps"
ERROR: Final = "error"
OUT_OF_MEMORY: Final = "out_of_memory"
FAULT: Final = "fault"
"""What ends the search, not only this training: the disk of the worker is full, for one."""
DONE: Final = "done"
FILES: Final = "files"
SECONDS_PER_CHUNK: Final = 1.0
"""Epochs are trained for about so long before their reports go back together, unless a ruling is due earlier."""


class Sent:
    """A parcel in Ray's object store, on its way to whoever trains the job; Ray copies configurations, not this."""

    def __init__(self, parcel: Parcel) -> None:
        self._reference: Any = ray.put(parcel)

    def get(self) -> Parcel:
        """The parcel. Raises `ValueError` when it was forgotten."""
        if self._reference is None:
            raise ValueError("this parcel was forgotten")
        parcel: Parcel = ray.get(self._reference)
        return parcel

    def forget(self) -> None:
        """Let go of it: Ray keeps the configurations of all its trials."""
        self._reference = None

    def __deepcopy__(self, _memo: object) -> Sent:
        return self

    def __repr__(self) -> str:
        return "parcel"


def packed(job: Job, *, marker: Path | None = None, sent: Sent | None = None) -> dict[str, Any]:
    """A job as Ray's trial configuration: one text, which Ray neither searches nor flattens.

    `marker` is a file that whoever sees the driver's folder sees; the others train from the files in `sent`.
    """
    record = {
        "marker": None if marker is None else str(marker),
        "options": job.options.model_dump(mode="json", by_alias=True),
        "seed": job.seed,
        "folder": str(job.folder.absolute()),
        "config": job.config,
        "since": job.since,
        "milestones": job.milestones,
        "leave": job.leave.to_json(),
    }
    return {JOB: json.dumps(record)} | ({} if sent is None else {FILES: sent})


def unpacked(result: dict[str, Any]) -> list[TrialStep]:
    """The steps of one chunk."""
    return [TrialStep.from_json(record) for record in json.loads(result[STEPS])]


class Worker(tune.Trainable):  # type: ignore[misc]
    """Trains jobs; Ray hands the same process one after another, and `shared` only once."""

    def setup(self, config: dict[str, Any], shared: Shared | None = None) -> None:
        """Keep what all trainings have in common, and begin the first."""
        assert shared is not None  # noqa: S101 - tune.with_parameters always passes it
        self._shared = shared
        self._away: Away | None = None
        self._begin(config)

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        """Begin the next job in this process."""
        self._end()
        self._begin(new_config)
        return True

    def step(self) -> dict[str, Any]:
        """Train for about a second, or until a ruling is due, the training ends or the task's code raises."""
        steps: list[TrialStep] = []
        try:
            return self._chunk(steps)
        except EnvironmentFault as fault:
            # Not packed: there may be no room for it.
            return {STEPS: json.dumps([step.to_json() for step in steps]), DONE: True, FAULT: str(fault)}

    def _chunk(self, steps: list[TrialStep]) -> dict[str, Any]:
        until = time.monotonic() + SECONDS_PER_CHUNK
        for outcome in self._outcomes:
            if isinstance(outcome, Crash):
                crashed = {ERROR: outcome.error, OUT_OF_MEMORY: outcome.out_of_memory}
                return self._result(steps, done=True, ruling=True) | crashed
            steps.append(outcome)
            ruling = outcome.stop is not None or self._due(outcome.report)
            if ruling or time.monotonic() >= until:
                return self._result(steps, done=outcome.stop is not None, ruling=ruling)
        return self._result(steps, done=True, ruling=True)

    def cleanup(self) -> None:
        """Let the task close what it holds."""
        self._end()

    def _result(self, steps: list[TrialStep], *, done: bool, ruling: bool) -> dict[str, Any]:
        """What goes back to the driver: the reports, and the files it would not see otherwise."""
        result = {STEPS: json.dumps([step.to_json() for step in steps]), DONE: done}
        try:
            files = None if self._away is None else self._away.due(ruling=ruling)
        except TooLarge as error:
            return result | {ERROR: str(error), DONE: True}
        return result if files is None else result | {FILES: files}

    def _end(self) -> None:
        self._outcomes.close()
        if self._away is not None:
            self._away.remove()
            self._away = None

    def _due(self, report: EpochReport) -> bool:
        return age_of(report, self._shared.objectives) in self._milestones

    def _begin(self, config: dict[str, Any]) -> None:
        job, shared = json.loads(config[JOB]), self._shared
        folder = self._folder_for(job, config.get(FILES))
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
            start=self._start(),
        )
        self._milestones = frozenset(job["milestones"])
        self._outcomes = closable(attempt(steps, folder))

    def _start(self) -> Path | None:
        """The weights to begin from, as this machine sees them."""
        start = self._shared.start
        if start is None or self._away is None:
            return None if start is None else start.path
        return self._away.keep(start.path.name, start.content)

    def _folder_for(self, job: dict[str, Any], sent: Sent | None) -> Path:
        """The driver's folder of the job where this machine sees it; otherwise one of its own, with the files sent."""
        if job["marker"] is None or Path(job["marker"]).is_file():
            return Path(job["folder"])
        sweep()
        self._away = Away(None if sent is None else sent.get())
        return self._away.folder
