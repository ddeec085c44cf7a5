"""The disks a search writes to: their kind, the room on them, and whether what studies rely on really works there."""

from __future__ import annotations

import fcntl
import os
import shutil
import sqlite3
import statistics
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from abr_tune.doctor.child import NoAnswer, ask
from abr_tune.doctor.finding import Finding, Place, gibibytes, note, ok, problem, warning
from abr_tune.search.orphans import scratch_place

PROBE: Final = ".doctor-"
"""A folder that is written for a moment, in the results folder or above it: this, our process id, letters."""
SECONDS_TO_ANSWER: Final = 20.0
ROOM: Final = {"results": 2**30, "temp": 2**29}
"""Bytes a run is assumed to take: checkpoints, histories and the study; Ray's logs and what it keeps on disk."""
LITTLE: Final = {"results": 2**27, "temp": 2**26}
"""Bytes with which it is not worth beginning."""
FILES: Final = 10_000
"""Inodes a run is assumed to take; a trial has about ten files."""
SHARED: Final = Path("/dev/shm")  # noqa: S108 - only measured
OBJECTS: Final = 125 * 2**20
"""Of shared memory: with less, Ray keeps its objects in files."""
SLOW: Final = 0.05
"""Seconds of an fsync from which on commits hold short trials up."""
UNREAL: Final = 2e-5
"""Seconds of an fsync that reached no disk."""
SKEW: Final = 60.0
"""Seconds between two clocks that are not told apart: heartbeats are late by as much."""


def kind(place: Place) -> Iterator[Finding]:
    """Whether the disks are this machine's own: SQLite's locks do not hold on another's."""
    from abr_tune.filesystems import mount_of, mounts

    known = mounts()
    shared = place.storage is not None and not place.storage.startswith("sqlite")
    for name, path in (("results", place.ground), ("temp", place.temp)):
        found = mount_of(path, known)
        if found is None:
            yield note(f"{name}: the system does not tell what kind of disk {path} lies on")
        elif found.remote is None:
            yield judge_local(name, found.type)
        elif name == "temp":
            yield warning(f"temp: {path} lies on {found.remote}: slow", "set TMPDIR to a folder on a local disk")
        elif shared:
            yield note(f"results: {path} lies on {found.remote}: slow, but the study is kept elsewhere")
        else:
            yield problem(
                f"results: {path} lies on {found.remote}, where SQLite's locks do not hold",
                "give a folder on a local disk with --out, or keep the study in PostgreSQL with --storage",
            )


def judge_local(name: str, kind: str) -> Finding:
    """What a local filesystem means for results or temporary files."""
    if name == "results" and kind in {"tmpfs", "ramfs"}:
        return warning(
            f"results: kept in memory ({kind}), gone with the next start of the machine", "give --out a disk"
        )
    return ok(f"{name}: {kind}, a disk of this machine")


def room(place: Place) -> Iterator[Finding]:
    """Free space where a run writes, folders on the same disk together."""
    together: dict[int, list[tuple[str, Path]]] = defaultdict(list)
    for name, path in (("results", place.ground), ("temp", place.temp)):
        together[path.stat().st_dev].append((name, path))
    for each in together.values():
        named = " and ".join(f"{name} ({path})" for name, path in each)
        free, total = shutil.disk_usage(each[0][1])[2], shutil.disk_usage(each[0][1])[0]
        needed, little = sum(ROOM[name] for name, _ in each), sum(LITTLE[name] for name, _ in each)
        yield judge_room(named, free=free, total=total, needed=needed, little=little)


def judge_room(named: str, *, free: int, total: int, needed: int, little: int) -> Finding:
    """What free bytes mean for a run that is assumed to take `needed` of them."""
    said = f"{gibibytes(free)} of {gibibytes(total)} free for {named}"
    remedy = "free some, or give another place with --out, and TMPDIR for temporary files"
    if free < little:
        return problem(f"{said}: too little to begin", remedy)
    if free < needed:
        return warning(f"{said}; {gibibytes(needed)} are assumed for a run", remedy)
    return ok(f"{said}; {gibibytes(needed)} are assumed for a run")


def inodes(place: Place) -> Iterator[Finding]:
    """How many more files the disks can hold."""
    for name, path in (("results", place.ground), ("temp", place.temp)):
        known = os.statvfs(path)
        if known.f_files == 0:
            yield ok(f"{name}: this filesystem does not count them")
        elif known.f_favail < FILES:
            few = problem if known.f_favail < FILES // 10 else warning
            yield few(
                f"{name}: only {known.f_favail} more files fit on its disk ({path}); {FILES} are assumed for a run",
                "remove some files, or give another place",
            )
        else:
            yield ok(f"{name}: {known.f_favail} more files fit")


def shared_memory(_place: Place) -> Iterator[Finding]:
    """Where Ray keeps the data that all workers read."""
    if not SHARED.is_dir():
        yield ok("this system has no /dev/shm, Ray keeps its objects in files")
        return
    free = shutil.disk_usage(SHARED).free
    if free < OBJECTS:
        yield warning(
            f"{gibibytes(free)} free in {SHARED}; with less than {gibibytes(OBJECTS)} Ray keeps its objects in files, "
            "which is slower",
            "give a container more with --shm-size=2g",
        )
    else:
        yield ok(f"{gibibytes(free)} free in {SHARED}")


