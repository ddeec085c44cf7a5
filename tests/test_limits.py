"""Limits of time and memory: judged at every report, and within an epoch that hangs or grows."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import pytest

from abr_tune.limits import NOTE, UNLIMITED, Meter, OverLimit, noted
from abr_tune.plan.plan import Limits
from abr_tune.trial import Leave, TrialStep, read_history, run_trial
from core.health import HealthOptions, Verdict
from core.health.odds import State
from tests.search.tasks import BASELINES, Rare, RareOptions

MIB = 2**20


def meter_of(limits: Limits, folder: Path, *, spent: float = 0.0, memory: Callable[[], int] = lambda: 0) -> Meter:
    return Meter(limits, folder, spent=spent, memory=memory, clock=iter(range(100)).__next__)


def train(folder: Path, limits: Limits = UNLIMITED, *, leave: Leave | None = None, **options) -> list[TrialStep]:
    settings = {"seed": 3, "data": None, "health": HealthOptions(), "baselines": BASELINES, "limits": limits}
    return list(run_trial(Rare(), RareOptions(**options), folder=folder, leave=leave or Leave(), **settings))


def test_only_training_counts_and_earlier_parts_do_too(tmp_path: Path) -> None:
    meter = meter_of(UNLIMITED, tmp_path, spent=10.0)  # the clock ticks once whenever it is looked at
    for epoch in (1, 2):
        meter.measured(lambda: None, epoch)
    assert meter.seconds == 12.0


def test_a_limit_is_passed_by_more_than_it_and_says_the_numbers(tmp_path: Path) -> None:
    assert meter_of(Limits(seconds=10.0), tmp_path, spent=10.0).verdict(3) is None
    late = meter_of(Limits(seconds=10.0), tmp_path, spent=10.5).verdict(3)
    assert late == Verdict(
        level="stop",
        rule="limit_time",
        why="it has trained for 10.5 s, of 10 s that a trial may take",
        epoch=3,
        evidence={"seconds": 10.5, "limit": 10.0},
    )


def test_memory_is_growth_over_the_start(tmp_path: Path) -> None:
    sizes = iter([100 * MIB, 150 * MIB, 151 * MIB])
    meter = meter_of(Limits(bytes=50 * MIB), tmp_path, memory=sizes.__next__)
    assert meter.verdict(1) is None
    large = meter.verdict(2)
    assert large is not None
    assert large.rule == "limit_memory"
    assert large.why == "its process grew by 51 MiB, of 50 MiB that a trial may take"


def test_a_hanging_epoch_is_cut_short(tmp_path: Path) -> None:
    began = time.monotonic()
    steps = train(tmp_path, Limits(seconds=1.0), act="hang")
    assert 1.0 < time.monotonic() - began < 30, "it would hang for a minute"
    assert [step.report.epoch for step in steps] == [1, 2, 3]
    assert steps[-1].stop is not None
    assert steps[-1].stop.rule == "limit_time"
    assert not steps[-1].report.complete
    assert len(read_history(tmp_path / "history.jsonl")) == 2
    assert "limits" not in {thread.name for thread in threading.enumerate()}
    assert signal.getsignal(signal.SIGXCPU) == signal.SIG_DFL


def test_a_growing_epoch_is_cut_short(tmp_path: Path) -> None:
    steps = train(tmp_path, Limits(bytes=200 * MIB), act="grow")
    assert steps[-1].stop is not None
    assert steps[-1].stop.rule == "limit_memory"
    assert steps[-1].stop.evidence["bytes"] < 2000 * MIB
    assert steps[-1].stop.epoch == 3


def test_time_of_an_earlier_part_counts_and_the_last_report_is_judged(tmp_path: Path) -> None:
    whole = train(tmp_path / "whole")
    assert len(whole) == 6
    (tmp_path / "parts").mkdir()
    first = run_trial(
        Rare(), RareOptions(), seed=3, folder=tmp_path / "parts", data=None, health=HealthOptions(), baselines=BASELINES
    )
    for _ in range(3):
        next(first)
    first.close()
    path = tmp_path / "parts/history.jsonl"
    path.write_text(path.read_text().replace('"seconds": 0.01', '"seconds": 4.0'))
    steps = train(tmp_path / "parts", Limits(seconds=11.0))
    assert steps[-1].stop is not None
    assert steps[-1].stop.rule == "limit_time"
    assert steps[-1].stop.evidence["seconds"] == pytest.approx(12.0, abs=1.0)


def test_within_its_limits_a_training_is_left_alone(tmp_path: Path) -> None:
    generous = Limits(seconds=60.0, bytes=4096 * MIB)
    assert train(tmp_path / "a", generous) == train(tmp_path / "b")


def test_a_task_that_catches_everything_is_judged_at_its_report(tmp_path: Path) -> None:
    meter = Meter(Limits(seconds=0.1), tmp_path)

    def stubborn() -> str:
        try:
            time.sleep(5)
        except BaseException:  # noqa: BLE001 - what a user's code may do
            return "swallowed"
        return "never interrupted"

    assert meter.measured(stubborn, 1) == "swallowed"
    assert meter.verdict(1) is not None


def test_the_interruption_is_no_exception_a_task_would_catch() -> None:
    assert not issubclass(OverLimit, Exception)


DEAF = """
import sys
from pathlib import Path
import abr_tune.limits
from abr_tune.plan.plan import Limits
from abr_tune.trial import run_trial
from core.health import HealthOptions
from tests.search.tasks import BASELINES, Rare, RareOptions

