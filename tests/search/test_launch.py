"""A Ray that is put away while it starts."""

import os
import subprocess
import threading

import pytest

from abr_tune.errors import EnvironmentFault
from abr_tune.plan.plan import Resources
from abr_tune.search.launch import Cluster

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
