"""What one trial may take: seconds of training and memory, watched at every report and within the epochs.

A thread looks every fifth of a second. Over a limit it interrupts the epoch by a signal, whose handler raises
`OverLimit` in the main thread: Python code, a sleep and every call that returns now and then end there, and the process
goes on to the next trial. Code that neither returns nor lets Python run cannot be interrupted; in a worker of its own
(`expendable`) such a process ends itself after a note in the trial's folder. In the process of the search (executor
inline), where nothing may be ended, it runs on, and is judged when it reports; the same holds outside a main thread.
"""

from __future__ import annotations

import json
import os
import signal
import threading
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from types import FrameType
from typing import Final, Literal, TypeVar

from abr_tune.plan.plan import Limits
from abr_tune.runs import write_atomically
from core.health import Verdict

Limit = Literal["limit_time", "limit_memory"]
"""Names of the limits, as in `pruned_by`."""
LIMITS: Final[tuple[Limit, ...]] = ("limit_time", "limit_memory")
NOTE: Final = "limit.json"
"""In the trial's folder: the verdict of a process that ended itself."""
SECONDS_BETWEEN_LOOKS: Final = 0.2
SECONDS_TO_REACT: Final = 5.0
"""After the signal; then an expendable process ends itself."""
MEBIBYTE: Final = 2**20
UNLIMITED: Final = Limits()
Item = TypeVar("Item")


class OverLimit(BaseException):
    """A trial has taken more than it may. Not an `Exception`: a task that catches those must not catch this."""


def resident() -> int:
    """Bytes of memory this process occupies."""
    import psutil

    return int(psutil.Process().memory_info().rss)


class Meter:
    """What the training of one trial in this process has taken since it was made.

    `spent` seconds of earlier parts of the trial count; pauses do not, nor time between the epochs. Memory counts as
    growth over the process's at the start: what an earlier trial left behind is not charged, and what it freed may be
    used. The process is as large as the largest of its trials, so that a later one may seem smaller than it is.
    """

    def __init__(
        self,
        limits: Limits,
        folder: Path,
        *,
        spent: float = 0.0,
        expendable: bool = False,
        clock: Callable[[], float] = time.monotonic,
        memory: Callable[[], int] = resident,
    ) -> None:
        self._limits = limits
        self._note = folder / NOTE
        self._expendable = expendable
        self._clock = clock
        self._memory = memory
        self._seconds = spent
        self._since: float | None = None
        """When the running epoch began."""
        self._epoch = 0
        self._start = memory() if limits.bytes is not None else 0
        self._lock = threading.Lock()
        self.passed: Verdict | None = None
        """The limit for which an epoch was interrupted."""
        self._asked: float | None = None
        """When the running epoch was told to end; it is told once."""
        self._armed = False
        """Whether it is still to be interrupted."""

    @property
    def seconds(self) -> float:
        """Of training, the running epoch included."""
        return self._seconds + (0.0 if self._since is None else self._clock() - self._since)

    def verdict(self, epoch: int) -> Verdict | None:
        """The limit that is passed, in the epoch with this number, if one is."""
        if self._limits.seconds is not None and (seconds := self.seconds) > self._limits.seconds:
            why = f"it has trained for {seconds:.1f} s, of {self._limits.seconds:g} s that a trial may take"
            evidence: dict[str, float | str] = {"seconds": round(seconds, 3), "limit": self._limits.seconds}
            return Verdict(level="stop", rule="limit_time", why=why, epoch=epoch, evidence=evidence)
        if self._limits.bytes is not None and (grown := self._memory() - self._start) > self._limits.bytes:
            why = (
                f"its process grew by {grown / MEBIBYTE:.0f} MiB, of {self._limits.bytes / MEBIBYTE:.0f} MiB "
                "that a trial may take"
            )
            evidence = {"bytes": float(grown), "limit": float(self._limits.bytes)}
            return Verdict(level="stop", rule="limit_memory", why=why, epoch=epoch, evidence=evidence)
        return None

    def measured(self, call: Callable[[], Item], epoch: int) -> Item:
        """What `call` returns, its time counted as training of `epoch`; raises `OverLimit` when a limit is passed."""
        self._epoch, self._asked, self._since = epoch, None, self._clock()
        try:
            here = threading.current_thread() is threading.main_thread()
            if self._limits == UNLIMITED or not (here or self._expendable):
                return call()
            return self._watched(call, here=here)
        finally:
            self._seconds, self._since = self.seconds, None

    def _watched(self, call: Callable[[], Item], *, here: bool) -> Item:
        over = threading.Event()
        watcher = threading.Thread(target=self._watch, args=(over, here), name="limits", daemon=True)
        before = signal.signal(signal.SIGXCPU, self._interrupt) if here else None
        watcher.start()
        try:
            try:
                return call()
            finally:
                self._armed = False
        finally:
            # An interruption may strike until here, and disarms itself: from here on nothing is cut short.
            # The signal is sent under the lock, so none can come once it was held and `over` is set.
            with self._lock:
                over.set()
            watcher.join()
            if here:
                signal.signal(signal.SIGXCPU, before or signal.SIG_DFL)

    def _watch(self, over: threading.Event, here: bool) -> None:
        while not over.wait(SECONDS_BETWEEN_LOOKS):
            verdict = self.verdict(self._epoch)
            if verdict is None:
                continue
            with self._lock:
                if over.is_set():
                    return
                now = self._clock()
                if self._asked is None:
                    self.passed, self._asked, self._armed = verdict, now, True
                    if here:
                        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGXCPU)
                elif self._expendable and now - self._asked > SECONDS_TO_REACT:
                    write_atomically(self._note, json.dumps(asdict(verdict)))
                    os._exit(1)

    def _interrupt(self, _signal: int, _frame: FrameType | None) -> None:
        if self._armed:
            self._armed = False
            raise OverLimit


def noted(folder: Path) -> Verdict | None:
    """The verdict that a process left in the trial's folder before it ended itself; it is taken away."""
    path = folder / NOTE
    if not path.exists():
        return None
    verdict = Verdict(**json.loads(path.read_text(encoding="utf-8")))
    path.unlink()
    return verdict
