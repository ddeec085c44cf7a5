"""Text from anywhere is shown by a terminal and not obeyed."""

from __future__ import annotations

import csv
import io
import json
import logging
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from abr_tune.console import stderr_console
from abr_tune.folder import kept_log
from abr_tune.plain import Shown, visible, visible_lines
from abr_tune.plan.config import load_config
from abr_tune.runs import RunFolder, write_json
from abr_tune.weights import Trained, predict_file
from benchmarks.battery.doors import in_terminal
from benchmarks.battery.strangers import MODEL, weights
from core.data.files import write
from core.data.simulator import simulate_split

CLEAR = "\x1b[2J\x1b[H"
TITLE = "\x1b]0;owned\x07"
LINK = "\x1b]8;;http://evil.example\x1b\\here\x1b]8;;\x1b\\"
TURNED = "a\u202eb\u2066c"
EIGHT_BIT = "\x9b2J\x85"
OBEYED = [CLEAR, TITLE, LINK, EIGHT_BIT, "a\rb", "a\x08b", "a\x00b", "a\x7fb"]


class Terminal(io.StringIO):
    """A stream that says it is one."""

    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize("text", [*OBEYED, TURNED])
def test_what_is_shown_is_on_one_line_and_can_be_seen(text: str) -> None:
    assert visible(f"{text}\nx").isprintable()
    assert visible_lines(f"{text}\nx").count("\n") == 1


def test_plain_text_stays_as_it_is() -> None:
    text = "SNİK, µV, 95 % – 日本 [red]"
    assert visible(text) == text
    assert Shown(io.StringIO()).write(text) == len(text)


@pytest.mark.parametrize("stream", [io.StringIO, Terminal])
@pytest.mark.parametrize("text", OBEYED)
def test_a_stream_escapes_what_a_terminal_obeys(stream: type[io.StringIO], text: str) -> None:
    out = stream()
    Shown(out).write(f"{text}\n")
    assert not {"\x1b", "\x07", "\x9b", "\r", "\x08", "\x00", "\x7f"} & set(out.getvalue())
    assert "\\u00" in out.getvalue()
    assert out.getvalue().endswith("\n")


def test_a_terminal_keeps_our_colours_and_the_order_of_letters() -> None:
    out = Terminal()
    Shown(out).write(f"\x1b[1;31mred\x1b[0m {TURNED}\n")
    assert out.getvalue() == "\x1b[1;31mred\x1b[0m a\\u202eb\\u2066c\n"


@pytest.mark.parametrize("stream", [io.StringIO, Terminal])
def test_a_document_is_the_same_document(stream: type[io.StringIO]) -> None:
    document = {"name": "".join([*OBEYED, TURNED, "SNİK\U000e0001"])}
    out = stream()
    Shown(out).write(json.dumps(document, ensure_ascii=False, indent=2))
    assert json.loads(out.getvalue()) == document


def test_messages_are_not_obeyed(capsys: pytest.CaptureFixture[str]) -> None:
    stderr_console().print(f"loading {CLEAR}{TITLE}[red]data[/red]\nmore", markup=False)
    assert capsys.readouterr().err == "loading  [2J [H ]0;owned [red]data[/red]\nmore\n"


def test_a_command_in_a_terminal_shows_a_strangers_run(tmp_path: Path) -> None:
    """With a real terminal: names in the table of runs, and a message about a file with such a name."""
    run = RunFolder(tmp_path / f"evil{CLEAR}")
    run.path.mkdir()
    run.space.write_text("name: x\n", encoding="utf-8")
    write_json(run.summary, {"state": f"{TITLE}\nfinished", "objective": {"metric": TURNED}})
    for arguments in (["ls", "--out", str(tmp_path)], ["trials", str(run.path)]):
        told = in_terminal([sys.executable, "-c", "from abr_tune.cli import main; main()", *arguments])
        assert b"evil" in told
        assert not [code for code in (b"\x1b[2J", b"\x1b]0", b"\x07", "\u202e".encode()) if code in told]


def test_letters_that_a_stream_lacks_are_escaped_and_a_document_stays_one() -> None:
    raw = io.BytesIO()
    stream = io.TextIOWrapper(raw, encoding="ascii")
    Shown(stream).write(json.dumps({"name": "Sağlıklı µV"}, ensure_ascii=False))
    stream.flush()
    assert raw.getvalue() == rb'{"name": "Sa\u011fl\u0131kl\u0131 \u00b5V"}'
    assert json.loads(raw.getvalue()) == {"name": "Sağlıklı µV"}


def test_no_text_fakes_a_line_of_a_log(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / "logged")
    folder.path.mkdir()
    with kept_log(folder):
        logging.getLogger("abr_tune.test").warning(
            "odd name: %s", f"a{CLEAR}\n2026-01-01 00:00:00,000 INFO all is well"
        )
    lines = folder.log.read_text(encoding="utf-8").splitlines()
    assert len(lines) == 2
    assert lines[0].endswith("WARNING abr_tune.test: odd name: a [2J [H")
    assert lines[1] == "    2026-01-01 00:00:00,000 INFO all is well"


def test_predictions_for_a_spreadsheet_hold_no_formulas(tmp_path: Path) -> None:
    recordings, _ = simulate_split("val", 4, 0)
    write(replace(recordings, patient=np.array(["=1+1", "-2", "@x", "p"])), tmp_path / "recordings.npz")
    path = tmp_path / "model.safetensors"
    path.write_bytes(weights(replace(MODEL, class_names=("=A", "B")).to_json()))
    (tmp_path / "config.yaml").write_text("task: abr\ntrain: {}\n", encoding="utf-8")
    trained = Trained(path, load_config(tmp_path / "config.yaml"))
    predict_file(trained, tmp_path / "recordings.npz", tmp_path / "predictions.csv")
    with (tmp_path / "predictions.csv").open(encoding="utf-8", newline="") as file:
        head, *rows = list(csv.reader(file))
    assert head[2:4] == ["probability/=A", "probability/B"]
    assert [row[0] for row in rows] == ["'=1+1", "-2", "'@x", "p"]
    assert {row[1] for row in rows} <= {"'=A", "B"}
