"""What this machine, or the container on it, lets a search have: cores, memory, processes, files, and a clock."""

from __future__ import annotations

import os
import resource
import socket
import time
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Final

from abr_tune import cgroups, environment
from abr_tune.doctor.finding import Finding, Place, gibibytes, note, ok, problem, warning
from abr_tune.runs import runs_in

A_TRAINING: Final = 2**29
"""Bytes of memory a training at a time is assumed to take, a worker with torch has 370 MiB; large data come on top."""
THE_REST: Final = 2**30
"""Bytes for the driver and Ray's own servers, which have 700 MiB."""
PINNING: Final = ("OMP_PROC_BIND", "GOMP_CPU_AFFINITY", "KMP_AFFINITY")
"""Variables that tie threads to cores: all trainings to the same ones."""
SPINNING: Final[Mapping[str, str]] = {"OMP_WAIT_POLICY": "active", "KMP_BLOCKTIME": "infinite"}
"""Variables, and the value with which threads that wait take the cores of those that work."""
OVERRIDDEN: Final = ("OMP_NUM_THREADS", "MKL_NUM_THREADS")
"""A training sets these to its `resources.cpus`."""
FILES: Final = 256
"""Open files for the busiest of Ray's servers, which has 56 for one training, and for the reading of data."""
FILES_OF_A_TRAINING: Final = 8
"""It has 3 more for each training at a time."""
FEWEST_FILES: Final = 64
RAISED_TO: Final = 65536
"""Ray raises the soft limit as far as the hard one lets it."""
THREADS: Final = 300
"""Of Ray's servers, which have 160, and of the driver."""
THREADS_OF_A_TRAINING: Final = 50
"""A worker has 23 without torch."""
A_RUN_LARGE: Final = 16 * 2**30
"""Bytes of address space torch and Ray may reserve without using them."""
FILE_LARGE: Final = 2**30
OUR_TIME: Final = datetime(2025, 1, 1, tzinfo=UTC).timestamp()
"""Clocks that show less have not been set since the machine was started."""
A_DAY: Final = 86400.0
PORT: Final = 8080
"""Where `abr-tune dashboard` answers unless told otherwise."""


def cores(_place: Place) -> Iterator[Finding]:
    """How many trainings run at a time by default, and what else the machine does."""
    mine, all_of_them, quota = environment.cores(), os.cpu_count() or 1, cgroups.cpu_quota()
    why = f"; a quota of {quota:g} cores is set" if quota is not None else ""
    yield ok(f"{mine} of the machine's {all_of_them} for this process{why}: as many trainings of one core at a time")
    busy = os.getloadavg()[0]
    if busy > all_of_them + 0.5:
        yield note(f"others are at work: {busy:.1f} processes on {all_of_them} cores in the last minute")


def threads(_place: Place) -> Iterator[Finding]:
    """Variables of the environment that make trainings beside each other slow."""
    said = os.environ
    bad = [f"{name}={said[name]}" for name in PINNING if said.get(name, "false").lower() not in {"", "false", "none"}]
    bad += [f"{name}={said[name]}" for name, value in SPINNING.items() if said.get(name, "").lower() == value]
    for each in bad:
        yield warning(f"{each} makes trainings beside each other wait for the same core", f"unset {each.split('=')[0]}")
    known = [f"{name}={said[name]}" for name in OVERRIDDEN if name in said]
    if known and not bad:
        yield ok(f"{' and '.join(known)} of this shell; a training uses as many threads as resources.cpus says")
    elif not bad:
        yield ok("a training uses as many threads as resources.cpus says")


def memory(_place: Place) -> Iterator[Finding]:
    """Free memory, of the machine or of the container, against what trainings are assumed to take."""
    import psutil

    machine, limited = psutil.virtual_memory(), cgroups.memory()
    free, total, whose = int(machine.available), int(machine.total), "machine"
    if limited is not None and limited.free < free:
        free, total, whose = limited.free, limited.limit, "container"
    yield judge_memory(free, total, whose=whose, at_a_time=environment.cores())
    swap = psutil.swap_memory()
    if swap.total and swap.percent > 50 and free < total // 4:
        yield note(f"{swap.percent:.0f} % of the swap is in use: trainings may be slow")


