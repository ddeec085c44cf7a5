"""A study in SQLite whose file is locked, full, deleted, replaced or damaged: what is waited for, and what is said."""

import os
import shutil
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy import event

from abr_tune.errors import AbrTuneError, EnvironmentFault, StorageFault, chain_of
from abr_tune.search import storage
from abr_tune.search.fidelity import Point
from abr_tune.search.ledger import Ending
from abr_tune.search.meanings import POSTGRESQL, SQLITE, lockers
from abr_tune.search.search import _closing, search
from abr_tune.search.storage import connect, sqlite_url
from abr_tune.search.strays import set_strays_aside, trials_in
from abr_tune.search.study import Study
from core.tasks.task import Objective
from tests.search.tasks import BASELINES, METRIC, plan

DONE = Ending(state="complete", values=(0.5,))
HOLD = """
import sqlite3, sys, time
held = sqlite3.connect(sys.argv[1], isolation_level=None)
held.execute("BEGIN EXCLUSIVE")
print("held", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "study.db"


@pytest.fixture
def study(file: Path) -> Iterator[Study]:
    """With one trial that ended and one that has not."""
    made = Study(sqlite_url(file), "s", [Objective(METRIC)])
    made.finish(begin(made), DONE)
    begin(made)
    yield made
    made._storage.remove_session()
    made._storage.engine.dispose()


def begin(study: Study) -> int:
    return study.begin({}, {}, {"lr": 0.5}, None)


def test_a_lock_is_waited_for(study: Study, file: Path) -> None:
    held = sqlite3.connect(file, isolation_level=None, check_same_thread=False)
    held.execute("BEGIN EXCLUSIVE")
    began = time.monotonic()
    thread = threading.Timer(1.6, lambda: held.execute("ROLLBACK"))
    thread.start()
    study.finish(1, DONE)
    waited = time.monotonic() - began
    thread.join()
    held.close()
    assert waited > storage.SECONDS_IN_SQLITE, "SQLite's own patience was not enough"
    assert [trial.state.name for trial in study.trials()] == ["COMPLETE", "COMPLETE"]


def test_who_holds_a_lock_for_too_long_is_named(study: Study, file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(storage, "SECONDS_TO_WAIT", 0.2)
    with subprocess.Popen([sys.executable, "-c", HOLD, file], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
        assert holder.stdout.readline() == b"held\n"
        said = rf"study.db is locked by process {holder.pid} \(python.*\); end that, then give the same command again"
        for use in (lambda: study.finish(1, DONE), lambda: Study(sqlite_url(file), "s", [Objective(METRIC)])):
            with pytest.raises(StorageFault, match=said):
                use()
        holder.stdin.close()
    assert lockers(file) == []
    study.finish(1, DONE)


def test_a_study_that_does_not_answer_is_not_waited_for_again(
    study: Study, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(storage, "SECONDS_TO_WAIT", 0.2)
    study.report(1, Point(1, 1, (0.5,)))
    with closing(sqlite3.connect(file, isolation_level=None)) as held:
        held.execute("BEGIN EXCLUSIVE")
        with pytest.raises(StorageFault, match="is locked by") as ending, _closing(study):
            study.flush()
    assert [type(each) for each in chain_of(ending.value)].count(StorageFault) == 1


def test_a_full_disk_is_the_environment(study: Study) -> None:
    """SQLite says of a largest size what it says of a full disk."""
    pages = [1]
    event.listen(study._storage.engine, "checkout", lambda raw, *_: raw.execute(f"PRAGMA max_page_count = {pages[-1]}"))
    with pytest.raises(EnvironmentFault, match=r"the disk of .*study.db is full; free some, then"):
        study.note(1, {f"much {number}": "x" * 2000 for number in range(100)})
    pages.append(10**6)
    study.finish(1, DONE)
    assert study.trials()[1].state.name == "COMPLETE"


def test_what_may_only_be_read_says_so(study: Study, file: Path) -> None:
    again = Study.__new__(Study)
    with pytest.raises(StorageFault, match=r"study.db may only be read; let it and its folder be written to"):
        again.__init__(f"sqlite:///file:{file}?mode=ro&uri=true", "another", [Objective(METRIC)])


def move(file: Path) -> None:
    file.rename(file.with_name("moved.db"))


def replace(file: Path) -> None:
    shutil.copyfile(file, file.with_name("copy.db"))
    file.with_name("copy.db").replace(file)


def overwrite(file: Path) -> None:
    """The file is the same, but not what is in it."""
    other = Study(sqlite_url(file.with_name("other.db")), "s", [Objective(METRIC)])
    for _ in range(2):
        begin(other)
    other.close()
    shutil.copyfile(file.with_name("other.db"), file)


@pytest.mark.parametrize("happens", [Path.unlink, move, replace, overwrite])
def test_a_file_that_is_taken_away_is_missed(study: Study, file: Path, happens: Callable[[Path], None]) -> None:
    happens(file)
    before = file.read_bytes() if file.exists() else None
    with pytest.raises(StorageFault, match=r"put .* back, then give the same command again"):
        study.finish(1, DONE)
    assert (file.read_bytes() if file.exists() else None) == before, "nothing is made in its place"


def halve(file: Path) -> None:
    os.truncate(file, file.stat().st_size // 2)


def scribble(file: Path) -> None:
    content = bytearray(file.read_bytes())
    content[:8192] = os.urandom(8192)
    file.write_bytes(bytes(content))


def be_no_database(file: Path) -> None:
    file.write_bytes(b"this is no database" * 1000)


def be_something_else(file: Path) -> None:
    file.unlink()
    with sqlite3.connect(file) as raw:
        raw.execute("CREATE TABLE visits (url TEXT)")
    raw.close()


def be_of_another_optuna(file: Path) -> None:
    with sqlite3.connect(file) as raw:
        raw.execute("UPDATE alembic_version SET version_num = 'v2.6.0.a'")
    raw.close()


def be_of_other_objectives(file: Path) -> None:
    file.unlink()
    Study(sqlite_url(file), "rare", [Objective("val/class/accuracy", "minimize")]).close()


DAMAGES = {
    halve: "is damaged and is left as it is",
    scribble: "is damaged and is left as it is",
    be_no_database: "is damaged and is left as it is",
    be_something_else: "is a database of something else .* it holds visits and no studies",
    be_of_another_optuna: "is left as it is. .*optuna storage upgrade --storage sqlite:///",
    be_of_other_objectives: "holds a study rare of something else.* val/class/accuracy",
    lambda file: os.truncate(file, 0): "holds no trial, but the folder does",
}


@pytest.mark.parametrize(("damage", "said"), DAMAGES.items())
def test_a_damaged_study_is_left_as_it_is(tmp_path: Path, damage: Callable[[Path], None], said: str) -> None:
    chosen, file = plan(), tmp_path / "study.db"
    settings = {"folder": tmp_path, "dataset": None, "baselines": BASELINES, "executor": "inline", "jobs": 1}
    search(chosen, **settings)
    damage(file)
    before = file.read_bytes()
    with pytest.raises(StorageFault, match=said) as ending:
        search(chosen, **settings)
    assert "\n" not in str(ending.value)
    assert file.read_bytes() == before


def test_folders_of_an_older_studys_later_trials_are_set_aside(tmp_path: Path) -> None:
    """Somebody put a copy of the study back: its next trial must not go on from another's checkpoint."""
    settings = {"folder": tmp_path, "dataset": None, "baselines": BASELINES, "executor": "inline", "jobs": 1}
    search(plan(), **settings)
    shutil.copyfile(tmp_path / "study.db", tmp_path / "copy.db")
    six = plan(budget=type(plan().budget)(trials=6))
    there = search(six, **settings).records
    shutil.copyfile(tmp_path / "copy.db", tmp_path / "study.db")
    (tmp_path / "trials/5/checkpoint/state.json").write_text("another's")
    said: list[str] = []
    again = search(six, say=said.append, **settings).records
    assert [record.value for record in again] == [record.value for record in there]
    assert sorted(path.name for path in (tmp_path / "trials").iterdir()) == [*"01234", "4.aside", "5", "5.aside"]
    assert len(said) == 2
    assert "trials/4 belongs to no trial of the study, which may be an older copy; it is 4.aside now" in said[0]


