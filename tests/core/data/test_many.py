"""Many files: made once, kept by their content, and unreadable ones left out up to a share."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from core.data.cache import Cache, cache_folder
from core.data.check import DataMistakes
from core.data.listing import Listed
from core.data.many import Read, read_many

SHAPE = (3, 32, 32)


def images(folder: Path, count: int) -> list[Listed]:
    files = []
    for index in range(count):
        file = folder / f"{index}.png"
        Image.new("RGB", (40, 40), (index, 0, 0)).save(file)
        files.append(Listed(file, file.name, "a", file.name))
    return files


def read(files: list[Listed], cache: Cache | None = None, most: float = 0.0) -> Read:
    return read_many(
        "images", files, {"size": 32}, shape=SHAPE, dtype=np.uint8, cache=cache, most_unreadable=most, source="here"
    )


def test_arrays_come_in_the_order_of_the_files(tmp_path: Path) -> None:
    found = read(images(tmp_path, 3)[::-1])
    assert found.arrays[:, 0, 0, 0].tolist() == [2, 1, 0]
    assert found.kept.tolist() == [0, 1, 2]
    assert not found.skipped


def test_what_was_made_once_is_not_made_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The second time no process is started; a file that was changed, or settings that were, make it anew."""
    cache = Cache(tmp_path / "cache", "as it is")
    files = images(tmp_path, 2)
    first = read(files, cache)
    (tmp_path / "1.png").rename(tmp_path / "other name.png")
    moved = [files[0], Listed(tmp_path / "other name.png", "other name.png", "a", "g")]
    monkeypatch.setattr("core.data.many.open_apart", None)
    np.testing.assert_array_equal(read(moved, cache).arrays, first.arrays)
    with pytest.raises(TypeError):
        read(moved, Cache(tmp_path / "cache", "otherwise"))
    Image.new("RGB", (40, 40), (9, 9, 9)).save(files[0].path)
    with pytest.raises(TypeError):
        read(moved, cache)


def test_a_damaged_array_in_the_cache_is_made_again(tmp_path: Path) -> None:
    cache = Cache(tmp_path / "cache", "as it is")
    files = images(tmp_path, 1)
    first = read(files, cache)
    [kept] = (tmp_path / "cache").rglob("*.npy")
    for content in (b"rubbish", kept.read_bytes()[:50], b""):
        kept.write_bytes(content)
        np.testing.assert_array_equal(read(files, cache).arrays, first.arrays)
    np.save(kept, np.array([{"no": "pickle"}]), allow_pickle=True)
    np.testing.assert_array_equal(read(files, cache).arrays, first.arrays)


def test_a_cache_that_cannot_be_written_is_done_without(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "cache").write_text("a file, not a folder", encoding="utf-8")
    assert len(read(images(tmp_path, 2), Cache(tmp_path / "cache", "as it is")).arrays) == 2
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert "will be computed again" in caplog.text


def test_unreadable_files_are_left_out_and_named_up_to_a_share(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    files = images(tmp_path, 4)
    files[1].path.write_bytes(b"rubbish")
    files[2].path.write_bytes(b"")
    with caplog.at_level(logging.WARNING):
        found = read(files, most=0.5)
    assert found.kept.tolist() == [0, 3]
    assert found.arrays[:, 0, 0, 0].tolist() == [0, 3]
    assert found.skipped == {"1.png": "it is no image of a known format", "2.png": "it is empty"}
    assert "1.png is left out" in caplog.text
    with pytest.raises(DataMistakes) as caught:
        read(files, most=0.49)
    assert "1.png: it is no image" in str(caught.value)
    assert "allow a larger share with data.unreadable (now 0.49)" in str(caught.value)


def test_the_cache_lies_where_the_system_says(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_folder() == tmp_path / "abr-tune"
    monkeypatch.setenv("XDG_CACHE_HOME", "")
    monkeypatch.setenv("HOME", "/home/somebody")
    assert cache_folder() == Path("/home/somebody/.cache/abr-tune")
