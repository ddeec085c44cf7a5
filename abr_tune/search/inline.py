"""The executor for debugging and quick tests: in this process, one training after another."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import closing
from typing import Final

from abr_tune.search.executor import Job, Shared, Source
from abr_tune.search.signals import Signalled
from abr_tune.trial import Crash, TrialStep, attempt, closable, run_trial

SECONDS_BETWEEN_LOOKS: Final = 0.05
"""How often it is asked whether a training whose pause is over is there, or somebody wants to stop."""


def run_inline(source: Source, shared: Shared) -> None:
    """Train what `source` hands out until it is done or wants to stop; that is asked after every epoch."""
    while not source.done and not source.should_stop():
        job = source.ask()
        if job is not None:
            _train(job, source, shared)
        elif source.waits:
            time.sleep(SECONDS_BETWEEN_LOOKS)
        else:
            return


def _train(job: Job, source: Source, shared: Shared) -> None:
    steps = run_trial(
        shared.task,
        job.options,
        seed=job.seed,
        folder=job.folder,
        data=shared.dataset,
        health=shared.health,
        baselines=shared.baselines,
        config=job.config,
        since=job.since,
        cpus=shared.cpus,
        leave=job.leave,
        limits=shared.limits,
        start=None if shared.start is None else shared.start.path,
    )
    crash: Crash | None = None
    with closing(closable(attempt(steps, job.folder))) as outcomes:
        for outcome in _until_insisted(outcomes):
            if outcome is None:
                source.stopped()
                return
            if isinstance(outcome, Crash):
                crash = outcome
                break
            if source.report(job.key, outcome) != "go_on":
                break
            if source.should_stop():
                source.stopped()
                return
    # Only now is the memory free that the training held.
    if crash is None:
        source.finish(job.key)
    elif crash.out_of_memory:
        source.lost(job.key, crash.error, "memory")
    else:
        source.crash(job.key, crash.error)


def _until_insisted(outcomes: Iterator[TrialStep | Crash]) -> Iterator[TrialStep | Crash | None]:
    """What becomes of a training; None at last when a signal cuts an epoch short that took too long to wait for."""
    try:
        yield from outcomes
    except Signalled:
        yield None
