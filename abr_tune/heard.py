"""What is logged while a training goes on, for those who hear of it through its reports: perhaps on another machine."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

TRAINING: Final = "core"
"""The logger of what trains."""


class Heard(logging.Handler):
    """Keeps the warnings that are logged, until they are taken."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self._said: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Keep a message."""
        self._said.append(self.format(record))

    def say(self, text: str) -> None:
        """Keep a warning that is not logged."""
        self._said.append(text)

    def take(self) -> tuple[str, ...]:
        """What was logged since this was last asked."""
        said, self._said = tuple(self._said), []
        return said


@contextmanager
def heard() -> Iterator[Heard]:
    """Hear the warnings of what trains, until this is left."""
    handler, logger = Heard(), logging.getLogger(TRAINING)
    logger.addHandler(handler)
    try:
        yield handler
    finally:
        logger.removeHandler(handler)
