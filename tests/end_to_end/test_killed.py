"""A search that is killed at random moments, and gone on with each time: nothing it had said is lost."""

import json
import os
import shutil
import signal
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
if str(ROOT) not in sys.path:
    sys.path.insert(0, str(ROOT))

from benchmarks.battery import kills  # noqa: E402
from benchmarks.battery.lives import lines  # noqa: E402
from benchmarks.battery.row import Row  # noqa: E402
from benchmarks.scale import FAULTLESS, kill  # noqa: E402
from tests.end_to_end.commands import IN_PROCESS, QUICK, call, files_in, start  # noqa: E402
from tests.postgres import Server  # noqa: E402

SHORT = {"promoted": {**kills.PROMOTED, "budget": {"trials": 10}}}
slow = [pytest.mark.slow, pytest.mark.timeout(240)]


def kept(row: Row, times: int) -> None:
    assert row.kept, row.happened
    assert row.times == times


def faultless(found: dict[str, int]) -> None:
    assert found["trials"] == found["asked for"]
    assert found["acknowledged"] > 0
    assert {name: found[name] for name in FAULTLESS} == dict.fromkeys(FAULTLESS, 0)


def test_inline_at_moments_of_every_kind(tmp_path: Path) -> None:
    [row] = kills.inline(tmp_path, kills=6, seed=1, searches=SHORT, loaded=1)
    kept(row, 6)


def test_while_the_leaders_are_trained_again(tmp_path: Path) -> None:
    [row] = kills.confirmation(tmp_path, kills=2, loaded=1)
    kept(row, 2)


def test_while_trials_are_paused_at_a_rung(tmp_path: Path) -> None:
    [row] = kills.paused(tmp_path, kills=2, loaded=1)
    kept(row, 2)


@pytest.mark.ray
@pytest.mark.slow
def test_under_ray(tmp_path: Path) -> None:
    [row] = kills.on_ray(tmp_path, kills=1, workers=(1,), space=SHORT["promoted"])
    kept(row, 1)


@pytest.mark.parametrize("storage", [pytest.param("sqlite", marks=slow), pytest.param("postgresql", marks=slow)])
def test_at_random_moments_again_and_again(storage: str, request: pytest.FixtureRequest) -> None:
    if storage == "sqlite":
        faultless(kill(4, None, seed=1))
    else:
        server: Server = request.getfixturevalue("postgres")
        faultless(kill(4, server.url, seed=2))


def test_of_two_that_begin_the_same_run_at_once_one_is_refused_and_nothing_is_damaged(tmp_path: Path) -> None:
    file, out = tmp_path / "quick.yaml", tmp_path / "results"
    file.write_text(QUICK.replace("{epochs: 6}", "{epochs: 6, act: sleep}"), encoding="utf-8")
    both = [start("run", file, "--out", out, *IN_PROCESS) for _ in range(2)]
    said = [process.communicate(timeout=60)[1] for process in both]
    assert sorted(process.returncode for process in both) == [0, 2]
    winner, loser = sorted(range(2), key=lambda place: both[place].returncode)
    assert f"run quick is being driven by process {both[winner].pid} on " in said[loser]
    assert "Traceback" not in said[0] + said[1]
    states = json.loads(call("trials", "quick", "--out", out, "--json").out)
    assert [trial["state"] for trial in states] == ["complete"] * 3


def test_a_folder_that_was_only_half_made_is_a_run_s_beginning(tmp_path: Path) -> None:
    """What the driver writes before its first trial, cut off at each file."""
    file, out = tmp_path / "quick.yaml", tmp_path / "results"
    file.write_text(QUICK.replace("trials: 3", "trials: 1"), encoding="utf-8")
    assert call("run", file, "--out", out, *IN_PROCESS).code == 0
    made = out / "quick"
    begun = ("space.yaml", "plan.yaml", "run.log", "environment.json", "events.jsonl", "study.db")
    for count in (1, 2, 4, 5, 6):
        half = tmp_path / f"half{count}" / "quick"
        half.mkdir(parents=True)
        for name in begun[:count]:
            # The journal and the study are there before anything is in them.
            content = b"" if name in {"events.jsonl", "study.db"} else (made / name).read_bytes()
            (half / name).write_bytes(content)
        shown = call("show", "quick", "--out", half.parent)
        assert shown.code == 0, (count, shown)
        assert "\nso far     no trial has begun\ncontinue   " in shown.out
        again = call("run", file, "--out", half.parent, *IN_PROCESS)
        assert again.code == 0, (count, again.err)
        assert json.loads((half / "summary.json").read_text())["trials"]["complete"] == 1


