"""A search ended in several ways, continued each time, and right at last: a fast form of the battery's endings."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
if str(ROOT) not in sys.path:
    sys.path.insert(0, str(ROOT))

from benchmarks.battery import endings  # noqa: E402

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]


def test_inline(tmp_path: Path) -> None:
    tried = (("term", "starting"), ("int twice", "training"), ("terminal", "training"), ("hup", "confirming"))
    [row] = endings.inline(tmp_path, tried=tried, trials=3)
    assert row.times == 4
    assert row.kept, row.happened


@pytest.mark.ray
def test_under_ray(tmp_path: Path) -> None:
    [row] = endings.on_ray(tmp_path, tried=(("int", "starting"), ("terminal", "training")), trials=4)
    assert row.times == 2
    assert row.kept, row.happened
