"""PostgreSQL as a study's storage: passwords, a server that goes away, what is missing."""

import os
import threading
import time
from pathlib import Path

import pytest
from sqlalchemy.exc import OperationalError

from abr_tune.errors import EnvironmentFault, StorageFault, UserError
from abr_tune.plan.plan import Budget
from abr_tune.search import storage
from abr_tune.search.archive import named_trials, rename_study, stored_trials
from abr_tune.search.fidelity import Point
from abr_tune.search.ledger import Ending
from abr_tune.search.search import search
from abr_tune.search.storage import admitted, connect, patiently, sqlite_url, without_password
from abr_tune.search.study import Study
from core.tasks.task import Objective
from tests.postgres import PASSWORD, Server
from tests.search.tasks import BASELINES, METRIC, plan
from tests.search.test_driver import without_seconds


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        ("postgresql+psycopg://me:p%40w%2Fd@db:5432/abr", "postgresql+psycopg://me@db:5432/abr"),
        ("postgresql+psycopg://me@/abr?host=/run/pg&password=p", "postgresql+psycopg://me@/abr?host=%2Frun%2Fpg"),
        ("postgresql+psycopg://me@db/abr?sslmode=require", "postgresql+psycopg://me@db/abr?sslmode=require"),
        ("sqlite:////tmp/study.db", "sqlite:////tmp/study.db"),
        ("postgresql://me:p@w@db:port/abr", "postgresql://...@db:port/abr"),
        ("postgresql:me:p@db/abr", "postgresql:...@db/abr"),
        ("postgresql://db:port/abr?Password=p&x=1", "postgresql://db:port/abr?Password=...&x=1"),
        ("no url at all", "no url at all"),
    ],
)
def test_what_is_written_down_has_no_password(given: str, shown: str) -> None:
    assert without_password(given) == shown


def test_a_password_goes_where_the_client_looks_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PGPASSWORD", "before")
    assert admitted("postgresql+psycopg://me@db/abr") == "postgresql+psycopg://me@db/abr"
    assert os.environ["PGPASSWORD"] == "before"
    assert admitted("postgresql+psycopg://me:p%40w@db/abr") == "postgresql+psycopg://me@db/abr"
    assert os.environ["PGPASSWORD"] == "p@w"
    with pytest.raises(UserError, match="had a password in it") as refused:
        admitted("mysql+pymysql://me:secret@db/abr")
    assert "secret" not in str(refused.value)


def test_a_study_in_sqlite_is_named_from_everywhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert admitted("sqlite:///a b.db") == f"sqlite:///{tmp_path}/a b.db"
    for same in ("sqlite:////there/study.db", "sqlite://", "sqlite:///:memory:", "sqlite:///file:a.db?uri=true"):
        assert admitted(same) == same


def test_reading_makes_no_study(tmp_path: Path) -> None:
    assert stored_trials(sqlite_url(tmp_path / "study.db"), "x") == []
    assert list(tmp_path.iterdir()) == []


def test_a_wrong_password_says_where_to_put_the_right_one(postgres: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    url = without_password(postgres.url)
    monkeypatch.setenv("PGPASSWORD", "wrong")
    with pytest.raises(StorageFault, match="give the password in PGPASSWORD or in a pgpass file"):
        connect(url)
    monkeypatch.setenv("PGPASSWORD", PASSWORD)
    connect(url).engine.dispose()


def test_a_missing_driver_names_the_extra() -> None:
    with pytest.raises(EnvironmentFault, match=r"pip install 'abr-tune\[postgresql\]'"):
        connect("postgresql+asyncpg://me@127.0.0.1/none")


def test_a_search_is_the_same_on_postgresql(postgres: Server, tmp_path: Path) -> None:
    url, chosen = postgres.url, plan(budget=Budget(trials=5))
    settings = {"dataset": None, "baselines": BASELINES, "executor": "inline", "jobs": 1}
    there = search(chosen, folder=tmp_path / "there", storage=url, **settings)
    here = search(chosen, folder=tmp_path / "here", **settings)
    assert without_seconds(there.records) == without_seconds(here.records)
    assert (there.finished_here, there.led) == (5, True)
    more = search(plan(budget=Budget(trials=7)), folder=tmp_path / "there", storage=url, **settings)
    assert more.finished_here == 2
    assert len(stored_trials(url, chosen.name)) == named_trials(url, chosen.name) == 7
    rename_study(url, chosen.name, "aside")
    assert named_trials(url, chosen.name) == 0
    assert named_trials(url, "aside") == 7


def test_a_server_that_restarts_is_waited_for(postgres: Server) -> None:
    study = Study(postgres.url, "s", [Objective(METRIC)])
    study.share()
    number = study.begin({}, {}, {"lr": 0.5}, None)
    study.report(number, Point(epoch=1, age=1, values=(0.1,)))
    restart = threading.Thread(target=postgres.control, args=("-m", "immediate", "restart"))
    restart.start()
    for _ in range(20):
        with study.turn():
            study.news()
            other = study.begin({}, {}, {"lr": 0.5}, None)
        study.finish(other, Ending(state="complete", values=(0.5,)))
        time.sleep(0.05)
    restart.join()
    study.finish(number, Ending(state="complete", values=(0.5,)))
    trials = study.trials()
    assert [trial.number for trial in trials] == list(range(21)), "none was begun twice"
    assert {trial.state.name for trial in trials} == {"COMPLETE"}
    assert trials[0].intermediate_values == {1: 0.1}
    study.close()


def test_a_lost_acknowledgement_neither_begins_nor_reports_nor_ends_a_trial_twice(postgres: Server) -> None:
    """The server commits and leaves before it says so."""
    study = Study(postgres.url, "s", [Objective(METRIC)])
    study.share()
    written = study._write

    def forgetful(change):
        tries = []

        def twice(session, _again):
            tries.append(None)
            return change(session, len(tries) > 1)

        written(twice)
        return written(twice)

    study._write = forgetful
    number = study.begin({}, {}, {"lr": 0.5}, "point")
    study.report(number, Point(epoch=1, age=1, values=(0.1,)))
    study.flush()
    study.report(number, Point(epoch=2, age=2, values=(0.2,)))
    study.park(number, 2, {})
    study.resume(number)
    study.report(number, Point(epoch=3, age=3, values=(0.5,)))
    study.finish(number, Ending(state="complete", values=(0.5,)))
    assert [trial.number for trial in study.trials()] == [0]
    assert study.trials()[0].intermediate_values == {1: 0.1, 2: 0.2, 3: 0.5}
    assert study.record(0).value == 0.5
    study._write = written
    study.close()


def test_a_server_that_stays_away_is_a_storage_fault(postgres: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(storage, "SECONDS_BETWEEN_TRIES", 0.01)
    tries = []

    def call(number: int) -> None:
        tries.append(number)
        connect("postgresql+psycopg://abr@127.0.0.1:1/none")

    with pytest.raises(StorageFault, match="does not answer"):
        patiently(call, budget=0.2)
    assert tries == [0], "what could not even be reached once is no server that left"

    def gone(number: int) -> None:
        import psycopg

        tries.append(number)
        raise OperationalError("x", {}, psycopg.OperationalError("the connection is lost"))

    with pytest.raises(StorageFault):
        patiently(gone, budget=0.2)
    assert len(tries) > 3
