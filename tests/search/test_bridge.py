"""Between Ray's threads and the search: whoever still speaks when the search has ended is not heard."""

import json
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from abr_tune.plan.plan import Budget
from abr_tune.search.driver import Driver
from abr_tune.search.events import EpochDone, Event
from abr_tune.search.searcher import _Bridge
from abr_tune.search.storage import sqlite_url
from abr_tune.search.study import Study
from abr_tune.search.trainable import DONE, STEPS
from abr_tune.trial import TrialStep
from core.report import EpochReport
from tests.search.tasks import BASELINES, METRIC, plan


def chunk(*epochs: int) -> dict[str, Any]:
    """What a worker sends after epochs it has trained one after another."""
    steps = [TrialStep(EpochReport(epoch=epoch, phase="all", metrics={METRIC: 0.5})).to_json() for epoch in epochs]
    return {STEPS: json.dumps(steps), DONE: False}


def opened(folder: Path, listener: Callable[[Event], None] = lambda _event: None) -> tuple[_Bridge, Study]:
    """A search whose first trial is trained as Ray's trial `a`."""
    chosen = plan(budget=Budget(trials=3))
    study = Study(sqlite_url(folder / "study.db"), chosen.name, chosen.objectives)
    bridge = _Bridge(Driver(chosen, study, folder, listener, baselines=BASELINES), jobs=2)
    assert isinstance(bridge.ask("a"), dict)
    return bridge, study


def left(study: Study) -> list[tuple[str, int]]:
    found = [(record.state, record.epochs) for record in study.records()]
    study.close()
    return found


def test_a_search_that_is_ended_in_the_middle_of_a_chunk_hears_no_more_of_it(tmp_path: Path) -> None:
    """A signal is looked for between any two epochs that came together."""

    def stop(event: Event) -> None:
        if isinstance(event, EpochDone) and event.report.epoch == 2:
            bridge.stop()

    bridge, study = opened(tmp_path, stop)
    assert bridge.result("a", chunk(1, 2, 3, 4))
    assert bridge.error is None
    assert left(study) == [("waiting", 2)]


@pytest.mark.parametrize("said", ["result", "ended", "ask"])
def test_who_waits_while_the_search_is_ended_is_not_heard_afterwards(tmp_path: Path, said: str) -> None:
    bridge, study = opened(tmp_path)
    calls = {
        "result": lambda: bridge.result("a", chunk(1)),
        "ended": lambda: bridge.ended("a", died=False),
        "ask": lambda: bridge.ask("b"),
    }
    speaker = threading.Thread(target=calls[said])
    ending = bridge.source.stopped

    def stopped() -> None:
        speaker.start()
        time.sleep(0.1)  # now it waits for the lock: that is what this is about, and nobody can see it from here
        ending()

    bridge.source.stopped = stopped  # type: ignore[method-assign]
    bridge.stop()
    speaker.join(30)
    assert bridge.error is None
    assert left(study) == [("waiting", 0)]
