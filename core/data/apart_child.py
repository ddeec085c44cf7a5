"""Run as a program by `core.data.apart`: reads files under limits and writes what they hold to standard output.

`python -P apart_child.py KIND MEMORY SECONDS FILE...`; memory in bytes. Standard error says what is being read, so that
a crash can be placed, and has the traceback of what nobody foresaw.
"""

from __future__ import annotations

import logging
import os
import resource
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from core.data.answer import Answer
    from core.data.apart import Kind
    from core.data.formats import Format
    from core.data.many import ManyKind


def main(kind: Kind, memory: int, seconds: int, files: Sequence[Path]) -> None:
    """Reads the files and answers."""
    limit(memory, seconds)
    # Whatever prints here, a pickle's code for instance, must not get into the answer.
    answer = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    root = Path(__file__).parents[2]
    if root.name not in {"site-packages", "dist-packages"}:  # not installed, or beside another version that is
        sys.path.insert(0, str(root))
    from core.data.answer import send
    from core.data.check import DataMistakes

    places = logging.getLogger("core.data")
    places.setLevel(logging.DEBUG)
    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter("reading\t%(message)s"))
    places.addHandler(handler)
    try:
        found: Answer | DataMistakes = OPENERS[kind](files)
    except DataMistakes as mistakes:
        found = mistakes
    with answer:
        send(found, answer)


def limit(memory: int, seconds: int) -> None:
    """Lets this process take so many bytes of memory and seconds; it leaves no core file and ends with its parent."""
    # At a hard limit of seconds the system sends SIGKILL, as for want of memory; at a soft one SIGXCPU, which says why.
    longest = resource.getrlimit(resource.RLIMIT_CPU)[1]
    for what, soft, hard in (
        (resource.RLIMIT_AS, memory, memory),
        (resource.RLIMIT_FSIZE, memory, memory),
        (resource.RLIMIT_CPU, seconds, longest),
        (resource.RLIMIT_CORE, 0, 0),
    ):
        with suppress(ValueError, OSError):  # a stricter limit is set already, or the system knows none
            resource.setrlimit(what, (soft, hard))
    if sys.platform == "linux":
        import ctypes
        import signal

        set_parent_death_signal = 1
        ctypes.CDLL(None).prctl(set_parent_death_signal, signal.SIGKILL)
        with suppress(OSError):  # the first to go when the machine runs out of memory
            Path("/proc/self/oom_score_adj").write_text("1000", encoding="ascii")


def _table(files: Sequence[Path]) -> Answer:
    from core.data.files import opened
    from core.data.header import answer_of

    return answer_of(opened(files[0]))


def _clinic(files: Sequence[Path]) -> Answer:
    from core.data.importers.clinic_pickle import unpickled

    return unpickled(files[0])


def _imported(kind: Format) -> Callable[[Sequence[Path]], Answer]:
    def read(files: Sequence[Path]) -> Answer:
        from core.data.header import answer_of
        from core.data.importers import READERS

        return answer_of(READERS[kind](files))

    return read


def _many(kind: ManyKind) -> Callable[[Sequence[Path]], Answer]:
    def read(files: Sequence[Path]) -> Answer:
        from core.data.many_child import make

        return make(kind, files[0])

    return read


OPENERS: Final[Mapping[Kind, Callable[[Sequence[Path]], Answer]]] = {
    "table": _table,
    "clinic": _clinic,
    "audio": _many("audio"),
    "images": _many("images"),
    "csv": _imported("csv"),
    "ihs": _imported("ihs"),
    "epl": _imported("epl"),
}
"""What opens each kind of file."""


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), [Path(file) for file in sys.argv[4:]])  # type: ignore[arg-type]
