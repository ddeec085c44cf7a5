"""What dead processes left behind: Ray's own, temporary folders, files half written, runs set aside, locks."""

from __future__ import annotations

import os
import re
import shutil
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Final

from abr_tune.doctor.disk import PROBE
from abr_tune.doctor.finding import Finding, Kept, Place, Repair, gibibytes, note, ok, warning
from abr_tune.doctor.standing import at_work, survey
from abr_tune.errors import UserError
from abr_tune.folder import SET_ASIDE
from abr_tune.processes import PROC, exists
from abr_tune.report.wording import counted
from abr_tune.runs import LOCK, RunFolder, driver_of
from abr_tune.search.orphans import Orphan, find_orphans

SECONDS_FOR_ALL: Final = 10.0
CHECKPOINTS: Final = 2
"""That a trial keeps."""
HALF: Final = tuple(
    map(
        re.compile,
        (
            r"\.[^/]+\.(?P<pid>\d+)\.tmp",
            r"\.[^/]+\.parquet\.tmp",
            r"\.new-epoch-\d+",
            r"\.(checkpoint|config\.yaml|history\.jsonl|traceback\.txt)\.new",
            r"\.checkpoint\.old",
            r"\.seen-\w+",
        ),
    )
)
"""Names under which files are written before they get their own, and of markers; with the process's number in some."""
SHOWN: Final = 3


def orphans(_place: Place) -> Iterator[Finding]:
    """Processes and temporary folders of runs that were killed."""
    found = find_orphans()
    for orphan in found:
        yield warning(
            f"{orphan}, {gibibytes(orphan.size)}",
            "",
            (Repair(_ending(orphan), partial(_end, orphan)),),
        )
    if not found:
        yield ok("no processes and no temporary folders of dead runs")


def _ending(orphan: Orphan) -> str:
    parts = [f"end processes {', '.join(str(each.pid) for each in orphan.processes)}"] if orphan.processes else []
    return " and ".join([*parts, *(f"remove {folder}" for folder in orphan.folders)])


def _end(orphan: Orphan) -> None:
    if not orphan.end():
        raise OSError("something of it could not be ended or removed")


def half_written(place: Place) -> Iterator[Finding]:
    """Files that a killed process was writing when it died, in folders where nobody is at work."""
    until, count, seen = time.monotonic() + SECONDS_FOR_ALL, 0, 0
    runs = survey(place).runs
    for run in runs:
        if time.monotonic() > until:
            break
        seen += 1
        if at_work(run, place) is not None:
            continue
        if left := list(_left_in(run.path)):
            count += len(left)
            named = _few([path.relative_to(run.path) for path in left])
            repairs = tuple(Repair(f"remove {path}", partial(_remove, path, _still(run, place))) for path in left)
            yield warning(f"{run.path}: {counted(len(left), 'thing')} half written: {named}", "", repairs)
    for path in _probes(place):
        yield warning(
            f"{path} is what a doctor that was killed left", "", (Repair(f"remove {path}", partial(_remove, path)),)
        )
        count += 1
    if seen < len(runs):
        yield note(
            f"{len(runs) - seen} of {counted(len(runs), 'folder')} were not looked into within {SECONDS_FOR_ALL:g} s"
        )
    if not count:
        yield ok(f"nothing half written in {counted(seen, 'folder')}")


def _left_in(folder: Path) -> Iterator[Path]:
    """Half-written files and folders below a run's folder; links are not followed."""
    for here, below, files in os.walk(folder):
        names = [*files, *below]
        found = [name for name in names if name.startswith(".") and _half(name, Path(here))]
        yield from (Path(here, name) for name in sorted(found))
        below[:] = [name for name in below if name not in found]


def _half(name: str, folder: Path) -> bool:
    match = next(filter(None, (pattern.fullmatch(name) for pattern in HALF)), None)
    if match is None or (folder / name).is_symlink():
        return False
    if (pid := match.groupdict().get("pid")) is not None:
        return not exists(int(pid))
    # Where a crash fell between two renames, the old checkpoint is the only one.
    return name != ".checkpoint.old" or (folder / "checkpoint").exists()


def _still(run: RunFolder, place: Place) -> Callable[[], str | None]:
    return lambda: at_work(run, place.anew())


def _remove(path: Path, worker: Callable[[], str | None] = lambda: None) -> None:
    if (who := worker()) is not None:
        raise Kept(f"somebody is at work there now: {who}")
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _probes(place: Place) -> Iterator[Path]:
    for path in place.ground.glob(f"{PROBE}*-*"):
        pid = path.name.removeprefix(PROBE).split("-")[0]
        if pid.isdecimal() and not exists(int(pid)) and path.is_dir() and not path.is_symlink():
            yield path


def checkpoints(place: Place) -> Iterator[Finding]:
    """Trials with more checkpoints than they keep."""
    many = []
    for run in survey(place).runs:
        if at_work(run, place) is None:
            many += [
                folder
                for folder in [*run.path.glob("trials/*/checkpoint"), *run.path.glob("confirm/*/checkpoint")]
                if sum(1 for _ in folder.glob("epoch-*")) > CHECKPOINTS
            ]
    if many:
        said = counted(len(many), "training has", "trainings have")
        yield note(
            f"{said} more than {CHECKPOINTS} checkpoints, {_few(many)}", "the next epoch of each sweeps the older ones"
        )
    else:
        yield ok(f"no training has more than its last {CHECKPOINTS}")


def set_aside(place: Place) -> Iterator[Finding]:
    """Runs that `--fresh` set aside, and the room they take."""
    found = [run.path for run in survey(place).runs if SET_ASIDE.fullmatch(run.name)]
    if not found:
        yield ok("no runs set aside by --fresh")
        return
    size, all_of_it = _size(found)
    more = "" if all_of_it else "more than "
    yield note(
        f"{counted(len(found), 'run')} set aside by --fresh: {more}{gibibytes(size)}, {_few(found)}",
        "remove by hand what is not wanted any more",
    )


def _size(folders: list[Path]) -> tuple[int, bool]:
    """Bytes in some folders, and whether everything could be counted in time."""
    until, total = time.monotonic() + 1.0, 0
    for folder in folders:
        for here, _below, files in os.walk(folder):
            total += sum(Path(here, name).lstat().st_size for name in files)
            if time.monotonic() > until:
                return total, False
    return total, True


def locks(place: Place) -> Iterator[Finding]:
    """Runs whose lock is held although their driver is gone."""
    held = 0
    for run in survey(place).runs:
        try:
            driving = driver_of(run.path)
        except UserError as unreadable:
            yield warning(str(unreadable), "may you read it?")
            continue
        if driving is None:
            continue
        held += 1
        if driving.process.gone:
            who = _holder(run.path / LOCK)
            yield warning(
                f"{run.path}: {driving.process} is gone, but its lock is held by "
                + (f"process {who}, which it started" if who else "something it started"),
                f"kill {who}" if who else "end what is left of it",
            )
    yield ok(f"{counted(held, 'run is', 'runs are')} being driven" if held else "no run is being driven")


def _holder(lock: Path) -> int | None:
    """The process that has a lock's file open; None where the system does not tell."""
    for handle in PROC.glob("[0-9]*/fd/*"):
        try:
            if handle.resolve() == lock.resolve() and int(handle.parts[2]) != os.getpid():
                return int(handle.parts[2])
        except OSError:
            continue
    return None


def _few(paths: list[Path]) -> str:
    named = ", ".join(map(str, paths[:SHOWN]))
    return named if len(paths) <= SHOWN else f"{named}, ..."
