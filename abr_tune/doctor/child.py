"""A question put to a process of its own, with a time limit: a broken driver may hang or crash whoever asks it."""

from __future__ import annotations

import importlib
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final

from abr_tune.errors import AbrTuneError

CLIENT: Final = re.compile(r"\(\w+\.\w+\) ")
"""What SQLAlchemy puts before the words of a database's client."""

_asked: set[subprocess.Popen[str]] = set()


class NoAnswer(Exception):
    """A question was not answered; the message says why, `pid` who was asked."""

    def __init__(self, why: str, pid: int) -> None:
        super().__init__(why, pid)
        self.pid = pid

    def __str__(self) -> str:
        return str(self.args[0])


def ask(call: Callable[..., Any], *arguments: Any, seconds: float) -> Any:
    """What `call(*arguments)` returns in a new process; both arguments and answer are plain JSON.

    Raises:
        NoAnswer: nothing came in `seconds`, the process crashed, or the call raised.
    """
    command = [sys.executable, "-P", "-m", "abr_tune.doctor.child", call.__module__, call.__qualname__]
    pipe = subprocess.PIPE
    process = subprocess.Popen(  # noqa: S603 - this Python, with names of functions
        command, stdin=pipe, stdout=pipe, stderr=pipe, text=True, errors="replace", start_new_session=True
    )
    _asked.add(process)
    try:
        said, aside = process.communicate(json.dumps(arguments), timeout=seconds)
    except subprocess.TimeoutExpired:
        raise NoAnswer(f"no answer within {seconds:g} s", process.pid) from None
    finally:
        _end(process)
        _asked.discard(process)
    if process.returncode < 0:
        raise NoAnswer(f"the process that was asked crashed ({_signal_name(-process.returncode)})", process.pid)
    if process.returncode or not said:
        last = (aside.strip().splitlines() or [f"exit code {process.returncode}"])[-1]
        raise NoAnswer(f"the process that was asked ended without an answer: {last}", process.pid)
    answer = json.loads(said)
    if "raised" in answer:
        raise NoAnswer(answer["raised"], process.pid)
    return answer["returned"]


def hush() -> None:
    """End everybody who is being asked, in whichever thread: nobody waits for the answers any more."""
    for process in tuple(_asked):
        _kill(process)


def _end(process: subprocess.Popen[str]) -> None:
    """Whatever the process started in its session ends with it."""
    _kill(process)
    for pipe in (process.stdin, process.stdout, process.stderr):
        if pipe is not None:
            with suppress(OSError):
                pipe.close()
    # A process that hangs in the system cannot be ended; it is not waited for.
    with suppress(subprocess.TimeoutExpired):
        process.wait(1)


def _kill(process: subprocess.Popen[str]) -> None:
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)


def _said(fault: Exception) -> str:
    """The fault in a line; what a database's client says, and what we say ourselves, stands by itself."""
    lines = str(fault).strip().splitlines() or [""]
    if isinstance(fault, AbrTuneError):
        return lines[0]
    from_client = CLIENT.match(lines[0])
    return lines[0][from_client.end() :] if from_client else f"{type(fault).__name__}: {lines[0]}"


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def main() -> None:
    """Answer one question: the names of a module and of its function are arguments, its own come on standard input."""
    answer = os.fdopen(os.dup(1), "w", encoding="utf-8")
    # Libraries print; nothing of it may get into the answer.
    os.dup2(2, 1)
    module, name = sys.argv[1:]
    arguments = json.load(sys.stdin)
    try:
        told = {"returned": getattr(importlib.import_module(module), name)(*arguments)}
    except Exception as fault:  # noqa: BLE001 - the border of the process: told to whoever asked
        told = {"raised": _said(fault)}
    with answer:
        json.dump(told, answer)


if __name__ == "__main__":
    main()
