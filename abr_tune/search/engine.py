"""Where trainings are carried out, and how many at a time: one choice for searches, confirmations and banks."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass

from abr_tune import environment
from abr_tune.plan.plan import Resources
from abr_tune.search.executor import ExecutorName, Shared, Source
from abr_tune.search.inline import run_inline
from abr_tune.search.launch import Cluster
from abr_tune.search.signals import Interruption


def at_a_time(executor: ExecutorName, jobs: int | None, *, cpus: int, address: str | None = None) -> int | None:
    """How many trainings of `cpus` cores each run side by side, where nobody says in `jobs`.

    Inline one; on this machine as many as the cores allow; None: as many as the cluster at `address` has room for.
    """
    if executor == "inline":
        return 1
    if address is not None:
        return jobs
    return jobs or max(1, environment.cores() // cpus)


@dataclass(frozen=True, slots=True, kw_only=True)
class Engine:
    """One executor with its settings."""

    executor: ExecutorName
    jobs: int | None
    """None: as many as the cluster at `address` has room for."""
    resources: Resources
    address: str | None
    cluster: Cluster | None = None
    """A Ray that is running already; without it one is started, or joined, for each `run`."""

    def run(self, source: Source, shared: Shared, interruption: Interruption) -> None:
        """Train what `source` hands out.

        Raises `Signalled` at a second signal, or when the first is not obeyed in time: the end is not waited for.
        """
        if self.executor == "inline":
            with interruption.insistent():
                run_inline(source, shared)
            return
        with ExitStack() as stack:
            here = Cluster(jobs=self.jobs, resources=self.resources, address=self.address)
            cluster = self.cluster or stack.enter_context(here)
            with interruption.insistent():
                cluster.run(source, shared, on_wait=interruption.arm)
