"""A driver killed at any of its writes and continued: nothing is lost, tried twice, or found otherwise."""

from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from abr_tune.plan.plan import Bound, Budget, Confirm, Constraint, Plan, Pruner, Sampler, StartPoint
from abr_tune.search.driver import Driver
from abr_tune.search.events import TrialRecord
from abr_tune.search.executor import Shared
from abr_tune.search.inline import run_inline
from abr_tune.search.storage import sqlite_url
from abr_tune.search.study import Study
from core.tasks.task import Objective
from tests.search.tasks import BASELINES, METRIC, plan
from tests.search.test_driver import without_seconds


class Killed(BaseException):
    """Nobody may catch it."""


class MortalStudy(Study):
    """Dies at one of its writes: before it, or after it without having said so."""

    def __init__(self, folder: Path, chosen: Plan, dies: Callable[[], str | None]) -> None:
        self._dies: Callable[[], str | None] = lambda: None
        super().__init__(sqlite_url(folder / "study.db"), chosen.name, chosen.objectives)
        self._dies = dies

    def _write(self, change: Any) -> Any:
        how = self._dies()
        if how == "before":
            raise Killed
        answer = super()._write(change)
        if how == "after":
            raise Killed
        return answer

    def die(self) -> None:
        self._curves.written(self._curves.unwritten)
        self._dies = lambda: None
        self.close()


def train(chosen: Plan, folder: Path, dies: Callable[[], str | None] = lambda: None) -> tuple[TrialRecord, ...] | None:
    """One process; None when it was killed."""
    folder.mkdir(exist_ok=True)
    study = MortalStudy(folder, chosen, dies)
    try:
        driver = Driver(chosen, study, folder, lambda _event: None)
        shared = Shared(
            task=chosen.task,
            dataset=None,
            health=chosen.health,
            baselines=BASELINES,
            objectives=chosen.objectives,
        )
        run_inline(driver, shared)
        driver.stopped()
    except Killed:
        study.die()
        return None
    records = tuple(study.records())
    study.close()
    return records


def killed_at(number: int, how: str) -> Callable[[], str | None]:
    writes: Iterator[int] = count()
    return lambda: how if next(writes) == number else None


PROMOTING = Pruner(kind="successive_halving", reduction=2, min_epochs=2)
ONE = plan(
    sampler=Sampler(kind="tpe", startup_trials=2),
    pruner=PROMOTING,
    budget=Budget(trials=6),
    confirm=Confirm(top=2),
    start_from=(StartPoint("huge", {"lr": 1e300}), StartPoint("sound", {"lr": 0.5})),
)
TWO = plan(
    sampler=Sampler(kind="tpe", startup_trials=2),
    pruner=PROMOTING,
    objectives=(Objective(METRIC), Objective("val/class/accuracy")),
    constraints=(Constraint("val/class/accuracy", Bound(">", 0.8)),),
    budget=Budget(trials=5),
    confirm=Confirm(top=1),
)


@pytest.fixture(scope="module", params=[ONE, TWO], ids=["one objective", "two and a constraint"])
def undisturbed(request, tmp_path_factory: pytest.TempPathFactory) -> tuple[Plan, list[TrialRecord], int]:
    writes = count()
    chosen: Plan = request.param
    records = train(chosen, tmp_path_factory.mktemp("undisturbed"), lambda: str(next(writes)))
    assert records is not None
    return chosen, without_seconds(records), next(writes)


def test_the_undisturbed_search_pauses_promotes_and_completes(undisturbed) -> None:
    chosen, records, _ = undisturbed
    assert sum(record.state != "failed" for record in records) == chosen.budget.trials
    assert {record.epochs for record in records if record.pruned_by == "successive_halving"} <= {2, 4}
    assert sum(record.state == "complete" for record in records) >= chosen.confirm.top


@pytest.mark.parametrize("how", ["before", "after"])
def test_killed_at_any_write_it_ends_as_if_nothing_had_been(tmp_path: Path, undisturbed, how: str) -> None:
    chosen, whole, writes = undisturbed
    for number in range(0 if how == "before" else 2, writes, 5):
        folder = tmp_path / str(number)
        assert train(chosen, folder, killed_at(number, how)) is None
        records = train(chosen, folder)
        assert without_seconds(records) == whole, f"killed {how} write {number}"


def test_killed_again_and_again_it_still_gets_there(tmp_path: Path, undisturbed) -> None:
    """Each life lasts three writes: a trial is begun, ruled on, and the next begun."""
    chosen, whole, writes = undisturbed
    for _ in range(writes):
        records = train(chosen, tmp_path / "run", killed_at(3, "after"))
        if records is not None:
            break
    assert records is not None
    assert without_seconds(records) == whole
