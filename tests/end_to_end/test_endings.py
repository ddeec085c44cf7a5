"""How commands end when something is wrong: the codes, the messages, and never a traceback on the screen."""

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.end_to_end.commands import IN_PROCESS, Made, call

Quick = Callable[..., Made]


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Commands run in the test's own folder."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    "words",
    [
        ["run"],
        ["run", "x.yaml", "--trials", "0"],
        ["run", "x.yaml", "--executor", "slurm"],
        ["run", "x.yaml", "--no-such-option"],
        ["trials", "x", "--state", "lost"],
        ["nonsense"],
    ],
)
def test_a_wrong_option_is_a_mistake(words: list[str]) -> None:
    answer = call(*words)
    assert (answer.code, answer.out) == (2, "")
    assert "Traceback" not in answer.err
    assert answer.err.startswith("Usage: abr-tune")


@pytest.mark.parametrize("command", ["run", "train", "validate"])
def test_a_file_that_is_not_there(command: str) -> None:
    answer = call(command, "missing.yaml")
    assert answer.code == 2
    assert "missing.yaml: error: there is no such file" in answer.out + answer.err


def test_every_mistake_of_a_file_is_told_at_once_and_nothing_is_made(here: Path) -> None:
    Path("wrong.yaml").write_text(
        "task: abr\ndata: {source: simulated}\nsearch:\n  optimizer.Ir: {log: [1, 2]}\nbudget: {trials: 0}\n"
    )
    answer = call("run", "wrong.yaml")
    assert (answer.code, answer.out) == (2, "")
    assert "wrong.yaml:4:3: error: optimizer.Ir is not a training option" in answer.err
    assert "wrong.yaml:5:18: error: trials must be at least 1, not 0" in answer.err
    assert [path.name for path in here.iterdir()] == ["wrong.yaml"]


def test_a_name_that_leaves_the_results_folder_is_refused(quick: Quick, here: Path) -> None:
    made = quick("--name", "../elsewhere")
    assert made.answer.code == 2
    assert not (here / "elsewhere").exists()
    assert not made.out.exists()


def test_a_fault_of_ours_is_short_and_its_traceback_is_in_a_file(
    quick: Quick, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def faulty(_summary: object, _folder: str) -> list[str]:
        raise RuntimeError("a bug")

    made = quick()
    monkeypatch.setattr("abr_tune.summary.sentences", faulty)
    answer = made.ask("show")
    assert (answer.code, answer.out) == (3, "")
    assert answer.err.splitlines()[0] == "abr-tune: a fault of ours: RuntimeError: a bug"
    assert answer.err.splitlines()[1] == "the traceback is in abr-tune-fault.log"
    assert "Traceback" not in answer.err
    log = (here / "abr-tune-fault.log").read_text(encoding="utf-8")
    assert log.startswith("Traceback (most recent call last):")
    assert "in faulty" in log


def test_a_damaged_summary_is_one_message(quick: Quick, here: Path) -> None:
    made = quick()
    (made.folder / "summary.json").write_text('{"name": "quick"}', encoding="utf-8")
    answer = made.ask("show")
    assert (answer.code, answer.out) == (2, "")
    assert f"{made.folder} is damaged" in answer.err
    assert "Traceback" not in answer.err
    assert "KeyError" in (here / "abr-tune-fault.log").read_text(encoding="utf-8")


def test_a_fault_of_ours_in_a_run_has_its_traceback_in_the_log_of_the_run(quick: Quick, here: Path) -> None:
    made = quick()
    # Where the page should be there is a folder, which nobody foresees.
    (made.folder / "report.html").unlink()
    (made.folder / "report.html").mkdir()
    answer = made.again()
    assert (answer.code, answer.out) == (3, "")
    assert "Traceback" not in answer.err
    assert answer.err.splitlines()[-1] == f"the traceback is in {made.folder / 'run.log'}"
    assert not (here / "abr-tune-fault.log").exists()
    assert "Traceback (most recent call last):" in (made.folder / "run.log").read_text(encoding="utf-8")


def test_a_study_that_is_no_database_is_a_fault_of_the_storage(quick: Quick) -> None:
    made = quick()
    (made.folder / "study.db").write_bytes(b"this is no database" * 100)
    for answer in (made.ask("trials"), made.again()):
        assert answer.code == 5
        assert "study.db is damaged and is left as it is: put a copy of it back" in answer.err
        assert "Traceback" not in answer.err


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_results_folder_that_cannot_be_written(quick: Quick, here: Path) -> None:
    (here / "results").mkdir(mode=0o500)
    answer = quick().answer
    assert answer.code in {2, 4}
    assert "Traceback" not in answer.err


def test_a_results_folder_that_is_a_file(quick: Quick, here: Path) -> None:
    (here / "results").write_text("")
    made = quick()
    assert made.answer.code == 2
    assert "results" in made.answer.err
    assert "Traceback" not in made.answer.err


def test_a_storage_that_does_not_answer(quick: Quick, here: Path) -> None:
    answer = quick("--storage", f"sqlite:///{here}/no/such/folder/study.db").answer
    assert answer.code == 5
    assert "study.db cannot be opened; is its folder there" in answer.err
    assert "Traceback" not in answer.err


@pytest.mark.parametrize("url", ["nonsense", "postgresql+psycopg://localhost:1/none", "sqlite:////no/such/folder/x.db"])
def test_a_refused_storage_leaves_no_run(quick: Quick, url: str) -> None:
    made = quick("--storage", url)
    assert made.answer.code in {2, 4, 5}
    assert not made.folder.exists()


def test_a_storage_elsewhere_is_found_again(quick: Quick, here: Path) -> None:
    url = f"sqlite:///{here}/central.db"
    made = quick("--storage", url)
    assert made.answer.code == 0, made.answer.err
    assert not (made.folder / "study.db").exists()
    assert len(made.ask("trials", "--json").json) == 3
    more = made.again("--storage", url, "--trials", 4)
    assert more.code == 0, more.err
    assert [trial["number"] for trial in made.ask("trials", "--json").json] == [0, 1, 2, 3]
    assert made.ask("report").code == 0


def test_trials_whose_code_raises_do_not_end_the_search(quick: Quick) -> None:
    searched = {"power: {uniform: [0, 2]}": "act: {choice: [train, raise]}"}
    made = quick(changes={**searched, "by hand": "raising, act: raise"})
    assert made.answer.code == 0, made.answer.err
    states = {trial.state.name for trial in made.trials}
    assert states == {"COMPLETE", "FAIL"}
    failed = next(trial for trial in made.trials if trial.state.name == "FAIL")
    assert failed.user_attrs["error"] == "RuntimeError: a bug in the user's code"
    assert made.summary["trials"]["complete"] == 3  # a failed trial does not count towards the budget
    [event] = [
        json.loads(line)
        for line in (made.folder / "events.jsonl").read_text().splitlines()
        if f'"trial_finished", "number": {failed.number},' in line
    ]
    assert (event["state"], event["error"]) == ("failed", failed.user_attrs["error"])


def test_an_objective_that_is_never_reported_prunes_with_the_reason(quick: Quick) -> None:
    made = quick(changes={"{epochs: 6}": "{epochs: 3, act: silent}"})
    assert made.answer.code == 1
    assert made.summary["pruned_by"] == {"objective_absent": 3}
    assert "nobody was there to score it" in made.trials[0].user_attrs["why"]
    assert made.again(*IN_PROCESS).code == 1
