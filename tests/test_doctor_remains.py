"""What dead runs leave is found and taken away; what belongs to a living one, and results, are not touched."""

import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import pytest

from abr_tune.doctor import studies
from abr_tune.doctor.checks import CHECKS, CheckName, examine, mend
from abr_tune.doctor.finding import Finding, Place
from abr_tune.runs import RunFolder, sole_driver
from abr_tune.search import orphans
from abr_tune.search.known import remember
from abr_tune.search.storage import admitted
from tests.end_to_end.commands import QUICK, call, files_in, start
from tests.postgres import Server

NOBODY = 4194303
"""No process has this number: the largest there can be."""
COMMAND = str(Path(sys.executable).with_name("abr-tune"))
UNPRIVILEGED = ("setpriv", "--bounding-set=-dac_override,-dac_read_search")


def may_refuse() -> bool:
    """Whether a folder can be given to somebody else, and a command started that may not look into it then."""
    if os.geteuid() != 0 or shutil.which("setpriv") is None:
        return False
    return subprocess.run([*UNPRIVILEGED, "true"], capture_output=True, check=False).returncode == 0


def place_of(out: Path, storage: str | None = None) -> Place:
    return Place(out=out, temp=Path(tempfile.gettempdir()), storage=storage)


def look(check: CheckName, out: Path, storage: str | None = None) -> list[Finding]:
    return list(CHECKS[check].look(place_of(out, storage)))


def run_folder(out: Path, name: str = "some") -> RunFolder:
    """The folder of a run that nobody drives."""
    run = RunFolder(out / name)
    run.path.mkdir(parents=True)
    run.space.write_text("name: some\n")
    return run


def study_of(path: Path, **states: int) -> None:
    """A study's database with so many trials in each state, as far as it is read here."""
    with closing(sqlite3.connect(path)) as database, database:
        database.execute("CREATE TABLE trials (number INTEGER, state TEXT, filling TEXT)")
        rows = [(state, "x" * 2000) for state, count in states.items() for _ in range(count)]
        database.executemany("INSERT INTO trials VALUES (0, ?, ?)", rows)


# A run that is really killed


@dataclass
class Killed:
    """A run while it lived and after it was killed, with things half written in it."""

    folder: Path
    while_alive: dict[CheckName, list[Finding]]
    litter: list[Path]
    not_litter: list[Path]


@pytest.fixture(scope="module")
def killed(tmp_path_factory: pytest.TempPathFactory) -> Killed:
    base = tmp_path_factory.mktemp("killed")
    (base / "quick.yaml").write_text(QUICK, encoding="utf-8")
    words = ("--set", "train.act=sleep", "--set", "train.epochs=400", "--executor", "inline", "--trust-code")
    process = start("run", base / "quick.yaml", "--out", base / "results", *words)
    folder = base / "results/quick"
    history = folder / "trials/0/history.jsonl"
    until = time.monotonic() + 60
    while not (history.exists() and history.read_bytes().count(b"\n") >= 2) and time.monotonic() < until:
        time.sleep(0.02)
    litter = [
        folder / "trials/0/checkpoint/.new-epoch-000003",
        folder / f".summary.json.{NOBODY}.tmp",
        folder / "trials/.seen-abcd",
        folder / "trials/0/.checkpoint.old",
        folder / "trials/0/.history.jsonl.new",
    ]
    not_litter = [
        folder / f".summary.json.{os.getpid()}.tmp",
        folder / "trials/7/.checkpoint.old",
        folder / "trials/0/.new-epoch-x",
        folder / "trials/0/notes.tmp",
    ]
    for path in (*litter, *not_litter):
        (path if "epoch" in path.name or "old" in path.name else path.parent).mkdir(parents=True, exist_ok=True)
        (path / "half" if path.is_dir() else path).write_text("half")
    link = folder / "trials/0/.config.yaml.new"
    link.symlink_to(folder / "space.yaml")
    while_alive = {name: look(name, base / "results") for name in ("half-written", "unfinished", "locks", "studies")}
    process.send_signal(signal.SIGKILL)
    process.communicate()
    return Killed(folder, while_alive, litter, [*not_litter, link])


def test_nothing_is_said_against_a_run_that_lives(killed: Killed) -> None:
    assert {name: [each.level for each in found] for name, found in killed.while_alive.items()} == {
        "half-written": ["ok"],
        "unfinished": ["ok"],
        "locks": ["ok"],
        "studies": ["ok"],
    }
    assert killed.while_alive["locks"][0].sentence == "1 run is being driven"


