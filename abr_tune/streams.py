"""Standard output and standard error that outlive whoever reads them: a closed pipe or terminal ends no search.

Nor does a standard error that is full. A standard output that is full is a fault: what a command returns is lost then.
"""

from __future__ import annotations

import errno
import os
import sys
from pathlib import Path
from typing import Any, Final, TextIO

NOBODY_READS: Final = frozenset({errno.EPIPE, errno.EIO})
"""A pipe whose reader has gone; a terminal that was closed."""
NO_ROOM: Final = frozenset({errno.ENOSPC, errno.EDQUOT})
"""A file on a disk that is full."""


def open_closed() -> None:
    """Have standard output and standard error lead nowhere where whoever began this process has closed them."""
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, Path(os.devnull).open("w", encoding="utf-8"))  # noqa: SIM115 - until the end


class Lasting:
    """A stream that drops what nobody can read any more; everything else is the stream's own.

    `drops` are the numbers of the `OSError`s after which it leads nowhere; others are raised.
    """

    def __init__(self, stream: TextIO, drops: frozenset[int] = NOBODY_READS) -> None:
        self._stream = stream
        self._drops = drops

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        """Write `text`, if anybody still reads, and return its length."""
        try:
            return self._stream.write(text)
        except OSError as fault:
            self._give_up(fault)
            return len(text)

    def writelines(self, lines: Any) -> None:
        """Write each of `lines`."""
        for line in lines:
            self.write(line)

    def flush(self) -> None:
        """Pass on what was written, if anybody still reads."""
        try:
            self._stream.flush()
        except OSError as fault:
            self._give_up(fault)

    def _give_up(self, fault: OSError) -> None:
        """Whatever is still to be written, by Python's own end too, goes where it is lost."""
        if fault.errno not in self._drops:
            raise fault
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, self._stream.fileno())
        os.close(nowhere)
