"""What a container lets a process have, read from the files of both versions and tried on a real group."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from abr_tune import cgroups

CPU = Path("/sys/fs/cgroup/cpu")


def tree(folder: Path, files: dict[str, str]) -> Path:
    """Files below `folder`; returns the folder that stands for /proc/self."""
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text.replace("{folder}", str(folder)))
    return folder / "proc"


@pytest.fixture
def second(tmp_path: Path) -> Path:
    """Version 2: a group within a group that has half the cores and more memory."""
    return tree(
        tmp_path,
        {
            "proc/cgroup": "0::/outer/inner\n",
            "proc/mountinfo": "30 29 0:26 / {folder}/fs rw - cgroup2 cgroup2 rw\n",
            "fs/outer/cpu.max": "150000 100000\n",
            "fs/outer/memory.max": str(4 * 2**30),
            "fs/outer/memory.current": str(3 * 2**30),
            "fs/outer/memory.stat": f"anon 5\ninactive_file {2**29}\n",
            "fs/outer/pids.max": "max",
            "fs/outer/pids.current": "4",
            "fs/outer/inner/cpu.max": "300000 100000\n",
            "fs/outer/inner/memory.max": str(2 * 2**30),
            "fs/outer/inner/memory.current": str(2**28),
            "fs/outer/inner/memory.stat": "anon 5\ninactive_file 0\n",
            "fs/outer/inner/pids.max": "100",
            "fs/outer/inner/pids.current": "30",
        },
    )


def test_the_tightest_of_the_groups_around_counts(second: Path) -> None:
    assert cgroups.cpu_quota(second) == 1.5, "of 1.5 outside and 3 inside"
    # Inside 2 GiB less 256 MiB are free, 1.75 GiB; outside 4 - 3 GiB and the half that was only read, 1.5 GiB.
    assert cgroups.memory(second) == cgroups.Memory(limit=4 * 2**30, free=3 * 2**29)
    assert cgroups.pids(second) == (100, 30)


def test_the_first_version_has_a_tree_for_each_controller(tmp_path: Path) -> None:
    proc = tree(
        tmp_path,
        {
            "proc/cgroup": "5:memory:/docker/ab\n3:cpu,cpuacct:/docker/ab\n1:name=systemd:/x\n0::/\n",
            # In a container the group itself is mounted.
            "proc/mountinfo": "40 39 0:31 /docker/ab {folder}/memory rw - cgroup cgroup rw,memory\n"
            "41 39 0:32 /docker/ab {folder}/cpu rw - cgroup cgroup rw,cpu,cpuacct\n",
            "cpu/cpu.cfs_quota_us": "50000",
            "cpu/cpu.cfs_period_us": "100000",
            "memory/memory.limit_in_bytes": str(2**30),
            "memory/memory.usage_in_bytes": str(2**29),
            "memory/memory.stat": f"total_inactive_file {2**20}\n",
        },
    )
    assert cgroups.cpu_quota(proc) == 0.5
    assert cgroups.memory(proc) == cgroups.Memory(limit=2**30, free=2**29 + 2**20)
    assert cgroups.pids(proc) is None


@pytest.mark.parametrize("said", ["max 100000", "-1", ""])
def test_no_limit_is_none(tmp_path: Path, said: str) -> None:
    proc = tree(
        tmp_path,
        {
            "proc/cgroup": "0::/\n",
            "proc/mountinfo": "30 29 0:26 / {folder}/fs rw - cgroup2 cgroup2 rw\n",
            "fs/cpu.max": said,
            "fs/memory.max": "max",
            "fs/memory.current": "5",
        },
    )
    assert cgroups.cpu_quota(proc) is None
    assert cgroups.memory(proc) is None


def test_where_there_are_no_groups_there_is_no_limit(tmp_path: Path) -> None:
    assert list(cgroups.groups("cpu", tmp_path)) == []
    assert cgroups.cpu_quota(tmp_path) is None


@pytest.fixture
def one_core() -> Iterator[Path]:
    """A real group of the first version, with time for one core and a half."""
    group = CPU / f"abr-tune-test-{os.getpid()}"
    try:
        group.mkdir()
        (group / "cpu.cfs_quota_us").write_text("150000")
    except OSError as refused:
        pytest.skip(f"no control group can be made here: {refused}")
    yield group
    group.rmdir()


def test_a_real_quota_is_as_many_trainings_at_a_time(one_core: Path) -> None:
    code = "from abr_tune import cgroups, environment; print(cgroups.cpu_quota(), environment.cores())"
    enter = f'echo $$ > "{one_core}/cgroup.procs" && exec "$0" -c "$1"'
    done = subprocess.run(["sh", "-c", enter, sys.executable, code], capture_output=True, text=True, check=False)
    assert done.stdout.split() == ["1.5", "1"], done.stderr
