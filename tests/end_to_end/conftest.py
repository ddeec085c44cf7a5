import sys
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
# The quick task of these tests is named as a user's own would be; it is found from the project's root.
if str(ROOT) not in sys.path:
    sys.path.insert(0, str(ROOT))

from tests.end_to_end.commands import IN_PROCESS, LITTLE, QUICK, Made, call  # noqa: E402


@pytest.fixture(scope="session")
def little(tmp_path_factory: pytest.TempPathFactory) -> Made:
    """The ABR run; nobody may change it."""
    folder = tmp_path_factory.mktemp("little")
    file, out = folder / "little.yaml", folder / "results"
    file.write_text(LITTLE, encoding="utf-8")
    return Made(file, out, "little", call("run", file, "--out", out, "--executor", "inline"))


@pytest.fixture
def quick(tmp_path: Path) -> Callable[..., Made]:
    """Runs the quick task in the test's own folder; `changes` are pairs of texts replaced in its file."""

    def run(*words: object, changes: dict[str, str] | None = None) -> Made:
        text = QUICK
        for old, new in (changes or {}).items():
            assert old in text
            text = text.replace(old, new)
        file, out = tmp_path / "quick.yaml", tmp_path / "results"
        file.write_text(text, encoding="utf-8")
        return Made(file, out, "quick", call("run", file, "--out", out, *IN_PROCESS, *words))

    return run
