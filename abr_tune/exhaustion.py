"""Whether memory was short: what tells it from any other exception, and from any other death of a process."""

from __future__ import annotations

import errno
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

HINT: Final = (
    "memory was short: train fewer at a time with --jobs, make the batch or the model smaller, "
    "or let `limits: {memory: ...}` in the space file stop what grows too large"
)
TORCH_SAYS: Final = ("DefaultCPUAllocator: can't allocate memory", "CUDA error: out of memory", "_STATUS_ALLOC_FAILED")
"""Where torch raises a plain `RuntimeError`, only its words tell: the memory of the machine, or that of a GPU."""
COUNTERS: Final = Path("/proc/vmstat")


def out_of_memory(error: BaseException) -> bool:
    """Whether an exception, or one that it was raised from, says that memory could not be had."""
    return any(map(_says_so, _chain(error)))


def kernel_kills(counters: Path = COUNTERS) -> int:
    """Processes that the kernel of this machine has ended since its start because memory was short.

    0 where the system does not count them.
    """
    try:
        lines = counters.read_text(encoding="ascii").splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) for line in lines if line.startswith("oom_kill ")), 0)


def _chain(error: BaseException) -> Iterator[BaseException]:
    seen: set[int] = set()
    link: BaseException | None = error
    while link is not None and id(link) not in seen:
        seen.add(id(link))
        yield link
        link = link.__cause__


def _says_so(error: BaseException) -> bool:
    if isinstance(error, MemoryError):
        return True
    if isinstance(error, OSError):
        return error.errno == errno.ENOMEM
    # Nobody can have raised torch's who has not imported it.
    if (torch := sys.modules.get("torch")) is not None and isinstance(error, torch.OutOfMemoryError):
        return True
    return isinstance(error, RuntimeError) and any(words in str(error) for words in TORCH_SAYS)
