"""`--address`: a cluster that would be ignored is refused."""

import pytest
from typer.testing import CliRunner

from abr_tune.cli.app import app
from abr_tune.errors import Exit, UserError

IGNORED = "--executor inline trains in this process, --address on a Ray cluster: leave one of them out"


@pytest.mark.parametrize("command", [["run"], ["run", "--dry-run"], ["bank", "--trials", "3"]])
def test_training_in_this_process_takes_no_cluster(command: list[str]) -> None:
    words = [*command, "no-such.yaml", "--address", "127.0.0.1:6379"]
    refused = CliRunner().invoke(app, [*words, "--executor", "inline"]).exception
    assert isinstance(refused, UserError)
    assert (refused.exit, str(refused)) == (Exit.MISTAKE, IGNORED)
    assert "there is no such file" in str(CliRunner().invoke(app, words).exception)
