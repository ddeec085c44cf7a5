"""Which of the weights that a training left are its last."""

from __future__ import annotations

import os
from pathlib import Path

from abr_tune.export import newest_weights


def left(folder: Path, *names: str) -> None:
    """Weights in checkpoint folders of these names, the first written last: as a copy may have it."""
    for age, name in enumerate(names):
        place = folder / "checkpoint" / name
        place.mkdir(parents=True)
        (place / "model.safetensors").touch()
        os.utime(place / "model.safetensors", (100 - age, 100 - age))


def test_a_copied_folder_has_the_same_last_weights(tmp_path: Path) -> None:
    left(tmp_path, "epoch-9", "epoch-10")
    newest = newest_weights(tmp_path)
    assert newest is not None
    assert newest.parent.name == "epoch-10"


def test_without_numbers_the_last_written_are_the_last(tmp_path: Path) -> None:
    left(tmp_path, "later", "earlier")
    newest = newest_weights(tmp_path)
    assert newest is not None
    assert newest.parent.name == "later"


def test_a_training_without_weights_has_none(tmp_path: Path) -> None:
    assert newest_weights(tmp_path) is None
