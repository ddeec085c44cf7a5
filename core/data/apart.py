"""Files that others made are opened in a process of their own, which may take so much memory and time and no more.

Readers of compressed tables are compiled programs: a damaged or hostile file can crash them, fill the memory or keep
them busy for ever. Here that costs a child, and becomes a message that names the file. Only a header and plain arrays
come back, and what they say is checked again on this side.

What this does not do: it is no sandbox. A pickle that is trusted runs its code with the rights of the user, who may
write files and open connections there as anywhere; it cannot change this process other than through the data.
"""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Final, Literal

import psutil

from core.data.answer import Answer, receive
from core.data.check import DataMistakes, DataProblem
from core.data.formats import Format

Kind = Literal["table", "audio", "images", Format]
"""What is read: a file of recordings of our own, the files that a manifest names, or a format that is imported."""

GIB: Final = 2**30
MOST_MEMORY: Final = 8 * GIB
"""What a reader may take at most, and no more than half of the machine's: a hundred times the clinic's recordings."""
LEAST_MEMORY: Final = 2 * GIB
"""What it may take on any machine: the libraries alone reserve a quarter of this."""
SECONDS: Final = 120
"""What reading may take, and a second more for each MiB of the files."""


def open_apart(kind: Kind, files: Sequence[Path], *, seconds: int = 0) -> Answer:
    """What the files hold, as a process of its own found it; it may take `seconds` more than their size allows.

    Raises:
        DataMistakes: a file cannot be read, makes no sense, was changed meanwhile, or the process died of it.
    """
    before = [identity(file) for file in files]
    memory = min(MOST_MEMORY, max(LEAST_MEMORY, psutil.virtual_memory().total // 2))
    seconds += SECONDS + sum(size for _, size, _ in before) // 2**20
    command = [sys.executable, "-P", str(_PROGRAM), kind, str(memory), str(seconds), *map(str, files)]
    with tempfile.TemporaryFile() as answer, tempfile.TemporaryFile() as said:
        code = _run(command, answer, said, seconds)
        if code == 0 and answer.seek(0, os.SEEK_END):
            answer.seek(0)
            found = receive(answer)
        else:
            said.seek(0)
            raise _death(code, files, said.read().decode(errors="replace"), memory, seconds)
    for file, was in zip(files, before, strict=True):
        if identity(file) != was:
            hint = "try again when no other program writes to it"
            raise DataMistakes(str(file), [DataProblem("the file was changed while it was read", hint=hint)])
    return found


_PROGRAM: Final = Path(__file__).with_name("apart_child.py")
_OUT_OF_TIME: Final = -signal.SIGXCPU
_ONE_THREAD: Final = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "ARROW_IO_THREADS"), "1")


def identity(file: Path) -> tuple[int, int, int]:
    """Which file it is, its size in bytes, and when it was last written.

    Raises:
        DataMistakes: nothing can be read there, or something that is no file.
    """
    try:
        found = file.stat()
    except FileNotFoundError:
        hint = "it is a link to something that is gone" if file.is_symlink() else None
        raise DataMistakes(str(file), [DataProblem("no such file", hint=hint)]) from None
    except (OSError, ValueError) as fault:  # a name too long or with a zero byte, a folder that may not be entered
        reason = fault.strerror if isinstance(fault, OSError) else fault
        raise DataMistakes(str(file), [DataProblem(f"no file can be read here ({reason})")]) from fault
    if not stat.S_ISREG(found.st_mode) and not stat.S_ISDIR(found.st_mode):
        hint = "copy what it gives into a file first"
        raise DataMistakes(str(file), [DataProblem("a pipe, socket or device, not a file", hint=hint)])
    return found.st_ino, found.st_size, found.st_mtime_ns


def _run(command: Sequence[str], answer: IO[bytes], said: IO[bytes], seconds: int) -> int:
    """How the process ended: 0, a code above 0, or below 0 the signal that ended it."""
    try:
        return subprocess.run(  # noqa: S603  (our own program; the files are only arguments)
            command,
            stdin=subprocess.DEVNULL,
            stdout=answer,
            stderr=said,
            check=False,
            timeout=seconds,
            env={**os.environ, **_ONE_THREAD},
        ).returncode
    except subprocess.TimeoutExpired:
        return _OUT_OF_TIME


def _death(code: int, files: Sequence[Path], said: str, memory: int, seconds: int) -> DataMistakes:
    """What to tell of a process that ended without an answer."""
    lines = said.strip().splitlines()
    places = [line.split("\t") for line in lines if line.startswith("reading\t")]
    file, part = (places[-1][1], places[-1][2]) if places and len(places[-1]) == 3 else (str(files[0]), "the file")
    last = next((line for line in reversed(lines) if line and not line.startswith("reading\t")), "no message")
    reason = f"died: {last[:200]}"
    hint: str | None = "is it whole, and of the format it is given as?"
    if code == _OUT_OF_TIME:
        reason, hint = f"was ended because it took longer than {seconds} s", "divide the file"
    elif "MemoryError" in last:
        reason, hint = f"needed more than the {memory / GIB:.1f} GiB of memory it may take", "divide the file"
    elif code < 0:
        reason, hint = f"was ended by {signal.Signals(-code).name}", None
        if code == -signal.SIGKILL:
            hint = "probably out of memory"
    elif "ModuleNotFoundError" in last:
        hint = "install the package it names"
    return DataMistakes(file, [DataProblem(f"the process that read {part} {reason}", hint=hint)])
