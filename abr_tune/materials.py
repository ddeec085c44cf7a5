"""What every step of a run works with: plan, folder, data, and how it is carried out."""

from __future__ import annotations

import json
import logging
import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from rich.console import Console

from abr_tune import environment
from abr_tune.borders import as_damage
from abr_tune.errors import EnvironmentFault, UserError
from abr_tune.folder import NOT_COMPARABLE
from abr_tune.plan.overrides import resolve
from abr_tune.plan.plan import Plan, Resources
from abr_tune.runs import RunFolder, write_json
from abr_tune.search.engine import at_a_time
from abr_tune.search.events import TrialRecord
from abr_tune.search.executor import ExecutorName
from abr_tune.search.launch import Cluster
from abr_tune.search.strays import refuse_emptied
from abr_tune.start import unlike_its_data
from abr_tune.trial import HISTORY, length_of, read_history
from core.health import judge

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Launch:
    """How a run is carried out; what is searched stands in the plan."""

    out: Path = Path("results")
    jobs: int | None = None
    """Trials at a time; None: as many as the cores allow."""
    storage: str | None = None
    """URL of the study; None: SQLite in the run folder."""
    executor: ExecutorName = "ray"
    address: str | None = None
    """A running Ray; None: one of its own."""
    join: bool = False
    """Work beside the driver of the run, if it has one."""
    fresh: bool = False
    """Set an earlier run of the name aside."""
    stage: str | None = None
    """Name of the stage this is of a file of stages, which tells the end itself; None for a search of its own."""
    scores_test: bool = True
    """Whether the best is scored on the test split; that is done once, by the last of several stages."""
    json: bool = False
    """Print the summary as JSON on standard output instead of sentences."""
    command: str = "the same command"
    """What continues the run when it is interrupted."""
    started: float = field(default_factory=time.monotonic)
    """Monotonic time at which the command began."""

    def jobs_for(self, cpus: int) -> int | None:
        """Trials at a time when each is given `cpus` cores; None: as many as the cluster at `address` has room for."""
        return at_a_time(self.executor, self.jobs, cpus=cpus, address=self.address)


@dataclass(frozen=True, slots=True, kw_only=True)
class Materials:
    """A run that is about to begin."""

    plan: Plan
    launch: Launch
    run: RunFolder
    console: Console
    dataset: Any
    """What the task's `load` returned; None for a task without data."""
    fingerprint: str
    baselines: Mapping[str, float]
    cluster: Cluster | None
    """Ray; None when trials run inline."""

    @property
    def jobs(self) -> int:
        """Trials at a time."""
        return 1 if self.cluster is None else self.cluster.jobs


def gather(plan: Plan, launch: Launch, folder: RunFolder, console: Console, cluster: Cluster | None) -> Materials:
    """Load the data, once, and write `environment.json`.

    Raises:
        UserError: the data cannot be used, as the message of the task's `load` says, they are not those the run was
            begun with, the task's baselines are no numbers, or it cannot divide them into the folds of confirmation.
    """
    dataset, fingerprint = None, "none"
    if plan.data is not None:
        console.print("loading data ...", style="dim")
        dataset = load_data(plan)
        fingerprint = plan.task.fingerprint(dataset)
        for remark in plan.task.remarks(dataset):
            log.warning("the data: %s", remark)
            console.print(f"the data: {remark}", style="yellow", markup=False, highlight=False)
        if (unlike := unlike_its_data(plan, fingerprint)) is not None:
            log.warning("%s", unlike)
            console.print(unlike, style="yellow", markup=False, highlight=False)
    divided(plan, dataset)
    _refuse_other_data(folder, fingerprint)
    _refuse_other_storage(folder, launch)
    baselines = _baselines(plan, dataset)
    described = environment.describe(
        seed=plan.seed,
        confirmation_seeds=confirmation_seeds(plan),
        fingerprint=fingerprint,
        code=plan.code_from(folder.path),
        launch={
            "executor": launch.executor,
            "jobs": 1 if cluster is None else cluster.jobs,
            "storage": _storage(launch),
            "command": launch.command,
        },
    )
    # A driver that joins is one of several; the run is described by its first.
    if not launch.join:
        write_json(folder.environment, described)
    return Materials(
        plan=plan,
        launch=launch,
        run=folder,
        console=console,
        dataset=dataset,
        fingerprint=fingerprint,
        baselines=baselines,
        cluster=cluster,
    )


def refuse_missing_resources(resources: Resources) -> None:
    """Ray would wait for ever for what a machine does not have.

    Raises:
        EnvironmentFault: a trial is given more than this machine has.
    """
    if resources.cpus > (cores := environment.cores()):
        raise EnvironmentFault(f"resources.cpus gives a trial {resources.cpus} cores, but this machine has {cores}")
    if resources.gpus > 0 and resources.gpus > (found := environment.gpus()):
        raise EnvironmentFault(f"resources.gpus gives a trial {resources.gpus:g} GPUs, but torch finds {found} here")


