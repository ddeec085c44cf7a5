"""A password in a command line is there for everybody who lists processes: it leaves before anything else is done."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Sequence
from typing import Final

from abr_tune.errors import UserError

OPTION: Final = "--storage"
SUSPICIOUS: Final = re.compile(r"://[^/]*:.*@|passw", re.IGNORECASE)
"""What a URL with a password in it looks like; looked for first, because reading URLs takes a moment to load."""


def begin_again_without_passwords() -> None:
    """Replace this process by one of the same command whose storage URL holds no password; nothing without any.

    The password goes where the database's client looks for it. Ray would write the command line down, too.
    """
    try:
        words = without_passwords(sys.orig_argv)
    except UserError:  # the command itself will say so
        return
    if words != sys.orig_argv:
        sys.stdout.flush()
        sys.stderr.flush()
        os.execv(sys.executable, [sys.executable, *words[1:]])  # noqa: S606 - the same program, the same words


def without_passwords(words: Sequence[str]) -> list[str]:
    """The words of a command with the passwords of its storage URLs moved away; raises as `admitted` does."""
    found = []
    for before, word in zip(["", *words], words, strict=False):
        option, equals, url = word.partition("=") if word.startswith(f"{OPTION}=") else ("", "", word)
        if (option or before == OPTION) and SUSPICIOUS.search(url):
            from abr_tune.search.storage import admitted

            url = admitted(url)
        found.append(option + equals + url)
    return found
