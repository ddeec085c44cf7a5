"""A bank of straight lines, recorded once."""

import sys
from pathlib import Path

import pytest

from abr_tune.bank.record import record
from abr_tune.errors import Exit
from abr_tune.plan.load import load_plan
from abr_tune.plan.plan import Plan

HERE = Path(__file__).parent
if str(HERE.parents[1]) not in sys.path:
    sys.path.insert(0, str(HERE.parents[1]))
SPACE = """\
name: lines
task: lines:TASK
train: {epochs: 5}
search:
  slope: {uniform: [0.0, 0.2]}
  start: {uniform: [0.1, 0.3]}
start_from:
  - {name: flat, slope: 0.0, start: 0.2}
  - {name: broken, slope: 0.9, start: 0.2}
  - {name: buggy, kind: raise, slope: 0.1, start: 0.2}
pruner: {successive_halving: {reduction: 2, promote: false}}
budget: {trials: 4}
seed: 3
"""


def space_file(folder: Path, text: str = SPACE) -> Path:
    """The space file beside a copy of its task."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "lines.py").write_text((HERE / "lines.py").read_text())
    file = folder / "lines.yaml"
    file.write_text(text)
    return file


def plan_of(file: Path) -> Plan:
    return load_plan(file, trust_code=True)


@pytest.fixture(scope="session")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three start points and nine drawn configurations."""
    folder = tmp_path_factory.mktemp("lines")
    plan = plan_of(space_file(folder))
    assert record(plan, folder / "bank", trials=12, executor="inline") is Exit.DONE
    return folder / "bank"