abr_tune.limits.SECONDS_TO_REACT = 0.3
settings = {"data": None, "health": HealthOptions(), "baselines": BASELINES, "expendable": True}
options = RareOptions(act="deaf")
list(run_trial(Rare(), options, seed=0, folder=Path(sys.argv[1]), limits=Limits(seconds=0.2), **settings))
"""


def test_a_process_that_does_not_listen_ends_itself_with_a_note(tmp_path: Path) -> None:
    began = time.monotonic()
    root = Path(__file__).parents[1]
    ended = subprocess.run([sys.executable, "-c", DEAF, str(tmp_path)], cwd=root, capture_output=True, check=False)
    assert (ended.returncode, ended.stderr) == (1, b"")
    assert time.monotonic() - began < 20
    verdict = noted(tmp_path)
    assert verdict is not None
    assert (verdict.rule, verdict.epoch) == ("limit_time", 3)


def test_a_note_is_read_once(tmp_path: Path) -> None:
    verdict = Verdict(level="stop", rule="limit_time", why="too long", epoch=2, evidence={"seconds": 3.0})
    assert noted(tmp_path) is None
    (tmp_path / NOTE).write_text(json.dumps(asdict(verdict)))
    assert noted(tmp_path) == verdict
    assert noted(tmp_path) is None


def test_an_audited_training_goes_on_past_its_rules_and_not_past_a_limit(tmp_path: Path) -> None:
    collapsed = train(tmp_path / "plain", lr=1e-9, epochs=12)
    audited = train(tmp_path / "audited", leave=Leave(audited=True, length=12), lr=1e-9, epochs=12)
    assert len(collapsed) < len(audited) == 12
    first = next(step for step in audited if step.would_stop)
    assert first.would_stop == collapsed[-1].stop
    assert all(step.stop is None for step in audited)
    broke = train(tmp_path / "nan", leave=Leave(audited=True), lr=1e300)
    assert broke[-1].stop is not None
    assert broke[-1].stop.rule == "non_finite"
    limited = train(tmp_path / "hang", Limits(seconds=0.5), leave=Leave(audited=True), act="hang")
    assert limited[-1].stop is not None
    assert limited[-1].stop.rule == "limit_time"


def test_a_stop_is_held_back_in_the_states_named_and_comes_in_the_next(tmp_path: Path) -> None:
    plain = train(tmp_path / "plain", lr=1e-9, epochs=20)[-1]
    assert plain.stop is not None
    assert plain.report.epoch <= 5
    first_quarter = frozenset({State("class_collapse", 0)})
    held = train(tmp_path / "held", leave=Leave(held=first_quarter, length=20), lr=1e-9, epochs=20)
    assert [step.report.epoch for step in held if step.spared] == [plain.report.epoch]
    assert held[-1].stop is not None
    assert held[-1].report.epoch == 6  # the second quarter


def test_leave_survives_the_way_to_a_worker() -> None:
    leave = Leave(audited=True, held=frozenset({State("class_collapse", 1), State("class_absent", 0)}), length=20)
    assert Leave.from_json(json.loads(json.dumps(leave.to_json()))) == leave
