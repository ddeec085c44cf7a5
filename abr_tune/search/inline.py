"""The executor for debugging and quick tests: in this process, one training after another."""

from __future__ import annotations

from contextlib import closing

from abr_tune.search.executor import Job, Shared, Source
from abr_tune.trial import Crash, attempt, closable, run_trial


def run_inline(source: Source, shared: Shared) -> None:
    """Train what `source` hands out until it is done or wants to stop; that is asked after every epoch."""
    while not source.done and not source.should_stop():
        job = source.ask()
        if job is None:
            return
        _train(job, source, shared)


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
    )
    with closing(closable(attempt(steps, job.folder))) as outcomes:
        for outcome in outcomes:
            if isinstance(outcome, Crash):
                source.crash(job.key, outcome.error)
                return
            if source.report(job.key, outcome) != "go_on":
                break
            if source.should_stop():
                source.stopped()
                return
    source.finish(job.key)
