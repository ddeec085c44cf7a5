"""Images of every mode and size become squares of three colours; what is none is named."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from core.data.apart import open_apart
from core.data.images.pixels import MOST_PIXELS, PixelOptions, pixels, square

OPTIONS = PixelOptions(size=32)


def saved(folder: Path, image: Image.Image, name: str = "a.png", **how: object) -> Path:
    image.save(folder / name, **how)
    return folder / name


def filled(mode: str, colour: object, size: tuple[int, int] = (64, 48)) -> Image.Image:
    return Image.new(mode, size, colour)


def middle(file: Path) -> list[int]:
    found = square(file, OPTIONS)
    assert found.shape == (3, 32, 32)
    assert found.dtype == np.uint8
    return found[:, 16, 16].tolist()


@pytest.mark.parametrize(
    ("image", "colour"),
    [
        (filled("RGB", (200, 100, 50)), [200, 100, 50]),
        (filled("L", 130), [130, 130, 130]),
        (filled("1", 1), [255, 255, 255]),
        (filled("RGBA", (200, 100, 50, 255)), [200, 100, 50]),
        (filled("RGBA", (200, 100, 50, 0)), [0, 0, 0]),
        (filled("RGBA", (200, 100, 50, 51)), [40, 20, 10]),
        (filled("LA", (100, 255)), [100, 100, 100]),
        (filled("P", 0), [0, 0, 0]),
        (Image.fromarray(np.full((48, 64), 0.5, np.float32)), [128, 128, 128]),
        (Image.fromarray(np.full((48, 64), 65_535, np.uint16)), [255, 255, 255]),
        (Image.fromarray(np.full((48, 64), 257 * 100, np.uint16)), [100, 100, 100]),
    ],
    ids=[
        "rgb", "grey", "bits", "opaque", "clear", "veil", "grey with alpha", "palette", "fractions", "16 bits",
        "16 bits, grey",
    ],
)  # fmt: skip
def test_a_colour_comes_through(tmp_path: Path, image: Image.Image, colour: list[int]) -> None:
    assert middle(saved(tmp_path, image, "a.tif" if image.mode == "F" else "a.png")) == colour


def test_colours_for_printing_are_shown_as_they_look(tmp_path: Path) -> None:
    """No cyan, all of magenta and yellow is red."""
    for name in ("a.jpg", "a.tif"):
        assert middle(saved(tmp_path, filled("CMYK", (0, 255, 255, 0)), name)) == [255, 0, 0]


def test_sixteen_bits_of_three_colours(tmp_path: Path) -> None:
    """Pillow cannot write such a file; it is put together by hand, of 48 rows of 64 pixels."""
    rows = b"".join(b"\0" + struct.pack(">HHH", 257 * 200, 257 * 100, 257 * 50) * 64 for _ in range(48))
    header = struct.pack(">IIBBBBB", 64, 48, 16, 2, 0, 0, 0)
    chunks = [(b"IHDR", header), (b"IDAT", zlib.compress(rows)), (b"IEND", b"")]
    file = tmp_path / "a.png"
    file.write_bytes(
        b"\x89PNG\r\n\x1a\n"
        + b"".join(struct.pack(">I", len(d)) + k + d + struct.pack(">I", zlib.crc32(k + d)) for k, d in chunks)
    )
    assert middle(file) == [200, 100, 50]


@pytest.mark.parametrize("name", ["a.png", "a.tif", "a.webp"])
def test_of_several_pictures_the_first_is_read(tmp_path: Path, name: str) -> None:
    first, second = filled("RGB", (255, 0, 0)), filled("RGB", (0, 255, 0))
    red, green, blue = middle(saved(tmp_path, first, name, save_all=True, append_images=[second], lossless=True))
    assert (red, green, blue) == (255, 0, 0)


def test_a_palette_with_a_transparent_colour_lies_on_black(tmp_path: Path) -> None:
    image = filled("P", 0)
    image.putpalette([250, 0, 0] * 256)
    assert middle(saved(tmp_path, image, transparency=0)) == [0, 0, 0]
    assert middle(saved(tmp_path, image, "b.png")) == [250, 0, 0]


def test_the_middle_of_a_long_image_is_kept(tmp_path: Path) -> None:
    image = filled("RGB", (0, 0, 0), (300, 100))
    image.paste((255, 255, 255), (100, 0, 200, 100))
    found = square(saved(tmp_path, image), OPTIONS)
    assert found[:, :, 1:-1].min() >= 250


def test_a_photograph_is_turned_upright(tmp_path: Path) -> None:
    image = filled("RGB", (0, 0, 0), (64, 64))
    image.paste((255, 255, 255), (0, 0, 64, 32))  # above is white
    exif = Image.Exif()
    exif[0x0112] = 6  # turned by a quarter, clockwise, to be shown
    found = square(saved(tmp_path, image, "a.jpg", exif=exif, quality=95), OPTIONS)
    assert found[:, 16, 28].min() > 200
    assert found[:, 16, 3].max() < 50


def test_what_is_no_image_is_named(tmp_path: Path) -> None:
    good = saved(tmp_path, filled("RGB", (9, 9, 9)))
    text, half, empty = (tmp_path / name for name in ("text.png", "half.png", "empty.png"))
    text.write_text("not an image", encoding="utf-8")
    noisy = Image.fromarray(np.random.default_rng(1).integers(0, 255, (64, 64, 3), dtype=np.uint8))
    half.write_bytes(saved(tmp_path, noisy, "whole.png").read_bytes()[:5000])
    empty.touch()
    found, problems = pixels([good, text, half, empty], OPTIONS)
    assert sorted(problems) == [1, 2, 3]
    assert "no image of a known format" in problems[1]
    assert "damaged" in problems[2]
    assert found[0].max() == 9
    assert not found[1:].any()


@pytest.mark.parametrize("side", [11_000, 20_000])
def test_an_image_that_would_fill_the_memory_is_refused(tmp_path: Path, side: int) -> None:
    """A few kilobytes that hold more pixels than is sensible; Pillow itself warns of the first, refuses the second."""
    bomb = saved(tmp_path, filled("1", 0, (side, side)), "bomb.png")
    assert bomb.stat().st_size < 100_000
    assert side**2 > MOST_PIXELS
    _, problems = pixels([bomb], OPTIONS)
    assert "too many pixels" in problems[0]


def test_images_are_read_in_a_process_of_its_own(tmp_path: Path) -> None:
    file = saved(tmp_path, filled("RGB", (1, 2, 3)))
    manifest = tmp_path / "ask.json"
    manifest.write_text(f'{{"settings": {{"size": 32}}, "files": ["{file}", "{tmp_path}/gone.png"]}}', encoding="utf-8")
    answer = open_apart("images", [manifest])
    assert answer.arrays["made"][0, :, 0, 0].tolist() == [1, 2, 3]
    assert list(answer.header["problems"]) == ["1"]
