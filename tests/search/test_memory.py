"""A study in memory keeps what the durable one keeps."""

from dataclasses import replace
from pathlib import Path

import pytest
from optuna.distributions import FloatDistribution

from abr_tune.search.fidelity import Point
from abr_tune.search.ledger import Ending, Ledger, StoredTrial
from abr_tune.search.memory import MemoryStudy
from abr_tune.search.storage import sqlite_url
from abr_tune.search.study import Study
from core.tasks.task import Objective

SIDES = {"lr": FloatDistribution(0.0, 1.0)}


def lived(ledger: Ledger) -> Ledger:
    """One trial of every kind."""
    for name in ("complete", "pruned", "failed", "paused", "interrupted", "again", "running"):
        number = ledger.begin({"lr": 0.5}, SIDES, {"lr": 0.5}, name)
        assert ledger.next_number == number + 1
        for epoch in (1, 2, 3):
            ledger.report(number, Point(epoch, epoch, (epoch / 10,), 0.0))
    ledger.rewind(5, 2)
    ledger.finish(
        0, Ending(state="complete", values=(0.3,), violations={"x": 0.0}, attributes={"epoch": 3, "seconds": 1.5})
    )
    why = {"epoch": 3, "pruned_by": "class_collapse", "why": "one class", "evidence": {"share": 1.0}}
    ledger.finish_all(
        {
            1: Ending(state="pruned", attributes=why, states=("a", "b"), waited=True),
            2: Ending(state="failed", attributes={"epoch": 3, "error": "no"}),
        }
    )
    ledger.note(6, {"audited": {"rule": "class_collapse", "why": "one class", "epoch": 3}})
    ledger.park(3, 3, {"m": 0.3})
    ledger.interrupt({4: 3}, {4: {"m": 0.3}})
    ledger.interrupt({5: 1}, {})
    ledger.resume(5)
    return ledger


def test_both_keep_the_same(tmp_path: Path) -> None:
    durable = Study(sqlite_url(tmp_path / "study.db"), "s", (Objective("m"),))
    lived(durable)
    durable.close()
    kept = stored_in(Study(sqlite_url(tmp_path / "study.db"), "s", (Objective("m"),)))
    assert stored_in(lived(MemoryStudy())) == kept


def stored_in(ledger: Ledger) -> list[StoredTrial]:
    """The trials with the order in which they ended instead of when."""
    trials = [trial for trial, _ in ledger.news()]
    order = sorted({trial.ended for trial in trials})
    return [replace(trial, ended=order.index(trial.ended)) for trial in trials]


def test_what_the_durable_one_refuses_is_refused() -> None:
    study = MemoryStudy()
    study.begin({}, {}, {}, None)
    with pytest.raises(ValueError, match="cannot end as"):
        study.finish(0, Ending(state="complete"))
    study.finish(0, Ending(state="pruned"))
    with pytest.raises(ValueError, match="has ended already"):
        study.finish(0, Ending(state="pruned"))
