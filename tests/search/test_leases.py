"""Several drivers on one study, kept in PostgreSQL: who lives, whose turn it is, and what the others do."""

import json
import os
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from abr_tune.errors import StorageFault, UserError
from abr_tune.plan.plan import Budget, Plan, Pruner, StartPoint
from abr_tune.processes import Process, began, boot, this_process
from abr_tune.search import leases
from abr_tune.search.driver import Driver
from abr_tune.search.events import TrialStarted
from abr_tune.search.executor import Shared
from abr_tune.search.inline import run_inline
from abr_tune.search.leases import LEASE, Holder
from abr_tune.search.ledger import Ending
from abr_tune.search.study import Study
from core.tasks.task import Objective
from tests.postgres import Server
from tests.search.tasks import BASELINES, METRIC, plan

NOBODY = Process(host=os.uname().nodename, boot=boot(), pid=2**22, began="1")


@pytest.fixture
def url(postgres: Server) -> str:
    return postgres.url


@pytest.fixture
def studies(url: str) -> Iterator[list[Study]]:
    """Opened by the test, closed after it."""
    opened: list[Study] = []
    yield opened
    for study in opened:
        study.close()


def open_study(url: str, studies: list[Study], *, join: bool = False) -> Study:
    study = Study(url, "shared", [Objective(METRIC)])
    studies.append(study)
    study.share(join=join)
    return study


def wait_for(happened: Callable[[], bool]) -> None:
    until = time.monotonic() + 30
    while not happened():
        assert time.monotonic() < until
        time.sleep(0.02)


def begin(study: Study) -> int:
    with study.turn():
        study.news()
        return study.begin({}, {}, {"lr": 0.5}, None)


def pretend(study: Study, **changes) -> None:
    """Another process, or another time, in this driver's lease."""
    lease = study.lease
    said = {"process": this_process().to_json(), "since": "long ago", "first": lease.first, "heard": time.time()}
    with study._storage.engine.begin() as connection:
        connection.exec_driver_sql(
            "UPDATE study_system_attributes SET value_json = %(said)s WHERE key = %(key)s",
            {"said": json.dumps(said | changes), "key": LEASE + lease.id},
        )


def test_a_process_is_told_from_a_later_one_with_its_number() -> None:
    mine = this_process()
    assert mine.here
    assert not mine.gone
    assert replace(mine, began="1").gone
    assert NOBODY.gone
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as child:
        there = replace(mine, pid=child.pid, began=began(child.pid))
        assert not there.gone
        child.kill()
    assert there.gone
    elsewhere = replace(NOBODY, host="another")
    assert not elsewhere.here
    assert not elsewhere.gone
    assert Process.from_json(mine.to_json()) == mine


def test_death_is_a_process_that_is_gone_or_a_long_silence() -> None:
    holder = Holder(id="a", process=this_process(), since="", first=True, silent=119.0)
    assert not holder.dead
    assert replace(holder, silent=121.0).dead
    assert replace(holder, process=NOBODY).dead
    assert not replace(holder, process=replace(NOBODY, host="another")).dead


def test_a_second_first_driver_is_refused_and_told_who_there_is(url: str, studies: list[Study]) -> None:
    open_study(url, studies)
    with pytest.raises(UserError, match=rf"being driven by process {os.getpid()} on .* since 20.*--join"):
        open_study(url, studies)
    joined = open_study(url, studies, join=True)
    assert [holder.first for holder in joined.lease.holders()] == [True, False]


def test_a_dead_first_driver_is_no_obstacle(url: str, studies: list[Study]) -> None:
    pretend(open_study(url, studies), process=NOBODY.to_json())
    living = [holder for holder in open_study(url, studies).lease.holders() if not holder.dead]
    assert [holder.first for holder in living] == [True]


def test_the_heart_beats(url: str, studies: list[Study], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leases, "SECONDS_BETWEEN_BEATS", 0.05)
    study = open_study(url, studies)
    pretend(study, heard=0.0)
    wait_for(lambda: [holder.silent < 1 for holder in study.lease.holders()] == [True])


def test_numbers_are_unique_and_turns_are_taken(url: str, studies: list[Study]) -> None:
    both = [open_study(url, studies, join=join) for join in (False, True)]
    numbers: list[int] = []
    inside = Counter()

    def work(study: Study) -> None:
        for _ in range(8):
            with study.turn():
                study.news()
                inside["now"] += 1
                assert inside["now"] == 1
                time.sleep(0.002)
                expected = study.next_number
                numbers.append(study.begin({}, {}, {"lr": 0.5}, None))
                assert numbers[-1] == expected
                inside["now"] -= 1

    threads = [threading.Thread(target=work, args=(study,)) for study in both]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(numbers) == list(range(16))


