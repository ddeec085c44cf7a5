"""What is tried again after a fault, how often, and when: nothing here sleeps but by a clock of the test's own."""

from __future__ import annotations

import errno
import gc
from pathlib import Path

import numpy as np
import pytest
import torch

from abr_tune.exhaustion import HINT, kernel_kills, out_of_memory
from abr_tune.plan.plan import Budget, StartPoint
from abr_tune.search import inline, retries
from abr_tune.search.driver import Driver
from abr_tune.search.events import EpochDone, Event, TrialStarted, Warned
from abr_tune.search.inline import run_inline
from abr_tune.search.retries import PAUSES, Loss, Retries, told
from abr_tune.search.search import Training, search, train_all
from abr_tune.search.storage import sqlite_url
from abr_tune.search.study import Study
from abr_tune.trial import read_history
from tests.search.tasks import BASELINES, RareOptions, plan
from tests.search.test_driver import shared, without_seconds


class Clock:
    """Seconds that pass when the test says so, or, with `step`, at every look."""

    def __init__(self, step: float = 0.0) -> None:
        self.now = 0.0
        self.step = step

    def __call__(self) -> float:
        self.now += self.step
        return self.now


def drive(folder: Path, clock: Clock, chosen=None, events: list[Event] | None = None) -> tuple[Driver, Study]:
    chosen = chosen or plan()
    folder.mkdir(exist_ok=True)
    study = Study(sqlite_url(folder / "study.db"), chosen.name, chosen.objectives)
    return Driver(chosen, study, folder, [].append if events is None else events.append, clock=clock), study


def test_a_fault_of_the_machine_is_retried_twice_and_exhausted_memory_once_each_later_than_before() -> None:
    retries = Retries(Clock())
    assert [retries.again(7, "infrastructure") for _ in range(3)] == [1.0, 5.0, None]
    assert retries.verdict(7, "infrastructure", "killed") == "its worker died 3 times: killed"
    assert [retries.again(7, "memory") for _ in range(2)] == [5.0, None]
    assert retries.again(8, "infrastructure") == 1.0, "each training has its own tries"
    for pauses in PAUSES.values():
        assert list(pauses) == sorted(set(pauses))


def test_who_waits_is_ready_when_its_pause_is_over() -> None:
    clock = Clock()
    retries = Retries(clock)
    assert retries.ready(7)
    retries.again(7, "infrastructure")
    assert not retries.ready(7)
    assert retries.any_waits([6, 7])
    assert not retries.any_waits([6])
    clock.now = 0.99
    assert not retries.ready(7)
    clock.now = 1.0
    assert retries.ready(7)
    assert not retries.any_waits([6, 7])


@pytest.mark.parametrize("loss", ["infrastructure", "memory"])
def test_what_is_said_names_the_error_and_the_pause_and_of_memory_what_helps(loss: Loss) -> None:
    said = told(loss, "killed", 5.0)
    assert "killed" in said
    assert "5 s" in said
    assert (HINT in said) is (loss == "memory")
    assert (HINT in Retries(Clock()).verdict(1, loss, "killed")) is (loss == "memory")
    for word in ("--jobs", "batch", "model", "limits: {memory: ...}"):
        assert word in HINT


def test_others_go_on_while_a_lost_trial_waits_and_then_it_has_its_number_again(tmp_path: Path) -> None:
    clock, events = Clock(), []
    driver, study = drive(tmp_path, clock, plan(budget=Budget(trials=3)), events)
    assert driver.ask().key == 0
    driver.lost(0, "killed", "infrastructure")
    assert driver.waits
    assert not driver.done
    assert [driver.ask().key, driver.ask().key] == [1, 2], "others meanwhile"
    assert driver.ask() is None
    clock.now = 1.0
    assert not driver.waits
    assert driver.ask().key == 0
    driver.lost(0, "killed again", "infrastructure")
    clock.now = 5.9
    assert driver.ask() is None
    clock.now = 6.0
    assert driver.ask().key == 0
    driver.lost(0, "killed at last", "infrastructure")
    assert study.record(0).state == "failed"
    assert study.record(0).error == "its worker died 3 times: killed at last"
    assert driver.ask().key == 3, "a failed trial does not count: another one takes its place"
    assert [event.text for event in events if isinstance(event, Warned)] == [
        told("infrastructure", "killed", 1.0),
        told("infrastructure", "killed again", 5.0),
    ]
    study.close()


def test_a_trial_that_waits_is_there_when_the_search_is_interrupted(tmp_path: Path) -> None:
    driver, study = drive(tmp_path, Clock(), plan(budget=Budget(trials=1)))
    driver.ask()
    driver.lost(0, "killed", "infrastructure")
    driver.stopped()
    assert study.record(0).state == "waiting"
    study.close()


def inline_search(act: str, folder: Path) -> tuple[Study, list[Event]]:
    events: list[Event] = []
    chosen = plan(start_from=(StartPoint("it", {"act": act}),), budget=Budget(trials=1))
    driver, study = drive(folder, Clock(step=1.0), chosen, events)
    run_inline(driver, shared(chosen))
    return study, events


