"""Ctrl-C, SIGTERM or a closed terminal, whenever they come.

While a search trains, the first asks for an orderly end and the second ends at once. At any other time the command ends
where it is; what has to be put away then, a Ray for one, is put away undisturbed.
"""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from queue import SimpleQueue
from types import FrameType
from typing import Any, Final, NoReturn

CAUGHT: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
SECONDS_BETWEEN_LOOKS: Final = 0.2
STOPPING: Final = "stopping, what is unfinished is saved; Ctrl-C again ends at once"
SECONDS_OF_PATIENCE: Final = 5.0
"""How long an orderly end is waited for where it may never come, in the middle of a long epoch."""


class Signalled(SystemExit):
    """A signal ends the command, with the exit code that shells expect of it. No `Exception`: tasks may catch those."""

    def __init__(self, number: int) -> None:
        super().__init__(128 + number)
        self.signal = number


@contextmanager
def ending_on_signals(*, for_good: bool = False) -> Iterator[None]:
    """In this context each of the signals ends the command in order; `nohup` keeps its promise.

    Ctrl-C raises `KeyboardInterrupt` as always, also in a command that a shell began in the background. `for_good`: the
    process ends with the context, and a signal that comes after it changes nothing any more.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    with _ignored_at_last() if for_good else _restored(), _insistent_hook():
        signal.signal(signal.SIGINT, signal.default_int_handler)
        for number in (signal.SIGTERM, signal.SIGHUP):
            if not (number == signal.SIGHUP and signal.getsignal(number) is signal.SIG_IGN):
                signal.signal(number, _end)
        yield


def _end(number: int, _frame: FrameType | None) -> NoReturn:
    raise Signalled(number)


@contextmanager
def _insistent_hook() -> Iterator[None]:
    """Python drops what is raised while it frees memory, with a traceback: here the signal comes once more instead."""
    before = sys.unraisablehook

    def hear(dropped: Any) -> None:
        if isinstance(dropped.exc_value, Signalled | KeyboardInterrupt):
            number = getattr(dropped.exc_value, "signal", signal.SIGINT)
            main = threading.main_thread().ident or 0
            threading.Timer(SECONDS_BETWEEN_LOOKS, signal.pthread_kill, (main, number)).start()
        else:
            before(dropped)

    sys.unraisablehook = hear
    try:
        yield
    finally:
        sys.unraisablehook = before


class Interruption:
    """Whether somebody asked for the end, and how."""

    def __init__(self) -> None:
        self.signal: int | None = None
        self._heard: SimpleQueue[bool] = SimpleQueue()
        self._spared = signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
        """A search that was begun with `nohup` outlives its terminal."""

    def __bool__(self) -> bool:
        return self.signal is not None

    def notice(self, number: int, _frame: FrameType | None) -> None:
        """The signal handler. Raises `Signalled` the second time."""
        if self.signal is not None:
            raise Signalled(self.signal)
        self.signal = number
        self._heard.put(True)

    def arm(self) -> None:
        """Put the handlers back: Ray takes SIGTERM when it starts. Does nothing outside the main thread."""
        if threading.current_thread() is threading.main_thread():
            for number in CAUGHT:
                if not (number == signal.SIGHUP and self._spared):
                    signal.signal(number, self.notice)

    @contextmanager
    def told(self) -> Iterator[None]:
        """In this context standard error says at once that the first signal was heard: the end may take seconds."""
        # A handler must not print, nor wait: it may have interrupted whoever prints. It may put into a SimpleQueue.
        teller = threading.Thread(target=self._tell, name="teller", daemon=True)
        if threading.current_thread() is threading.main_thread():
            teller.start()
        try:
            yield
        finally:
            self._heard.put(False)
            if teller.is_alive():
                teller.join(SECONDS_BETWEEN_LOOKS)

    def _tell(self) -> None:
        if self._heard.get():
            sys.stderr.write(f"{STOPPING}\n")
            sys.stderr.flush()

    @contextmanager
    def insistent(self, seconds: float = SECONDS_OF_PATIENCE) -> Iterator[None]:
        """In this context one signal that is not obeyed for so long counts as two.

        Code that neither returns nor lets Python run cannot be interrupted even so.
        """
        over = threading.Event()

        def watch() -> None:
            while self.signal is None:
                if over.wait(SECONDS_BETWEEN_LOOKS):
                    return
            if not over.wait(seconds):
                signal.pthread_kill(threading.main_thread().ident or 0, self.signal)

        if threading.current_thread() is threading.main_thread():
            threading.Thread(target=watch, name="patience", daemon=True).start()
        try:
            yield
        finally:
            over.set()


@contextmanager
def catch_signals() -> Iterator[Interruption]:
    """Note signals instead of dying of them, and say so; outside the main thread, where nobody can, none is caught."""
    interruption = Interruption()
    with _restored(), interruption.told():
        interruption.arm()
        yield interruption


@contextmanager
def undisturbed() -> Iterator[None]:
    """What has to be put away before the process ends is put away, in a few seconds, however often somebody asks."""
    with _restored():
        if threading.current_thread() is threading.main_thread():
            for number in CAUGHT:
                # Unlike SIG_IGN, processes that are started meanwhile do not inherit it.
                signal.signal(number, lambda _number, _frame: None)
        yield


@contextmanager
def _ignored_at_last() -> Iterator[None]:
    """Afterwards nobody hears of them: the exit code is settled, and Python only has to end."""
    try:
        yield
    finally:
        for number in CAUGHT:
            signal.signal(number, signal.SIG_IGN)


@contextmanager
def _restored() -> Iterator[None]:
    """Afterwards the handlers are what they were."""
    before = {number: signal.getsignal(number) for number in CAUGHT}
    try:
        yield
    finally:
        if threading.current_thread() is threading.main_thread():
            for number, handler in before.items():
                signal.signal(number, handler)
