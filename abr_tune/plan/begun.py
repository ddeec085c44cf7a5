"""The weights that trainings begin from: where they lie, which they are, and how a file says so."""

from __future__ import annotations

import hashlib
import inspect
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Self

from abr_tune.errors import UserError

WEIGHTS: Final = "model.safetensors"


@dataclass(frozen=True, slots=True)
class StartWeights:
    """A file of weights, known by its content."""

    path: Path
    sha256: str

    @classmethod
    def of(cls, path: Path) -> Self:
        """The weights in a file that is there. Raises OSError when it cannot be read."""
        return cls(path, sha256_of(path))

    def said_from(self, folder: Path) -> dict[str, str]:
        """As a file in `folder` must say it."""
        return {"weights": os.path.relpath(self.path.resolve(), folder.resolve()), "sha256": self.sha256}

    def checked(self) -> Path:
        """The file, which holds what it held when the configuration was written.

        Raises:
            UserError: it is gone, or holds something else.
        """
        found = sha256_of(self.path) if self.path.is_file() else None
        if found != self.sha256:
            what = "is not there" if found is None else "holds other weights than the configuration was trained from"
            raise UserError(
                f"{self.path} {what}: training begins from the file of SHA-256 {self.sha256[:12]}..., which lies in "
                "the folder start/ of the run; put it back, or begin from nothing with --set start=null"
            )
        return self.path


def sha256_of(path: Path) -> str:
    """SHA-256 of a file's content."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def takes_weights(task: Any) -> bool:
    """Whether a task can begin from weights: its `train` names `start`."""
    return "start" in inspect.signature(task.train).parameters
