"""What trainings that stay in this process would ignore is refused: a cluster, several at a time."""

import pytest
from typer.testing import CliRunner

from abr_tune.cli.app import app
from abr_tune.errors import Exit, UserError

CLUSTER = "--executor inline trains in this process, --address on a Ray cluster: leave one of them out"
SEVERAL = "--executor inline trains one at a time, not --jobs 2: leave one of them out"


@pytest.mark.parametrize("command", [["run"], ["run", "--dry-run"], ["bank", "--trials", "3"]])
@pytest.mark.parametrize(
    ("option", "value", "told"), [("--address", "127.0.0.1:6379", CLUSTER), ("--jobs", "2", SEVERAL)]
)
def test_what_inline_would_ignore_is_refused(command: list[str], option: str, value: str, told: str) -> None:
    words = [*command, "no-such.yaml", option, value]
    refused = CliRunner().invoke(app, [*words, "--executor", "inline"]).exception
    assert isinstance(refused, UserError)
    assert (refused.exit, str(refused)) == (Exit.MISTAKE, told)
    assert "there is no such file" in str(CliRunner().invoke(app, words).exception)


def test_one_at_a_time_is_what_inline_does() -> None:
    words = ["run", "no-such.yaml", "--jobs", "1", "--executor", "inline"]
    assert "there is no such file" in str(CliRunner().invoke(app, words).exception)


def test_the_version_can_be_asked_in_either_way() -> None:
    flag, command = (CliRunner().invoke(app, [word]) for word in ("--version", "version"))
    assert flag.exit_code == command.exit_code == 0
    assert flag.stdout == command.stdout
    assert flag.stdout.startswith("abr-tune ")