def test_a_killed_run_is_named_with_the_command_that_continues_it(killed: Killed) -> None:
    [found] = look("unfinished", killed.folder.parent)
    assert found.level == "warning"
    assert found.sentence == (
        f"{killed.folder}: 1 trial running and 0 waiting, and nobody drives it: its driver was killed"
    )
    assert found.remedy.startswith(f"continue with: abr-tune run {killed.folder.parents[1]}/quick.yaml --set")
    assert look("locks", killed.folder.parent)[0].sentence == "no run is being driven"


def test_what_it_was_writing_is_named_and_nothing_else(killed: Killed) -> None:
    [found] = [each for each in look("half-written", killed.folder.parent) if each.repairs]
    assert found.level == "warning"
    assert {each.what for each in found.repairs} == {f"remove {path}" for path in killed.litter}


def test_somebody_who_came_meanwhile_keeps_everything(killed: Killed) -> None:
    told = examine(place_of(killed.folder.parent), only=["half-written"])
    with sole_driver(killed.folder):
        mended = list(mend(told))
    assert len(mended) == len(killed.litter)
    assert all(f"somebody is at work there now: process {os.getpid()}" in each.error for each in mended)
    assert all(path.exists() for path in killed.litter)


def test_repair_takes_away_that_and_only_that(killed: Killed) -> None:
    """The last of this run's tests: afterwards there is nothing to be found in it."""
    before = files_in(killed.folder)
    dry = call("doctor", "--quick", "--out", killed.folder.parent, "--json")
    assert files_in(killed.folder) == before, "without --repair nothing is changed"
    assert dry.json["repaired"] == []
    answer = call("doctor", "--quick", "--repair", "--out", killed.folder.parent, "--json")
    assert answer.code == 0
    done = [each["what"] for each in answer.json["repaired"] if each["check"] == "half-written"]
    assert set(done) == {f"remove {path}" for path in killed.litter}
    assert not any(path.exists() for path in killed.litter)
    assert all(path.is_symlink() or path.exists() for path in killed.not_litter)
    gone = {str(path.relative_to(killed.folder)) for path in killed.litter}
    kept = {name: content for name, content in before.items() if not any(name.startswith(each) for each in gone)}
    assert files_in(killed.folder) == kept
    [left] = [each for each in answer.json["findings"] if each["check"] == "half-written"]
    assert left["level"] == "ok", "looked for once more"
    assert [each["level"] for each in answer.json["findings"] if each["check"] == "unfinished"] == ["warning"]


# Temporary folders


def test_the_folder_of_a_dead_process_is_ended_by_repair(monkeypatch: pytest.MonkeyPatch) -> None:
    with tempfile.TemporaryDirectory(prefix="d-") as temp:
        monkeypatch.setenv("TMPDIR", temp)
        monkeypatch.setattr(tempfile, "tempdir", temp)
        monkeypatch.setattr(orphans, "SHORT", Path(temp))
        code = "from abr_tune.search.orphans import make_scratch; (make_scratch() / 'f').write_bytes(bytes(3 * 2**20))"
        subprocess.run([sys.executable, "-c", code], check=True)
        [folder] = Path(temp).glob("at-*")
        told = examine(place_of(Path(temp, "results")), only=["orphans"])
        [found] = [each.finding for each in told]
        assert found.level == "warning"
        assert f"left {folder}, 3 MiB" in found.sentence
        assert [each.what for each in found.repairs] == [f"remove {folder}"]
        assert folder.exists()
        assert [each.error for each in mend(told)] == [""]
        assert not folder.exists()
        assert [each.level for each in look("orphans", Path(temp))] == ["ok"]


def test_a_doctor_that_was_killed_is_cleaned_up_after(tmp_path: Path) -> None:
    dead, living = tmp_path / f".doctor-{NOBODY}-abc", tmp_path / f".doctor-{os.getpid()}-abc"
    for folder in (dead, living):
        folder.mkdir()
    told = examine(place_of(tmp_path), only=["half-written"])
    assert [each.what for each in mend(told)] == [f"remove {dead}"]
    assert not dead.exists()
    assert living.exists()


# Studies


