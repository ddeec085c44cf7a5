from collections.abc import Iterator

import pytest

from tests.postgres import Server, programs, running


@pytest.fixture(scope="session")
def postgres() -> Iterator[Server]:
    """A PostgreSQL for the tests of one session; they are skipped where none is installed."""
    pytest.importorskip("psycopg", reason="the extra `postgresql` is not installed")
    if (folder := programs()) is None:
        pytest.skip("no PostgreSQL server is installed (Debian: postgresql)")
    with running(folder) as server:
        yield server
