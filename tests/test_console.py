"""The live table and the lines of a pipe are drawn from the same scoreboard."""

from __future__ import annotations

import io
import time

from rich.console import Console

from abr_tune.console import Scoreboard, brief, clock, table, watching
from abr_tune.search.events import EpochDone, TrialFinished, TrialRecord, TrialStarted, VerdictGiven
from core.health import Verdict
from core.report import EpochReport
from core.tasks import Objective

PARAMS = {"optimizer.lr": 4e-4, "balance.clamp": {"low": 0.5, "high": 2.0}}


def board() -> Scoreboard:
    return Scoreboard(objective=Objective("val/class/f1_macro"), trials=3, epochs_per_trial=10)


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
        EpochDone(2, EpochReport(epoch=3, phase="class+signal"), 0.31),
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
        "17 epochs, 3 saved",
        "3/10",
        "class+signal",
        "0.3100",
        "warn: class_collapse",
    ):
        assert expected in text, expected
    assert "best so far 0.5000 (trial 0)" in text


def test_a_smaller_value_is_better_when_minimising() -> None:
    """The best follows the objective's direction."""
    scores = Scoreboard(objective=Objective("val/threshold/mae_db", "minimize"), trials=2, epochs_per_trial=None)
    scores.see(finished(0, 9.0))
    scores.see(finished(1, 12.0))
    assert scores.best == (9.0, 0)


def test_time_left_follows_the_pace_and_the_deadline() -> None:
    """One of four trials took ten seconds: thirty are left, unless the deadline comes first."""
    now = time.monotonic()
    scores = Scoreboard(objective=Objective("x/y/z"), trials=4, epochs_per_trial=1, started=now - 10)
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
    scores = Scoreboard(objective=Objective("x/y/z"), trials=4, epochs_per_trial=10, started=now - 10)
    scores.recall(
        [
            finished(0, 0.5).record,
            stopped().record,
            TrialRecord(number=2, name=None, state="waiting", value=None, params={}, epochs=3),
        ]
    )
    assert (scores.done, scores.best, scores.left()) == (2, (0.5, 0), None)
    assert scores.counts().startswith("2/4 trials  1 kept  1 pruned  0 failed  14 epochs, 6 saved")
    scores.see(finished(2, 0.4))
    left = scores.left()
    assert left is not None
    assert abs(left - 10) < 1
