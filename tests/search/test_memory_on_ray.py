"""Ray ends a worker because memory is short: for once that is made to be so, by a threshold that everything passes."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from abr_tune.exhaustion import HINT
from abr_tune.search.archive import read_records

pytestmark = [pytest.mark.ray, pytest.mark.slow, pytest.mark.timeout(180)]
ROOT = Path(__file__).parents[2]
SHORT = """
import sys
from pathlib import Path
from abr_tune.plan.plan import Budget
from abr_tune.search import driver, retries
from abr_tune.search.search import search
from tests.search.tasks import BASELINES, plan

retries.PAUSES["memory"] = (0.1,)
chosen = plan(train={"epochs": 60, "act": "sleep"}, budget=Budget(trials=1))
settings = {"dataset": None, "baselines": BASELINES, "executor": "ray", "jobs": 1}
search(chosen, folder=Path(sys.argv[1]), listener=print, **settings)
"""


def test_it_is_tried_once_more_and_then_fails_with_what_helps(tmp_path: Path) -> None:
    low = {"RAY_memory_usage_threshold": "0.001", "RAY_memory_monitor_refresh_ms": "100", "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-c", SHORT, str(tmp_path)],
        env=os.environ | low,
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=170,
        check=True,
    )
    first = read_records(tmp_path)[0]
    assert first.state == "failed"
    assert "running low on memory" in first.error
    assert first.error.endswith(HINT)
    said = [line for line in done.stdout.splitlines() if line.startswith("Warned(number=0")]
    assert len(said) == 1
    assert "tried once more" in said[0]
