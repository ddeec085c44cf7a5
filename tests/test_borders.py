"""Run folders of strangers: nothing outside of them is read, written or asked, whatever their files say."""

from __future__ import annotations

import json
import os
import pwd
import socket
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from abr_tune.borders import Damaged, as_damage, refuse_links, within
from abr_tune.cli import LOG
from abr_tune.cli.app import app
from abr_tune.errors import UserError
from abr_tune.folder import prepare
from abr_tune.plan.load import load_plan
from abr_tune.plan.yaml import dump
from abr_tune.processes import exists
from abr_tune.runs import RunFolder, find_run, write_atomically, write_json
from abr_tune.search.archive import storage_of
from abr_tune.search.known import known_storages, remember
from abr_tune.sides import read_side
from abr_tune.weights import find_trained
from core.report import EpochReport
from tests.end_to_end.commands import call

SMOKE = Path(__file__).parents[1] / "search_spaces" / "smoke.yaml"
METRIC = "val/class/f1_macro"


@pytest.fixture
def secret(tmp_path: Path) -> Path:
    """A file of the user's outside of every run."""
    path = tmp_path / "secret"
    path.write_text("mine\n", encoding="utf-8")
    return path


@pytest.fixture
def run(tmp_path: Path) -> RunFolder:
    """A run folder as somebody passed it on."""
    folder = RunFolder(tmp_path / "results" / "given")
    folder.path.mkdir(parents=True)
    folder.space.write_text(SMOKE.read_text(encoding="utf-8"), encoding="utf-8")
    folder.plan.write_text(dump({"name": "given", "task": "abr", "objective": {"maximize": METRIC}}), encoding="utf-8")
    folder.best_config.write_text(dump({"task": "abr", "train": {}, "claims": {METRIC: 0.5}}), encoding="utf-8")
    return folder


LINKED = ["summary.json", ".driver", "run.log", "trials/0/checkpoint/epoch-000001", "best", "study.db"]


@pytest.mark.parametrize("name", LINKED)
def test_a_link_out_of_the_folder_is_refused(run: RunFolder, secret: Path, name: str) -> None:
    link = run.path / name
    link.parent.mkdir(parents=True, exist_ok=True)
    link.symlink_to(secret)
    for called, out in (("given", run.path.parent), (str(run.path), Path("nowhere"))):
        with pytest.raises(UserError, match=f"{link} is a link to {secret}: what is read or written there"):
            find_run(called, out)


@pytest.mark.parametrize("name", ["summary.json", ".driver", "study.db"])
def test_a_list_of_runs_follows_no_link(run: RunFolder, secret: Path, name: str) -> None:
    (run.path / name).symlink_to(secret)
    listed = call("ls", "--out", run.path.parent, "--json")
    assert [(row["name"], row["state"]) for row in listed.json] == [("given", "damaged")]


def test_a_link_to_nothing_is_refused_too(run: RunFolder, tmp_path: Path) -> None:
    (run.path / "report.html").symlink_to(tmp_path / "not-yet-there")
    with pytest.raises(UserError, match="is a link to"):
        refuse_links(run.path)


def test_links_within_a_folder_and_to_a_whole_one_are_nobodys_business(run: RunFolder, tmp_path: Path) -> None:
    (run.path / "latest").symlink_to("plan.yaml")
    (tmp_path / "elsewhere").symlink_to(run.path)
    assert find_run(str(tmp_path / "elsewhere"), tmp_path) == tmp_path / "elsewhere"


@pytest.mark.parametrize("named", ["mine", "..", "mine.20260101T000000", ""])
def test_a_run_is_set_aside_under_its_own_name_alone(run: RunFolder, named: str) -> None:
    mine = run.path.parent / "mine"
    mine.mkdir()
    (run.path / ".aside").write_text(named, encoding="utf-8")
    plan = load_plan(SMOKE)
    refused = pytest.raises(UserError, match="given to be set aside")
    with refused, prepare(run, plan, fresh=False, say=lambda _sentence: None):
        pass
    assert run.plan.is_file()
    assert list(mine.iterdir()) == []


def test_a_number_beyond_all_processes_is_nobodys() -> None:
    assert not exists(10**30)