def test_inline_memory_is_tried_once_more_from_the_checkpoint_and_may_do(tmp_path: Path) -> None:
    study, events = inline_search("starve_once", tmp_path / "once")
    undisturbed, _ = inline_search("train", tmp_path / "never")
    record, other = study.record(0), undisturbed.record(0)
    assert (record.state, record.epochs, record.value) == ("complete", 6, other.value)
    assert [event.resumed_at for event in events if isinstance(event, TrialStarted)] == [0, 2]
    assert [event.report.epoch for event in events if isinstance(event, EpochDone)] == [1, 2, 3, 4, 5, 6]
    assert [report.epoch for report in read_history(tmp_path / "once/trials/0/history.jsonl")] == [1, 2, 3, 4, 5, 6]
    [said] = [event.text for event in events if isinstance(event, Warned)]
    assert "Unable to allocate" in said
    assert HINT in said
    study.close()
    undisturbed.close()


def test_inline_memory_that_is_short_twice_fails_the_trial_with_what_helps(tmp_path: Path) -> None:
    study, events = inline_search("starve", tmp_path)
    record = study.record(0)
    assert record.state == "failed"
    assert record.error.endswith(f"; {HINT}")
    assert sum(isinstance(event, TrialStarted) and event.number == 0 for event in events) == 2
    study.close()


def test_what_the_users_code_raises_is_never_tried_again(tmp_path: Path) -> None:
    study, events = inline_search("raise", tmp_path)
    assert study.record(0).error == "RuntimeError: a bug in the user's code"
    assert sum(isinstance(event, TrialStarted) and event.number == 0 for event in events) == 1
    study.close()


def test_a_list_of_trainings_is_retried_alike(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setitem(retries.PAUSES, "memory", (0.01,))
    monkeypatch.setattr(inline, "SECONDS_BETWEEN_LOOKS", 0.01)
    trainings = [
        Training(options=RareOptions(act=act), seed=1, folder=tmp_path / act) for act in ("starve", "starve_once")
    ]
    settings = {"dataset": None, "baselines": BASELINES, "executor": "inline", "jobs": 1}
    starved, once = train_all(trainings, plan(), **settings).trained
    assert starved.error.endswith(HINT)
    assert once.error is None
    assert [report.epoch for report in once.reports] == [1, 2, 3, 4, 5, 6]
    assert sum(HINT in message for message in caplog.messages) == 2


def test_a_signal_does_not_wait_for_a_pause_to_end(tmp_path: Path) -> None:
    chosen = plan(start_from=(StartPoint("it", {"act": "starve"}),), budget=Budget(trials=1))
    driver, study = drive(tmp_path, Clock(), chosen)
    driver._interrupted = lambda: driver.waits
    run_inline(driver, shared(chosen))
    driver.stopped()
    assert study.record(0).state == "waiting"
    study.close()


def raised(call) -> Exception:
    try:
        call()
    except Exception as error:  # noqa: BLE001 - which one it is, is the question
        return error
    raise AssertionError("there is that much memory")


def wrapped() -> None:
    try:
        np.empty(2**55)
    except MemoryError as error:
        raise RuntimeError("batch 3 failed") from error


@pytest.mark.parametrize(
    "call",
    [
        pytest.param(lambda: np.empty(2**55), id="numpy"),
        pytest.param(lambda: bytearray(2**62), id="python"),
        pytest.param(lambda: torch.empty(2**50), id="torch on the processor"),
        pytest.param(wrapped, id="raised from it"),
    ],
)
def test_exhausted_memory_is_told_from_what_really_raises(call) -> None:
    assert out_of_memory(raised(call))
    gc.collect()


def test_exhausted_memory_of_a_gpu_and_of_the_system_by_their_types() -> None:
    assert out_of_memory(torch.OutOfMemoryError("Tried to allocate 2.00 GiB"))
    assert out_of_memory(OSError(errno.ENOMEM, "Cannot allocate memory"))


@pytest.mark.parametrize(
    "error",
    [
        RuntimeError("a bug in the user's code"),
        ValueError("DefaultCPUAllocator: can't allocate memory"),
        RuntimeError("out of memory, says my own code"),
        OSError(errno.ENOSPC, "No space left on device"),
        KeyError("memory"),
    ],
    ids=repr,
)
def test_other_exceptions_are_none_of_it(error: Exception) -> None:
    assert not out_of_memory(error)


def test_a_chain_that_bites_its_tail_ends() -> None:
    first, second = ValueError(1), ValueError(2)
    first.__cause__, second.__cause__ = second, first
    assert not out_of_memory(first)


def test_the_kernels_count_is_read_where_there_is_one(tmp_path: Path) -> None:
    (tmp_path / "vmstat").write_text("nr_free_pages 3\noom_kill 12\nnuma_hit 4\n")
    assert kernel_kills(tmp_path / "vmstat") == 12
    assert kernel_kills(tmp_path / "none") == 0


def test_a_search_after_all_of_it_is_the_undisturbed_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(retries.PAUSES, "memory", (0.2,))

    def searched(act: str):
        chosen = plan(start_from=(StartPoint("it", {"act": act}),), budget=Budget(trials=3))
        settings = {"dataset": None, "baselines": BASELINES, "executor": "inline", "jobs": 1}
        return search(chosen, folder=tmp_path / act, **settings).records

    starved, trained = searched("starve_once"), searched("train")
    assert [record.number for record in starved] == [0, 1, 2]
    assert without_seconds(starved)[1:] == without_seconds(trained)[1:]
    assert (starved[0].value, starved[0].metrics) == (trained[0].value, trained[0].metrics)
