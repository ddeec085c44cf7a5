"""How a command ends when it cannot do what was asked.

    AbrTuneError
    ├── UserError            exit 2: a mistake in a file, an option or a path
    ├── EnvironmentFault     exit 4: a missing extra, disk, filesystem
    ├── StorageFault         exit 5: the study's storage cannot be reached
    └── OurFault             exit 3: anything else; its traceback is in a log

Exceptions hold data in `args`, so that they survive the way back from a worker; the words are made in `__str__`.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path
from typing import ClassVar, Final, Literal

from core.extras import Missing


class Exit(IntEnum):
    """Exit codes of the commands."""

    DONE = 0
    NOTHING_COMPLETE = 1
    MISTAKE = 2
    OUR_FAULT = 3
    ENVIRONMENT = 4
    STORAGE = 5
    HUNG_UP = 129
    INTERRUPTED = 130
    TERMINATED = 143


class AbrTuneError(Exception):
    """A command ended with a message for the user instead of a traceback."""

    exit: ClassVar[Exit] = Exit.OUR_FAULT


class UserError(AbrTuneError):
    """A mistake the user can mend: one message, exit 2."""

    exit = Exit.MISTAKE


class EnvironmentFault(AbrTuneError):
    """The machine lacks something: a package, disk, a proper filesystem."""

    exit = Exit.ENVIRONMENT


class StorageFault(AbrTuneError):
    """The study's storage stayed unreachable or locked for its whole retry budget."""

    exit = Exit.STORAGE


class OurFault(AbrTuneError):
    """Something was raised that nobody foresaw."""

    def __init__(self, what: str, log: str) -> None:
        super().__init__(what, log)

    def __str__(self) -> str:
        what, log = self.args
        return f"abr-tune: a fault of ours: {what}\nthe traceback is in {log}"


DISK: Final[Mapping[int, str]] = {
    errno.ENOSPC: "free some and give the same command again",
    errno.EDQUOT: "free some of the quota and give the same command again",
}
"""What the system says of a full disk -> what to do."""
BARRED: Final = frozenset({errno.EACCES, errno.EPERM, errno.EROFS, errno.EIO})
"""What it says of a place that cannot be written to; of a terminal that was closed as well."""


def disk_fault(fault: BaseException, folder: Path | None = None) -> EnvironmentFault | None:
    """What an exception has to do with the disk, if anything: it is full, or `folder` may not be used.

    Without a `folder`, every file that a command was given counts.
    A library may say so in words of its own, and an exception may come of another.
    """
    for each in chain_of(fault):
        place = getattr(each, "filename", None) or folder
        at = "" if place is None else f" ({place})"
        for number, remedy in DISK.items():
            if getattr(each, "errno", None) == number or os.strerror(number) in str(each):
                return EnvironmentFault(f"{os.strerror(number)}{at}; {remedy}")
        if isinstance(each, OSError) and each.errno in BARRED and _within(each.filename, folder):
            return EnvironmentFault(f"{each.strerror}{at}; mend that and give the same command again")
    return None


def chain_of(fault: BaseException) -> Iterator[BaseException]:
    """An exception and what it came of, until somebody said that this is nobody's business (`from None`)."""
    seen: list[BaseException] = []
    each: BaseException | None = fault
    while each is not None and each not in seen:
        seen.append(each)
        yield each
        each = each.__cause__ or (None if each.__suppress_context__ else each.__context__)


def _within(name: object, folder: Path | None) -> bool:
    return isinstance(name, str) and (folder is None or Path(name).is_relative_to(folder))


def _misplaced(fault: Exception) -> UserError | None:
    """A folder was named where a file is to be written, or a file where a folder is to be made."""
    if isinstance(fault, IsADirectoryError):
        return UserError(f"{fault.filename2 or fault.filename} is a folder; give the name of a file")
    if isinstance(fault, FileExistsError | NotADirectoryError) and fault.filename is not None:
        return UserError(f"{fault.filename}: a file is in the way of a folder of this name")
    return None


def unforeseen(fault: Exception, log: str, folder: Path | None = None) -> AbrTuneError:
    """What a command ends with when something was raised that is no message of ours.

    A full disk, or something that only some tasks need, is nobody's fault, and a folder where a file is asked for is a
    mistake of the user's.

    `folder` is where it writes, if that is known.
    """
    missing = next((each for each in chain_of(fault) if isinstance(each, Missing)), None)
    if missing is not None:
        return EnvironmentFault(str(missing))
    misplaced = None if folder is not None else _misplaced(fault)
    return misplaced or disk_fault(fault, folder) or OurFault(f"{type(fault).__name__}: {fault}", log)


@dataclass(frozen=True, slots=True)
class Problem:
    """One mistake in one place of a file."""

    file: str
    message: str
    line: int | None = None
    """Counted from 1; None when the mistake has no single place."""
    column: int | None = None
    hint: str | None = None
    """What to do, for instance `did you mean optimizer.lr?`."""
    excerpt: str | None = None
    """The line of the file the mistake stands in."""
    width: int = 1
    """Characters to underline."""
    level: Literal["error", "warning"] = "error"
    """A warning stands in nobody's way: the file may be meant for another machine."""

    def __str__(self) -> str:
        place = ":".join(str(part) for part in (self.file, self.line, self.column) if part is not None)
        text = f"{place}: {self.level}: {self.message}"
        if self.excerpt is None or self.line is None:
            return f"{text}; {self.hint}" if self.hint else text
        gutter = f"{self.line:5d} | "
        mark = " " * (len(gutter) - 2) + "| " + " " * ((self.column or 1) - 1) + "^" * max(1, self.width)
        return f"{text}\n{gutter}{self.excerpt}\n{mark}" + (f" {self.hint}" if self.hint else "")


class FileMistakes(UserError):
    """Everything that is wrong with a file, at once."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        super().__init__(tuple(problems))

    @property
    def problems(self) -> tuple[Problem, ...]:
        """The mistakes in the order of the file."""
        problems: tuple[Problem, ...] = self.args[0]
        return problems

    def __str__(self) -> str:
        return "\n".join(str(problem) for problem in self.problems)
