"""The live table and the lines of a pipe are drawn from the same scoreboard."""

from __future__ import annotations

import io
import re
import time

import pytest
from rich.console import Console

from abr_tune.console import Scoreboard, brief, clock, table, watching
from abr_tune.search.events import (
    AlarmRaised,
    EpochDone,
    Event,
    TrialFinished,
    TrialPaused,
    TrialRecord,
    TrialStarted,
    VerdictGiven,
)
from core.health import Verdict
from core.report import EpochReport
from core.tasks import Objective

PARAMS = {"optimizer.lr": 4e-4, "balance.clamp": {"low": 0.5, "high": 2.0}}


def board() -> Scoreboard:
    return Scoreboard(objectives=(Objective("val/class/f1_macro"),), trials=3, epochs_per_trial=10)


def stopped() -> TrialFinished:
    record = TrialRecord(
        number=1, name="by hand", state="pruned", value=None, params=PARAMS, pruned_by="class_collapse",
        why="one class [red]for[/red] everyone", epochs=4, seconds=3.0,
    )  # fmt: skip
    return TrialFinished(record)


def finished(number: int, value: float) -> TrialFinished:
    record = TrialRecord(number=number, name=None, state="complete", value=value, params=PARAMS, epochs=10, seconds=75)
    return TrialFinished(record)


def test_lines_in_a_pipe_are_one_per_finished_trial_without_escape_codes() -> None:
    """A pipe gets the reason as it is, markup in names included."""
    out = io.StringIO()
    with watching(board(), console=Console(file=out, soft_wrap=True, highlight=False)) as see:
        see(TrialStarted(0, None, PARAMS))
        see(EpochDone(0, EpochReport(epoch=1, phase="class"), 0.2))
        see(finished(0, 0.5))
        see(stopped())
    lines = out.getvalue().splitlines()
    assert len(lines) == 2
    assert "\x1b" not in out.getvalue()
    assert lines[0].startswith("   1/3  #0    complete  0.5000  best 0.5000 (#0)")
    assert "10 epochs   1m15s" in lines[0]
    assert "class_collapse: one class [red]for[/red] everyone" in lines[1]
    assert "[by hand]" in lines[1]
    assert "optimizer.lr 0.0004  balance.clamp {low 0.5, high 2}" in lines[1]


def test_the_table_shows_what_runs_and_what_was_saved() -> None:
    """Phase, epoch, value and health of the running trial; epochs saved count the stopped trial's rest."""
    scores = board()
    for event in (
        TrialStarted(0, None, PARAMS),
        finished(0, 0.5),
        TrialStarted(1, "by hand", PARAMS),
        stopped(),
        TrialStarted(2, None, PARAMS),
        EpochDone(2, EpochReport(epoch=3, phase="class+signal", metrics={"val/class/f1_macro": 0.31}), 0.31),
        VerdictGiven(2, Verdict(level="warn", rule="class_collapse", why="", epoch=3)),
    ):
        scores.see(event)
    scores.epochs = 17
    out = io.StringIO()
    Console(file=out, width=160).print(table(scores))
    text = out.getvalue()
    for expected in (
        "2/3 trials",
        "1 pruned",
        "17 epochs spent, 6 saved",
        "class_collapse 1 (6 saved)",
        "3/10",
        "class+signal",
        "0.3100",
        "warn: class_collapse",
    ):
        assert expected in text, expected
    assert "best so far  f1_macro 0.5000 (trial 0)" in text


def test_a_smaller_value_is_better_when_minimising() -> None:
    """The best follows the objective's direction."""
    scores = Scoreboard(objectives=(Objective("val/threshold/mae_db", "minimize"),), trials=2, epochs_per_trial=None)
    scores.see(finished(0, 9.0))
    scores.see(finished(1, 12.0))
    assert scores.best is not None
    assert (scores.best.value, scores.best.number) == (9.0, 0)