def test_folders_of_strangers_are_not_counted_through(tmp_path: Path) -> None:
    far = tmp_path / "trials" / str(10**15)
    far.mkdir(parents=True)
    (tmp_path / "trials" / "007").mkdir()
    assert len(set_strays_aside(tmp_path, trials_in(tmp_path), known=1)) == 1
    assert sorted(path.name for path in far.parent.iterdir()) == ["007", f"{10**15}.aside"]


@pytest.mark.parametrize("table", [SQLITE, POSTGRESQL])
def test_every_meaning_is_a_sentence(table) -> None:
    for meaning in table.values():
        said = meaning.said.format(file="f", holder="h")
        assert "{" not in said
        assert issubclass(meaning.fault, AbrTuneError)
        assert not meaning.unsure or meaning.passes


def test_a_storage_that_is_read_waits_for_a_lock_as_well(study: Study, file: Path) -> None:
    held = sqlite3.connect(file, isolation_level=None, check_same_thread=False)
    held.execute("BEGIN EXCLUSIVE")
    thread = threading.Timer(0.3, lambda: held.execute("ROLLBACK"))
    began = time.monotonic()
    thread.start()
    connect(sqlite_url(file)).engine.dispose()
    assert 0.25 < time.monotonic() - began < 10
    thread.join()
    held.close()
