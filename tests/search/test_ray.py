"""The search on Ray Tune: the same results as in one process, and what only happens between processes."""

import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from abr_tune.plan.plan import Budget, Confirm, Plan, Pruner, Resources, StartPoint
from abr_tune.search.archive import read_records
from abr_tune.search.events import EpochDone, Event, TrialPaused, TrialStarted
from abr_tune.search.launch import Cluster
from abr_tune.search.search import Outcome, Training, search, train_all
from abr_tune.search.signals import STOPPING
from abr_tune.trial import read_history
from tests.search.tasks import BASELINES, RareOptions, make_data, plan
from tests.search.test_driver import HAND, without_seconds

pytestmark = [pytest.mark.ray, pytest.mark.timeout(180)]
ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    with Cluster(jobs=2, resources=Resources()) as cluster:
        yield cluster


def run(chosen: Plan, folder: Path, cluster: Cluster | None, **settings) -> Outcome:
    executor = "inline" if cluster is None else "ray"
    settings = {"dataset": None, "baselines": BASELINES, "jobs": 2} | settings
    return search(chosen, folder=folder, executor=executor, cluster=cluster, **settings)


def test_ray_and_inline_find_the_same(cluster: Cluster, tmp_path: Path) -> None:
    chosen = plan(start_from=HAND, budget=Budget(trials=8))
    on_ray, inline = run(chosen, tmp_path / "ray", cluster), run(chosen, tmp_path / "inline", None)
    assert on_ray.ended_by == "budget"
    assert without_seconds(on_ray.records) == without_seconds(inline.records)
    for record in inline.records:
        place = f"trials/{record.number}/history.jsonl"
        assert (tmp_path / "ray" / place).read_text() == (tmp_path / "inline" / place).read_text()


def test_workers_are_reused_and_the_data_are_shared(cluster: Cluster, tmp_path: Path) -> None:
    data = make_data()
    chosen = plan(train={"epochs": 2, "act": "where"}, budget=Budget(trials=8))
    run(chosen, tmp_path, cluster, dataset=data)
    health = [read_history(tmp_path / f"trials/{number}/history.jsonl")[-1].health for number in range(8)]
    assert len({each["pid"] for each in health}) <= 2
    assert os.getpid() not in {each["pid"] for each in health}
    assert {each["copied"] for each in health} == {0.0}


def test_a_killed_worker_goes_on_under_the_same_number(cluster: Cluster, tmp_path: Path) -> None:
    events: list[Event] = []
    chosen = plan(start_from=(StartPoint("victim", {"act": "kill_once"}),), budget=Budget(trials=2))
    records = run(chosen, tmp_path, cluster, listener=events.append).records
    assert [(record.state, record.epochs) for record in records] == [("complete", 6)] * 2
    starts = [event.resumed_at for event in events if isinstance(event, TrialStarted) and event.number == 0]
    assert starts[0] == 0
    assert len(starts) == 2
    epochs = [event.report.epoch for event in events if isinstance(event, EpochDone) and event.number == 0]
    assert epochs == [1, 2, 3, 4, 5, 6]
    assert [report.epoch for report in read_history(tmp_path / "trials/0/history.jsonl")] == epochs


def test_a_worker_killed_as_its_trial_pauses_or_lies_idle_costs_nothing(cluster: Cluster, tmp_path: Path) -> None:
    """Killed by the driver itself in the middle of hearing of a pause: the next trial lands on a dead worker."""
    events: list[Event] = []
    pids: dict[int, int] = {}
    killed: list[int] = []

    def kill(event: Event) -> None:
        events.append(event)
        if isinstance(event, EpochDone):
            pids[event.number] = int(event.report.health["pid"])
        elif isinstance(event, TrialPaused) and len(killed) < 2:
            killed.append(pids[event.number])
            os.kill(killed[-1], signal.SIGKILL)

    pruner = Pruner(kind="successive_halving", min_epochs=2, reduction=2)
    chosen = plan(train={"epochs": 6, "act": "where"}, budget=Budget(trials=6), pruner=pruner, confirm=Confirm(top=1))
    records = run(chosen, tmp_path, cluster, dataset=make_data(), listener=kill).records
    assert len(set(killed)) == 2
    assert [record.number for record in records] == list(range(6))
    assert "failed" not in {record.state for record in records}
    for record in records:
        epochs = [
            event.report.epoch for event in events if isinstance(event, EpochDone) and event.number == record.number
        ]
        assert epochs == list(range(1, record.epochs + 1))
        assert len(read_history(tmp_path / f"trials/{record.number}/history.jsonl")) == record.epochs


