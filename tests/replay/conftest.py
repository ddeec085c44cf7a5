"""Six straight lines whose every number can be told beforehand; see `LINES`."""

import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
if str(ROOT) not in sys.path:
    sys.path.insert(0, str(ROOT))

from abr_tune.bank.record import record  # noqa: E402
from abr_tune.errors import Exit  # noqa: E402
from abr_tune.plan.load import load_plan  # noqa: E402
from abr_tune.replay.ground import Ground, load_ground  # noqa: E402

LINES = """\
name: six
task: lines:TASK
train: {epochs: 10}
search:
  slope: {uniform: [-0.1, 0.3]}
  start: {uniform: [0.0, 0.7]}
start_from:                                     # majority 0.2; ends after ten epochs at
  - {name: best, slope: 0.05, start: 0.2}       # 0.7
  - {name: second, slope: 0.04, start: 0.2}     # 0.6
  - {name: middle, slope: 0.02, start: 0.2}     # 0.4: the median of the five that end
  - {name: flat, slope: 0.0, start: 0.2}        # 0.2, collapsed: judged from epoch 4 on, stopped at 5
  - {name: broken, slope: 0.25, start: 0.1}     # breaks off within epoch 3
  - {name: falling, slope: -0.04, start: 0.65}  # 0.25, worse than the 0.61 after its first epoch: diverged
pruner: none
sampler: random
budget: {trials: 6}
"""


@pytest.fixture(scope="session")
def six(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The bank of the six."""
    folder = tmp_path_factory.mktemp("six")
    (folder / "lines.py").write_text((ROOT / "tests" / "bank" / "lines.py").read_text())
    (folder / "six.yaml").write_text(LINES)
    plan = load_plan(folder / "six.yaml", trust_code=True)
    assert record(plan, folder / "bank", trials=6, executor="inline") is Exit.DONE
    return folder / "bank"


@pytest.fixture(scope="session")
def ground(six: Path) -> Ground:
    return load_ground(six, trust_code=True)