def judge_memory(free: int, total: int, *, whose: str, at_a_time: int) -> Finding:
    """What free bytes mean for so many trainings at a time."""
    needed = THE_REST + at_a_time * A_TRAINING
    said = f"{gibibytes(free)} of the {whose}'s {gibibytes(total)} are free"
    assumed = f"{gibibytes(needed)} are assumed for {at_a_time} small trainings at a time"
    if free < A_TRAINING:
        return problem(f"{said}: too little for one training", "end something else, or give the container more")
    if free < needed:
        fit = max(1, (free - THE_REST) // A_TRAINING)
        return warning(f"{said}; {assumed}", f"end something else, or run with --jobs {fit}")
    return ok(f"{said}; {assumed}")


def limits(_place: Place) -> Iterator[Finding]:
    """What this user may open, start and write."""
    endless = resource.RLIM_INFINITY
    yield judge_files(*resource.getrlimit(resource.RLIMIT_NOFILE), at_a_time=environment.cores())
    yield from _processes()
    for kind, name, wanted in (
        (resource.RLIMIT_AS, "address space (ulimit -v)", A_RUN_LARGE),
        (resource.RLIMIT_FSIZE, "a file (ulimit -f)", FILE_LARGE),
    ):
        allowed = resource.getrlimit(kind)[0]
        if endless != allowed < wanted:
            yield warning(f"{name} is limited to {gibibytes(allowed)}", f"raise it to {gibibytes(wanted)} or more")


def judge_files(soft: int, hard: int, *, at_a_time: int) -> Finding:
    """What a soft and a hard limit of open files mean for so many trainings at a time."""
    if hard == resource.RLIM_INFINITY:
        hard = max(soft, RAISED_TO)
    files, wanted = max(soft, min(hard, RAISED_TO)), FILES + at_a_time * FILES_OF_A_TRAINING
    if files < wanted:
        few = problem if files < FEWEST_FILES else warning
        said = f"{files} open files are allowed; {wanted} are assumed for {at_a_time} trainings at a time"
        return few(said, f"have the hard limit raised (ulimit -Hn {wanted}), or use --executor inline")
    return ok(f"{soft} open files are allowed" + (f", and Ray raises that to {files}" if files > soft else ""))


def _processes() -> Iterator[Finding]:
    """Threads count as processes here."""
    wanted = THREADS + environment.cores() * THREADS_OF_A_TRAINING
    allowed = resource.getrlimit(resource.RLIMIT_NPROC)[0]
    left = None if allowed == resource.RLIM_INFINITY or os.geteuid() == 0 else allowed - _threads_of_user()
    if (group := cgroups.pids()) is not None:
        left = min(group[0] - group[1], group[0] if left is None else left)
    if left is None:
        yield ok("any number of processes")
    elif left < wanted:
        yield warning(
            f"{max(0, left)} more processes and threads may be started; Ray is assumed to start {wanted}",
            "raise ulimit -u, or the container's --pids-limit",
        )
    else:
        yield ok(f"{left} more processes and threads may be started")


def _threads_of_user() -> int:
    import psutil

    mine = os.getuid()
    return sum(
        each.info["num_threads"] or 0
        for each in psutil.process_iter(["uids", "num_threads"])
        if each.info["uids"] is not None and each.info["uids"].real == mine
    )


def clock(place: Place) -> Iterator[Finding]:
    """Whether the clock shows a time that can be."""
    now = time.time()
    newest = max((run.space.stat().st_mtime for run in runs_in(place.out)), default=now)
    shown = datetime.fromtimestamp(now, UTC).strftime("%Y-%m-%d %H:%M UTC")
    if now < OUR_TIME:
        yield warning(f"it shows {shown}: it was never set", "set it by a time server")
    elif newest > now + A_DAY:
        yield warning(f"it shows {shown}, but a run lies in the future", "set it by a time server")
    else:
        yield ok(shown)


def loopback(_place: Place) -> Iterator[Finding]:
    """Whether processes of this machine can talk to each other, and whether the dashboard's port is free."""
    with socket.socket() as server, socket.socket() as client:
        server.settimeout(2)
        client.settimeout(2)
        try:
            server.bind(("127.0.0.1", 0))
            server.listen(1)
            client.connect(server.getsockname())
        except OSError as fault:
            yield problem(f"127.0.0.1 does not answer: {fault.strerror or fault}", "ip link set lo up, as root")
            return
    with socket.socket() as taken:
        if taken.connect_ex(("127.0.0.1", PORT)) == 0:
            yield note(f"127.0.0.1 answers; port {PORT} is taken", "abr-tune dashboard RUN --port 0 takes a free one")
        else:
            yield ok(f"127.0.0.1 answers, and port {PORT} is free for the dashboard")