def _refuse_other_data(folder: RunFolder, fingerprint: str) -> None:
    """A file of recordings may have changed under its name since the run began: its trials cannot be compared then."""
    if not (folder.events.exists() and folder.environment.exists()):
        return
    with as_damage(folder.path):
        before = str(json.loads(folder.environment.read_text(encoding="utf-8"))["data_fingerprint"])
    if before != fingerprint:
        raise UserError(
            f"the data have changed since {folder.path} was begun: their fingerprint was {before[:12]}, is "
            f"{fingerprint[:12]}\n{NOT_COMPARABLE}"
        )


def _storage(launch: Launch) -> str | None:
    """The storage's URL as it may be written down."""
    from abr_tune.search.storage import without_password

    return None if launch.storage is None else without_password(launch.storage)


def _refuse_other_storage(folder: RunFolder, launch: Launch) -> None:
    """A new study beside old trials would take their checkpoints for its own, and old trials need their files."""
    from abr_tune.search.storage import absolute

    if not folder.trial(0).exists():
        _refuse_trials_elsewhere(folder, launch)
        return
    with as_damage(folder.path):
        before = json.loads(folder.environment.read_text(encoding="utf-8"))["launch"]["storage"]
    if (None if before is None else absolute(str(before))) != _storage(launch):
        kept = "in its own study.db" if before is None else "in another storage"
        raise UserError(f"the study of {folder.path} is kept {kept}: leave --storage as it was, or use --fresh")
    if before is None:
        refuse_emptied(folder.path, folder.study)
    if before is None and not folder.study.exists():
        raise UserError(f"{folder.path} has trials but no study.db, which says what became of them; use --fresh")


def _refuse_trials_elsewhere(folder: RunFolder, launch: Launch) -> None:
    """The study may have been begun with another results folder, on another machine for instance."""
    if launch.storage is None or folder.events.exists():
        return
    from abr_tune.search.archive import named_trials

    if count := named_trials(launch.storage, folder.name):
        raise UserError(
            f"the study {folder.name} in this storage has {count} trials whose files are not in {folder.path}: "
            "run it with the results folder it was begun in, give this run another name with --name, or use --fresh"
        )


def _baselines(plan: Plan, dataset: Any) -> Mapping[str, float]:
    """The trivial scores; a task of one's own may get them wrong, and they are wanted when the search is over."""
    baselines: Mapping[str, Any] = plan.task.baselines(dataset)
    for metric, value in baselines.items():
        if not (isinstance(value, int | float) and math.isfinite(value)):
            raise UserError(f"the baselines of task {plan.task_name} must be finite numbers, but {metric} is {value!r}")
    return baselines


def load_data(plan: Plan) -> Any:
    """What the plan's task makes of its data section.

    Raises:
        UserError: the data cannot be used; the message says why, the log of a run that goes on has the traceback.
    """
    try:
        return plan.task.load(plan.data, folder=plan.folder)
    except (ValueError, OSError) as mistake:
        log.exception("the data cannot be used")
        raise UserError(f"the data cannot be used: {mistake}") from mistake


def divided(plan: Plan, dataset: Any, division: int = 0) -> Sequence[Any]:
    """The data sets of the folds that confirmation asks for; empty when it asks for none.

    Every `division` is another one, and the same in all runs over these data: they can be compared fold by fold.

    Raises:
        UserError: the task cannot divide its data, or not these.
    """
    if not plan.confirm.folds:
        return ()
    try:
        folds = plan.task.folds(dataset, count=plan.confirm.folds, seed=division)
    except ValueError as mistake:
        raise UserError(f"confirm.folds: {mistake}") from mistake
    if len(folds) != plan.confirm.folds:
        raise UserError(f"confirm.folds: task {plan.task_name} cannot divide its data into folds; leave the key out")
    return folds


def lenient(materials: Materials, record: TrialRecord) -> Plan:
    """The plan without the health rules that a trial broke, if it ran to its end all the same.

    The audit lets trials run, and so do odds that were learned during the search. Trained again under such a rule, a
    configuration that came out well would be stopped.
    """
    plan = materials.plan
    if record.state != "complete":
        return plan
    history = read_history(materials.run.trial(record.number) / HISTORY)
    length = length_of(resolve(plan.task.options, {**plan.train, **record.params}))
    verdicts = (
        verdict
        for reported in range(1, len(history) + 1)
        for verdict in judge(history[:reported], plan.health, materials.baselines, length)
    )
    spared = {verdict.rule for verdict in verdicts if verdict.level == "stop"}
    return replace(plan, health=plan.health.model_copy(update=dict.fromkeys(sorted(spared)))) if spared else plan


def confirmation_seeds(plan: Plan) -> list[int]:
    """Seeds of the confirmation runs: none of them is the search's own."""
    return [plan.seed + 1 + index for index in range(plan.confirm.seeds)] if plan.confirm.top else []
