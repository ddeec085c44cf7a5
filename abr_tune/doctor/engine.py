"""Ray: does it start on this machine and answer, and what in the environment would lead it elsewhere?"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from typing import Any, Final

from abr_tune.doctor.child import NoAnswer, ask
from abr_tune.doctor.finding import Finding, Place, ok, problem, warning
from abr_tune.search.launch import NOT_STARTED
from abr_tune.search.orphans import find_orphans

SECONDS_TO_START: Final = 90.0
SLOW: Final = 30.0
"""Seconds of a start that are felt with every command."""


def ray(_place: Place) -> Iterator[Finding]:
    """Start Ray as a search does, have it compute, and end it, also when it hangs."""
    try:
        seen = ask(start_ray, seconds=SECONDS_TO_START)
    except NoAnswer as why:
        for orphan in find_orphans():
            if orphan.owner.pid == why.pid:
                orphan.end()
        yield problem(
            f"Ray does not start: {str(why).removeprefix(NOT_STARTED)}",
            "searches work without it, one training at a time, with --executor inline; see the lines about memory, "
            "temporary folder, open files and loopback",
        )
        return
    told = (
        f"Ray {seen['version']} starts in {seen['start']:.1f} s and answers; a token is wanted of whoever speaks to it"
    )
    if seen["start"] > SLOW:
        yield warning(f"{told}: slow", "is the machine busy, or its disk slow?")
    else:
        yield ok(told)


def start_ray() -> dict[str, Any]:
    """In a process of its own: what a search does first, with one core and one task."""
    from abr_tune.plan.plan import Resources
    from abr_tune.search.launch import Cluster

    began = time.monotonic()
    with Cluster(jobs=1, resources=Resources(), tidy=False) as cluster:
        cluster.wait()
        import ray

        answer = ray.get(ray.remote(lambda: os.getpid()).remote())  # noqa: PLW0108 - Ray takes no built-in
        took = time.monotonic() - began
        if answer == os.getpid():
            raise RuntimeError("no worker process was started")
        return {"version": ray.__version__, "start": took}
