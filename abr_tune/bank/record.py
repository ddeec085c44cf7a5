"""`abr-tune bank`: full-length curves of configurations drawn at random, with neither ranking nor rules in the way."""

from __future__ import annotations

import logging
import shutil
import sys
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from abr_tune import environment
from abr_tune.bank.again import Again
from abr_tune.bank.draw import Drawn, drawn
from abr_tune.bank.folder import FACTS, SPACE, UNFINISHED, Bank, RecordedTrial, new_facts, read_bank, write_bank
from abr_tune.console import clock, stderr_console
from abr_tune.errors import Exit, UserError
from abr_tune.materials import load_data
from abr_tune.plan.describe import describe_plan
from abr_tune.plan.load import load_plan
from abr_tune.plan.overrides import ImpossibleOptions, resolve
from abr_tune.plan.plan import Plan
from abr_tune.plan.yaml import read
from abr_tune.runs import sole_driver, write_atomically
from abr_tune.search.engine import Engine, at_a_time
from abr_tune.search.executor import ExecutorName, Job, Ruling, Shared, carried
from abr_tune.search.retries import Loss, Retries, told
from abr_tune.search.signals import catch_signals
from abr_tune.trial import HISTORY, TrialStep, plain, read_history, training_config
from core.health import HealthOptions
from core.report import EpochReport

log = logging.getLogger(__name__)

WATCHED: Final = ("task", "data", "train", "search", "start_from", "objective", "seed")
"""Keys of a plan that say which trials a bank holds and what their numbers mean."""
SECONDS_BETWEEN_WRITES: Final = 60.0


def record(
    plan: Plan,
    folder: Path,
    *,
    trials: int,
    overrides: Sequence[str] = (),
    executor: ExecutorName = "ray",
    jobs: int | None = None,
    address: str | None = None,
    top: int = 0,
    seeds: int = 0,
    command: str = "the same command",
) -> Exit:
    """Record trials 0 to `trials - 1` of `plan` into `folder`, those that are there already left as they are.

    Then the `top` of them that end best are trained again with `seeds` fresh seeds each: one seed's best are partly
    luck, and replay judges by means where there are any. Interrupted, it keeps what is whole; trainings under way go on
    from their checkpoints next time.

    Raises:
        UserError: the folder holds a bank of something else, or one that is damaged.
    """
    console = stderr_console()
    with sole_driver(folder):
        earlier = read_bank(folder) if (folder / FACTS).exists() else None
        dataset = None if plan.data is None else load_data(plan)
        fingerprint = "none" if plan.data is None else plan.task.fingerprint(dataset)
        if earlier is not None:
            _refuse_another(folder, earlier, plan, fingerprint)
        bank = earlier or Bank(_facts(plan, folder, overrides, fingerprint, plan.task.baselines(dataset)))
        write_atomically(folder / SPACE, plan.file.read_text(encoding="utf-8"))
        watched = replace(plan, health=only_finite(plan.health))
        shared = Shared(
            task=plan.task,
            dataset=dataset,
            health=watched.health,
            baselines=bank.facts["baselines"],
            cpus=plan.resources.cpus,
            start=carried(plan.start),
        )
        together = at_a_time(executor, jobs, cpus=plan.resources.cpus, address=address)
        engine = Engine(executor=executor, jobs=together, resources=plan.resources, address=address)
        with catch_signals() as interruption:
            recording = Recording(
                plan, bank, folder, trials=trials, interrupted=lambda: bool(interruption), say=console.print
            )
            engine.run(recording, shared, interruption)
            recording.save()
        signal = interruption.signal
        if signal is None and seeds:
            again = Again(watched, bank, folder, top, seeds)
            signal = again.record(dataset, engine, say=console.print)
    if signal is not None:
        console.print(
            f"interrupted with {len(bank.numbers)} trials; continue with: {command}", markup=False, soft_wrap=True
        )
        return Exit(128 + signal)
    shutil.rmtree(folder / UNFINISHED, ignore_errors=True)
    sys.stdout.write(f"{folder}: {len(bank.numbers)} trials\n")
    return Exit.DONE


def only_finite(health: HealthOptions) -> HealthOptions:
    """The rules of a run with all but the guard against NaN and infinity switched off."""
    off = dict.fromkeys(type(health).model_fields)
    return type(health).model_validate({**off, "non_finite": health.non_finite})


