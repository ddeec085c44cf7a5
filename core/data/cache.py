"""Arrays kept on disk under what they were made from, so that nothing is computed twice."""

from __future__ import annotations

import hashlib
import os
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray


def cache_folder() -> Path:
    """Where this account keeps what can be made again: `$XDG_CACHE_HOME/abr-tune`, by default below `~/.cache`."""
    named = os.environ.get("XDG_CACHE_HOME", "")
    return (Path(named) if named else Path.home() / ".cache") / "abr-tune"


@dataclass(frozen=True, slots=True)
class Cache:
    """Arrays of one shape and type, by the content they were made from and how."""

    folder: Path
    how: str
    """Everything that decides what comes of a content: settings, version of the library."""

    def key(self, content: bytes) -> str:
        """The name under which what `content` gives is kept."""
        return hashlib.sha256(self.how.encode() + b"\0" + content).hexdigest()

    def get(self, key: str, shape: tuple[int, ...], dtype: Any) -> NDArray[Any] | None:
        """The array kept under the key; None where there is none, or one that is damaged or of another shape."""
        try:
            found = np.load(self._place(key), allow_pickle=False)
        except (OSError, ValueError, EOFError):
            return None
        fits = isinstance(found, np.ndarray) and found.shape == shape and found.dtype == dtype
        return found if fits else None

    def put(self, key: str, array: NDArray[Any]) -> None:
        """Keep an array, whole or not at all. Raises OSError where it cannot be written."""
        place = self._place(key)
        place.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=place.parent, suffix=".tmp", delete=False) as file:
            try:
                np.save(file, array, allow_pickle=False)
                file.close()
                Path(file.name).replace(place)
            except BaseException:
                Path(file.name).unlink(missing_ok=True)
                raise

    def _place(self, key: str) -> Path:
        return self.folder / key[:2] / f"{key}.npy"
