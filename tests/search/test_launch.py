"""A Ray that is put away while it starts."""

import os
import subprocess
import sys
import threading

import pytest

from abr_tune.errors import EnvironmentFault
from abr_tune.plan.plan import Resources
from abr_tune.search.launch import QUIET, Cluster

pytestmark = pytest.mark.ray


def test_no_server_of_ray_is_started_once_it_is_put_away() -> None:
    """Ray's own thread may be anywhere in its start, and goes on with it until it wants the next server."""
    from ray._private import services

    before = services.ConsolePopen
    cluster = Cluster(jobs=1, resources=Resources())
    with cluster._apart():
        command = ["sh", "-c", "ps -o pgid= -p $$"]
        shown = services.ConsolePopen(command, stdout=subprocess.PIPE, text=True)
        assert int(shown.communicate()[0]) == shown.pid != os.getpgid(0)
        cluster._keeper = threading.Thread(target=lambda: None)
        with cluster:
            pass
        with pytest.raises(EnvironmentFault, match="put away while it started"):
            services.ConsolePopen(command)
    assert services.ConsolePopen is before


LATE = """
import ray
from ray.exceptions import RayError
from types import SimpleNamespace
from abr_tune.search.searcher import _end

_end([SimpleNamespace()])
try:
    ray.put(1)
except RayError as refused:
    print(ray.is_initialized(), refused)
"""


def test_a_call_that_comes_after_the_end_starts_no_other_ray() -> None:
    done = subprocess.run(
        [sys.executable, "-c", LATE], env=os.environ | QUIET, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.stdout.startswith("False System error: Ray has not been started yet"), done.stderr
    assert not done.stderr
