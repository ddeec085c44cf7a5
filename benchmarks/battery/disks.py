"""Small disks of one's own (tmpfs), filled to the last byte and emptied again; for root, or in a namespace."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Final

from benchmarks.battery.row import Row

APART: Final = "ABR_TUNE_BATTERY_APART"
"""Environment variable of a process that has mounts of its own."""
BALLAST: Final = "ballast"


def apart(part: str) -> list[Row] | None:
    """The rows of a part run where mounts are its own and end with it.

    None where this is such a process already, and where the machine does not let one have such mounts.
    """
    if APART in os.environ or shutil.which("unshare") is None:
        return None
    as_root = ["--user", "--map-root-user"] if os.geteuid() else []
    unshare = ["unshare", *as_root, "--mount"]
    if subprocess.run([*unshare, "true"], capture_output=True, check=False).returncode:
        return None
    command = [*unshare, sys.executable, "-m", "benchmarks.faults", "--part", part]
    environment = os.environ | {APART: "1"}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    rows = [Row(**json.loads(line)) for line in done.stdout.splitlines() if line.startswith("{")]
    if done.returncode:
        sys.stderr.write(done.stderr)
        last = (done.stderr.strip().splitlines() or ["nothing was said"])[-1]
        rows.append(Row(fault=part, times=0, promised="the part runs to its end", happened=last, holds=False))
    return rows


def may_mount() -> bool:
    """Whether this process can have disks of its own."""
    return os.geteuid() == 0 and shutil.which("mount") is not None


class Disk:
    """A disk in memory that is mounted at `place`."""

    def __init__(self, place: Path) -> None:
        self.place = place

    def fill(self) -> None:
        """Leave not a byte free."""
        with (self.place / BALLAST).open("ab", buffering=0) as ballast:
            try:
                while True:
                    ballast.write(b"x" * 65536)
            except OSError:
                pass
            try:
                while True:
                    ballast.write(b"x")
            except OSError:
                return

    def free(self) -> None:
        """Make room again."""
        (self.place / BALLAST).unlink(missing_ok=True)

    def only_read(self) -> None:
        """Let nothing more be written."""
        subprocess.run(["mount", "-o", "remount,ro", str(self.place)], check=True)

    def grow(self, size: str) -> None:
        """Give it another size, such as `64m`."""
        subprocess.run(["mount", "-o", f"remount,size={size}", str(self.place)], check=True)


@contextmanager
def disks(*places: Path, size: str = "8m") -> Iterator[list[Disk]]:
    """Disks of a size, one at each place, from the outermost on."""
    with ExitStack() as stack:
        for place in places:
            place.mkdir(parents=True, exist_ok=True)
            subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "battery", str(place)], check=True)
            stack.callback(subprocess.run, ["umount", "-l", str(place)], check=False)
        yield [Disk(place) for place in places]
