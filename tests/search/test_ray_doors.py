"""Which doors a Ray of ours opens: none beyond this machine, none without the token, no folder that others see."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from abr_tune.plan.plan import Budget, Resources
from abr_tune.search.launch import Cluster
from abr_tune.search.search import search
from tests.search.tasks import BASELINES, plan

pytestmark = [pytest.mark.ray, pytest.mark.timeout(180)]
LOOPBACK = {"127.0.0.1", "::1", "::ffff:127.0.0.1"}
STRANGER = """
import sys, ray
from ray._private import ray_constants
# Ray would turn 127.0.0.1 into the outer address, where nobody listens.
ray_constants.ENABLE_RAY_CLUSTER = False
try:
    ray.init(address=sys.argv[1], logging_level="ERROR", log_to_driver=False)
except BaseException as refused:
    print("refused", refused)
else:
    print("let in", ray.cluster_resources())
"""
"""Another process of this machine that knows the address, and tries the protocol that drivers speak."""


@pytest.fixture(scope="module")
def used(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Cluster, Path]]:
    """A Ray that has just been searched on, its workers included, and the run's folder."""
    with Cluster(jobs=2, resources=Resources()) as cluster:
        folder = tmp_path_factory.mktemp("doors")
        settings = {"dataset": None, "baselines": BASELINES, "executor": "ray", "jobs": 2, "cluster": cluster}
        search(plan(budget=Budget(trials=2)), folder=folder, **settings)
        yield cluster, folder


def processes() -> list[psutil.Process]:
    """This one and what Ray is made of: its servers, agents and workers. What other tests left running is not Ray's."""
    me = psutil.Process()
    return [me, *(each for each in me.children(recursive=True) if "multiprocessing" not in " ".join(each.cmdline()))]


def address() -> str:
    import ray

    return str(ray.get_runtime_context().gcs_address)


@pytest.fixture(scope="module")
def strangers(used, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """What becomes of other processes of this machine that try to join, all at once: Ray takes its time to refuse."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
    keys = {
        "wrong": {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": "0" * 64},
        "none": {"RAY_AUTH_MODE": "disabled"},
        "right": {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": os.environ["RAY_AUTH_TOKEN"]},
    }
    started = {
        name: subprocess.Popen(
            [sys.executable, "-c", STRANGER, address()],
            # In a home without the file in which Ray would look for a token.
            env=kept | key | {"HOME": str(tmp_path_factory.mktemp(name))},
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        for name, key in keys.items()
    }
    return {name: process.communicate(timeout=150)[0] for name, process in started.items()}


def test_everything_listens_on_loopback_alone(used) -> None:
    listening = set()
    for process in processes():
        with suppress(psutil.NoSuchProcess):  # Ray ends idle workers
            found = process.net_connections(kind="inet")
            listening |= {(process.name(), each.laddr.ip) for each in found if each.status == psutil.CONN_LISTEN}
    assert {name for name, _ in listening} >= {"gcs_server", "raylet"}
    assert {ip for _, ip in listening} <= LOOPBACK, listening


@pytest.mark.parametrize(("key", "answer"), [("wrong", "refused"), ("none", "refused"), ("right", "let in")])
def test_only_who_knows_the_token_is_let_in(strangers, key: str, answer: str) -> None:
    assert strangers[key].startswith(answer), strangers[key]


def test_the_token_is_nowhere_to_be_read(used) -> None:
    cluster, folder = used
    token = os.environ["RAY_AUTH_TOKEN"]
    assert len(token) == 64
    shown = subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True, check=True).stdout
    assert "raylet" in shown
    assert token not in shown
    for place in (folder, cluster._scratch):
        found = [path for path in place.rglob("*") if path.is_file() and token.encode() in path.read_bytes()]
        assert found == []


def test_nobody_else_looks_into_its_folder(used) -> None:
    cluster, _ = used
    assert cluster._scratch.stat().st_mode & 0o777 == 0o700
    assert cluster._scratch.stat().st_uid == os.getuid()


def test_there_is_no_dashboard(used) -> None:
    import ray

    assert not ray._private.worker.global_worker.node.address_info.get("webui_url")


def test_what_a_terminal_sends_to_all_reaches_this_process_alone(used) -> None:
    groups = {process.pid: os.getpgid(process.pid) for process in processes()}
    mine = groups.pop(os.getpid())
    assert groups
    assert mine not in groups.values()
