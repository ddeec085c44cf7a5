"""What surrounds a command: the terminal it speaks to, the letters it may use, and variables that mean something."""

from __future__ import annotations

import codecs
import locale
import os
import shutil
import sys
from collections.abc import Iterator

from abr_tune.doctor.finding import Finding, Place, note, ok, warning


def letters(_place: Place) -> Iterator[Finding]:
    """Whether every letter can be read and written."""
    kinds = {
        "files": locale.getencoding(),
        "names of files": sys.getfilesystemencoding(),
        "what is printed": sys.stdout.encoding or "ascii",
    }
    if sys.flags.utf8_mode:
        kinds["files"] = "utf-8"
    other = {what: kind for what, kind in kinds.items() if codecs.lookup(kind).name != "utf-8"}
    if other:
        said = ", ".join(f"{what} in {kind}" for what, kind in other.items())
        yield warning(f"{said}: names such as Sağlıklı or µV come out wrong", "export PYTHONUTF8=1, or LANG=C.UTF-8")
    else:
        yield ok("UTF-8 everywhere")


def terminal(_place: Place) -> Iterator[Finding]:
    """What a search will look like."""
    if not sys.stderr.isatty():
        yield ok("a pipe: a search prints one line for each finished trial")
        return
    columns, lines = shutil.get_terminal_size()
    plain = ", without colours (NO_COLOR)" if os.environ.get("NO_COLOR") else ""
    if os.environ.get("TERM", "dumb") == "dumb":
        yield note("a terminal that cannot move its cursor: a search prints one line for each finished trial")
    elif columns < 80:
        yield note(f"a terminal of {columns} x {lines}{plain}: the live table is cramped", "make it 80 columns wide")
    else:
        yield ok(f"a terminal of {columns} x {lines}{plain}: a search shows a live table")