def test_time_left_follows_the_pace_and_the_deadline() -> None:
    """One of four trials took ten seconds: thirty are left, unless the deadline comes first."""
    now = time.monotonic()
    scores = Scoreboard(objectives=(Objective("x/y/z"),), trials=4, epochs_per_trial=1, started=now - 10)
    assert scores.left() is None
    scores.see(finished(0, 0.1))
    left = scores.left()
    assert left is not None
    assert abs(left - 30) < 1
    scores.deadline = now + 5
    left = scores.left()
    assert left is not None
    assert left < 5.1


def test_times_and_values_are_brief() -> None:
    """Hand-checked forms."""
    assert [clock(seconds) for seconds in (0.4, 59.6, 75, 7384)] == ["0s", "1m00s", "1m15s", "2h03m"]
    assert brief([0.1, 0.25]) == "[0.1, 0.25]"
    assert brief("focal") == "focal"


def test_a_continued_run_counts_what_ended_before() -> None:
    """Numbers go on; the pace is that of this command alone."""
    now = time.monotonic()
    scores = Scoreboard(objectives=(Objective("x/y/z"),), trials=4, epochs_per_trial=10, started=now - 10)
    scores.recall(
        [
            finished(0, 0.5).record,
            stopped().record,
            TrialRecord(number=2, name=None, state="waiting", value=None, params={}, epochs=3),
        ]
    )
    assert (scores.done, scores.best and scores.best.value, scores.left()) == (2, 0.5, None)
    assert scores.counts() == "2/4 trials  1 kept  1 pruned  0 failed  1 paused"
    assert scores.spending() == "17 epochs spent, 6 saved", "the unfinished trial's three epochs were trained too"
    scores.see(finished(2, 0.4))
    left = scores.left()
    assert left is not None
    assert abs(left - 10) < 1


TWO = (Objective("val/class/f1_macro"), Objective("val/threshold/mae_db", "minimize"))
ESCAPES = "\x1b[2J\x1b]0;owned\x07[bold]name[/bold]\nnext"


def drawn(scores: Scoreboard, width: int = 80) -> str:
    out = io.StringIO()
    Console(file=out, width=width).print(table(scores))
    return out.getvalue()


def scored(number: int, *values: float, **changes: object) -> TrialFinished:
    known = {"name": None, "state": "complete", "params": {}, "epochs": 10, "value": values[0], "values": values}
    return TrialFinished(TrialRecord(number=number, **(known | changes)))  # type: ignore[arg-type]


def see_all(scores: Scoreboard, *events: Event) -> Scoreboard:
    for event in events:
        scores.see(event)
    return scores


def test_eighty_columns_are_enough_for_two_objectives() -> None:
    """Every head and every number of a running trial is whole; long names are shortened and nothing wraps."""
    epoch = EpochReport(epoch=7, phase="class", metrics={TWO[0].metric: 0.4321, TWO[1].metric: 12.5})
    scores = see_all(
        Scoreboard(objectives=TWO, trials=40, epochs_per_trial=20),
        scored(1, 0.5, 12.0),
        TrialStarted(12, "what people would try by hand, at some length", {}),
        EpochDone(12, epoch, 0.4321),
        VerdictGiven(12, Verdict(level="warn", rule="class_collapse", why="", epoch=7)),
    )
    lines = drawn(scores).splitlines()
    assert max(map(len, lines)) <= 80
    row = next(line for line in lines if line.startswith("#12 what"))
    for whole in ("class", "7/20", "0.4321", "12.5000", "warn: class_collapse"):
        assert whole in row
    assert "f1_macro" in next(line for line in lines if "mae_db" in line and "trial" in line)


def test_several_objectives_show_the_leader_and_the_size_of_the_front() -> None:
    """(0.5, 12) and (0.4, 9) beat each other; (0.3, 13) is behind both; (0.9, 1) misses its constraint."""
    scores = see_all(
        Scoreboard(objectives=TWO, trials=9, epochs_per_trial=10),
        scored(0, 0.4, 9.0),
        scored(1, 0.5, 12.0),
        scored(2, 0.3, 13.0),
        scored(3, 0.9, 1.0, violations={"val/peak/exist_auroc": 0.1}),
    )
    assert scores.standing() == "best so far  f1_macro 0.5000, mae_db 12.0000 (trial 1; 2 on the front)"


