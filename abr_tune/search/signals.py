"""Ctrl-C, SIGTERM or a closed terminal during a search: the first asks for an orderly end, the second ends at once."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Final

CAUGHT: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Interruption:
    """Whether somebody asked for the end, and how."""

    def __init__(self) -> None:
        self.signal: int | None = None

    def __bool__(self) -> bool:
        return self.signal is not None

    def notice(self, number: int, _frame: FrameType | None) -> None:
        """The signal handler. Raises `KeyboardInterrupt` the second time."""
        if self.signal is not None:
            raise KeyboardInterrupt
        self.signal = number

    def arm(self) -> None:
        """Put the handlers back: Ray takes SIGTERM when it starts. Does nothing outside the main thread."""
        if threading.current_thread() is threading.main_thread():
            for number in CAUGHT:
                signal.signal(number, self.notice)


@contextmanager
def catch_signals() -> Iterator[Interruption]:
    """Note signals instead of dying of them; outside the main thread, where nobody can, nothing is caught."""
    interruption = Interruption()
    before = {number: signal.getsignal(number) for number in CAUGHT}
    interruption.arm()
    try:
        yield interruption
    finally:
        if threading.current_thread() is threading.main_thread():
            for number, handler in before.items():
                signal.signal(number, handler)