class Recording:
    """The `Source` of a bank: configurations in their order, every one trained to its end."""

    def __init__(
        self,
        plan: Plan,
        bank: Bank,
        folder: Path,
        *,
        trials: int,
        interrupted: Callable[[], bool],
        say: Callable[..., None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._plan, self._bank, self._folder = plan, bank, folder
        self._interrupted, self._say, self._clock = interrupted, say, clock
        self._wanted = trials
        self._queue = deque(number for number in range(trials) if number not in bank.numbers)
        self._open: dict[int, Drawn] = {}
        self._broken: dict[int, EpochReport] = {}
        """What a trial said last, where that was from within an epoch."""
        self._retries = Retries(clock)
        self._started = self._saved = clock()
        self._fresh: list[int] = []
        """Ended here, and not yet on disk."""
        self._ended = 0

    @property
    def done(self) -> bool:
        """Whether every trial has ended."""
        return not self._queue and not self._open

    @property
    def waits(self) -> bool:
        """Whether a trial that was lost goes on after a pause."""
        return self._retries.any_waits(self._queue)

    def should_stop(self) -> bool:
        """Whether somebody interrupted."""
        return self._interrupted()

    def ask(self) -> Job | None:
        """The next configuration; one whose values make no valid options is recorded as failed."""
        while (number := next(filter(self._retries.ready, self._queue), None)) is not None and not self.should_stop():
            self._queue.remove(number)
            self._open[number] = drawn(self._plan, number)
            try:
                return self._job(self._open[number])
            except ImpossibleOptions as error:
                self.crash(number, f"its values make no valid options: {error}")
        return None

    def report(self, key: int, step: TrialStep) -> Ruling:
        """Nothing but what is not finite ends a trial."""
        if not step.report.complete:
            self._broken[key] = replace(step.report, evidence=plain(step.report.evidence))
        return "go_on" if step.stop is None else "stop"

    def finish(self, key: int) -> None:
        """A trial has come to its end."""
        self._end(key, None)

    def crash(self, key: int, error: str) -> None:
        """The task's code raised: that is recorded too."""
        self._end(key, error)

    def lost(self, key: int, error: str, loss: Loss) -> None:
        """The worker died, or memory ran out: go on from the checkpoint, unless that has been tried enough."""
        if (pause := self._retries.again(key, loss)) is None:
            self.crash(key, self._retries.verdict(key, loss, error))
        else:
            self._queue.append(key)
            log.warning("trial %d: %s", key, told(loss, error, pause))

    def stopped(self) -> None:
        """Whatever is open goes on from its checkpoint another time."""

    def save(self) -> None:
        """Write the bank, and drop the working folders of what is in it."""
        write_bank(self._folder, self._bank)
        for number in self._fresh:
            shutil.rmtree(self._place(number), ignore_errors=True)
        self._fresh.clear()
        self._saved = self._clock()

    def _job(self, chosen: Drawn) -> Job:
        plan, folder = self._plan, self._place(chosen.number)
        options = resolve(plan.task.options, {**plan.train, **chosen.params})
        config = training_config(
            plan.task_name,
            options,
            seed=plan.seed,
            data=plan.data_from(folder),
            start=plan.start_from_folder(folder),
        )
        return Job(key=chosen.number, options=options, seed=plan.seed, folder=folder, config=config)

    def _place(self, number: int) -> Path:
        return self._folder / UNFINISHED / str(number)

    def _end(self, key: int, error: str | None) -> None:
        chosen = self._open.pop(key)
        whole = (report for report in read_history(self._place(key) / HISTORY) if report.complete)
        broken = self._broken.pop(key, None)
        reports = (*whole, *(() if broken is None else (broken,)))
        ended = RecordedTrial(
            number=key, name=chosen.name, seed=self._plan.seed, params=chosen.params, reports=reports, error=error
        )
        self._bank.add(ended)
        self._fresh.append(key)
        self._ended += 1
        self._say(self._line(ended), markup=False)
        if self._clock() - self._saved >= SECONDS_BETWEEN_WRITES:
            self.save()

    def _line(self, trial: RecordedTrial) -> str:
        metric = self._plan.objective.metric
        value = trial.whole[-1].metrics.get(metric) if trial.whole else None
        shown = "not finite" if trial.broke_off is not None else "failed" if trial.error else "absent"
        if value is not None and trial.broke_off is None:
            shown = f"{value:.4f}"
        pace = (self._clock() - self._started) / self._ended
        left = clock(pace * (len(self._queue) + len(self._open)))
        name = f"  [{trial.name}]" if trial.name else ""
        head = f"{len(self._bank.numbers):4d}/{self._wanted}  #{trial.number:<4d} {len(trial.whole):3d} epochs"
        return f"{head}  {metric} {shown}{name}  about {left} left"


def _facts(
    plan: Plan, folder: Path, overrides: Sequence[str], fingerprint: str, baselines: Mapping[str, float]
) -> dict[str, Any]:
    return new_facts(
        name=plan.name,
        task=plan.task_name,
        code=plan.code_from(folder),
        set=list(overrides),
        objectives=[{"metric": one.metric, "direction": one.direction} for one in plan.objectives],
        seed=plan.seed,
        health=plan.health.model_dump(mode="json", by_alias=True),
        baselines=dict(baselines),
        data_fingerprint=fingerprint,
        versions=environment.versions(),
        commit=environment.commit(),
    )


def _refuse_another(folder: Path, bank: Bank, plan: Plan, fingerprint: str) -> None:
    """A bank grows only by trials of the same space, task and data."""
    changed = ["task"]
    # Code is trusted for the task that was asked for, not for whatever a bank may name.
    if read(folder / SPACE).data.get("task") == plan.task_name:
        before = load_plan(folder / SPACE, overrides=bank.facts["set"], trust_code=True)
        old, new = describe_plan(before), describe_plan(plan)
        changed = [key for key in WATCHED if old.get(key) != new.get(key)]
    if bank.facts["data_fingerprint"] != fingerprint:
        changed.append("fingerprint of the data")
    if changed:
        raise UserError(f"{folder} holds a bank of something else: {', '.join(changed)} differ; give another with --to")
