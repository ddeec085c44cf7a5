"""A search that is killed at random moments, and gone on with each time: nothing it had said is lost."""

import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
if str(ROOT) not in sys.path:
    sys.path.insert(0, str(ROOT))

from benchmarks.scale import FAULTLESS, kill  # noqa: E402
from tests.postgres import Server  # noqa: E402

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]


def faultless(found: dict[str, int]) -> None:
    assert found["trials"] == found["asked for"]
    assert found["acknowledged"] > 0
    assert {name: found[name] for name in FAULTLESS} == dict.fromkeys(FAULTLESS, 0)


def test_on_sqlite() -> None:
    faultless(kill(4, None, seed=1))


def test_on_postgresql(postgres: Server) -> None:
    faultless(kill(4, postgres.url, seed=2))
