"""A Ray cluster of two nodes on this machine: one has the driver, the other the cores and not all of its folders."""

from __future__ import annotations

import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

RAY = str(Path(sys.executable).with_name("ray"))


def can_hide() -> bool:
    """Whether a process of ours may mount an empty folder over another one, for itself alone."""
    try:
        done = subprocess.run(
            ["unshare", "-m", "mount", "-t", "tmpfs", "none", "/mnt"], check=False, capture_output=True
        )
    except FileNotFoundError:
        return False
    return done.returncode == 0


@contextmanager
def two_nodes(hidden: Sequence[Path]) -> Iterator[str]:
    """The address of a cluster whose two cores are on the second node, for which `hidden` folders are empty."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    scratch = Path(tempfile.mkdtemp(prefix="rn-"))
    mine = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(32), "RAY_USAGE_STATS_ENABLED": "0"}
    before = {name: os.environ.get(name) for name in mine}
    os.environ.update(mine)
    common = ["--object-store-memory", "100000000", "--block", "--disable-usage-stats"]
    head = [
        "--head",
        "--num-cpus",
        "0",
        "--port",
        address.rpartition(":")[2],
        "--include-dashboard=false",
        "--temp-dir",
        str(scratch),
    ]
    mounts = " && ".join(f"mount -t tmpfs none '{folder}'" for folder in hidden)
    joining = [RAY, "start", "--num-cpus", "2", "--address", address, *common]
    second = ["unshare", "-m", "sh", "-c", f'{mounts} && exec "$@"', "sh", *joining]
    nodes: list[subprocess.Popen[bytes]] = []
    try:
        nodes.append(_start([RAY, "start", "--node-ip-address", "127.0.0.1", *head, *common]))
        _wait(nodes[0], scratch, 1)
        nodes.append(_start(second))
        _wait(nodes[1], scratch, 2)
        yield address
    finally:
        for node in nodes:
            _end(node)
        shutil.rmtree(scratch, ignore_errors=True)
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def _start(command: list[str]) -> subprocess.Popen[bytes]:
    quiet = subprocess.DEVNULL
    return subprocess.Popen(command, stdin=quiet, stdout=quiet, stderr=quiet, start_new_session=True)


def _wait(node: subprocess.Popen[bytes], scratch: Path, nodes: int) -> None:
    """Until so many nodes answer on their sockets."""
    until = time.monotonic() + 60
    while node.poll() is None and time.monotonic() < until:
        if sum(map(_answers, scratch.glob("session_2*/sockets/raylet*"))) >= nodes:
            return
        time.sleep(0.1)
    raise RuntimeError("Ray did not start")


def _answers(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as there:
        return there.connect_ex(str(path)) == 0


def _end(node: subprocess.Popen[bytes]) -> None:
    """Ray's own processes share the group of the command that started them; asked to end, they take ten seconds."""
    with suppress(ProcessLookupError):
        os.killpg(node.pid, signal.SIGKILL)
    node.wait(10)
