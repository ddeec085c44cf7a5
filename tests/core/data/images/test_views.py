"""Views of images: what each number does, and that a plain one does nothing."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from core.data.images.options import ViewOptions
from core.data.images.views import PARAMETERS, draw_views, plain, show

SIDE = 32


def image() -> torch.Tensor:
    """(1, 3, 32, 32) smooth, and different on every side."""
    row, column = torch.meshgrid(torch.arange(SIDE), torch.arange(SIDE), indexing="ij")
    return torch.stack([4 * row, 4 * column, 2 * (row + column)])[None].to(torch.uint8)


def shown(**changed: float) -> torch.Tensor:
    names = ["mirrored", "angle", "scale", "right", "down", "contrast", "brightness"]
    view = torch.tensor(plain(1))
    for name, value in changed.items():
        view[0, names.index(name)] = value
    return show(image(), view)[0]


def test_a_plain_view_is_the_image() -> None:
    torch.testing.assert_close(shown(), image()[0].float(), atol=1e-3, rtol=0)


def test_a_mirrored_view_is_the_image_from_behind() -> None:
    torch.testing.assert_close(shown(mirrored=-1.0), image()[0].float().flip(-1), atol=1e-3, rtol=0)


def test_a_quarter_turn_is_one() -> None:
    turned = shown(angle=float(np.pi / 2))
    torch.testing.assert_close(turned, image()[0].float().rot90(1, (1, 2)), atol=1e-2, rtol=0)


def test_a_move_is_by_half_of_the_number_of_sides() -> None:
    moved = shown(right=2 * 4 / SIDE)
    torch.testing.assert_close(moved[:, :, :-4], image()[0].float()[:, :, 4:], atol=1e-2, rtol=0)
    down = shown(down=2 * 4 / SIDE)
    torch.testing.assert_close(down[:, :-4], image()[0].float()[:, 4:], atol=1e-2, rtol=0)


def test_a_larger_view_shows_less() -> None:
    larger = shown(scale=float(np.log(2.0)))
    assert larger[0, -1, 0] - larger[0, 0, 0] == pytest.approx(62, abs=1)  # half of 31 rows of 4


def test_light_changes_contrast_and_brightness_within_bytes() -> None:
    torch.testing.assert_close(shown(brightness=0.1), image()[0] + 25.5, atol=1e-3, rtol=0)
    assert shown(brightness=1.0).max() == 255
    torch.testing.assert_close(shown(contrast=float(np.log(0.5))), image()[0] / 2 + 63.75, atol=1e-3, rtol=0)


def test_drawn_views_stay_within_their_options() -> None:
    options = ViewOptions(degrees=10, scale=0.2, shift=0.1, light=0.3)
    views = draw_views(np.random.default_rng(1), 4000, options)
    assert views.shape == (4000, PARAMETERS)
    assert set(views[:, 0]) == {-1.0, 1.0}
    for column, most in ((1, np.radians(10)), (3, 0.2), (4, 0.2), (6, 0.3)):
        assert most * 0.95 < abs(views[:, column]).max() <= most * 1.0001
    assert np.exp(views[:, 2]).max() == pytest.approx(1.2, abs=0.01)
    assert set(draw_views(np.random.default_rng(1), 50, ViewOptions(mirror=False))[:, 0]) == {1.0}
