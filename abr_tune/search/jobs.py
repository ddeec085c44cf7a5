"""What an executor is given to train a trial, or the next stretch of one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel

from abr_tune.plan.overrides import ImpossibleOptions, resolve
from abr_tune.plan.plan import Plan
from abr_tune.runs import RunFolder
from abr_tune.search.ending import OpenTrial
from abr_tune.search.executor import Job
from abr_tune.search.fidelity import age_of
from abr_tune.search.pruning import milestones
from abr_tune.trial import Leave, length_of, training_config


class Jobs:
    """Makes the jobs of one plan; `folder` is the run's."""

    def __init__(self, plan: Plan, folder: RunFolder) -> None:
        self._plan = plan
        self._folder = folder
        self.usual_length = _epochs(plan)
        """Epochs of a trial whose values do not say; None where the options have none."""

    def length(self, values: Mapping[str, Any]) -> int | None:
        """Epochs of a trial with these values (path -> value), where its options say."""
        length = values.get("epochs", self.usual_length)
        return length if isinstance(length, int) else None

    def job(self, trial: OpenTrial, leave: Leave) -> Job:
        """The stretch of training from where the trial stands. Raises `ImpossibleOptions`."""
        plan = self._plan
        options: BaseModel = resolve(plan.task.options, {**plan.train, **trial.values})
        folder = self._folder.trial(trial.number)
        # A trial whose last report was never ruled on sends it again, and must wait.
        judged = 0 if trial.last is None or trial.cleared < trial.epoch else age_of(trial.last, plan.objectives)
        due = milestones(plan.pruner, trial.length, trial.number)
        return Job(
            key=trial.number,
            options=options,
            seed=plan.seed,
            folder=folder,
            config=training_config(
                plan.task_name,
                options,
                seed=plan.seed,
                data=plan.data_from(folder),
                start=plan.start_from_folder(folder),
            ),
            since=trial.epoch,
            milestones=tuple(age for age in due if age > judged),
            leave=leave,
        )


def _epochs(plan: Plan) -> int | None:
    try:
        return length_of(resolve(plan.task.options, plan.train))
    except ImpossibleOptions:
        return None