def test_whole_studies_are_counted(tmp_path: Path) -> None:
    study_of(run_folder(tmp_path).study, COMPLETE=3)
    [found] = look("studies", tmp_path)
    assert (found.level, found.sentence) == ("ok", f"1 study in {tmp_path}: whole")
    assert look("studies", tmp_path / "nothing")[0].sentence == f"no runs in {tmp_path / 'nothing'}"


def test_damaged_studies_are_problems_each_with_its_damage(tmp_path: Path) -> None:
    for name in ("empty", "text", "torn", "holed"):
        study_of(run_folder(tmp_path, name).study, COMPLETE=20)
    (tmp_path / "empty/study.db").write_bytes(b"")
    (tmp_path / "text/study.db").write_text("name: x\n" * 100)
    whole = (tmp_path / "torn/study.db").read_bytes()
    (tmp_path / "torn/study.db").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "holed/study.db").write_bytes(whole[:8192] + bytes([255]) * 4096 + whole[12288:])
    (run_folder(tmp_path, "gone").trial(0)).mkdir(parents=True)
    found = {each.sentence: each for each in look("studies", tmp_path)}
    assert {each.level for each in found.values()} == {"problem"}
    assert len(found) == 5
    for name, damage in (
        ("empty/study.db is damaged: it is empty", ""),
        ("text/study.db is damaged: it is no SQLite database", ""),
        ("torn/study.db is damaged: ", "malformed"),
        ("holed/study.db is damaged: ", ""),
        ("gone has trials but no study.db", ""),
    ):
        [sentence] = [each for each in found if f"{tmp_path}/{name}" in each and damage in each]
        assert "--fresh" in found[sentence].remedy


def test_a_study_in_use_is_neither_whole_nor_damaged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(studies, "SECONDS_FOR_A_LOCK", 0.05)
    path = run_folder(tmp_path).study
    study_of(path, RUNNING=1)
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        [found] = look("studies", tmp_path)
    assert found.level == "note"
    assert found.sentence.startswith("1 study in use")


CUT_OFF = """
import os, sqlite3, sys
database = sqlite3.connect(sys.argv[1], isolation_level=None)
database.execute("PRAGMA cache_size=1")
database.execute("BEGIN")
database.execute("UPDATE trials SET state = 'COMPLETE', filling = filling || 'y'")
os.kill(os.getpid(), 9)
"""


def test_what_a_killed_driver_had_begun_to_write_is_not_what_is_read(tmp_path: Path) -> None:
    """Half of the transaction is in the file by then, and its journal beside it; looking changes neither."""
    run = run_folder(tmp_path)
    study_of(run.study, RUNNING=20)
    subprocess.run([sys.executable, "-c", CUT_OFF, str(run.study)], check=False)
    before = files_in(run.path)
    assert len(before["study.db-journal"]) > 0
    assert b"COMPLETE" in before["study.db"]
    assert studies._states(run, place_of(tmp_path)) == {"RUNNING": 20}
    assert [each.level for each in look("studies", tmp_path)] == ["ok"]
    assert files_in(run.path) == before


@pytest.mark.skipif(sqlite3.sqlite_version_info >= (3, 51, 3), reason="this SQLite's write-ahead log is safe")
def test_a_write_ahead_log_is_a_warning_where_it_loses_writes(tmp_path: Path) -> None:
    path = run_folder(tmp_path).study
    study_of(path, COMPLETE=1)
    with closing(sqlite3.connect(path)) as database:
        database.execute("PRAGMA journal_mode=WAL")
    [found] = look("studies", tmp_path)
    assert found.level == "warning"
    assert "PRAGMA journal_mode=DELETE" in found.remedy


def test_an_interrupted_run_is_a_note(tmp_path: Path) -> None:
    study_of(run_folder(tmp_path).study, COMPLETE=3, WAITING=2)
    [found] = look("unfinished", tmp_path)
    assert (found.level, found.remedy) == ("note", "continue with: the same `abr-tune run` that began it")


def test_the_stages_of_a_run_are_looked_into_too(tmp_path: Path) -> None:
    study_of(run_folder(tmp_path / "recovery", "phase1").study, WAITING=1)
    [found] = look("unfinished", tmp_path)
    assert found.sentence.startswith(f"{tmp_path}/recovery/phase1: 0 trials running and 1 waiting")


