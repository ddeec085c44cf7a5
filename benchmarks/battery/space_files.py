"""Space files that are spoiled, made to explode, or misspelt, put to `abr-tune validate`."""

from __future__ import annotations

import contextlib
import io
import os
import re
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from benchmarks.battery.bombs import BOMBS
from benchmarks.battery.row import Row
from benchmarks.battery.spoiled import spoiled
from benchmarks.battery.typos import answers, share_right, told

ROOT: Final = Path(__file__).parents[2]
SPACES: Final = tuple(sorted((ROOT / "search_spaces").glob("*.yaml")))
SPOILED: Final = 500
AS_PROCESSES: Final = 40
"""So many of the spoiled files are also given to the command as a process of its own."""
SECONDS: Final = 1.0
BOUNDED: Final = ("sh", "-c", 'ulimit -v 524288; ulimit -t 10; exec "$0" "$@"')
"""512 MiB of address space, of which the interpreter and its libraries take a good part, and 10 seconds."""
LONGEST: Final = 60.0
"""Seconds of wall after which a process is taken to wait for ever."""
TYPOS: Final = 0.1
"""Share of all typos that is tried here; `benchmarks/battery/typos.py` tries all."""
RIGHT: Final = 0.95

_PLACED: Final = re.compile(r":\d+:\d+: error: ")
_ABOUT_THE_FILE: Final = re.compile(
    r": error: (is larger than|is a |there are more than|there is no such file|cannot be read)"
)


@dataclass(frozen=True, slots=True)
class Reply:
    """What `validate` made of one file."""

    what: str
    code: int
    said: str
    seconds: float
    """Of the processor: wall time would tell of others on the machine."""
    wall: float
    mebibytes: float = 0.0
    """The most it had in memory; 0 where it was not a process of its own."""

    @property
    def faults(self) -> tuple[str, ...]:
        """What was promised and not kept."""
        lines = [line for line in self.said.splitlines() if " error: " in line]
        found = {
            "exit code": self.code not in {0, 2},
            "traceback": "Traceback" in self.said or "a fault of ours" in self.said,
            "no place": self.code == 2
            and not all(_PLACED.search(line) or _ABOUT_THE_FILE.search(line) for line in lines),
            "no word": self.code == 2 and not lines,
            "slow": self.seconds > SECONDS,
        }
        return tuple(fault for fault, happened in found.items() if happened)


def space_files(folder: Path) -> Iterator[Row]:
    """Spoiled files in this process and as processes, bombs as processes, typos."""
    files = list(spoiled(shipped(), SPOILED))
    yield _row("space files spoiled", list(here(folder, files)))
    yield _row(
        "space files spoiled, processes",
        [apart(what, folder, _written(folder, file)) for what, file in files[:: SPOILED // AS_PROCESSES]],
    )
    yield _row("space files that explode", list(bombs(folder)))
    yield _typos(folder)


def bombs(folder: Path) -> Iterator[Reply]:
    """Every bomb given to the command as a process of its own."""
    for i, (name, make) in enumerate(BOMBS.items()):
        place = folder / f"bomb{i}"
        place.mkdir()
        yield apart(name, folder, make(place))


def _written(folder: Path, file: bytes) -> Path:
    path = folder / "spoiled.yaml"
    path.write_bytes(file)
    return path


def shipped() -> list[bytes]:
    """The shipped spaces, which are spoiled."""
    return [space.read_bytes() for space in SPACES]


def here(folder: Path, files: Iterable[tuple[str, bytes]]) -> Iterator[Reply]:
    """Through the command's own entry, in this process."""
    from abr_tune.cli import main

    for what, file in files:
        path, said = _written(folder, file), io.StringIO()
        began, wall = time.process_time(), time.monotonic()
        with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
            try:
                main(["validate", str(path)])
            except SystemExit as end:
                code = int(end.code or 0)
        yield Reply(what, code, said.getvalue(), time.process_time() - began, time.monotonic() - wall)


def apart(what: str, folder: Path, path: Path) -> Reply:
    """As a person would: a process of its own, with an end to its memory and its time."""
    command = [*BOUNDED, str(Path(sys.executable).with_name("abr-tune")), "validate", str(path)]
    said, wall, mebibytes = folder / "said.txt", time.monotonic(), 0.0
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    with said.open("wb") as out:
        process = subprocess.Popen(command, stdout=out, stderr=out, cwd=folder, env=environment)
    while not (ended := os.wait4(process.pid, os.WNOHANG))[0]:
        mebibytes = max(mebibytes, _most_memory(process.pid))
        if time.monotonic() - wall > LONGEST:
            process.kill()
        time.sleep(0.01)
    _, status, used = ended
    process.returncode = os.waitstatus_to_exitcode(status)
    text = said.read_text(encoding="utf-8", errors="replace")
    seconds = used.ru_utime + used.ru_stime
    return Reply(what, process.returncode, text, seconds, time.monotonic() - wall, mebibytes)


def _most_memory(pid: int) -> float:
    """The most a process has had in memory since it began its program; resource usage tells of its parent's too."""
    try:
        status = Path(f"/proc/{pid}/status").read_text(encoding="utf-8")
    except OSError:
        return 0.0
    found = re.search(r"VmHWM:\s+(\d+) kB", status)
    return int(found[1]) / 1024 if found else 0.0


def _row(fault: str, replies: Sequence[Reply]) -> Row:
    broken = [reply for reply in replies if reply.faults]
    codes = Counter(reply.code for reply in replies)
    slowest = max(replies, key=lambda reply: reply.seconds)
    wall, memory = (max(getattr(reply, part) for reply in replies) for part in ("wall", "mebibytes"))
    parts = [f"{codes[code]} exit {code}" for code in sorted(codes)]
    parts += [f"slowest {slowest.seconds:.2f} s of processor, {wall:.2f} s of wall ({slowest.what})"]
    parts += [f"at most {memory:.0f} MiB"] if memory else []
    parts += [f"BROKEN {one.what}: {' and '.join(one.faults)}" for one in broken[:5]]
    return Row(
        fault=fault,
        times=len(replies),
        promised="exit 0 or 2, every mistake with its place, no traceback, within a second of processor each",
        happened=", ".join(parts),
        holds=not broken,
    )


def _typos(folder: Path) -> Row:
    found = list(answers(folder, share=TYPOS))
    return Row(
        fault="keys misspelt by one edit",
        times=len(found),
        promised=f"at least {RIGHT:.0%} get the right suggestion first",
        happened=told(found),
        holds=share_right(found) >= RIGHT,
    )
