"""What a study and its checkpoints lie on: locked, full, damaged, or another machine's.

A run on which something was struck is given again as its messages say, and held against the same run left in peace.
"""

from __future__ import annotations

import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from benchmarks.battery.aftermath import happened
from benchmarks.battery.disks import Disk, apart, disks, may_mount
from benchmarks.battery.row import Row
from benchmarks.battery.struck import INLINE, ON_RAY, Ending, Quarry, Struck, quarry
from benchmarks.battery.struck_checkpoints import damaged_checkpoints

AS_IN_PEACE: Final = "then as in an uninterrupted run"
FULL: Final = "No space left on device"
SFTP: Final = Path("/usr/lib")
HOLD: Final = """
import sqlite3, sys, time
held = sqlite3.connect(sys.argv[1], isolation_level=None, timeout=60)
held.execute("BEGIN EXCLUSIVE")
print("held", flush=True)
time.sleep(float(sys.argv[2]))
"""
BRIEFLY, LONG = 5.0, 75.0
"""Seconds of a lock: waited for, and longer than anybody waits."""


def storage(folder: Path) -> Iterator[Row]:
    """Everything of this part."""
    if (rows := apart("storage")) is not None:
        yield from rows
        return
    os.environ["XDG_STATE_HOME"] = str(folder / "state")
    inline = quarry(folder / "q")
    with ThreadPoolExecutor(1) as waiting:
        # It sleeps most of the time.
        locked = waiting.submit(lambda: list(_locked(folder, inline)))
        yield from damaged_checkpoints(folder / "c", quarry)
        yield from _full(folder, inline)
        yield from _network(folder, inline)
        yield _damaged(folder, inline)
        yield from locked.result()


def _full(folder: Path, inline: Quarry) -> Iterator[Row]:
    """The disk is full while something is written, again and again; then there is room."""
    kinds: Sequence[tuple[str, Callable[[Path, Quarry], tuple[Struck, list[Ending]]], Quarry | None]] = (
        ("the database", _full_database, inline),
        ("a checkpoint or a history", _full_checkpoints, inline),
        ("a checkpoint or a history, under Ray", _full_on_ray, None),
        ("events and log", _full_events, inline),
        ("best, summary and report", _full_report, inline),
    )
    for number, (what, strike, known) in enumerate(kinds):
        fault, promised = f"disk full while writing {what}", f"exit 4 and a sentence, {AS_IN_PEACE}"
        if not may_mount():
            said = "not tried: no disk of its own could be mounted"
            yield Row(fault=fault, times=0, promised=promised, happened=said, holds=False)
            continue
        struck, endings = strike(folder / str(number), known or quarry(folder / "rq", words=ON_RAY))
        told = sum(each.told(4, "give the same command again") for each in endings)
        counts = struck.counts
        said = f"{told} of {len(endings)} told; {happened([counts])}"
        holds = told == len(endings) and counts.faultless
        yield Row(fault=fault, times=len(endings), promised=promised, happened=said, holds=holds)


def _again_and_again(struck: Struck, disk: Disk, *, times: int = 3) -> tuple[Struck, list[Ending]]:
    endings = []
    for _ in range(times):
        endings.append(struck.live(struck.after(3, 25), disk.fill))
        disk.free()
    return struck.settled(), endings


def _full_database(folder: Path, known: Quarry) -> tuple[Struck, list[Ending]]:
    with disks(folder / "disk") as [disk]:
        return _again_and_again(known.run(folder, *INLINE, "--storage", f"sqlite:///{disk.place}/study.db"), disk)


def _full_checkpoints(folder: Path, known: Quarry) -> tuple[Struck, list[Ending]]:
    with disks(folder / "walk/trials") as [disk]:
        return _again_and_again(known.run(folder, *INLINE), disk)


def _full_on_ray(folder: Path, known: Quarry) -> tuple[Struck, list[Ending]]:
    with disks(folder / "walk/trials") as [disk]:
        return _again_and_again(known.run(folder, *ON_RAY), disk, times=2)


def _full_events(folder: Path, known: Quarry) -> tuple[Struck, list[Ending]]:
    with disks(folder / "walk", folder / "walk/trials") as [disk, _trials]:
        return _again_and_again(known.run(folder, *INLINE, "--storage", f"sqlite:///{folder}/study.db"), disk)


def _full_report(folder: Path, known: Quarry) -> tuple[Struck, list[Ending]]:
    """Full when the search is over; then with room for all but the report; then full from the beginning."""
    run = folder / "walk"
    with disks(run, run / "trials", run / "confirm", size="3m") as [disk, *_others]:
        struck = known.run(folder, *INLINE, "--storage", f"sqlite:///{folder}/study.db")
        endings = [struck.live(struck.lives.seen("confirm/*"), disk.fill)]
        disk.free()
        endings.append(struck.live())
        endings.append(struck.live(strike=disk.fill))
        disk.free()
        disk.grow("64m")
        return struck.settled(), endings


