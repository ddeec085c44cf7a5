"""Image files as squares of pixels: three colours, one size, bytes."""

# N images, P pixels a side.

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from core.config import Options

if TYPE_CHECKING:
    from PIL import Image

SUFFIXES: Final = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp")
FORMATS: Final = ("PNG", "JPEG", "BMP", "TIFF", "WEBP")
MOST_PIXELS: Final = 100_000_000
"""Of one image: more are taken for an attempt to fill the memory."""


class PixelOptions(Options):
    """How an image becomes a square."""

    size: Annotated[int, Field(ge=32, le=1024)] = 96
    """Pixels a side: the shorter side of an image is scaled to it, the middle of the longer one is kept."""

    @property
    def shape(self) -> tuple[int, int, int]:
        """(3, P, P)."""
        return 3, self.size, self.size

    def how(self) -> str:
        """All that decides what comes of a file's bytes."""
        import PIL

        return f"{self.model_dump_json()} Pillow {PIL.__version__}"


def square(file: Path, options: PixelOptions) -> NDArray[np.uint8]:
    """(3, P, P) red, green and blue of an image file, upright, on black where it is transparent.

    Images of 16 bits are scaled down to 8 by their type's range, grey ones get three equal colours. Raises ValueError
    with what is wrong where nothing can be read.
    """
    from PIL import Image, ImageOps, UnidentifiedImageError

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # size is judged here, damage raises
            with Image.open(file, formats=FORMATS) as image:
                if math.prod(image.size) > MOST_PIXELS:
                    raise ValueError(f"it has too many pixels: more than {MOST_PIXELS:,}")
                upright = ImageOps.exif_transpose(image)
                fitted = ImageOps.fit(_colours(upright), (options.size, options.size), Image.Resampling.BILINEAR)
    except UnidentifiedImageError as fault:
        raise ValueError("it is no image of a known format") from fault
    except Image.DecompressionBombError as fault:
        raise ValueError(f"it has too many pixels: more than {MOST_PIXELS:,}") from fault
    except (OSError, SyntaxError, EOFError) as fault:
        raise ValueError(f"the image is damaged: {fault}") from fault
    return np.asarray(fitted, dtype=np.uint8).transpose(2, 0, 1)


def _colours(image: Image.Image) -> Image.Image:
    """The image in red, green and blue, eight bits each."""
    from PIL import Image

    if image.mode.startswith("I") or image.mode == "F":
        values = np.asarray(image, dtype=np.float64)
        top = 65_535.0 if image.mode != "F" else max(1.0, float(values.max()))
        image = Image.fromarray(np.clip(np.round(values * (255.0 / top)), 0, 255).astype(np.uint8))
    if "A" in image.getbands() or "transparency" in image.info:
        image = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", image.size, (0, 0, 0, 255)), image).convert("RGB")
    return image.convert("RGB")


def pixels(files: Sequence[Path], options: PixelOptions) -> tuple[NDArray[np.uint8], dict[int, str]]:
    """(N, 3, P, P) squares of the files, zero where one cannot be read, and by its place what is wrong with each."""
    found = np.zeros((len(files), *options.shape), dtype=np.uint8)
    problems: dict[int, str] = {}
    for index, file in enumerate(files):
        try:
            found[index] = square(file, options)
        except ValueError as fault:
            problems[index] = str(fault)
    return found, problems
