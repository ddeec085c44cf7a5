"""Simulated photographs of eyes in the four classes of document 002, for those who have none of their own.

A stand-in, drawn from geometry, not from patients: whatever is made from them is called simulated.
"""

# P pixels a side.

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import numpy as np
from numpy.typing import NDArray

from core.data.labelled import Labelled

NO_CATARACT, IMMATURE, MATURE, IOL = range(4)
CLASS_NAMES: Final = ("No Cataract", "Immature", "Mature", "IOL Inserted")
SHARE: Final[Mapping[int, float]] = {NO_CATARACT: 1191, IMMATURE: 1033, MATURE: 1775}
"""Images of the common classes behind document 002; the rarest (33 of 4,032) is given a number of its own."""

Floats = NDArray[np.float64]


def simulate_eyes(images: int, rarest: int, *, size: int, seed: int) -> Labelled:
    """`images` eyes of `size` pixels a side, `rarest` of them with an artificial lens; each its own group.

    Raises ValueError where the other classes would have no image.
    """
    others = images - rarest
    if others < len(SHARE):
        raise ValueError(f"{images} images with {rarest} of the rarest class leave too few for the other classes")
    total = sum(SHARE.values())
    count_K = [max(1, round(others * SHARE[kind] / total)) for kind in SHARE]
    count_K[MATURE] += others - sum(count_K)
    kind_N = np.repeat(np.arange(len(CLASS_NAMES)), [*count_K, rarest])
    drawn = [
        eye(int(kind), size, np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(index,))))
        for index, kind in enumerate(kind_N)
    ]
    name_N = np.array([f"simulated eye {index:05d}" for index in range(images)])
    return Labelled(
        inputs=np.stack(drawn), class_index=kind_N.astype(np.int64), class_names=CLASS_NAMES, group=name_N, name=name_N
    )


def eye(kind: int, size: int, random: np.random.Generator) -> NDArray[np.uint8]:
    """(3, P, P) skin, white, iris and pupil under a lamp, the lens behind the pupil as the class has it."""
    row_PP, column_PP = np.mgrid[-1 : 1 : size * 1j, -1 : 1 : size * 1j]
    shift = random.normal(0, 0.08, 2)
    away_PP = np.hypot(row_PP - shift[0], column_PP - shift[1])
    skin = np.array([0.75, 0.55, 0.45]) * random.uniform(0.55, 1.15)
    image_3PP = np.broadcast_to(skin[:, None, None], (3, size, size)).copy()
    opening = random.uniform(0.5, 0.75)
    open_PP = _soft(1 - (row_PP / opening) ** 2 - (column_PP / 0.95) ** 2, 0.06)
    _paint(image_3PP, open_PP, np.array([0.9, 0.87, 0.85]) * random.uniform(0.8, 1.05))
    iris, pupil = random.uniform(0.42, 0.52), random.uniform(0.2, 0.34)
    colours = np.array([[0.35, 0.22, 0.12], [0.3, 0.4, 0.5], [0.3, 0.38, 0.25]])
    iris_colour = colours[random.integers(len(colours))]
    angle_PP = np.arctan2(row_PP - shift[0], column_PP - shift[1])
    stripes_PP = 1 + 0.15 * np.sin(angle_PP * random.integers(20, 40) + random.uniform(0, 6))
    _paint(image_3PP, open_PP * _soft(iris - away_PP, 0.02), iris_colour[:, None, None] * stripes_PP)
    pupil_PP = open_PP * _soft(pupil - away_PP, 0.015)
    _paint(image_3PP, pupil_PP, _lens(kind, away_PP, angle_PP, pupil, random))
    for _ in range(random.integers(1, 3)):
        place = shift + random.normal(0, 0.15, 2)
        glint_PP = np.exp(-((row_PP - place[0]) ** 2 + (column_PP - place[1]) ** 2) / (2 * 0.025**2))
        _paint(image_3PP, 0.9 * glint_PP, np.ones(3))
    lamp_PP = 1 + random.normal(0, 0.12) * row_PP + random.normal(0, 0.12) * column_PP
    image_3PP = image_3PP * lamp_PP * random.uniform(0.7, 1.2) + random.normal(0, 0.03, image_3PP.shape)
    return np.asarray(np.clip(np.round(255 * image_3PP), 0, 255), dtype=np.uint8)


def _lens(kind: int, away_PP: Floats, angle_PP: Floats, pupil: float, random: np.random.Generator) -> Floats:
    """(3, P, P) what is seen through the pupil."""
    dark = np.full((3, *away_PP.shape), 0.06)
    white = np.array([0.88, 0.88, 0.82])[:, None, None]
    if kind == MATURE:
        return np.asarray(white * random.uniform(0.75, 1.0) + 0.03 * np.sin(9 * angle_PP))
    if kind == IMMATURE:
        patches_PP = 0.5 + 0.5 * np.sin(angle_PP * random.integers(3, 7) + random.uniform(0, 6))
        cloud_PP = random.uniform(0.2, 0.65) * (0.5 + 0.5 * patches_PP * np.clip(away_PP / pupil, 0, 1))
        return np.asarray(dark * (1 - cloud_PP) + white * cloud_PP)
    haze = random.uniform(0.0, 0.12)
    seen = dark * (1 - haze) + white * haze
    if kind == IOL:
        edge_PP = np.exp(-(((away_PP - random.uniform(0.75, 0.9) * pupil) / 0.012) ** 2))
        arc_PP = edge_PP * (np.cos(angle_PP - random.uniform(0, 6)) > random.uniform(-0.6, 0.3))
        return np.asarray(seen * (1 - arc_PP) + 0.75 * arc_PP)
    return np.asarray(seen)


def _soft(inside_PP: Floats, edge: float) -> Floats:
    """1 inside (above 0), 0 outside, with a soft edge."""
    return np.asarray(1 / (1 + np.exp(-np.clip(inside_PP / edge, -30, 30))))


def _paint(image_3PP: Floats, share_PP: Floats, colour: Floats) -> None:
    colour_3PP = colour[:, None, None] if colour.ndim == 1 else colour
    image_3PP += share_PP * (colour_3PP - image_3PP)