def temp_path(place: Place) -> Iterator[Finding]:
    """Whether Ray's sockets, whose paths must be short, fit into the temporary folder."""
    wanted, used = os.environ.get("TMPDIR"), scratch_place()
    if wanted and Path(os.path.abspath(wanted)) != place.temp:  # noqa: PTH100 - as tempfile makes it
        yield warning(f"TMPDIR is {wanted}, which cannot be written to; {place.temp} is used", "make it, or unset it")
    if not os.access(used, os.W_OK | os.X_OK):
        yield problem(f"{used} may not be written to", "set TMPDIR to a folder with a short path")
    elif used != place.temp:
        yield note(f"{place.temp} is too long for the paths of Ray's sockets: its temporary folder goes to {used}")
    else:
        yield ok(f"{used} is short enough for the paths of Ray's sockets")


def writing(place: Place) -> Iterator[Finding]:
    """Whether writing, renaming, locking and flushing work where results go, by doing it."""
    if not place.out.exists():
        yield note(f"{place.out} is not there yet; the first run makes it in {place.ground}")
    try:
        seen = ask(probe, str(place.ground), seconds=SECONDS_TO_ANSWER)
    except NoAnswer as why:
        yield problem(
            f"{place.ground} could not be tried: {why}", "give another folder with --out; is its disk mounted?"
        )
        return
    yield from judge_probe(place.ground, seen)


def judge_probe(folder: Path, seen: dict[str, Any]) -> Iterator[Finding]:
    """What `probe` saw, step by step."""
    if (failed := seen.get("failed")) is not None:
        yield problem(
            f"{failed['step']} does not work in {folder}: {failed['error']}",
            "give a folder on a local disk that you may write to with --out",
        )
        return
    yield ok(f"written, renamed, locked and flushed in {folder}, and a SQLite study kept there")
    took = seen["fsync"]
    if took > SLOW:
        yield warning(
            f"flushing a file takes {took * 1e3:.0f} ms: a study commits about once a second and at the end of each "
            "trial, and short trials wait for it",
            "give a folder on a faster disk with --out",
        )
    elif took < UNREAL:
        yield note(f"flushing a file takes {took * 1e6:.0f} µs: nothing reaches a disk, and a power cut loses the run")
    else:
        yield ok(f"flushing a file takes {took * 1e3:.1f} ms")
    if abs(seen["skew"]) > SKEW:
        yield warning(
            f"the clock of the disk is {seen['skew']:+.0f} s from this machine's",
            "set both clocks by a time server (chronyc tracking says how far off one is)",
        )


def probe(ground: str) -> dict[str, Any]:
    """Do in a folder what a run does there, in a folder of its own that is removed; how long a flush takes.

    The first step that fails is named instead, with the system's words.
    """
    step = "writing"
    try:
        folder = Path(tempfile.mkdtemp(prefix=f"{PROBE}{os.getpid()}-", dir=ground))
        try:
            first, second = folder / "first", folder / "second"
            first.write_bytes(b"a" * 2**16)
            step = "flushing (fsync)"
            took = statistics.median(_flushed(folder / f"flushed-{number}") for number in range(5))
            skew = second_of(folder / "flushed-4")
            step = "renaming over a file"
            second.write_bytes(b"b")
            second.replace(first)
            if first.read_bytes() != b"b" or second.exists():
                return _failed(step, "the file is not what was renamed")
            step = "locking (flock)"
            if not _excludes(first):
                return _failed(step, "a lock that is held does not keep others out")
            step = "a SQLite database"
            _keep_study(folder / "study.db")
        finally:
            shutil.rmtree(folder)
    except (OSError, sqlite3.Error) as fault:
        return _failed(step, str(getattr(fault, "strerror", None) or fault))
    return {"fsync": took, "skew": skew}


def second_of(path: Path) -> float:
    """By how many seconds the time a file was written at is off the clock of this machine, just after writing it."""
    return path.stat().st_mtime - time.time()


def _failed(step: str, error: str) -> dict[str, Any]:
    return {"failed": {"step": step, "error": error}}


def _flushed(path: Path) -> float:
    with path.open("wb") as file:
        file.write(b"c" * 4096)
        file.flush()
        began = time.perf_counter()
        os.fsync(file.fileno())
        return time.perf_counter() - began


def _excludes(path: Path) -> bool:
    with path.open("ab") as holder, path.open("ab") as other:
        fcntl.flock(holder, fcntl.LOCK_EX | fcntl.LOCK_NB)
        try:
            fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        return False


def _keep_study(path: Path) -> None:
    connection = sqlite3.connect(path, timeout=5)
    try:
        with connection:
            connection.execute("CREATE TABLE kept (number INTEGER)")
            connection.execute("INSERT INTO kept VALUES (7)")
        said = connection.execute("PRAGMA quick_check").fetchone()[0]
        if said != "ok":
            raise sqlite3.DatabaseError(said)
    finally:
        connection.close()