def test_an_account_without_a_home_has_named_no_storage(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("XDG_STATE_HOME")
    monkeypatch.delenv("HOME", raising=False)

    def unknown(_number: int) -> None:
        raise KeyError

    monkeypatch.setattr(pwd, "getpwuid", unknown)
    assert known_storages() == Path("/.local/state/abr-tune/storages")


def test_a_traceback_is_said_where_no_log_can_be_written(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / LOG).mkdir()
    code = "import abr_tune.runs\nabr_tune.runs.runs_in = None\nfrom abr_tune.cli import main\nmain(['ls'])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 3
    assert done.stderr.startswith("Traceback (most recent call last):")
    assert f"the traceback is in the lines above, {LOG} cannot be written here" in done.stderr


def test_a_pipe_is_not_waited_for(run: RunFolder) -> None:
    os.mkfifo(run.summary)
    with pytest.raises(UserError, match="neither a file nor a folder"):
        find_run("given", run.path.parent)
    with pytest.raises(UserError, match="it is no file"):
        run.read_summary()


def test_a_folder_of_weights_and_a_training_are_looked_through(run: RunFolder, secret: Path) -> None:
    trial = run.trial(0)
    trial.mkdir(parents=True)
    (trial / "config.yaml").write_text("task: abr\n", encoding="utf-8")
    (trial / "history.jsonl").symlink_to(secret)
    with pytest.raises(UserError, match="is a link to"):
        read_side(str(trial), run.path.parent)
    (trial / "model.safetensors").symlink_to(secret)
    with pytest.raises(UserError, match="is a link to"):
        find_trained(str(trial), run.path.parent)


def test_a_run_is_not_gone_on_with_through_a_link(run: RunFolder, secret: Path) -> None:
    (run.path / ".driver").symlink_to(secret)
    code = "from abr_tune.cli import main; main()"
    command = [sys.executable, "-c", code, "run", str(SMOKE), "--name", "given", "--out", str(run.path.parent)]
    done = subprocess.run([*command, "--executor", "inline"], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert ".driver is a link to" in done.stderr
    assert secret.read_text(encoding="utf-8") == "mine\n"


def test_no_link_is_waiting_where_a_file_is_made(run: RunFolder, secret: Path) -> None:
    (run.path / f".report.html.{os.getpid()}.tmp").symlink_to(secret)
    run.report.symlink_to(secret)
    write_atomically(run.report, "a page")
    assert secret.read_text(encoding="utf-8") == "mine\n"
    assert stat.S_ISREG(run.report.lstat().st_mode)
    assert run.report.read_text(encoding="utf-8") == "a page"


@pytest.mark.parametrize("name", ["../x", "/etc/passwd", "confirm/../../x", ".."])
def test_names_in_files_stay_within(tmp_path: Path, name: str) -> None:
    with pytest.raises(UserError, match="would lie outside of it"):
        within(tmp_path / "run", name)


def test_a_summary_cannot_point_elsewhere(run: RunFolder, tmp_path: Path) -> None:
    fresh = tmp_path / "results" / "other"
    fresh.mkdir()
    report = EpochReport(epoch=1, phase="all", metrics={METRIC: 0.9})
    (fresh / "history.jsonl").write_text(json.dumps(report.to_json()) + "\n", encoding="utf-8")
    for away in ("../other", str(fresh)):
        write_json(run.summary, {"finalists": [{"runs": [away]}]})
        with pytest.raises(UserError, match="would lie outside of it"):
            read_side("given", run.path.parent)


def test_a_server_of_whom_only_the_folder_speaks_is_not_asked(
    run: RunFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setenv("PGPASSWORD", "for another server")
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(0.2)
        url = f"postgresql+psycopg://me@127.0.0.1:{server.getsockname()[1]}/studies"
        write_json(run.environment, {"launch": {"storage": url}})
        with pytest.raises(UserError, match="never named on this account with --storage") as refused:
            storage_of(run.path)
        assert str(known_storages()) in str(refused.value)
        with pytest.raises(TimeoutError):
            server.accept()
    known_storages().parent.mkdir(parents=True)
    known_storages().write_text(f"{url}\n", encoding="utf-8")
    assert storage_of(run.path) == url


def test_another_database_is_not_opened_on_a_folders_word(run: RunFolder, tmp_path: Path) -> None:
    places = tmp_path / "places.sqlite"
    places.write_bytes(b"")
    write_json(run.environment, {"launch": {"storage": f"sqlite:///{places}"}})
    with pytest.raises(UserError, match="if you trust the place"):
        storage_of(run.path)
    assert places.read_bytes() == b""


def test_what_the_user_named_is_known_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    for _ in range(2):
        remember("postgresql+psycopg://me:secret@db.example/named")
    assert known_storages().read_text(encoding="utf-8") == "postgresql+psycopg://me@db.example/named\n"
    monkeypatch.setenv("XDG_STATE_HOME", "/proc/nowhere")
    remember("postgresql+psycopg://db.example/unwritable")


def test_shapes_that_nothing_can_be_done_with_are_damage(tmp_path: Path) -> None:
    said = r"run is damaged.*KeyError: 'best' \(test_borders\.py, line \d+\)"
    with pytest.raises(Damaged, match=said), as_damage(tmp_path / "run"):
        json.loads("{}")["best"]
    with pytest.raises(UserError, match="of its own"), as_damage(tmp_path):
        raise UserError("a mistake of its own")


SHAPES = [
    ("summary.json", "[1]"),
    ("summary.json", '{"best": 3, "trials": {"complete": "x"}, "state": "finished"}'),
    ("summary.json", '{"a":' * 5000 + "1" + "}" * 5000),
    ("plan.yaml", "name: [x]\ntask: 3\n"),
    ("plan.yaml", "just text\n"),
    ("environment.json", '{"launch": [1]}'),
    ("best.yaml", "train: [1]\n"),
    ("best/scores.json", '{"val": {"confusion": 3}}'),
]


@pytest.mark.parametrize(("file", "content"), SHAPES)
def test_a_folder_of_any_shape_is_shown_or_refused(run: RunFolder, file: str, content: str) -> None:
    run.best.mkdir()
    (run.path / file).write_text(content, encoding="utf-8")
    refused = []
    for words in (["show", "given"], ["report", "given"], ["compare", "given", "given"], ["trials", "given"], ["ls"]):
        try:
            app([*words, "--out", str(run.path.parent)], standalone_mode=False)
        except UserError as mistake:  # anything else would be a fault of ours
            refused.append(str(mistake))
    assert refused
    assert all("given" in said for said in refused)
