"""Ray: started quietly on this machine or joined, and put away afterwards."""

from __future__ import annotations

import atexit
import logging
import os
import secrets
import shutil
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Final, Self

from abr_tune.errors import EnvironmentFault
from abr_tune.plan.plan import Resources
from abr_tune.search.executor import Shared, Source
from abr_tune.search.orphans import end_processes, make_scratch, marking, sweep
from abr_tune.search.signals import undisturbed

QUIET: Final = {
    "RAY_AIR_NEW_OUTPUT": "0",
    "RAY_CHDIR_TO_TRIAL_DIR": "0",
    "RAY_DEDUP_LOGS_SKIP_REGEX": ".*",
    "RAY_ENABLE_AUTO_CONNECT": "0",
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_TRAIN_ENABLE_V2_MIGRATION_WARNINGS": "0",
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
    "TUNE_DISABLE_SIGINT_HANDLER": "1",
    "TUNE_GLOBAL_CHECKPOINT_S": "1000000000",
    "TUNE_PRINT_ALL_TRIAL_ERRORS": "0",
}
"""Ray's own output, snapshots and signal handlers are off: the study, the console and the signals are ours.

Nor does a call that comes after the end of our Ray start another one, open and without an end, as it otherwise would.
"""
OBJECT_STORE_BYTES: Final = 2**31
NOT_STARTED: Final = "Ray did not start: "
SECONDS_TO_SHUT_DOWN: Final = 3.0
"""Ray waits long for those of its own servers that somebody else has killed."""
SECONDS_TO_STOP_STARTING: Final = 0.5
SECONDS_TO_GIVE_UP: Final = 2.0
NOT_SENT: Final = ("results", ".git", ".venv*", "__pycache__")
"""What lies beside a task of one's own and is no code; what a .gitignore there names is left out too."""
SMALLEST_OBJECT_STORE_BYTES: Final = 100 * 2**20


class Cluster:
    """A Ray to train on, from entering the context to leaving it.

    It starts in the background, so that the data can be loaded meanwhile; `run` waits for it. With `address`, a Ray
    that is running already is joined, and left running.
    """

    def __init__(
        self,
        *,
        jobs: int | None,
        resources: Resources,
        address: str | None = None,
        code: Path | None = None,
        tidy: bool = True,
    ) -> None:
        """`jobs` at a time; None: as many as the cluster at `address` has room for. `code`: a folder sent to it.

        `tidy`: what dead runs left on this machine is ended first.
        """
        self._jobs = jobs
        self._tidy = tidy
        self._resources = resources
        self._address = address
        self._code = code
        self._scratch: Path | None = None
        self._fault: BaseException | None = None
        self._ready = threading.Event()
        self._over = threading.Event()
        self._turn = threading.Lock()
        """Held while one of Ray's servers is started, and when it is over."""
        self._keeper = threading.Thread(target=self._keep, name="ray", daemon=True)

    def __enter__(self) -> Self:
        self._keeper.start()
        return self

    def wait(self) -> None:
        """Until Ray answers. Raises `EnvironmentFault` when it could not be started or joined."""
        self._ready.wait()
        self._refuse_fault()

    @property
    def jobs(self) -> int:
        """Trials at a time; where the cluster decides, this waits for it.

        Raises:
            EnvironmentFault: it could not be joined.
        """
        if self._jobs is None:
            self.wait()
        assert self._jobs is not None  # noqa: S101 - known once the cluster is joined
        return self._jobs

    def __exit__(self, *_error: object) -> None:
        """Put Ray away within seconds: what does not end by itself is ended."""
        with undisturbed():
            with self._turn:
                self._over.set()
            # Nothing is lost with a Ray that is still starting.
            self._keeper.join(SECONDS_TO_SHUT_DOWN if self._ready.is_set() else SECONDS_TO_STOP_STARTING)
            if self._keeper.is_alive():
                self._give_up()
            # Its agents would stay for some seconds more.
            end_processes()
            if self._scratch is not None:
                shutil.rmtree(self._scratch, ignore_errors=True)

    def _give_up(self) -> None:
        """End a Ray that is still starting, or waits for processes of its own that were killed."""
        until = time.monotonic() + SECONDS_TO_GIVE_UP
        while self._keeper.is_alive() and time.monotonic() < until:
            end_processes()
            self._keeper.join(0.2)
        # Ray would wait once more when Python ends.
        if (ray := sys.modules.get("ray")) is not None and hasattr(ray, "shutdown"):
            atexit.unregister(ray.shutdown)

    def run(self, source: Source, shared: Shared, *, on_wait: Callable[[], None] = lambda: None) -> None:
        """Train what `source` hands out until it is done or wants to stop.

        `on_wait` is called while Ray is starting, ten times a second, and once when it has.

        Raises:
            EnvironmentFault: Ray could not be started or joined.
        """
        while not self._ready.wait(0.1):
            on_wait()
            if source.should_stop():
                return
        on_wait()
        self._refuse_fault()
        from abr_tune.search.searcher import run_on_ray

        assert self._scratch is not None  # noqa: S101 - made by _start before anything else
        run_on_ray(
            source,
            shared,
            jobs=self.jobs,
            resources=self._resources,
            scratch=self._scratch / "tune",
            apart=self._address is not None,
        )

    def _refuse_fault(self) -> None:
        if self._fault is not None:
            if self._address is not None:
                raise EnvironmentFault(f"Ray at {self._address} could not be joined: {self._fault}") from self._fault
            hint = "`abr-tune doctor` looks for the reason; --executor inline does without Ray"
            raise EnvironmentFault(f"{NOT_STARTED}{self._fault}\n{hint}") from self._fault

    def _keep(self) -> None:
        """Start Ray and stay: Linux ends Ray's processes with the thread that started them."""
        self._start()
        self._ready.set()
        self._over.wait()
        import ray

        ray.shutdown()

    def _start(self) -> None:
        try:
            os.environ.update(QUIET)
            if self._tidy:
                sweep()
            self._scratch = make_scratch()
            self._connect(self._scratch)
            if self._over.is_set():
                return
            # Importing Tune takes seconds, better spent here than when the first trial is due.
            import ray.tune  # noqa: F401

            logging.getLogger("ray").setLevel(logging.CRITICAL)
        except BaseException as fault:  # noqa: BLE001 - raised again by run, in the caller's thread
            self._fault = fault

    def _connect(self, scratch: Path) -> None:
        import ray
        from ray.job_config import JobConfig

        settings: dict[str, Any] = {"logging_level": "ERROR", "log_to_driver": False}
        if self._address is None:
            _require_token()
            # A task of the user's own lies beside its space file: the workers must find it there too.
            os.environ["PYTHONPATH"] = os.pathsep.join(path for path in sys.path if path)
            settings |= {
                # Without an address, Ray would follow RAY_ADDRESS to somebody's cluster.
                "address": "local",
                "num_cpus": self.jobs * self._resources.cpus,
                "include_dashboard": False,
                "object_store_memory": _object_store_bytes(),
                # Ray opens its own folder to everybody; ours around it stays shut.
                "_temp_dir": str(scratch / "r"),
            }
        else:
            settings["address"] = self._address
            if self._code is not None:
                settings["runtime_env"] = {"working_dir": str(self._code), "excludes": list(NOT_SENT)}
        if "runtime_env" not in settings:
            # Otherwise Ray lets workers import first of all what lies in the folder the command is given in.
            settings["job_config"] = JobConfig(_client_job=True)
        with ExitStack() as here:
            if self._address is None:
                here.enter_context(marking())
                here.enter_context(_loopback())
                here.enter_context(self._apart())
            ray.init(**settings)
        if self._jobs is None:
            self._jobs = room_for(self._resources, ray.cluster_resources())

    @contextmanager
    def _apart(self) -> Iterator[None]:
        """Ray's servers started in this context have process groups of their own; none is once it is over.

        What a terminal sends to all of a command's processes (Ctrl-C, Ctrl-Z, its own end) reaches this process alone,
        which ends them in order.
        """
        from ray._private import services

        before = services.ConsolePopen

        def start(*words: Any, **settings: Any) -> Any:
            with self._turn:
                if self._over.is_set():
                    raise EnvironmentFault("it was put away while it started")
                return before(*words, process_group=0, **settings)

        services.ConsolePopen = start
        try:
            yield
        finally:
            services.ConsolePopen = before


