"""The two things an executor is used for: searching a space, and training a list of configurations."""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

from pydantic import BaseModel

from abr_tune.errors import StorageFault
from abr_tune.plan.plan import Plan
from abr_tune.runs import RunFolder
from abr_tune.search.archive import follow_folder
from abr_tune.search.driver import Driver, EndedBy
from abr_tune.search.earlier import recall
from abr_tune.search.engine import Engine
from abr_tune.search.events import Event, Listener, TrialFinished, TrialRecord
from abr_tune.search.executor import ExecutorName, Job, Ruling, Shared, carried
from abr_tune.search.launch import Cluster
from abr_tune.search.retries import Loss, Retries, told
from abr_tune.search.signals import Interruption, Signalled, catch_signals
from abr_tune.search.storage import sqlite_url
from abr_tune.search.strays import refuse_emptied, set_strays_aside, trials_in
from abr_tune.search.study import Study
from abr_tune.trial import TrialStep, training_config
from core.health import Verdict
from core.report import EpochReport

log = logging.getLogger(__name__)

SECONDS_BETWEEN_LOOKS: Final = 1.0
"""How often a driver that has nothing to train looks for what the others leave."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """How a search ended. Unfinished trials wait in the study and go on when it is searched again."""

    state: Literal["finished", "interrupted"]
    ended_by: EndedBy
    signal: int | None
    records: tuple[TrialRecord, ...]
    """All trials, by number, those of earlier commands and of other drivers included."""
    finished_here: int = 0
    """Trials that ended in this process."""
    led: bool = True
    """Whether a first driver is there to confirm and report; only of one that joined can it be False."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Training:
    """One configuration to be trained outside the study, as confirmation does."""

    options: BaseModel
    seed: int
    folder: Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Trained:
    """What became of a training."""

    training: Training
    reports: tuple[EpochReport, ...]
    """By epoch, those of an earlier, interrupted part included; whole epochs only."""
    stopped: Verdict | None = None
    """The health rule that ended it early."""
    error: str | None = None
    """What the task's code raised."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """What became of a list of trainings."""

    trained: tuple[Trained, ...]
    """Those that ended, in the order they were given; an interruption leaves the others out."""
    signal: int | None
    """The signal that interrupted them."""


def search(
    plan: Plan,
    *,
    folder: Path,
    dataset: Any,
    baselines: Mapping[str, float],
    executor: ExecutorName,
    jobs: int | None,
    storage: str | None = None,
    join: bool = False,
    address: str | None = None,
    listener: Listener = lambda _event: None,
    say: Callable[[str], None] = lambda _sentence: None,
    cluster: Cluster | None = None,
) -> Outcome:
    """Search until the plan's budget is spent or somebody interrupts; goes on with what the study already holds.

    `folder` is the run's folder and `storage` the study's URL, by default SQLite in that folder. `jobs` trials are
    trained at a time (inline: one). `cluster` is a Ray that is running already; without it one is started for this
    search, or joined at `address`. Ctrl-C and SIGTERM are caught. `say` hears what an earlier run gives, in a sentence.
    With `join` the search is that of another driver, which ends it; on a storage that several may write, drivers that
    joined may come and go.

    Raises:
        UserError: another driver searches this study, and it is not joined.
        StorageFault: the study cannot be reached, or was emptied; trials stay as they are and go on next time.
        EnvironmentFault: the disk is full; trials stay as they are and go on next time.
    """
    folder.mkdir(parents=True, exist_ok=True)
    refuse_emptied(folder, RunFolder(folder).study)
    if storage is None and RunFolder(folder).study.is_file():
        follow_folder(sqlite_url(RunFolder(folder).study), plan.name)
    earlier = recall(plan)
    there = trials_in(folder)
    study = Study(storage or sqlite_url(RunFolder(folder).study), plan.name, plan.objectives)
    shared = Shared(
        task=plan.task,
        dataset=dataset,
        health=plan.health,
        baselines=baselines,
        objectives=plan.objectives,
        cpus=plan.resources.cpus,
        limits=plan.limits,
        start=carried(plan.start),
    )
    if earlier is not None:
        say(earlier.said)
    finished = 0

    def tell(event: Event) -> None:
        nonlocal finished
        finished += isinstance(event, TrialFinished)
        listener(event)

    with _closing(study), catch_signals() as interruption:
        if study.shareable:
            study.share(join=join)
        for sentence in set_strays_aside(folder, there, study.next_number):
            say(sentence)
        driver = Driver(
            plan, study, folder, tell, interrupted=lambda: bool(interruption), baselines=baselines, earlier=earlier
        )
        engine = Engine(executor=executor, jobs=jobs, resources=plan.resources, address=address, cluster=cluster)
        engine.run(driver, shared, interruption)
        while _more_to_train(driver, study, interruption):
            engine.run(driver, shared, interruption)
        with interruption.insistent():
            driver.stopped()
            records = tuple(study.records())
            led = study.led
            study.leave(driver.ended_by)
    return Outcome(
        state="interrupted" if driver.ended_by == "signal" else "finished",
        ended_by=driver.ended_by,
        signal=interruption.signal,
        records=records,
        finished_here=finished,
        led=led,
    )


def _more_to_train(driver: Driver, study: Study, interruption: Interruption) -> bool:
    """Wait while others still train: what they leave unfinished, paused or dead, is gone on with here."""
    with interruption.insistent():
        while study.lease is not None and not driver.done and not driver.should_stop():
            if driver.ready():
                return True
            time.sleep(SECONDS_BETWEEN_LOOKS)
    return False


@contextmanager
def _closing(study: Study) -> Iterator[None]:
    try:
        yield
    except (Signalled, StorageFault):  # which nobody waits for once more
        study.abandon()
        raise
    finally:
        study.close()


def train_all(
    trainings: Sequence[Training],
    plan: Plan,
    *,
    dataset: Any,
    baselines: Mapping[str, float],
    executor: ExecutorName,
    jobs: int | None,
    address: str | None = None,
    listener: Callable[[Training, TrialStep], None] = lambda _training, _step: None,
    cluster: Cluster | None = None,
) -> Batch:
    """Train configurations with the plan's task, data and health rules, but without ranking and without the study.

    A training whose folder holds a checkpoint goes on from it; one that had finished only says its result again.
    Signals, `jobs`, `address` and `cluster` are as for `search`.
    """
    shared = Shared(
        task=plan.task,
        dataset=dataset,
        health=plan.health,
        baselines=baselines,
        cpus=plan.resources.cpus,
        start=carried(plan.start),
    )
    with catch_signals() as interruption:
        batch = _Trainings(trainings, plan, listener, lambda: bool(interruption))
        Engine(executor=executor, jobs=jobs, resources=plan.resources, address=address, cluster=cluster).run(
            batch, shared, interruption
        )
    ended = [batch.trained[key] for key in range(len(trainings)) if key in batch.trained]
    return Batch(trained=tuple(ended), signal=interruption.signal)


class _Trainings:
    """The `Source` of a list of trainings."""

    def __init__(
        self,
        trainings: Sequence[Training],
        plan: Plan,
        listener: Callable[[Training, TrialStep], None],
        interrupted: Callable[[], bool],
    ) -> None:
        self.trained: dict[int, Trained] = {}
        self._trainings = trainings
        self._plan = plan
        self._listener = listener
        self._interrupted = interrupted
        self._queue = deque(range(len(trainings)))
        self._reports: dict[int, dict[int, EpochReport]] = {key: {} for key in self._queue}
        self._stopped: dict[int, Verdict] = {}
        self._retries = Retries(time.monotonic)

    @property
    def done(self) -> bool:
        """Whether every training has ended."""
        return len(self.trained) == len(self._trainings)

    @property
    def waits(self) -> bool:
        """Whether a training that was lost goes on after a pause."""
        return self._retries.any_waits(self._queue)

    def should_stop(self) -> bool:
        """Whether somebody interrupted."""
        return self._interrupted()

    def ask(self) -> Job | None:
        """The next training."""
        key = next(filter(self._retries.ready, self._queue), None)
        if key is None or self.should_stop():
            return None
        self._queue.remove(key)
        training, plan = self._trainings[key], self._plan
        config = training_config(
            plan.task_name,
            training.options,
            seed=training.seed,
            data=plan.data_from(training.folder),
            start=plan.start_from_folder(training.folder),
        )
        return Job(key=key, options=training.options, seed=training.seed, folder=training.folder, config=config)

    def report(self, key: int, step: TrialStep) -> Ruling:
        """Keep the report; only a health rule stops a training."""
        for said in step.notes:
            log.warning("%s: %s", self._trainings[key].folder, said)
        if step.report.complete:
            self._reports[key][step.report.epoch] = step.report
        self._listener(self._trainings[key], step)
        if step.stop is None:
            return "go_on"
        self._stopped[key] = step.stop
        return "stop"

    def finish(self, key: int) -> None:
        """The training has ended."""
        self._end(key, None)

    def crash(self, key: int, error: str) -> None:
        """The task's code raised."""
        self._end(key, error)

    def lost(self, key: int, error: str, loss: Loss) -> None:
        """The worker died, or memory ran out: go on from the checkpoint, unless that has been tried enough."""
        if (pause := self._retries.again(key, loss)) is None:
            self.crash(key, self._retries.verdict(key, loss, error))
        else:
            self._queue.append(key)
            log.warning("%s: %s", self._trainings[key].folder, told(loss, error, pause))

    def stopped(self) -> None:
        """Whatever is open goes on from its checkpoint another time."""

    def _end(self, key: int, error: str | None) -> None:
        reports = tuple(report for _, report in sorted(self._reports[key].items()))
        stopped = self._stopped.get(key)
        self.trained[key] = Trained(training=self._trainings[key], reports=reports, stopped=stopped, error=error)
