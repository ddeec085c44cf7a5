"""A program: gives commands of abr-tune in one process and says what they opened, ran and asked that they should not.

    python -m benchmarks.battery.watched WATCH.json

reads `{"outside": folder, "commands": [[word, ...], ...]}` and prints a line of JSON for each command: how it ended,
what it said, and which of Python's audit events touched something outside: a file there, a pickle, a connection.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import resource
import sys
import time
from pathlib import Path
from typing import Any, Final

FILES: Final = frozenset({"open", "sqlite3.connect", "os.listdir", "os.scandir", "os.remove", "os.rename", "os.mkdir"})
CODE: Final = frozenset({"pickle.find_class", "os.system", "subprocess.Popen", "os.exec", "os.posix_spawn"})
DANGEROUS: Final = frozenset({"builtins", "posix", "os", "subprocess"})
"""Modules that a pickle has to name to do anything."""
OURS: Final = (str(Path(__file__).parents[2] / "core" / "data"), "git ", "uname ")
"""Programs that our own code runs: readers of data, and what says which version and machine this is."""


def main() -> None:
    """Give the commands."""
    plan = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    outside, seen = os.path.realpath(plan["outside"]), []
    busy = False

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        nonlocal busy
        if busy or (event not in FILES and event not in CODE and event != "socket.connect"):
            return
        busy = True
        try:
            said = " ".join(str(argument) for argument in arguments)
            if event in FILES:
                place = os.path.realpath(os.fsdecode(arguments[0])) if not isinstance(arguments[0], int) else ""
                if place == outside or place.startswith(f"{outside}{os.sep}"):
                    seen.append(f"{event} {place}")
            elif event == "pickle.find_class" and arguments[0] not in DANGEROUS:
                pass  # a sampler keeps its own state so, in memory
            elif "/" not in said if event == "socket.connect" else not any(word in said for word in OURS):
                seen.append(f"{event} {said[:200]}")
        finally:
            busy = False

    from abr_tune.cli import main as command

    sys.addaudithook(hook)
    for words in plan["commands"]:
        seen.clear()
        out, began = io.StringIO(), time.monotonic()
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(out):
            try:
                command(list(words))
            except SystemExit as ending:
                code = ending.code
        memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
        told = {"words": words, "code": code, "seconds": time.monotonic() - began, "mb": memory, "seen": seen[:5]}
        print(json.dumps(told | {"said": out.getvalue()[-2000:]}), flush=True)


if __name__ == "__main__":
    main()
