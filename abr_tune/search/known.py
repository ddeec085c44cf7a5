"""Storages that the user has named: a folder's word alone leads nobody to a server.

Whoever passes a run folder on decides what its `environment.json` says. A connection to the server named there would
hand over the password meant for another one. So a study outside of its folder is looked up only where the user of this
machine has once named its storage with `--storage`.
"""

from __future__ import annotations

import logging
import os
from pathlib import Path
from typing import Final

from abr_tune.errors import UserError
from abr_tune.search.storage import without_password

NAMED: Final[set[str]] = set()
"""By this process."""

log = logging.getLogger(__name__)


def known_storages() -> Path:
    """The file with the storages that this user has named, a URL without its password on each line."""
    state = os.environ.get("XDG_STATE_HOME") or _home() / ".local" / "state"
    return Path(state) / "abr-tune" / "storages"


def _home() -> Path:
    try:
        return Path.home()
    except RuntimeError:  # a number without an account, as containers have
        return Path("/")


def remember(storage: str) -> None:
    """The user has named a storage; where nothing can be written down, it is known to this process alone."""
    url = without_password(storage)
    if url in NAMED:
        return
    NAMED.add(url)
    file = known_storages()
    try:
        if url in _lines(file):
            return
        file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        with file.open("a", encoding="utf-8") as lines:
            lines.write(f"{url}\n")
    except OSError as fault:
        log.info("%s cannot be written to: %s", file, fault.strerror)


def refuse_unknown(storage: str, folder: Path) -> None:
    """Raise `UserError` unless the user has named the storage that a run folder says its study is kept in."""
    url = without_password(storage)
    if url not in NAMED and url not in _lines(known_storages()):
        raise UserError(
            f"{folder} says that its study is kept in {url}, which was never named on this account with --storage, and "
            f"a folder may come from anybody; if you trust the place, add it as a line to {known_storages()}"
        )


def _lines(file: Path) -> frozenset[str]:
    try:
        return frozenset(file.read_text(encoding="utf-8").splitlines())
    except OSError:
        return frozenset()
