"""The checks, in the order of the page, and how they are carried out."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from threading import Thread
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
SECONDS_TO_TIDY: Final = 8.0
"""For a Ray that is given up to be ended."""
SILENT: Final = "the results folder does not answer"


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

    `on_wait` is told, from the third second on and many times a second, which ones are still at it.
    """
    chosen = [name for name in CHECKS if name in only and not (quick and CHECKS[name].slow)]
    examination = _Examination(place)
    lines = [[name] for name in chosen if CHECKS[name].slow] + [[name for name in chosen if not CHECKS[name].slow]]
    threads = [Thread(target=examination.carry_out, args=(line,), daemon=True) for line in lines]
    try:
        for thread in threads:
            thread.start()
        _await(threads, lambda: on_wait(tuple(examination.doing)))
    finally:
        # Whoever interrupts this does not wait for Ray to start, only for what it started to be ended.
        hush()
        for thread, line in zip(threads, lines, strict=True):
            if any(CHECKS[name].slow for name in line):
                thread.join(SECONDS_TO_TIDY)
    return [Told(name, finding) for name in chosen for finding in examination.found[name]]


class _Examination:
    """What was found so far; threads carry out a line of checks each."""

    def __init__(self, place: Place) -> None:
        self._place = place
        self.found: dict[CheckName, list[Finding]] = {}
        self.doing: dict[CheckName, None] = {}
        """Checks that are being carried out."""

    def carry_out(self, line: Sequence[CheckName]) -> None:
        """One check after another, those of the results folder only while it answers."""
        unreachable: Finding | None = None
        asked = False
        for name in line:
            self.doing[name] = None
            if CHECKS[name].in_results and not asked:
                unreachable, asked = _unreachable(self._place), True
            if CHECKS[name].in_results and unreachable is not None:
                self.found[name] = [unreachable if name == "results" else warning(f"not looked at: {SILENT}")]
            else:
                self.found[name] = _carried_out(name, self._place)
            del self.doing[name]


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


def _await(threads: Sequence[Thread], on_wait: Callable[[], None]) -> None:
    began = time.monotonic()
    while any(thread.is_alive() for thread in threads):
        if time.monotonic() - began > SECONDS_IN_SILENCE:
            on_wait()
        time.sleep(0.02)


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
