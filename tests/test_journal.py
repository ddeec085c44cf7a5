"""`events.jsonl`: strict JSON, one line an event, whole on disk at once."""

import json
import math
from pathlib import Path

from abr_tune.journal import journal
from abr_tune.search.events import EpochDone, Event, TrialFinished, TrialRecord, TrialStarted, VerdictGiven, Warned
from core.health import Verdict
from core.report import EpochReport

EVENTS: list[Event] = [
    TrialStarted(3, "emergency fixes", {"loss.weights.class": 10.0, "balance.clamp": {"low": 0.2, "high": 1.0}}),
    EpochDone(3, EpochReport(epoch=1, phase="class", metrics={"val/class/f1_macro": 0.4}), 0.4),
    EpochDone(3, EpochReport(epoch=2, phase="class"), None),
    VerdictGiven(
        3, Verdict(level="stop", rule="non_finite", why="NaN", epoch=3, evidence={"loss": math.nan, "step": 7})
    ),
    TrialFinished(
        TrialRecord(number=3, name="emergency fixes", state="pruned", value=None, params={}, pruned_by="non_finite")
    ),
]


def strict(line: str) -> dict[str, object]:
    def refuse(constant: str) -> None:
        raise AssertionError(f"{constant} is not JSON")

    entry: dict[str, object] = json.loads(line, parse_constant=refuse)
    return entry


def test_every_line_is_on_disk_before_the_next_event(tmp_path: Path) -> None:
    with journal(tmp_path / "events.jsonl") as write:
        for count, event in enumerate(EVENTS, 1):
            write(event)
            assert (tmp_path / "events.jsonl").read_text(encoding="utf-8").count("\n") == count


def test_the_entries_say_what_happened(tmp_path: Path) -> None:
    with journal(tmp_path / "events.jsonl") as write:
        for event in EVENTS:
            write(event)
    lines = [strict(line) for line in (tmp_path / "events.jsonl").read_text(encoding="utf-8").splitlines()]
    assert [line["event"] for line in lines] == ["trial_started", "epoch", "epoch", "verdict", "trial_finished"]
    assert {line["number"] for line in lines} == {3}
    assert lines[0]["params"] == {"loss.weights.class": 10.0, "balance.clamp": {"low": 0.2, "high": 1.0}}
    assert [(line["epoch"], line["value"]) for line in lines[1:3]] == [(1, 0.4), (2, None)]
    assert lines[3]["evidence"] == {"loss": "nan", "step": 7}
    assert (lines[4]["state"], lines[4]["pruned_by"]) == ("pruned", "non_finite")
    assert all(str(line["time"]).endswith("+00:00") for line in lines)


def test_a_continued_run_appends(tmp_path: Path) -> None:
    for event in EVENTS[:2]:
        with journal(tmp_path / "events.jsonl") as write:
            write(event)
    assert len((tmp_path / "events.jsonl").read_text(encoding="utf-8").splitlines()) == 2


def test_a_line_that_was_torn_is_cut_off_before_the_next(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    with journal(path) as write:
        write(EVENTS[0])
    whole = path.read_bytes()
    path.write_bytes(whole + whole[:25])
    with journal(path) as write:
        write(EVENTS[1])
    lines = [strict(line) for line in path.read_text(encoding="utf-8").splitlines()]
    assert [line["event"] for line in lines] == ["trial_started", "epoch"]
    path.write_bytes(b'{"torn')
    with journal(path) as write:
        write(Warned(3, "checkpoint x is damaged"))
    [line] = [strict(line) for line in path.read_text(encoding="utf-8").splitlines()]
    assert (line["event"], line["number"], line["text"]) == ("warning", 3, "checkpoint x is damaged")