def test_ranking_waits_for_its_ruling(cluster: Cluster, tmp_path: Path) -> None:
    weak = tuple(StartPoint(f"weak {i}", {"lr": 1e-3 * (i + 1), "power": 2.0}) for i in range(3))
    chosen = plan(
        pruner=Pruner(kind="successive_halving", reduction=2, min_epochs=2, promote=False),
        start_from=(StartPoint("sound", {"lr": 0.5, "power": 0.0}), *weak),
        budget=Budget(trials=4),
    )
    records = run(chosen, tmp_path, cluster).records
    stopped = [record for record in records if record.pruned_by == "successive_halving"]
    assert stopped
    for record in stopped:
        assert record.epochs in {2, 4}
        assert len(read_history(tmp_path / f"trials/{record.number}/history.jsonl")) == record.epochs


def test_paused_trials_are_promoted_from_their_checkpoints(cluster: Cluster, tmp_path: Path) -> None:
    """Which trial is promoted when depends on who is first; what each reports does not."""
    plain = run(plan(budget=Budget(trials=8)), tmp_path / "plain", None)
    events: list[Event] = []
    pruner = Pruner(kind="successive_halving", min_epochs=2, reduction=2)
    chosen = plan(budget=Budget(trials=8), pruner=pruner, confirm=Confirm(top=2))
    records = run(chosen, tmp_path / "paused", cluster, listener=events.append).records
    assert {event.resumed_at for event in events if isinstance(event, TrialStarted)} >= {0, 2}
    assert len(records) == 8
    complete = {record.number for record in records if record.state == "complete"}
    assert len(complete) >= 2
    for record, other in zip(records, plain.records, strict=True):
        own, whole = (tmp_path / name / f"trials/{record.number}/history.jsonl" for name in ("paused", "plain"))
        assert own.read_text() == "".join(whole.read_text().splitlines(keepends=True)[: record.epochs])
        assert record.epochs == 6 if record.number in complete else record.epochs in {2, 4}
        assert record.number not in complete or record.value == other.value


def test_a_list_of_trainings(cluster: Cluster, tmp_path: Path) -> None:
    def train(executor: str, folder: Path):
        trainings = [
            Training(options=RareOptions(act=act), seed=seed, folder=folder / f"{act}-{seed}")
            for act in ("train", "raise")
            for seed in (1, 2)
        ]
        return train_all(
            trainings, plan(), dataset=None, baselines=BASELINES, executor=executor, jobs=2, cluster=cluster
        )

    on_ray, inline = train("ray", tmp_path / "ray"), train("inline", tmp_path / "inline")
    assert [each.reports for each in on_ray.trained] == [each.reports for each in inline.trained]
    assert [each.error for each in on_ray.trained] == [None, None] + ["RuntimeError: a bug in the user's code"] * 2


def test_what_a_listener_raises_comes_out_as_it_is(cluster: Cluster, tmp_path: Path) -> None:
    def full(event: Event) -> None:
        if isinstance(event, EpochDone):
            raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space left"):
        run(plan(), tmp_path, cluster, listener=full)


SLEEPY = """
import sys
from pathlib import Path
from abr_tune.plan.plan import Budget
from abr_tune.search.events import EpochDone
from abr_tune.search.search import search
from tests.search.tasks import BASELINES, plan

def say(event):
    if isinstance(event, EpochDone):
        print("epoch", flush=True)

chosen = plan(train={"epochs": 40, "act": "sleep"}, budget=Budget(trials=3))
settings = {"dataset": None, "baselines": BASELINES, "executor": "ray", "jobs": 2, "listener": say}
outcome = search(chosen, folder=Path(sys.argv[1]), **settings)
print(outcome.state, outcome.signal, flush=True)
"""


@pytest.mark.parametrize(("number", "to_group"), [(signal.SIGINT, True), (signal.SIGTERM, False)])
def test_a_signal_ends_the_search_soon_and_orderly(tmp_path: Path, number: int, to_group: bool) -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", SLEEPY, str(tmp_path)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        start_new_session=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "epoch\n"
    began = time.monotonic()
    os.killpg(process.pid, number) if to_group else process.send_signal(number)
    said = next((line for line in process.stdout if line != "epoch\n"), None)
    took = time.monotonic() - began
    rest, complaints = process.communicate(timeout=60)
    assert (said, rest, process.returncode) == (f"interrupted {int(number)}\n", "", 0), complaints
    assert took < 10
    assert complaints == f"{STOPPING}\n"
    states = [record.state for record in read_records(tmp_path)]
    assert states
    assert set(states) == {"waiting"}


def test_a_signal_is_obeyed_though_the_study_does_not_answer(tmp_path: Path) -> None:
    command = [sys.executable, "-c", SLEEPY, str(tmp_path)]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True, cwd=ROOT, start_new_session=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "epoch\n"
        with closing(sqlite3.connect(tmp_path / "study.db", isolation_level=None, timeout=30)) as held:
            held.execute("BEGIN EXCLUSIVE")
            time.sleep(1)
            process.send_signal(signal.SIGINT)
            _, complaints = process.communicate(timeout=60)
    assert process.returncode == 128 + signal.SIGINT
    assert complaints == f"{STOPPING}\n"
    assert {record.state for record in read_records(tmp_path)} == {"running"}
