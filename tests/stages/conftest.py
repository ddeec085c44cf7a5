import shutil
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
# The task of these tests is named as a user's own would be; it is found from the project's root.
if str(ROOT) not in sys.path:
    sys.path.insert(0, str(ROOT))

from tests.end_to_end.commands import Made, call  # noqa: E402
from tests.stages.tasks import SCORED  # noqa: E402

STAGE = """\
name: {name}
task: tests.stages.tasks:Walk
data: {{seed: 1}}
train: {{epochs: 2{train}}}
search:
  rate: {{uniform: [0.1, 0.4]}}
start_from:
  - {{name: by hand, rate: 0.4}}
objective: {{maximize: val/walk/near}}
pruner: none
sampler: random
budget: {{trials: 1}}
confirm: {{top: 1, seeds: 1}}
gate:
  val/walk/near: {{go: "{go}", investigate: "> 0.01"}}
"""
NAMES = ("one", "two", "three")
IN_PROCESS = ("--executor", "inline", "--trust-code")


def write(folder: Path, go: tuple[str, ...], entries: str = "") -> Path:
    """A file of as many stages as there are bounds for their gates."""
    for name, bound in zip(NAMES, go, strict=False):
        train = ", goal: 1.0, width: 3" if name == "one" else ""
        (folder / f"{name}.yaml").write_text(STAGE.format(name=name, train=train, go=bound), encoding="utf-8")
    listed = entries or ", ".join(f"{name}.yaml" for name, _ in zip(NAMES, go, strict=False))
    file = folder / "way.yaml"
    file.write_text(f"name: way\nabout: There and further.\nstages: [{listed}]\n", encoding="utf-8")
    return file


def begin(folder: Path, *words: object, go: tuple[str, ...], entries: str = "") -> Made:
    SCORED.clear()
    file, out = write(folder, go, entries), folder / "results"
    return Made(file, out, "way", call("run", file, "--out", out, *IN_PROCESS, *words))


@pytest.fixture
def whole(tmp_path: Path) -> Callable[..., Made]:
    """Writes stages and runs them; `go` are the bounds of their gates."""
    return lambda *words, go, entries="": begin(tmp_path, *words, go=go, entries=entries)


@pytest.fixture(scope="session")
def done(tmp_path_factory: pytest.TempPathFactory) -> tuple[Made, list[str]]:
    """Three stages that all passed, and what was scored; nobody may change it."""
    made = begin(tmp_path_factory.mktemp("done"), go=("> 0.3", "> 0.6", "> 0.7"))
    return made, [*SCORED]


@pytest.fixture(scope="session")
def halted(tmp_path_factory: pytest.TempPathFactory) -> tuple[Made, list[str]]:
    """Three stages of which the second asks too much; nobody may change it."""
    made = begin(tmp_path_factory.mktemp("halted"), go=("> 0.3", "> 0.99", "> 0.1"))
    return made, [*SCORED]


def copied(made: Made, tmp_path: Path) -> Made:
    """A run to be changed."""
    folder = tmp_path / "copy"
    shutil.copytree(made.out.parent, folder)
    return replace(made, file=folder / made.file.name, out=folder / made.out.name)