def room_for(resources: Resources, cluster: Mapping[str, float]) -> int:
    """Trials a cluster can train at a time, at least one.

    Raises:
        EnvironmentFault: it has too little for a single one.
    """
    given = {"CPU": float(resources.cpus), "GPU": float(resources.gpus)}
    room = min(int(cluster.get(kind, 0.0) / amount) for kind, amount in given.items() if amount > 0)
    if room == 0:
        has = ", ".join(f"{cluster.get(kind, 0.0):g} {kind}" for kind in given)
        raise EnvironmentFault(
            f"a trial is given {resources.cpus} CPU and {resources.gpus:g} GPU, the cluster has {has}"
        )
    return room


@contextmanager
def _loopback() -> Iterator[None]:
    """A Ray that is started in this context listens on this machine's loopback alone, as it does by itself on macOS."""
    from ray._private import ray_constants

    before = ray_constants.ENABLE_RAY_CLUSTER
    # With `_node_ip_address="127.0.0.1"` it would take the machine's outer address.
    ray_constants.ENABLE_RAY_CLUSTER = False
    try:
        yield
    finally:
        ray_constants.ENABLE_RAY_CLUSTER = before


def _require_token() -> None:
    """Other users of this machine reach loopback too: nobody is heard without a token that only our processes know."""
    from ray._private.authentication.authentication_token_setup import _enable_token_auth

    os.environ.setdefault("RAY_AUTH_TOKEN", secrets.token_hex(32))
    # Sets RAY_AUTH_MODE, and tells the Ray that may have been imported before.
    _enable_token_auth()


def _object_store_bytes() -> int:
    """Room for the data: in shared memory where there is enough, and never much of it."""
    shared = Path("/dev/shm")  # noqa: S108 - only measured
    free = shutil.disk_usage(shared).free if shared.is_dir() else OBJECT_STORE_BYTES
    return max(SMALLEST_OBJECT_STORE_BYTES, min(OBJECT_STORE_BYTES, int(free * 0.8)))
