"""Ray Tune asks here for trainings and brings what they report; every decision is the source's.

Each stretch of training is a Ray trial of its own: a paused or orphaned training is simply handed out again under the
same key, and goes on from its checkpoint. So Ray never pauses, restores or retries anything by itself.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any, Final, TypeVar

import ray
from ray import tune
from ray.exceptions import RayError
from ray.tune import Stopper
from ray.tune.schedulers import FIFOScheduler
from ray.tune.search import Searcher

from abr_tune.errors import EnvironmentFault
from abr_tune.exhaustion import kernel_kills
from abr_tune.plan.plan import Resources
from abr_tune.search.executor import Shared, Source
from abr_tune.search.post import Post
from abr_tune.search.retries import Loss
from abr_tune.search.trainable import ERROR, FAULT, FILES, OUT_OF_MEMORY, Worker, packed, unpacked

SECONDS_TO_END: Final = 2.0
"""How long Ray may take to put its workers away before it is left to itself."""
RAY_IS_SHORT: Final = "running low on memory"
"""What Ray says of a worker that it ended because memory was short; of the exception's type it keeps nothing."""
SHOWN: Final = 500
"""Characters kept of what Ray says about a dead worker."""
R = TypeVar("R")


def run_on_ray(
    source: Source, shared: Shared, *, jobs: int, resources: Resources, scratch: Path, apart: bool = False
) -> None:
    """Train what `source` hands out, `jobs` at a time, until it is done or wants to stop.

    Ray works in a thread of its own, so that signals reach the caller at once and a Ray that hangs cannot hold it.
    `apart`: there may be workers that do not see this machine's files; theirs are sent to and fro.
    """
    os.environ["TUNE_MAX_PENDING_TRIALS_PG"] = str(jobs)
    bridge = _Bridge(source, jobs, Post() if apart else None)
    thread = threading.Thread(target=_fit, args=(bridge, shared, resources, scratch), name="ray tune", daemon=True)
    thread.start()
    try:
        while thread.is_alive() and not bridge.should_stop():
            thread.join(0.05)
        bridge.stop()
        thread.join(SECONDS_TO_END)
    finally:
        bridge.close()
    if bridge.error is not None:
        raise bridge.error


def _fit(bridge: _Bridge, shared: Shared, resources: Resources, scratch: Path) -> None:
    try:
        tune.Tuner(
            tune.with_resources(
                tune.with_parameters(Worker, shared=shared), {"cpu": resources.cpus, "gpu": resources.gpus}
            ),
            tune_config=tune.TuneConfig(
                search_alg=_Asks(bridge),
                scheduler=_Watches(bridge),
                num_samples=-1,
                reuse_actors=True,
                trial_dirname_creator=lambda trial: trial.trial_id,
            ),
            run_config=tune.RunConfig(
                storage_path=str(scratch),
                name="trials",
                stop=_Rules(bridge),
                checkpoint_config=tune.CheckpointConfig(checkpoint_frequency=0, checkpoint_at_end=False),
                failure_config=tune.FailureConfig(max_failures=0),
                verbose=0,
            ),
        ).fit()
    except BaseException as error:  # noqa: BLE001 - raised again by run_on_ray, in the caller's thread
        bridge.error = bridge.error or error


def _end(actors: Sequence[Any]) -> None:
    """End the workers of a Ray that may be gone before all are asked for, and they with it."""
    for actor in actors:
        with suppress(RayError):
            ray.kill(actor)


