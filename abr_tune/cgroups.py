"""What a container or a batch system lets this process have: the limits of its control groups, of both versions."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

Controller = Literal["cpu", "memory", "pids"]
SELF: Final = Path("/proc/self")
UNLIMITED: Final = 2**60
"""Version 1 says a number beyond all memory where it means none."""


@dataclass(frozen=True, slots=True)
class Memory:
    """The memory a group may have."""

    limit: int
    """Bytes."""
    free: int
    """Bytes of it that are not in use; files that were only read count as free."""


def cpu_quota(proc: Path = SELF) -> float | None:
    """Cores' worth of time this process may use; None without a limit."""
    quotas = []
    for folder, version in groups("cpu", proc):
        if version == 2:
            quota, _, period = _read(folder / "cpu.max").partition(" ")
        else:
            quota, period = _read(folder / "cpu.cfs_quota_us"), _read(folder / "cpu.cfs_period_us")
        if quota.isdecimal() and period.isdecimal():
            quotas.append(int(quota) / int(period))
    return min(quotas, default=None)


def memory(proc: Path = SELF) -> Memory | None:
    """The memory this process and those beside it may have; None without a limit."""
    found = []
    for folder, version in groups("memory", proc):
        limit, usage = (
            ("memory.max", "memory.current") if version == 2 else ("memory.limit_in_bytes", "memory.usage_in_bytes")
        )
        most, used = _read(folder / limit), _read(folder / usage)
        if most.isdecimal() and used.isdecimal() and int(most) < UNLIMITED:
            idle = _stat(folder / "memory.stat", "inactive_file" if version == 2 else "total_inactive_file")
            found.append(Memory(int(most), max(0, int(most) - int(used) + idle)))
    return min(found, key=lambda each: each.free, default=None)


def pids(proc: Path = SELF) -> tuple[int, int] | None:
    """How many threads the group may have, and has; None without a limit."""
    found = [
        (int(most), int(has))
        for folder, _version in groups("pids", proc)
        if (most := _read(folder / "pids.max")).isdecimal() and (has := _read(folder / "pids.current")).isdecimal()
    ]
    return min(found, key=lambda each: each[0] - each[1], default=None)


def groups(controller: Controller, proc: Path = SELF) -> Iterator[tuple[Path, int]]:
    """The folders of this process's group and of those around it, with the version; none where there are no groups."""
    mounts = list(_mounts(proc / "mountinfo"))
    for line in _read(proc / "cgroup").splitlines():
        _, names, inner = line.split(":", 2)
        version = 2 if not names else 1
        if version == 1 and controller not in names.split(","):
            continue
        for mounted, root, kind, options in mounts:
            if kind != ("cgroup2" if version == 2 else "cgroup") or (version == 1 and controller not in options):
                continue
            below = inner.removeprefix(root.rstrip("/")).strip("/") if inner.startswith(root) else ""
            here = mounted / below
            while True:
                yield here, version
                if here == mounted:
                    break
                here = here.parent


def _mounts(mountinfo: Path) -> Iterator[tuple[Path, str, str, list[str]]]:
    """Where each filesystem of control groups is mounted, which of its folders that is, its kind and its options."""
    for line in _read(mountinfo).splitlines():
        front, _, back = line.partition(" - ")
        kind, _, options = back.split(" ", 2)
        if kind in {"cgroup", "cgroup2"}:
            yield Path(front.split()[4]), front.split()[3], kind, options.split(",")


def _stat(path: Path, name: str) -> int:
    lines = (line.split() for line in _read(path).splitlines())
    return next((int(line[1]) for line in lines if line[0] == name), 0)


def _read(path: Path) -> str:
    """What a file of the system says; empty where there is none, or it may not be read."""
    try:
        return path.read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return ""