def test_a_paused_trial_leaves_the_running_ones_and_comes_back() -> None:
    scores = see_all(board(), TrialStarted(0, "by hand", {}), TrialPaused(0, 2))
    assert "1 paused" in scores.counts()
    assert "#0" not in drawn(scores)
    see_all(scores, TrialStarted(0, "by hand", {}, 2))
    assert "paused" not in scores.counts()
    assert "#0 by hand" in drawn(scores)
    assert "2/10" in drawn(scores)
    see_all(scores, TrialPaused(0, 4), stopped_with(0))
    assert scores.counts() == "1/3 trials  0 kept  1 pruned  0 failed"


def stopped_with(number: int) -> TrialFinished:
    return scored(number, 0.0, state="pruned", value=None, values=(), pruned_by="median", epochs=4)


def test_a_trial_that_goes_on_after_a_stop_is_being_audited() -> None:
    """The mark stays with later epochs; warnings alone are gone with the next epoch."""
    stop = VerdictGiven(0, Verdict(level="stop", rule="class_collapse", why="", epoch=3))
    warn = VerdictGiven(1, Verdict(level="warn", rule="class_collapse", why="", epoch=3))
    later = (EpochReport(epoch=epoch, phase="all") for epoch in (4, 4, 5))
    scores = see_all(board(), stop, warn)
    assert (scores.running[0].health, scores.running[1].health) == ("stop: class_collapse", "warn: class_collapse")
    see_all(scores, EpochDone(0, next(later), None), EpochDone(1, next(later), None), EpochDone(0, next(later), None))
    assert (scores.running[0].health, scores.running[1].health) == ("audit: class_collapse", "ok")
    record = scored(0, 0.4, audited={"rule": "class_collapse", "epoch": 3, "why": ""})
    out = io.StringIO()
    with watching(scores, console=Console(file=out, soft_wrap=True)) as see:
        see(record)
    assert "audit: class_collapse would have stopped it at epoch 3" in out.getvalue()
    assert "1 audited" in scores.counts()


def test_an_alarm_is_a_line_of_its_own() -> None:
    out = io.StringIO()
    scores = board()
    with watching(scores, console=Console(file=out, soft_wrap=True)) as see:
        see(AlarmRaised("class_collapse", "19 of 20 trials are stopped by class_collapse; lower optimizer.lr"))
    said = "19 of 20 trials are stopped by class_collapse; lower optimizer.lr"
    assert out.getvalue() == f"alarm: {said}\n"
    assert said in " ".join(drawn(scores).split())


def test_names_and_errors_cannot_speak_to_the_terminal() -> None:
    """Escape codes and line breaks of a name stay text, in the table and in the lines; markup is not read."""
    failed = scored(1, 0.0, name=ESCAPES, state="failed", value=None, values=(), error=ESCAPES)
    scores = see_all(board(), TrialStarted(0, ESCAPES, {}), AlarmRaised("x", ESCAPES))
    assert "\x1b" not in drawn(scores)
    assert "\x07" not in drawn(scores)
    out = io.StringIO()
    with watching(board(), console=Console(file=out, soft_wrap=True, force_terminal=False)) as see:
        see(failed)
    assert len(out.getvalue().splitlines()) == 1
    assert "\x1b" not in out.getvalue()
    assert "[bold]name[/bold]" in out.getvalue()


def test_a_terminal_without_colour_gets_none(monkeypatch: pytest.MonkeyPatch) -> None:
    """The live table moves the cursor, but NO_COLOR leaves no colour in it."""
    monkeypatch.setenv("NO_COLOR", "1")
    out = io.StringIO()
    console = Console(file=out, force_terminal=True, width=80)
    with watching(board(), console=console) as see:
        see(TrialStarted(0, None, PARAMS))
        see(VerdictGiven(0, Verdict(level="warn", rule="class_collapse", why="", epoch=3)))
        see(stopped())
    assert "#0" in out.getvalue()
    assert not re.search(r"\x1b\[[0-9;]*3[0-7]m", out.getvalue())