@pytest.mark.parametrize(
    ("file", "text"),
    [("summary.json", "{"), ("summary.json", "[]"), ("environment.json", "{'x'}"), ("plan.yaml", "a: [1\n")],
)
def test_files_that_cannot_be_read_are_named(tmp_path: Path, file: str, text: str) -> None:
    run = run_folder(tmp_path)
    assert [each.level for each in look("records", tmp_path)] == ["ok"]
    (run.path / file).write_text(text)
    found = look("records", tmp_path)
    assert found[0].level == "warning"
    assert f"{run.path}" in found[0].sentence
    assert "writes it anew" in found[0].remedy


# What takes room, and who holds what


def test_more_checkpoints_than_the_last_two(tmp_path: Path) -> None:
    run = run_folder(tmp_path)
    for epoch in range(1, 3):
        (run.trial(0) / f"checkpoint/epoch-{epoch:06d}").mkdir(parents=True)
    assert [each.level for each in look("checkpoints", tmp_path)] == ["ok"]
    (run.trial(0) / "checkpoint/epoch-000003").mkdir()
    [found] = look("checkpoints", tmp_path)
    assert (found.level, f"{run.trial(0)}/checkpoint" in found.sentence) == ("note", True)


def test_runs_set_aside_and_their_size(tmp_path: Path) -> None:
    assert look("set aside", tmp_path)[0].level == "ok"
    run = run_folder(tmp_path, "quick.20261120T103000")
    (run.path / "weights").write_bytes(bytes(5 * 2**20))
    [found] = look("set aside", tmp_path)
    assert (found.level, found.sentence.split(",")[0]) == ("note", "1 run set aside by --fresh: 5 MiB")
    assert not found.repairable, "results are nobody's to remove but their owner's"


HOLDER = """
import os, subprocess, sys
from pathlib import Path
from abr_tune.runs import LOCK, sole_driver
with sole_driver(Path(sys.argv[1])):
    handle = next(int(each) for each in os.listdir("/proc/self/fd") if os.path.exists(f"/proc/self/fd/{each}")
                  and os.readlink(f"/proc/self/fd/{each}").endswith(LOCK))
    left = subprocess.Popen(["sleep", "60"], pass_fds=[handle])
    print(left.pid, flush=True)
    os.kill(os.getpid(), 9)
"""


