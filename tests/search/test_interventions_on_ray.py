"""Interventions reach the training wherever it runs, and a trial that was paused in between comes to the same."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from abr_tune.plan.plan import Budget, Confirm, Plan, Pruner, Resources, StartPoint
from abr_tune.search.events import Event, TrialStarted, VerdictGiven
from abr_tune.search.launch import Cluster
from abr_tune.search.search import Outcome, search
from abr_tune.trial import read_history
from core.health import HealthOptions
from tests.search.steerable import Steerable
from tests.search.tasks import BASELINES, plan

RULE = {"grace": 0, "epochs": 1, "patience": 2, "intervene": {"lower_rate": 0.5, "times": 2, "wait": 1}}


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    with Cluster(jobs=1, resources=Resources()) as cluster:
        yield cluster


def chosen(**changed: object) -> Plan:
    found = plan(budget=Budget(trials=2), train={"epochs": 9}, confirm=Confirm(top=0), **changed)
    start = (StartPoint("a", {"lr": 0.5}), StartPoint("b", {"lr": 0.1}))
    return replace(
        found, task=Steerable(), start_from=start, health=HealthOptions.model_validate({"negative_r2": RULE})
    )


def run(wanted: Plan, folder: Path, cluster: Cluster | None) -> tuple[Outcome, list[Event]]:
    events: list[Event] = []
    executor = "inline" if cluster is None else "ray"
    settings = {"dataset": None, "baselines": BASELINES, "jobs": 1, "listener": events.append}
    return search(wanted, folder=folder, executor=executor, cluster=cluster, **settings), events


def told(events: list[Event]) -> list[tuple[int, str]]:
    verdicts = [each.verdict for each in events if isinstance(each, VerdictGiven) and each.number == 0]
    return [(verdict.epoch, verdict.level) for verdict in verdicts if verdict.rule == "negative_r2"]


def rates(folder: Path) -> list[float]:
    return [report.health["rate_factor"] for report in read_history(folder / "trials/0/history.jsonl")]


# Two in a row at epoch 2, one epoch to work, again at 4, one to work, the stop at 6.
EXPECTED = [(1, "warn"), (2, "intervene"), (3, "warn"), (4, "intervene"), (5, "warn"), (6, "stop")]


def test_in_one_process(tmp_path: Path) -> None:
    outcome, events = run(chosen(), tmp_path, None)
    assert told(events) == EXPECTED
    assert rates(tmp_path) == [1, 1, 0.5, 0.5, 0.25, 0.25]
    assert (outcome.records[0].state, outcome.records[0].pruned_by) == ("pruned", "negative_r2")
    assert "had been lowered 2 times before" in str(outcome.records[0].why)


@pytest.mark.ray
@pytest.mark.timeout(180)
def test_on_ray(cluster: Cluster, tmp_path: Path) -> None:
    outcome, events = run(chosen(), tmp_path, cluster)
    assert told(events) == EXPECTED
    assert rates(tmp_path) == [1, 1, 0.5, 0.5, 0.25, 0.25]
    assert outcome.records[0].pruned_by == "negative_r2"


def test_paused_right_after_an_intervention(tmp_path: Path) -> None:
    # A rung at epoch 2: both wait there, the better one is promoted and is answered only then.
    pruner = Pruner(kind="successive_halving", min_epochs=2, reduction=2)
    _, events = run(chosen(pruner=pruner), tmp_path, None)
    resumed = [each.resumed_at for each in events if isinstance(each, TrialStarted)]
    assert 2 in resumed
    assert rates(tmp_path)[:4] in ([1, 1], [1, 1, 0.5, 0.5])
    histories = [read_history(tmp_path / f"trials/{number}/history.jsonl") for number in (0, 1)]
    longest = [report.health["rate_factor"] for report in max(histories, key=len)]
    assert longest == [1, 1, 0.5, 0.5, 0.25, 0.25][: len(longest)]
    assert len(longest) > 2