def test_others_are_heard_of_once_and_cheaply(url: str, studies: list[Study]) -> None:
    a, b = (open_study(url, studies, join=join) for join in (False, True))
    running, paused, ended = (begin(a) for _ in range(3))
    a.park(paused, 2, {})
    a.finish(ended, Ending(state="failed", attributes={"error": "x"}))

    def heard(study: Study) -> dict[int, tuple[str, bool]]:
        with study.turn():
            return {stored.record.number: (stored.record.state, free) for stored, free in study.news()}

    assert heard(b) == {running: ("running", False), paused: ("running", True), ended: ("failed", False)}
    assert heard(b) == {running: ("running", False)}, "only what is being trained may change unseen"
    assert heard(a) == {}
    with b.turn():
        b.resume(paused)
    assert heard(a) == {paused: ("running", False)}
    b.park(paused, 2, {})
    assert heard(a) == {paused: ("running", True)}
    assert heard(a) == {}


def test_what_a_dead_driver_trained_is_free_and_its_late_words_are_refused(url: str, studies: list[Study]) -> None:
    a, b = (open_study(url, studies, join=join) for join in (False, True))
    number = begin(a)
    with b.turn():
        assert [free for _, free in b.news()] == [False]
    pretend(a, heard=0.0)
    with b.turn():
        assert [free for stored, free in b.news() if stored.record.number == number] == [True]
        b.resume(number)
    with pytest.raises(StorageFault, match="nothing was heard of this driver for over 120 s"):
        a.finish(number, Ending(state="failed", attributes={"error": "too late"}))
    b.finish(number, Ending(state="complete", values=(0.5,)))
    assert b.record(number).value == 0.5


def test_a_first_driver_that_is_dead_leads_no_more(url: str, studies: list[Study]) -> None:
    a, b = (open_study(url, studies, join=join) for join in (False, True))
    pretend(a, process=NOBODY.to_json())
    assert not b.led


def test_the_first_driver_ends_the_search_for_all(url: str, studies: list[Study], monkeypatch) -> None:
    monkeypatch.setattr(leases, "SECONDS_BETWEEN_BEATS", 0.05)
    a, b = (open_study(url, studies, join=join) for join in (False, True))
    assert b.led
    a.leave("time")
    assert b.led, "at once, before it is heard of"
    wait_for(lambda: b.over == "time")
    c = open_study(url, studies)
    wait_for(lambda: (b.over, c.over) == (None, None))  # it goes on under another


def drivers(chosen: Plan, url: str, folder: Path, studies: list[Study]) -> list[tuple[Driver, list[int]]]:
    """Two drivers of one search, each with the numbers it began or went on with."""
    made = []
    for join in (False, True):
        study = Study(url, chosen.name, chosen.objectives)
        study.share(join=join)
        studies.append(study)
        mine: list[int] = []
        listen = lambda event, mine=mine: mine.append(event.number) if isinstance(event, TrialStarted) else None  # noqa: E731
        made.append((Driver(chosen, study, folder, listen), mine))
    return made


def search_together(chosen: Plan, both: list[tuple[Driver, list[int]]]) -> None:
    shared = Shared(
        task=chosen.task, dataset=None, health=chosen.health, baselines=BASELINES, objectives=chosen.objectives
    )
    faults = []

    def work(driver: Driver) -> None:
        try:
            until = time.monotonic() + 120
            while not driver.done and time.monotonic() < until:
                if driver.ready():
                    run_inline(driver, shared)
                else:
                    time.sleep(0.01)
        except BaseException as fault:  # noqa: BLE001 - raised again below
            faults.append(fault)

    threads = [threading.Thread(target=work, args=(driver,)) for driver, _ in both]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if faults:
        raise faults[0]


POINTS = (StartPoint("sound", {"lr": 0.5}), StartPoint("tiny", {"lr": 1e-3}), StartPoint("again", {"lr": 0.5}))


def test_two_drivers_share_budget_and_start_points(url: str, studies: list[Study], tmp_path: Path) -> None:
    chosen = plan(start_from=POINTS, budget=Budget(trials=12))
    both = drivers(chosen, url, tmp_path, studies)
    search_together(chosen, both)
    records = studies[0].records()
    assert [record.number for record in records] == list(range(12))
    assert Counter(record.state for record in records) == {"complete": 12}
    assert Counter(record.name for record in records) == {"sound": 1, "tiny": 1, None: 10}
    mine, yours = (set(numbers) for _, numbers in both)
    assert mine
    assert yours
    assert mine | yours == set(range(12))
    assert not mine & yours


def test_two_drivers_promote_each_paused_trial_once(url: str, studies: list[Study], tmp_path: Path) -> None:
    pruner = Pruner(kind="successive_halving", reduction=2, min_epochs=1)
    chosen = plan(pruner=pruner, budget=Budget(trials=12))
    both = drivers(chosen, url, tmp_path, studies)
    search_together(chosen, both)
    records = studies[0].records()
    assert len(records) == 12
    assert {record.state for record in records} <= {"complete", "pruned"}
    starts = Counter(number for _, numbers in both for number in numbers)
    assert max(starts.values()) > 1, "nothing was promoted"
    # Rungs at 1, 2 and 4 of 6 epochs: nobody can go on more often than there are rungs.
    assert max(starts.values()) <= 4
    for record in records:
        lines = (tmp_path / f"trials/{record.number}/history.jsonl").read_text().splitlines()
        assert [json.loads(line)["epoch"] for line in lines] == list(range(1, record.epochs + 1))