def test_results_that_were_cut_off_are_written_again(tmp_path: Path) -> None:
    file, out = tmp_path / "quick.yaml", tmp_path / "results"
    file.write_text(QUICK.replace("trials: 3", "trials: 1"), encoding="utf-8")
    command = ("run", file, "--out", out, *IN_PROCESS)
    assert call(*command).code == 0
    made = out / "quick"
    before = files_in(made)
    for name in ("summary.json", "best.yaml", "best/metrics.json", "report.html"):
        (made / name).write_bytes(before[name][: len(before[name]) // 2])
    with (made / "events.jsonl").open("a") as journal:
        journal.write('{"time": "2026-01-01T00:00')
    (made / "run.log").write_bytes(before["run.log"][:-10])
    assert call("show", "quick", "--out", out).code == 2
    again = call(*command)
    assert again.code == 0, again.err
    after = files_in(made)
    assert json.loads(after["best/metrics.json"]) == json.loads(before["best/metrics.json"])
    kept = ("trials", "best", "epochs", "finalists")
    old, new = json.loads(before["summary.json"]), json.loads(after["summary.json"])
    assert [new[key] for key in kept] == [old[key] for key in kept]


@pytest.mark.parametrize("first", ["plan.yaml", "study.db", "trials"])
def test_killed_while_an_old_run_is_set_aside_the_next_driver_goes_on_with_that(tmp_path: Path, first: str) -> None:
    file, out = tmp_path / "quick.yaml", tmp_path / "results"
    file.write_text(QUICK.replace("trials: 3", "trials: 1"), encoding="utf-8")
    command = ("run", file, "--out", out, *IN_PROCESS)
    assert call(*command).code == 0
    made, aside = out / "quick", out / "quick.20260101T000000"
    before = files_in(made)
    aside.mkdir()
    (made / ".aside").write_text(aside.name)
    shutil.move(made / first, aside / first)
    again = call(*command, "--set", "train.epochs=4")
    assert again.code == 0, again.err
    assert f"the earlier run was set aside: {aside}" in again.err
    moved = files_in(aside)
    assert {name: moved[name] for name in before if name != ".driver"} == moved
    assert [trial["epochs"] for trial in json.loads(call("trials", "quick", "--out", out, "--json").out)] == [4]
    assert not (made / ".aside").exists()


def test_a_training_that_was_killed_goes_on_and_trains_no_seed_twice(tmp_path: Path) -> None:
    file, out = tmp_path / "walk.yaml", tmp_path / "results"
    settings = "{epochs: 6, milliseconds: 60}"
    file.write_text(f"task: benchmarks.battery.victims:Walk\ntrain: {settings}\nseed: 3\n", encoding="utf-8")
    words = ("train", file, "--seeds", "2", "--trust-code", "--json")
    peace = call(*words, "--out", tmp_path / "peace")
    assert peace.code == 0, peace.err
    process = start(*words, "--out", out)
    second = next(iter((tmp_path / "peace/trained").glob("*-4"))).name
    while lines(out / "trained" / second / "trained.log") < 2 and process.poll() is None:
        time.sleep(0.005)
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    again = call(*words, "--out", out)
    assert again.code == 0, again.err
    scores = [[row["metrics"] for row in answer.json] for answer in (peace, again)]
    assert scores[0] == scores[1]
    trained = {path.parent.name[-2:]: lines(path) for path in (out / "trained").glob("*/trained.log")}
    assert trained == {"-3": 6, "-4": 6}
    histories = [
        sorted(path.read_text() for path in (top / "trained").glob("*/history.jsonl"))
        for top in (out, tmp_path / "peace")
    ]
    assert histories[0] == histories[1]
    assert call(*words, "--out", out).code == 0
    trained = {path.parent.name[-2:]: lines(path) for path in (out / "trained").glob("*/trained.log")}
    assert trained == {"-3": 12, "-4": 12}, "given once more, it begins anew"