def _locked(folder: Path, inline: Quarry) -> Iterator[Row]:
    """Another process holds the database, for a while and for longer than anybody waits."""
    brief = inline.run(folder / "lb", *INLINE)
    ending = brief.live(brief.after(3, 12), lambda: _hold(brief, BRIEFLY))
    counts = brief.become()
    said = f"ended with {ending.code} after {ending.seconds:.0f} s; {happened([counts])}"
    waited = ending.code == 0 and ending.seconds > BRIEFLY
    yield Row(
        fault=f"the database locked by another process for {BRIEFLY:.0f} s",
        times=brief.strikes,
        promised="is waited for, the run finishes",
        happened=said,
        holds=waited and counts.faultless,
    )
    long = inline.run(folder / "ll", *INLINE)
    holders: list[subprocess.Popen[str]] = []
    ending = long.live(long.after(3, 12), lambda: holders.append(_hold(long, LONG)))
    told = bool(holders) and ending.told(5, f"is locked by process {holders[0].pid} (", "give the same command again")
    for holder in holders:
        holder.kill()
        holder.wait()
    counts = long.become()
    yield Row(
        fault="the database locked for longer than that is waited for",
        times=long.strikes,
        promised=f"exit 5 after 60 s, naming who locks it, {AS_IN_PEACE}",
        happened=f"exit {ending.code} after {ending.seconds:.0f} s, told: {told}; {happened([counts])}",
        holds=told and ending.seconds > 60 and counts.faultless,
    )


def _hold(struck: Struck, seconds: float) -> subprocess.Popen[str]:
    words = [sys.executable, "-c", HOLD, str(struck.run / "study.db"), str(seconds)]
    holder = subprocess.Popen(words, stdout=subprocess.PIPE, text=True)
    assert holder.stdout is not None
    holder.stdout.readline()
    return holder


def _network(folder: Path, inline: Quarry) -> Iterator[Row]:
    """Mount tables of other machines are for the tests; here what this machine can really mount."""
    fault, promised = "SQLite on a network filesystem (sshfs)", "exit 4 with the remedy, nothing written"
    programs = [shutil.which("sshfs"), next(map(str, SFTP.glob("*/sftp-server")), shutil.which("sftp-server"))]
    if not (may_mount() and all(programs)):
        said = "not tried: sshfs and its server are not installed (Debian: sshfs, openssh-sftp-server)"
        yield Row(fault=fault, times=0, promised=promised, happened=said, holds=False)
        return
    far, near = folder / "far", folder / "near"
    with _mounted(str(programs[0]), str(programs[1]), far, near):
        here = inline.run(folder / "n", *INLINE, out=near)
        there = inline.run(folder / "e", *INLINE, "--storage", f"sqlite:///{near}/study.db")
        endings = [each.live() for each in (here, there)]
        for each in (here, there):
            each.lives.left_lying()
        left = [path.name for path in far.rglob("*")]
    told = sum(each.told(4, "SQLite's locks do not hold there", "postgresql+psycopg://") for each in endings)
    said = f"{told} of {len(endings)} told, {len(left)} files written there"
    yield Row(
        fault=fault, times=len(endings), promised=promised, happened=said, holds=told == len(endings) and not left
    )


@contextmanager
def _mounted(sshfs: str, server: str, far: Path, near: Path) -> Iterator[None]:
    """`near` shows `far` as another machine's: sshfs speaks to its server without a network between them."""
    import socket

    for place in (far, near):
        place.mkdir(parents=True)
    ours, theirs = socket.socketpair()
    with ours, theirs:
        serving = subprocess.Popen([server], stdin=theirs, stdout=theirs)
        mounting = subprocess.Popen([sshfs, "-f", "-o", "passive", f":{far}", str(near)], stdin=ours, stdout=ours)
    try:
        until = time.monotonic() + 10
        while not near.is_mount() and time.monotonic() < until:
            time.sleep(0.05)
        yield
    finally:
        subprocess.run(["umount", "-l", str(near)], check=False)
        for process in (mounting, serving):
            process.send_signal(signal.SIGTERM)
            process.wait()


def _damaged(folder: Path, inline: Quarry) -> Row:
    """Databases that cannot be read, or are somebody else's, in the place of a run's own."""
    struck = inline.run(folder / "d", *INLINE)
    struck.live()
    file, copy = struck.run / "study.db", folder / "copy.db"
    shutil.copyfile(file, copy)
    told = kept = 0
    for damage in DAMAGES:
        damage(file)
        before = file.read_bytes()
        ending = struck.live()
        told += ending.told(5) and bool(ending.said.strip())
        kept += file.read_bytes() == before
        file.unlink()
        shutil.copyfile(copy, file)
    counts = struck.become()
    return Row(
        fault="damaged and foreign databases: truncated, emptied, random, no database, other tables, other version",
        times=len(DAMAGES),
        promised=f"exit 5 and a sentence, nothing overwritten; with a copy put back {AS_IN_PEACE}",
        happened=f"{told} of {len(DAMAGES)} told, {kept} left as they were; {happened([counts])}",
        holds=told == kept == len(DAMAGES) and counts.faultless,
    )


def _cut(share: float) -> Callable[[Path], None]:
    return lambda file: os.truncate(file, int(file.stat().st_size * share))


def _scribbled(file: Path) -> None:
    content = bytearray(file.read_bytes())
    content[: len(content) // 2] = os.urandom(len(content) // 2)
    file.write_bytes(bytes(content))


def _no_database(file: Path) -> None:
    file.write_bytes(b"this is no database\n" * 1000)


def _queried(statement: str, *, anew: bool = False) -> Callable[[Path], None]:
    def damage(file: Path) -> None:
        if anew:
            file.unlink()
        with sqlite3.connect(file) as raw:
            raw.execute(statement)
        raw.close()

    return damage


DAMAGES: Final[tuple[Callable[[Path], Any], ...]] = (
    _cut(0.5),
    _cut(0.05),
    _cut(0.0),
    _scribbled,
    _no_database,
    _queried("CREATE TABLE visits (url TEXT)", anew=True),
    _queried("UPDATE alembic_version SET version_num = 'v2.6.0.a'"),
    _queried("DROP TABLE trials"),
)