class _Bridge:
    """Between Ray's trial ids and the source's keys."""

    def __init__(self, source: Source, jobs: int, post: Post | None = None) -> None:
        self.source = source
        self.jobs = jobs
        self._post = post
        self.closed = False
        """Nobody listens any more: whatever Ray still says is dropped."""
        self.error: BaseException | None = None
        """What the source raised; Ray would only keep its text."""
        self._keys: dict[str, int] = {}
        """Ray trial -> key, while it is being trained."""
        self._crashed: dict[str, str] = {}
        self._lost: dict[str, tuple[str, Loss]] = {}
        """Ray trial -> why its training did not come to its end, and of what kind that is."""
        self._kernel_kills = kernel_kills()
        self.controller: Any = None
        """Ray's, once it is known."""
        self._lock = threading.RLock()
        """The source is called from Ray's thread, and from the caller's to see whether to stop."""

    def ask(self, trial_id: str) -> dict[str, Any] | str | None:
        """The configuration of the next Ray trial, None to be asked again later, or that the search is over."""
        if self.closed or self.error is not None:
            return str(Searcher.FINISHED)
        if len(self._keys) >= self.jobs:
            return None
        job = self._guarded(self.source.ask, None)
        if job is None:
            # None with nothing alive makes Ray ask again every second, for minutes.
            return None if self._keys or self.source.waits else str(Searcher.FINISHED)
        self._keys[trial_id] = job.key
        if self._post is None:
            return packed(job)
        return self._guarded(partial(self._post.send, trial_id, job), None)

    def result(self, trial_id: str, result: dict[str, Any]) -> bool:
        """Hear a chunk of epochs; True when the training is to end."""
        key = self._keys.get(trial_id)
        # Ray keeps the results of all its trials: the files are taken out of them.
        files = result.pop(FILES, None)
        if self.closed or key is None:
            return True
        if files is not None and self._post is not None:
            self._guarded(partial(self._post.receive, trial_id, files), None)
        if self.error is not None:
            return True
        if result.get(OUT_OF_MEMORY):
            self._lost[trial_id] = result[ERROR], "memory"
        elif ERROR in result:
            self._crashed[trial_id] = result[ERROR]
        for step in unpacked(result):
            ruling = self._guarded(lambda step=step: self.source.report(key, step), "stop")  # type: ignore[misc]
            if ruling != "go_on":
                return True
        if FAULT in result:
            self.error = EnvironmentFault(result[FAULT])
            return True
        return False

    def ended(self, trial_id: str, *, died: bool) -> None:
        """A Ray trial is over."""
        key = self._keys.pop(trial_id, None)
        if self._post is not None:
            self._post.forget(trial_id)
        # After a fault of the search itself nobody can say how a training ended.
        if self.closed or self.error is not None or key is None:
            return
        lost = self._lost.pop(trial_id, ("", "infrastructure") if died else None)
        crash = self._crashed.pop(trial_id, None)
        if crash is not None:
            self._guarded(lambda: self.source.crash(key, crash), None)
        elif lost is not None:
            self._guarded(lambda: self.source.lost(key, *lost), None)
        else:
            self._guarded(lambda: self.source.finish(key), None)

    def failed(self, trial_id: str, cause: str) -> None:
        """Remember why a Ray trial is about to end: Ray ends a worker when memory is short, and so does the kernel."""
        kills = kernel_kills()
        short = RAY_IS_SHORT in cause or kills > self._kernel_kills
        self._kernel_kills = kills
        self._lost[trial_id] = cause, "memory" if short else "infrastructure"

    def should_stop(self) -> bool:
        """Whether Ray is to end everything."""
        return self.closed or self.error is not None or self._guarded(self.source.should_stop, True)

    def stop(self) -> None:
        """Hear nothing any more, and end the workers: their last checkpoints are on disk, no epoch is waited for."""
        with self._lock:  # whoever waits for it meanwhile finds that nobody listens
            if self._keys and self.error is None:
                self._guarded(self.source.stopped, None)
            self.closed = True
        trials = self.controller.get_trials() if self.controller is not None else ()
        actors = [actor for trial in trials if (actor := trial.temporary_state.ray_actor) is not None]
        # A Ray that is dying itself, of the same signal, may never answer.
        threading.Thread(target=_end, args=(actors,), daemon=True).start()

    def close(self) -> None:
        """From now on nobody listens, and no marker is needed."""
        self.closed = True
        if self._post is not None:
            self._post.clear()

    def _guarded(self, call: Callable[[], R], otherwise: R) -> R:
        with self._lock:
            if self.closed:
                return otherwise
            try:
                return call()
            except Exception as error:  # noqa: BLE001 - raised again by run_on_ray; Ray would lose its type
                self.error = error
                return otherwise


class _Asks(Searcher):  # type: ignore[misc]
    """Ray's searcher: where trials come from and where their end is told."""

    def __init__(self, bridge: _Bridge) -> None:
        super().__init__()
        self._bridge = bridge

    def suggest(self, trial_id: str) -> dict[str, Any] | str | None:
        """The next training."""
        return self._bridge.ask(trial_id)

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        """A training ended, or its worker died."""
        self._bridge.ended(trial_id, died=error)

    def save_to_dir(self, checkpoint_dir: str, session_str: str = "default") -> None:
        """Nothing: the study is the only truth."""

    def __reduce__(self) -> tuple[Any, ...]:
        # Ray pickles its searcher beside its snapshots, which nobody ever restores.
        return (str, ("searcher",))


class _Watches(FIFOScheduler):  # type: ignore[misc]
    """Ray's scheduler: only listens, for why a worker died and for the controller itself."""

    def __init__(self, bridge: _Bridge) -> None:
        super().__init__()
        self._bridge = bridge

    def choose_trial_to_run(self, tune_controller: Any) -> Any:
        """First come, first served."""
        self._bridge.controller = tune_controller
        return super().choose_trial_to_run(tune_controller)

    def on_trial_error(self, tune_controller: Any, trial: Any) -> None:
        """Ray says why, in a file of its own, before it says that."""
        said = Path(trial.error_file) if trial.error_file else None
        lines = said.read_text(encoding="utf-8").split("\n") if said is not None and said.exists() else []
        self._bridge.failed(trial.trial_id, _cause(" ".join(" ".join(lines).split())))

    def __reduce__(self) -> tuple[Any, ...]:
        return (str, ("scheduler",))


def _cause(said: str) -> str:
    """What Ray says of a dead worker, from the name of the error on, shortened."""
    begins = max(said.rfind(error) for error in ("ActorDiedError", "WorkerCrashedError", "OutOfMemoryError", "Error:"))
    return said[max(begins, 0) :][:SHOWN]


class _Rules(Stopper):  # type: ignore[misc]
    """Ray's stopper: sees every result first, the last included."""

    def __init__(self, bridge: _Bridge) -> None:
        self._bridge = bridge

    def __call__(self, trial_id: str, result: dict[str, Any]) -> bool:
        """Whether this training is to end."""
        return self._bridge.result(trial_id, result)

    def stop_all(self) -> bool:
        """Whether everything is to end."""
        return self._bridge.should_stop()

    def __reduce__(self) -> tuple[Any, ...]:
        return (str, ("stopper",))
