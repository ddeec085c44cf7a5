"""No password is written down, printed or shown: a whole run on PostgreSQL, and everything of it searched."""

import os
import re
import time
from pathlib import Path
from urllib.parse import quote

import psutil
import pytest

from abr_tune.cli.passwords import without_passwords
from abr_tune.errors import UserError
from tests.end_to_end.commands import QUICK, call, start
from tests.postgres import PASSWORD, Server

SECRET = re.compile("|".join(re.escape(word) for word in (PASSWORD, quote(PASSWORD, safe=""), quote(PASSWORD))))


def test_a_run_that_is_given_its_password_in_the_url_keeps_it_nowhere(
    postgres: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("PGPASSWORD", raising=False)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    file, out = tmp_path / "quick.yaml", tmp_path / "results"
    file.write_text(QUICK.replace("{epochs: 6}", "{epochs: 2, act: sleep}"), encoding="utf-8")
    words = ("run", file, "--out", out, "--executor", "inline", "--trust-code", "--storage")
    with start(*words, postgres.url) as running:
        assert running.stdout
        until = time.monotonic() + 60
        while not (out / "quick/events.jsonl").exists() and time.monotonic() < until and running.poll() is None:
            time.sleep(0.05)
        listed = [" ".join(psutil.Process(running.pid).cmdline())]
        said = running.communicate(timeout=60)
    assert running.returncode == 0, said
    assert any("--storage postgresql+psycopg://abr@/" in line for line in listed), "it is the same command"
    assert not [line for line in [*said, *listed] if SECRET.search(line)]
    monkeypatch.setenv("PGPASSWORD", PASSWORD)
    for command in ("trials", "show"):
        answer = call(command, "quick", "--out", out)
        assert not SECRET.search(answer.out + answer.err)
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert {"plan.yaml", "environment.json", "best.yaml", "report.html", "run.log"} <= {path.name for path in files}
    assert not [path for path in files if SECRET.search(path.read_text(encoding="utf-8", errors="replace"))]


@pytest.mark.parametrize("joined", [True, False])
def test_a_command_line_loses_its_password(joined: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PGPASSWORD", "before")
    given, kept = (
        "postgresql+psycopg://me:p%40w@db/abr?sslmode=require",
        "postgresql+psycopg://me@db/abr?sslmode=require",
    )

    def words(url: str) -> list[str]:
        return [
            "python",
            "abr-tune",
            "run",
            "x.yaml",
            *([f"--storage={url}"] if joined else ["--storage", url]),
            "--fresh",
        ]

    assert without_passwords(words(given)) == words(kept)
    assert os.environ["PGPASSWORD"] == "p@w"
    assert without_passwords(words(kept)) == words(kept)
    assert without_passwords(["run", given]) == ["run", given], "only a storage is read"
    with pytest.raises(UserError, match="had a password in it"):
        without_passwords(words("mysql://me:secret@db/x"))
