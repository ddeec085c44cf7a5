"""What a look at this machine comes to: a value with a level, a sentence, what to do, and what can be mended."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, Final, Literal

Level = Literal["ok", "note", "warning", "problem"]
"""A note is worth knowing, a warning costs something, a problem keeps a search from working."""


@dataclass(frozen=True, slots=True)
class Repair:
    """Something that can be put right without asking anybody: what dead processes left, never a result."""

    what: str
    """In the imperative: `remove /tmp/at-12-x`."""
    act: Callable[[], None]
    """Looks again whether it still may, then does it.

    Raises `OSError` when the system refuses, `Kept` when it may not.
    """


class Kept(Exception):
    """What was to be removed is somebody's after all; the reason is the message."""


@dataclass(frozen=True, slots=True)
class Finding:
    """What a check has found."""

    level: Level
    sentence: str
    remedy: str = ""
    """What a person can do; empty where there is nothing to do."""
    repairs: tuple[Repair, ...] = ()
    """What `--repair` does about it."""

    @property
    def repairable(self) -> bool:
        """Whether `--repair` does something about it."""
        return bool(self.repairs)


ok: Final = partial(Finding, "ok")
note: Final = partial(Finding, "note")
warning: Final = partial(Finding, "warning")
problem: Final = partial(Finding, "problem")


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where a search would work."""

    out: Path = Path("results")
    """The results folder; it may not be there yet."""
    temp: Path
    """The folder of temporary files."""
    storage: str | None = None
    """URL of a study that is kept elsewhere, without its password."""
    told: dict[str | Path, Any] = field(default_factory=dict, compare=False, repr=False)
    """What storages answered, by URL, and what lies in the results folder: each is asked once."""

    @property
    def ground(self) -> Path:
        """The results folder, or the nearest folder above it that exists."""
        return next(each for each in (self.out.absolute(), *self.out.absolute().parents) if each.is_dir())

    def anew(self) -> Place:
        """The same place, of which nothing was told yet."""
        return replace(self, told={})


Look = Callable[[Place], Iterator[Finding]]
"""One check. What it raises becomes a finding that says so."""


def gibibytes(size: float) -> str:
    """`1610612736` -> `1.5 GiB`; mebibytes and kibibytes where that is little."""
    if size < 2**20:
        return f"{size / 2**10:.0f} KiB"
    return f"{size / 2**30:.1f} GiB" if size >= 2**30 else f"{size / 2**20:.0f} MiB"
