"""Augmented views of images: mirrored, turned, scaled, moved, brighter or darker."""

# B images, P pixels a side, V views.

from __future__ import annotations

from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from core.data.images.options import ViewOptions

PARAMETERS: Final = 7
"""Numbers that make a view of an image: mirrored (-1 or 1), angle, log scale, two shifts, log contrast, brightness."""


def draw_views(random: np.random.Generator, count: int, options: ViewOptions) -> NDArray[np.float32]:
    """(count, PARAMETERS) each number uniform in its range."""
    mirrored = random.choice([-1.0, 1.0], count) if options.mirror else np.ones(count)
    angle = random.uniform(-1, 1, count) * np.radians(options.degrees)
    scale = np.log1p(random.uniform(-options.scale, options.scale, count))
    shift = random.uniform(-1, 1, (2, count)) * 2 * options.shift
    contrast = np.log1p(random.uniform(-1, 1, count) * options.light)
    brightness = random.uniform(-1, 1, count) * options.light
    return np.stack([mirrored, angle, scale, *shift, contrast, brightness], 1).astype(np.float32)


def plain(count: int) -> NDArray[np.float32]:
    """(count, PARAMETERS) views that are the images themselves."""
    views = np.zeros((count, PARAMETERS), np.float32)
    views[:, 0] = 1.0
    return views


def show(pixels_B3PP: Tensor, views_BV: Tensor) -> Tensor:
    """(B, 3, P, P) bytes and (B, PARAMETERS) -> the views, floats from 0 to 255; the edge is drawn out where one ends.

    A plain view is the image, to rounding.
    """
    mirrored_B, angle_B, scale_B, right_B, down_B, contrast_B, brightness_B = views_BV.unbind(1)
    cos_B, sin_B = angle_B.cos() * (-scale_B).exp(), angle_B.sin() * (-scale_B).exp()
    rows = [torch.stack([mirrored_B * cos_B, -sin_B, right_B], 1), torch.stack([mirrored_B * sin_B, cos_B, down_B], 1)]
    pixels = pixels_B3PP.float()
    grid = torch.nn.functional.affine_grid(torch.stack(rows, 1), list(pixels.shape), align_corners=False)
    turned = torch.nn.functional.grid_sample(pixels, grid, padding_mode="border", align_corners=False)
    bright_B111 = 255 * brightness_B[:, None, None, None]
    return ((turned - 127.5) * contrast_B.exp()[:, None, None, None] + 127.5 + bright_B111).clamp(0, 255)
