"""The banks of this repository can be read, and their tasks do the same every time."""

import importlib.util
import sys
from pathlib import Path

import pytest

from abr_tune.bank.folder import read_bank
from abr_tune.replay.ground import load_ground

BANKS = Path(__file__).parents[2] / "benchmarks" / "banks"
SHIPPED = sorted(path.parent.name for path in BANKS.glob("*/bank.json"))


def test_there_are_some() -> None:
    assert {"boosting", "phase1", "sklearn_digits", "torch_digits"} <= set(SHIPPED)


@pytest.mark.parametrize("name", SHIPPED)
def test_a_shipped_bank_is_whole_and_small(name: str) -> None:
    bank = read_bank(BANKS / name)
    assert len(bank.numbers) >= 300
    assert sorted(bank.numbers) == list(range(len(bank.numbers)))
    assert sum(file.stat().st_size for file in (BANKS / name).iterdir()) < 5_000_000
    ground = load_ground(BANKS / name, trust_code=True)
    full = [run for run in ground.runs if len(run.curve) == run.length]
    assert len(full) >= 290
    assert ground.objective.metric in ("val/class/f1_macro", "val/class/log_loss")


@pytest.mark.parametrize("name", ["SKLEARN", "TORCH", "BOOSTING"])
def test_a_bank_task_repeats_itself_and_heeds_its_seed(name: str, tmp_path: Path) -> None:
    spec = importlib.util.spec_from_file_location("bank_tasks", BANKS / "tasks.py")
    assert spec is not None
    assert spec.loader is not None
    module = sys.modules["bank_tasks"] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    task = getattr(module, name)
    options = task.options(epochs=2, **({"subsample": 0.5} if name == "BOOSTING" else {}))
    first, again, other = (list(task.train(options, seed=seed, checkpoint=tmp_path)) for seed in (1, 1, 2))
    assert first == again
    assert first != other
    assert [report.epoch for report in first] == [1, 2]
    assert task.baselines(None)[task.objective.metric] > 0