def test_a_lock_that_outlives_its_driver_names_who_holds_it(tmp_path: Path) -> None:
    run = run_folder(tmp_path)
    holder = [sys.executable, "-c", HOLDER, str(run.path)]
    with subprocess.Popen(holder, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        pid = int(process.stdout.readline())
        process.wait()
        try:
            found = look("locks", tmp_path)
            assert found[0].level == "warning"
            assert f"is gone, but its lock is held by process {pid}" in found[0].sentence
            assert found[0].remedy == f"kill {pid}"
        finally:
            os.kill(pid, signal.SIGKILL)


DRIVER = """
import os, sys
from abr_tune.search.study import Study
from core.tasks.task import Objective
study = Study(sys.argv[1], "some", [Objective("val/x")])
study.share()
study.begin({}, {}, {}, None)
print("sharing", flush=True)
sys.stdin.read()
os._exit(0)
"""


def test_a_shared_study_and_its_driver(postgres: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """While the driver lives its run is left alone; when it was killed its lease is named, and the run waits."""
    monkeypatch.setenv("PGPASSWORD", "")
    url = admitted(postgres.url)
    remember(url)
    run = run_folder(tmp_path)
    run.environment.write_text(json.dumps({"launch": {"storage": url, "command": "abr-tune run x.yaml"}}))
    half = run.path / f".summary.json.{NOBODY}.tmp"
    half.touch()
    command = [sys.executable, "-c", DRIVER, url]

    def looked(*names: CheckName) -> list[list[Finding]]:
        place = place_of(tmp_path)
        return [list(CHECKS[name].look(place)) for name in names]

    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as driver:
        assert driver.stdout is not None
        assert driver.stdout.readline() == "sharing\n"
        [alive], untouched, waits = looked("leases", "half-written", "unfinished")
        driver.kill()
    assert (alive.level, alive.sentence) == ("ok", "1 living driver of shared studies")
    assert [each.level for each in (*untouched, *waits)] == ["ok", "ok"]
    dead, [left], [waits] = looked("leases", "half-written", "unfinished")
    assert dead[0].level == "note"
    assert f"is still held by process {driver.pid}" in dead[0].sentence
    assert "who is dead" in dead[0].sentence
    assert (waits.level, waits.remedy) == ("warning", "continue with: abr-tune run x.yaml")
    assert [each.what for each in left.repairs] == [f"remove {half}"]


@pytest.mark.parametrize(
    ("named", "said"), [(True, "connection failed"), (False, "was never named on this account with --storage")]
)
def test_a_storage_that_does_not_answer_or_was_never_named_keeps_everything(
    tmp_path: Path, named: bool, said: str
) -> None:
    """Somebody on another machine may drive the run: nobody knows."""
    run = run_folder(tmp_path)
    storage = f"postgresql+psycopg://me@127.0.0.1:{1 + named}/x"
    if named:
        remember(storage)
    run.environment.write_text(json.dumps({"launch": {"storage": storage}}))
    (run.path / f".summary.json.{NOBODY}.tmp").touch()
    place = place_of(tmp_path)
    assert [each.level for each in CHECKS["half-written"].look(place)] == ["ok"]
    [found] = CHECKS["leases"].look(place)
    assert found.level == "warning"
    assert f"{storage} was not read: " in found.sentence
    assert said in found.sentence


# Folders of strangers


@pytest.mark.parametrize(
    "command",
    [
        "abr-tune run x.yaml; rm -r .",
        "abr-tune run $(id)",
        "rm -r .",
        "abr-tune run 'x",
        "abr-tune run x.yaml\n",
        7,
        None,
        "abr-tune train x.yaml",
    ],
)
def test_only_a_plain_command_is_said_on(tmp_path: Path, command: object) -> None:
    run = run_folder(tmp_path)
    study_of(run.study, WAITING=1)
    run.environment.write_text(json.dumps({"launch": {"command": command}}))
    assert look("unfinished", tmp_path)[0].remedy == "continue with: the same `abr-tune run` that began it"
    run.environment.write_text(json.dumps({"launch": {"command": "abr-tune run 'a b.yaml' --jobs 2"}}))
    assert look("unfinished", tmp_path)[0].remedy == "continue with: abr-tune run 'a b.yaml' --jobs 2"


def test_a_folder_that_leads_elsewhere_is_not_looked_into(tmp_path: Path) -> None:
    out, elsewhere = tmp_path / "results", tmp_path / "elsewhere"
    run = run_folder(out)
    study_of(tmp_path / "other.db", WAITING=1)
    run.study.symlink_to(tmp_path / "other.db")
    elsewhere.mkdir()
    (elsewhere / f".summary.json.{NOBODY}.tmp").touch()
    (run.path / "trials").symlink_to(elsewhere)
    os.mkfifo(run.environment)
    for name in ("unfinished", "half-written", "studies", "locks"):
        assert [each.level for each in look(name, out)] == ["ok"], name
    [found, _] = look("records", out)
    assert found.level == "warning"
    assert found.sentence.startswith(f"{run.path} was not looked into: {run.path}/")


@pytest.mark.skipif(not may_refuse(), reason="whose a folder is cannot be changed here")
def test_what_belongs_to_somebody_else_is_said_and_the_rest_is_looked_at(tmp_path: Path) -> None:
    """Root may do everything; so the command gives that up first."""
    for name in ("mine", "file", "folder"):
        study_of(run_folder(tmp_path, name).study, COMPLETE=1)
    for path in (tmp_path / "file/study.db", tmp_path / "folder"):
        path.chmod(0o700)
        os.chown(path, 65534, 65534)
    command = [*UNPRIVILEGED, COMMAND, "doctor", "--quick", "--json", "--out", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    found = {each["sentence"]: each["level"] for each in json.loads(done.stdout)["findings"]}
    assert found[f"{tmp_path}/file/study.db cannot be read: Permission denied"] == "warning"
    assert found[f"{tmp_path}/folder may not be looked into"] == "warning"
    assert found[f"1 study in {tmp_path}: whole"] == "ok"


def test_a_database_that_never_ends_is_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(studies, "SECONDS_FOR_ONE", 0.1)
    monkeypatch.setattr(studies, "SECONDS_FOR_ALL", 0.1)
    path = run_folder(tmp_path).study
    with closing(sqlite3.connect(path)) as database:
        endless = "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n) SELECT x AS state FROM n"
        database.execute(f"CREATE VIEW trials AS {endless}")
    assert [each.level for each in look("unfinished", tmp_path)] == ["ok"]
    assert [each.level for each in look("studies", tmp_path)] == ["note"]
