"""The reading of many files, as it happens in the process of its own."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from numpy.typing import NDArray

from core.data.answer import Answer
from core.data.many import ManyKind

Made = tuple[NDArray[Any], dict[int, str]]


def _audio(files: Sequence[Path], settings: Mapping[str, Any]) -> Made:
    from core.data.audio.features import FeatureOptions, features

    return features(files, FeatureOptions(**settings))


def _images(files: Sequence[Path], settings: Mapping[str, Any]) -> Made:
    from core.data.images.pixels import PixelOptions, pixels

    return pixels(files, PixelOptions(**settings))


MAKERS: Final[Mapping[ManyKind, Callable[[Sequence[Path], Mapping[str, Any]], Made]]] = {
    "audio": _audio,
    "images": _images,
}
"""What makes arrays of the files of each kind: all of them, zeros where one cannot be read, and what is wrong."""


def make(kind: ManyKind, manifest: Path) -> Answer:
    """What the manifest asks for: `{"settings": {...}, "files": [...]}`."""
    asked = json.loads(manifest.read_text(encoding="utf-8"))
    made, problems = MAKERS[kind]([Path(file) for file in asked["files"]], asked["settings"])
    return Answer({"problems": {str(place): reason for place, reason in problems.items()}}, {"made": made})
