"""`abr-tune init`: a space file to start from."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

from abr_tune.cli import init as module
from abr_tune.cli.app import app
from abr_tune.cli.init import SCHEMA, shipped_spaces
from abr_tune.errors import UserError
from abr_tune.plan.load import load_plan
from abr_tune.plan.plan import Limits
from abr_tune.plan.stages import load_stages
from abr_tune.plan.yaml import parse

RUNNER = CliRunner()


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_it_writes_a_file_that_is_valid_under_its_own_name_with_the_schema_beside_it(folder: Path) -> None:
    result = RUNNER.invoke(app, ["init", "my-space.yaml"])
    assert (result.exit_code, result.stdout) == (0, "")
    assert load_plan(folder / "my-space.yaml").name == "my-space"
    text = (folder / "my-space.yaml").read_text(encoding="utf-8")
    assert text.startswith(f"# yaml-language-server: $schema={SCHEMA}\n")
    assert (folder / SCHEMA).read_bytes() == (shipped_spaces() / SCHEMA).read_bytes()


def test_the_keys_it_mentions_can_be_uncommented(folder: Path) -> None:
    assert RUNNER.invoke(app, ["init", "my.yaml"]).exit_code == 0
    text = (folder / "my.yaml").read_text(encoding="utf-8")
    (folder / "results" / "phase1").mkdir(parents=True)
    (folder / "results" / "phase1" / "study.db").touch()
    told = {key: line for key, line in module.MORE.items() if f"\n{key}:" not in text}
    assert len(told) >= len(module.MORE) - 1
    for key, line in told.items():
        assert f"# {line}\n" in text
        text = text.replace(f"# {line}\n", f"{line}\n")
        assert key in parse(line, "x").data
    (folder / "my.yaml").write_text(text, encoding="utf-8")
    plan = load_plan(folder / "my.yaml")
    assert plan.since is not None
    assert len(plan.constraints) == 1
    assert plan.limits == Limits(seconds=300, bytes=2 * 1024**3)
    assert (plan.stop.no_improvement, plan.audit) == (15, 0.05)


@pytest.mark.parametrize("example", [path.stem for path in sorted(shipped_spaces().glob("*.yaml"))])
def test_every_shipped_space_is_an_example(folder: Path, example: str) -> None:
    assert RUNNER.invoke(app, ["init", "--example", example]).exit_code == 0
    assert (folder / f"{example}.yaml").read_bytes() == (shipped_spaces() / f"{example}.yaml").read_bytes()


def test_a_file_of_stages_comes_with_the_files_it_names(folder: Path) -> None:
    assert RUNNER.invoke(app, ["init", "mine.yaml", "--example", "recovery"]).exit_code == 0
    for name in ("phase1", "phase2", "phase3"):
        assert (folder / f"{name}.yaml").read_bytes() == (shipped_spaces() / f"{name}.yaml").read_bytes()
    assert load_stages(folder / "mine.yaml").name == "mine"
    assert RUNNER.invoke(app, ["init", "again.yaml", "--example", "recovery"]).exit_code == 0  # the same files
    (folder / "phase2.yaml").write_text("mine")
    refused = RUNNER.invoke(app, ["init", "third.yaml", "--example", "recovery"])
    assert isinstance(refused.exception, UserError)
    assert ((folder / "phase2.yaml").read_text(), (folder / "third.yaml").exists()) == ("mine", False)


def test_it_never_overwrites_without_force(folder: Path) -> None:
    (folder / "x.yaml").write_text("mine")
    refused = RUNNER.invoke(app, ["init", "x.yaml"])
    assert isinstance(refused.exception, UserError)
    assert (folder / "x.yaml").read_text() == "mine"
    assert RUNNER.invoke(app, ["init", "x.yaml", "--force"]).exit_code == 0
    assert (folder / "x.yaml").read_text() != "mine"


def test_a_schema_that_is_there_is_left_alone(folder: Path) -> None:
    (folder / SCHEMA).write_text("{}")
    assert RUNNER.invoke(app, ["init", "x.yaml"]).exit_code == 0
    assert (folder / SCHEMA).read_text() == "{}"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--example", "phase11"], "phase11 is not an example; there are .*; did you mean phase1?"),
        (["--task", "birds"], "there is no example for task birds"),
        (["no/such/x.yaml"], "there is no folder no/such"),
    ],
)
def test_mistakes(arguments: list[str], message: str) -> None:
    result = RUNNER.invoke(app, ["init", *arguments])
    assert isinstance(result.exception, UserError)
    with pytest.raises(UserError, match=message):
        raise result.exception


def test_spaces_are_found_in_an_installed_package_and_in_a_checkout(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = folder / "site" / "abr_tune"
    (package / "cli").mkdir(parents=True)
    monkeypatch.setattr(module, "__file__", str(package / "cli" / "init.py"))
    assert shipped_spaces() == folder / "site" / "search_spaces"
    (package / "search_spaces").mkdir()
    assert shipped_spaces() == package / "search_spaces"
