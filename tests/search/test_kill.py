"""A driver killed at any of its writes and continued: nothing is lost, tried twice, or found otherwise."""

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from itertools import count, cycle
from pathlib import Path
from typing import Any, get_args

import pytest
from sqlalchemy import Engine, event

from abr_tune.plan.distributions import Range
from abr_tune.plan.plan import (
    Bound,
    Budget,
    Confirm,
    Constraint,
    Plan,
    Pruner,
    PrunerName,
    Sampler,
    SamplerName,
    StartPoint,
    Stop,
)
from abr_tune.plan.space import Parameter, Space
from abr_tune.search.driver import Driver
from abr_tune.search.events import TrialRecord
from abr_tune.search.executor import Shared
from abr_tune.search.fidelity import Point, point_of
from abr_tune.search.inline import run_inline
from abr_tune.search.storage import sqlite_url
from abr_tune.search.study import Study
from abr_tune.trial import read_history
from core.tasks.task import Objective
from tests.search.tasks import BASELINES, METRIC, plan
from tests.search.test_driver import without_seconds


class Killed(BaseException):
    """Nobody may catch it."""


class MortalStudy(Study):
    """Dies at one of its writes: before it, or after it without having said so."""

    def __init__(self, folder: Path, chosen: Plan, dies: Callable[[], str | None]) -> None:
        self._dies: Callable[[], str | None] = lambda: None
        # A clock that stands still: on a busy machine there are no more writes than on an idle one.
        super().__init__(sqlite_url(folder / "study.db"), chosen.name, chosen.objectives, clock=lambda: 0.0)
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
        driver = Driver(chosen, study, folder, lambda _event: None, baselines=BASELINES)
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


COARSE = Space((Parameter("lr", Range(1e-3, 1.0, log=True), points=4), Parameter("power", Range(0.0, 2.0), points=4)))
EVERY = list(zip(get_args(SamplerName), cycle(get_args(PrunerName)), strict=False))


def test_every_pruner_has_its_turn() -> None:
    assert {pruner for _, pruner in EVERY} == set(get_args(PrunerName))


@pytest.mark.parametrize(("sampler", "pruner"), EVERY)
def test_whatever_proposes_and_ranks_finds_its_way_again(tmp_path: Path, sampler: SamplerName, pruner: PrunerName):
    """Killed after every fourth write, with an audit, an early end and a start that breaks."""
    chosen = plan(
        space=COARSE,
        sampler=Sampler(kind=sampler, startup_trials=2),
        pruner=Pruner(kind=pruner, reduction=2, min_epochs=1, startup_trials=2),
        train={"epochs": 4},
        budget=Budget(trials=7, epochs=24),
        confirm=Confirm(top=1),
        start_from=(StartPoint("huge", {"lr": 1e300}),),
        stop=Stop(no_improvement=4),
        audit=0.3,
    )
    whole = train(chosen, tmp_path / "whole")
    assert whole is not None
    lives, records = 0, None
    while records is None:
        records, lives = train(chosen, tmp_path / "run", killed_at(4, "after")), lives + 1
    assert lives > 2
    assert without_seconds(records) == without_seconds(whole)


def states(folder: Path, chosen: Plan) -> list[tuple[str, ...]]:
    study = Study(sqlite_url(folder / "study.db"), chosen.name, chosen.objectives)
    try:
        return [stored.states for stored in study.stored()]
    finally:
        study.close()


def test_the_states_of_health_a_trial_was_seen_in_survive_its_driver(tmp_path: Path) -> None:
    """What stops are worth is learnt from them: a search that goes on must not learn otherwise."""
    chosen = plan(
        pruner=PROMOTING,
        train={"epochs": 12},
        budget=Budget(trials=4),
        confirm=Confirm(top=1),
        start_from=(StartPoint("slow", {"lr": 0.03, "power": 0.1}),),
        audit=0.5,
    )
    assert train(chosen, tmp_path / "whole") is not None
    while train(chosen, tmp_path / "run", killed_at(3, "after")) is None:
        pass
    whole = states(tmp_path / "whole", chosen)
    assert max(map(len, whole)) > 1
    assert states(tmp_path / "run", chosen) == whole


def test_epochs_that_are_trained_again_are_not_spent_twice(tmp_path: Path) -> None:
    """The trial loses its checkpoint with its driver and begins again: the budget of epochs is that of no kill."""
    chosen = plan(budget=Budget(trials=9, epochs=13))
    whole = train(chosen, tmp_path / "whole")
    assert whole is not None
    assert [record.epochs for record in whole] == [6, 6, 6]
    assert train(chosen, tmp_path / "run", killed_at(3, "before")) is None
    lost = tmp_path / "run/trials/1/checkpoint/state.json"
    reports = tmp_path / "run/trials/1/history.jsonl"
    assert len(reports.read_text().splitlines()) == 6
    study = Study(sqlite_url(tmp_path / "run/study.db"), chosen.name, chosen.objectives)
    for point in points(reports):
        study.report(1, point)
    study.close()
    lost.unlink()
    records = train(chosen, tmp_path / "run")
    assert records is not None
    assert without_seconds(records) == without_seconds(whole)


def points(history: Path) -> list[Point]:
    found = [point_of(report, (Objective(METRIC),), ()) for report in read_history(history)]
    return [point for point in found if point is not None]


def cut_at(number: int, call: Callable[[], None]) -> bool:
    """Whether a process that dies at its statement with this number came so far."""
    statements = count()

    def die(*_: Any) -> None:
        if next(statements) == number:
            raise Killed

    event.listen(Engine, "before_cursor_execute", die)
    try:
        call()
    except Killed:
        return True
    finally:
        event.remove(Engine, "before_cursor_execute", die)
    return False


def schema(file: Path) -> frozenset[tuple[str, str]]:
    with closing(sqlite3.connect(file)) as connection:
        return frozenset(connection.execute("SELECT type, name FROM sqlite_master").fetchall())


def test_a_driver_killed_while_it_makes_the_study_can_go_on(tmp_path: Path) -> None:
    """At every seventh statement; Optuna's tables are there with all their indices or not at all."""
    chosen, made, left = plan(), set(), count(step=7)
    alive = True
    while alive:
        number = next(left)
        file = tmp_path / f"{number}.db"
        alive = cut_at(number, lambda file=file: Study(sqlite_url(file), chosen.name, chosen.objectives).close())
        study = Study(sqlite_url(file), chosen.name, chosen.objectives)
        assert study.begin({}, {}, {"lr": 0.1}, None) == 0
        study.close()
        made.add(schema(file))
    assert number > 20
    assert len(made) == 1
