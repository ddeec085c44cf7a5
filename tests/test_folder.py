"""A run's folder when its space file has changed."""

from pathlib import Path

import pytest

from abr_tune import __version__
from abr_tune.errors import UserError
from abr_tune.folder import nothing_left_of_a_refusal, prepare
from abr_tune.plan.load import load_plan
from abr_tune.plan.plan import Plan
from abr_tune.plan.yaml import dump, read
from abr_tune.runs import RunFolder

TEXT = "task: abr\nsearch: {optimizer.lr: {log: [1e-5, 1e-2]}}\nbudget: {trials: 2}\n"


def plan_of(folder: Path, text: str) -> Plan:
    file = folder / "x.yaml"
    file.write_text(text)
    return load_plan(file)


@pytest.fixture
def begun(tmp_path: Path) -> RunFolder:
    """A run whose first trial has begun."""
    run = RunFolder(tmp_path / "results" / "x")
    with prepare(run, plan_of(tmp_path, TEXT), fresh=False, say=print):
        run.events.touch()
    return run


def test_a_run_that_goes_on_says_what_the_file_asks_for_now(begun: RunFolder, tmp_path: Path) -> None:
    said: list[str] = []
    changed = plan_of(tmp_path, TEXT.replace("1e-5", "1e-4").replace("trials: 2", "trials: 5"))
    with prepare(begun, changed, fresh=False, say=said.append):
        pass
    assert said == ["changed: optimizer.lr: 1e-5 to 0.01 is now 0.0001 to 0.01", "changed: budget.trials: 2 is now 5"]
    with prepare(begun, changed, fresh=False, say=said.append):
        pass
    assert len(said) == 2


def test_a_refusal_leaves_no_folder_and_no_traceback(begun: RunFolder, tmp_path: Path) -> None:
    asked, new = plan_of(tmp_path, TEXT), RunFolder(tmp_path / "results" / "new")
    for run in (new, begun):
        with (
            pytest.raises(UserError),
            nothing_left_of_a_refusal(run),
            prepare(run, asked, fresh=False, say=print),
        ):
            raise UserError("no folds here")
    assert not new.path.exists()
    assert "ERROR abr_tune: the run ended: no folds here\n" in begun.log.read_text()
    assert "Traceback" not in begun.log.read_text()


def test_other_constraints_are_another_run(begun: RunFolder, tmp_path: Path) -> None:
    """Trials that ended were judged by those of then."""
    asked = plan_of(tmp_path, TEXT + "constraints: {val/class/ece: '< 0.2'}\n")
    with (
        pytest.raises(UserError, match=r"constraints.val/class/ece: was not set, is '< 0.2'"),
        prepare(begun, asked, fresh=False, say=print),
    ):
        pass


def test_a_run_of_a_version_that_knew_no_constraints_goes_on(begun: RunFolder, tmp_path: Path) -> None:
    text = begun.plan.read_text()
    assert "constraints: {}\n" in text
    begun.plan.write_text(text.replace("constraints: {}\n", ""))
    with prepare(begun, plan_of(tmp_path, TEXT), fresh=False, say=pytest.fail):
        pass


def test_other_objectives_are_another_run(begun: RunFolder, tmp_path: Path) -> None:
    several = TEXT + "objective: [{maximize: val/class/f1_macro}, {minimize: val/threshold/mae_db}]\n"
    with (
        pytest.raises(UserError, match=r"objective: was .*f1_macro"),
        prepare(begun, plan_of(tmp_path, several), fresh=False, say=print),
    ):
        pass


def test_what_an_older_version_did_not_write_down_is_taken_for_the_default(begun: RunFolder, tmp_path: Path) -> None:
    written = read(begun.plan).data
    del written["train"]["model"]["dropout"], written["data"]["seed"], written["constraints"]
    begun.plan.write_text(dump({**written, "someday": 3}))
    begun.environment.write_text('{"versions": {"abr-tune": "0.0.1"}}')
    said: list[str] = []
    with prepare(begun, plan_of(tmp_path, TEXT), fresh=False, say=said.append):
        pass
    assert said == [
        f"someday stands in {begun.plan} and is not known to this version: it is not compared",
        f"changed: version of abr-tune: 0.0.1 is now {__version__}",
        "train.model.dropout was not written down when this run was begun: taken for 0.1, the default of now",
        "data.seed was not written down when this run was begun: taken for 7, the default of now",
    ]


def test_what_an_older_version_did_not_write_down_and_is_no_default_is_another_run(
    begun: RunFolder, tmp_path: Path
) -> None:
    written = read(begun.plan).data
    del written["train"]["model"]["dropout"]
    begun.plan.write_text(dump(written))
    asked = plan_of(tmp_path, TEXT + "train: {model.dropout: 0.3}\n")
    with (
        pytest.raises(UserError, match=r"train\.model\.dropout: was 0\.1, is 0\.3"),
        prepare(begun, asked, fresh=False, say=print),
    ):
        pass


@pytest.mark.parametrize("text", ["", "[]", "3", "task: abr\n", "a: [\n"])
def test_a_damaged_plan_is_said_and_left_as_it_is(begun: RunFolder, tmp_path: Path, text: str) -> None:
    begun.plan.write_text(text)
    with (
        pytest.raises(UserError, match=r"plan\.yaml"),
        prepare(begun, plan_of(tmp_path, TEXT), fresh=False, say=print),
    ):
        pass
    assert begun.plan.read_text() == text


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"versions": 3}'])
def test_a_damaged_environment_is_said(begun: RunFolder, tmp_path: Path, text: str) -> None:
    begun.environment.write_text(text)
    with (
        pytest.raises(UserError, match="is damaged, or is not a run of this version"),
        prepare(begun, plan_of(tmp_path, TEXT), fresh=False, say=print),
    ):
        pass
