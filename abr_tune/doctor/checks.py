"""The checks, in the order of the page, and how they are carried out."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Final, Literal

from abr_tune.doctor import database, disk, engine, gpu, machine, packages, remains, standing, studies, words
from abr_tune.doctor.child import NoAnswer, ask, hush
from abr_tune.doctor.finding import Finding, Kept, Level, Look, Place, warning
from abr_tune.errors import AbrTuneError

Group = Literal["software", "machine", "files", "engine", "left behind"]
CheckName = Literal[
    "python",
    "packages",
    "extras",
    "sqlite",
    "cores",
    "threads",
    "memory",
    "limits",
    "gpu",
    "clock",
    "letters",
    "terminal",
    "results",
    "kind of disk",
    "room",
    "inodes",
    "shared memory",
    "temp path",
    "storage",
    "loopback",
    "ray",
    "orphans",
    "half-written",
    "unfinished",
    "studies",
    "records",
    "checkpoints",
    "locks",
    "leases",
    "set aside",
]
LEVELS: Final[Sequence[Level]] = ("ok", "note", "warning", "problem")
SECONDS_TO_REACH: Final = 20.0
"""A disk behind a network that went away keeps whoever asks waiting for ever."""
SECONDS_IN_SILENCE: Final = 2.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One look, and what it belongs to."""

    group: Group
    look: Look
    slow: bool = False
    """Takes seconds in a process of its own; `--quick` leaves it out."""
    in_results: bool = False
    """Reads the results folder, which may not answer."""


CHECKS: Final[dict[CheckName, Check]] = {
    "python": Check(group="software", look=packages.python),
    "packages": Check(group="software", look=packages.packages),
    "extras": Check(group="software", look=packages.extras),
    "sqlite": Check(group="software", look=packages.sqlite),
    "cores": Check(group="machine", look=machine.cores),
    "threads": Check(group="machine", look=machine.threads),
    "memory": Check(group="machine", look=machine.memory),
    "limits": Check(group="machine", look=machine.limits),
    "gpu": Check(group="machine", look=gpu.gpu, slow=True),
    "clock": Check(group="machine", look=machine.clock, in_results=True),
    "letters": Check(group="machine", look=words.letters),
    "terminal": Check(group="machine", look=words.terminal),
    "results": Check(group="files", look=disk.writing, in_results=True),
    "kind of disk": Check(group="files", look=disk.kind, in_results=True),
    "room": Check(group="files", look=disk.room, in_results=True),
    "inodes": Check(group="files", look=disk.inodes, in_results=True),
    "shared memory": Check(group="files", look=disk.shared_memory),
    "temp path": Check(group="files", look=disk.temp_path),
    "storage": Check(group="files", look=database.storage),
    "loopback": Check(group="engine", look=machine.loopback),
    "ray": Check(group="engine", look=engine.ray, slow=True),
    "orphans": Check(group="left behind", look=remains.orphans),
    "half-written": Check(group="left behind", look=remains.half_written, in_results=True),
    "unfinished": Check(group="left behind", look=studies.unfinished, in_results=True),
    "studies": Check(group="left behind", look=studies.studies, in_results=True),
    "records": Check(group="left behind", look=studies.records, in_results=True),
    "checkpoints": Check(group="left behind", look=remains.checkpoints, in_results=True),
    "locks": Check(group="left behind", look=remains.locks, in_results=True),
    "leases": Check(group="left behind", look=studies.leases, in_results=True),
    "set aside": Check(group="left behind", look=remains.set_aside, in_results=True),
}
"""Those in the same group stand together."""


@dataclass(frozen=True, slots=True)
class Told:
    """A finding and the check it came from."""

    check: CheckName
    finding: Finding


@dataclass(frozen=True, slots=True)
class Mended:
    """A repair, and what came of it."""

    check: CheckName
    what: str
    error: str = ""
    """Why it was not done; empty when it was."""


def examine(
    place: Place,
    *,
    quick: bool = False,
    only: Sequence[CheckName] = tuple(CHECKS),
    on_wait: Callable[[Sequence[CheckName]], None] = lambda _names: None,
) -> list[Told]:
    """Carry the checks out, in their order; slow ones beside the others.

    `on_wait` is told, from the third second on and every second, which ones are still at it.
    """
    chosen = [name for name in CHECKS if name in only and not (quick and CHECKS[name].slow)]
    unreachable = _unreachable(place) if any(CHECKS[name].in_results for name in chosen) else None
    found: dict[CheckName, list[Finding]] = {}
    with ExitStack() as stack:
        slow: dict[CheckName, Future[list[Finding]]] = {}
        if any(CHECKS[name].slow for name in chosen):
            pool = stack.enter_context(ThreadPoolExecutor())
            slow = {name: pool.submit(_carried_out, name, place) for name in chosen if CHECKS[name].slow}
        # Whoever interrupts this does not wait for Ray to start.
        stack.callback(hush)
        for name in chosen:
            if CHECKS[name].in_results and unreachable is not None:
                found[name] = [unreachable if name == "results" else warning("not looked at: results do not answer")]
            elif name not in slow:
                found[name] = _carried_out(name, place)
        _await(slow, on_wait)
        found |= {name: future.result() for name, future in slow.items()}
    return [Told(name, finding) for name in chosen for finding in found[name]]


def _unreachable(place: Place) -> Finding | None:
    """The problem when the results folder keeps even a child waiting; nobody looks into it then."""
    try:
        ask(standing.reach, str(place.out), seconds=SECONDS_TO_REACH)
    except NoAnswer as why:
        return Finding(
            "problem", f"{place.out} could not be looked at: {why}", "is its disk mounted, and does it answer?"
        )
    return None


def _carried_out(name: CheckName, place: Place) -> list[Finding]:
    """What a check finds; one that fails itself is a finding too, and never says that all is well."""
    found: list[Finding] = []
    try:
        found.extend(CHECKS[name].look(place))
    except AbrTuneError as known:
        found.append(warning(f"could not be told: {known}"))
    except Exception as fault:  # noqa: BLE001 - whatever is wrong here is what a doctor is for: it is said
        found.append(warning(f"could not be told: {type(fault).__name__}: {fault}"))
    return found


def _await(slow: dict[CheckName, Future[list[Finding]]], on_wait: Callable[[Sequence[CheckName]], None]) -> None:
    began = time.monotonic()
    while open_ones := [name for name, future in slow.items() if not future.done()]:
        if time.monotonic() - began > SECONDS_IN_SILENCE:
            on_wait(open_ones)
        time.sleep(0.1)


def mend(told: Sequence[Told]) -> Iterator[Mended]:
    """Carry out what can be repaired, and say of each what came of it."""
    for each in told:
        for repair in each.finding.repairs:
            try:
                repair.act()
            except (OSError, Kept) as refused:
                yield Mended(each.check, repair.what, str(refused) or type(refused).__name__)
            else:
                yield Mended(each.check, repair.what)


def worst(told: Sequence[Told]) -> Level:
    """The highest level of some findings; ok without any."""
    return max((each.finding.level for each in told), key=LEVELS.index, default="ok")
