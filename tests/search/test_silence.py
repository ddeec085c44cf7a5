"""A PostgreSQL that says nothing, says no, or cuts connections: what is waited for, and what is said."""

import sys
import threading
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
if str(ROOT) not in sys.path:
    sys.path.insert(0, str(ROOT))

from abr_tune.errors import StorageFault  # noqa: E402
from abr_tune.search import guards, storage  # noqa: E402
from abr_tune.search.ledger import Ending  # noqa: E402
from abr_tune.search.storage import admitted, connect  # noqa: E402
from abr_tune.search.study import Study  # noqa: E402
from benchmarks.battery.postgresql import REFUSALS, _end_connections, _still  # noqa: E402
from core.tasks.task import Objective  # noqa: E402
from tests.postgres import PASSWORD, Server  # noqa: E402
from tests.search.tasks import METRIC  # noqa: E402

DONE = Ending(state="complete", values=(0.5,))


def begin(study: Study) -> int:
    with study.turn():
        study.news()
        return study.begin({}, {}, {"lr": 0.5}, None)


def test_a_server_that_hangs_is_waited_for(postgres: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guards, "SECONDS_OF_SILENCE", 0.3)
    monkeypatch.setattr(storage, "SECONDS_BETWEEN_TRIES", 0.05)
    study = Study(postgres.url, "s", [Objective(METRIC)])
    study.share()
    number = begin(study)
    still = _still(postgres)
    still.__enter__()
    thread = threading.Timer(1.2, still.__exit__, (None, None, None))
    began = time.monotonic()
    thread.start()
    study.finish(number, DONE)
    waited = time.monotonic() - began
    thread.join()
    assert 1.0 < waited < 15
    assert [trial.state.name for trial in study.trials()] == ["COMPLETE"]
    study.close()


def test_a_server_that_hangs_for_too_long_is_a_storage_fault(postgres: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guards, "SECONDS_OF_SILENCE", 0.2)
    monkeypatch.setattr(guards, "SECONDS_TO_CONNECT", 2)
    monkeypatch.setattr(storage, "SECONDS_TO_WAIT", 0.5)
    study = Study(postgres.url, "s", [Objective(METRIC)])
    number = begin(study)
    with _still(postgres), pytest.raises(StorageFault, match=r"does not answer: .*(said nothing|timeout)"):
        study.finish(number, DONE)
    study.finish(number, DONE)
    assert study.record(number).value == 0.5
    study.close()


def test_connections_that_are_cut_lose_nothing_and_tell_nothing_twice(
    postgres: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(storage, "SECONDS_BETWEEN_TRIES", 0.02)
    study = Study(postgres.url, "s", [Objective(METRIC)])
    study.share()
    over, ended = threading.Event(), []

    def cut() -> None:
        while not over.wait(0.05):
            ended.append(_end_connections(postgres))

    thread = threading.Thread(target=cut)
    thread.start()
    try:
        told = 0
        while sum(map(bool, ended)) < 4:
            assert begin(study) == told
            study.finish(told, DONE)
            told += 1
    finally:
        over.set()
        thread.join()
    assert [(trial.number, trial.value) for trial in study.trials()] == [(number, 0.5) for number in range(told)]
    study.close()


@pytest.mark.parametrize("refusal", REFUSALS)
def test_a_refusal_says_what_to_do(refusal: str, postgres: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PGPASSWORD", "before")
    refusing, word = REFUSALS[refusal]
    with refusing(postgres, postgres.url) as url, pytest.raises(StorageFault, match=word) as ending:
        connect(admitted(url))
    assert PASSWORD not in str(ending.value)
    assert "\n" not in str(ending.value)
