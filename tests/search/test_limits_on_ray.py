"""Limits in Ray's workers: an epoch that is cut short, and a process that ends itself."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from abr_tune.plan.plan import Budget, Limits, Resources, StartPoint
from abr_tune.search.events import Event, TrialStarted
from abr_tune.search.launch import Cluster
from abr_tune.search.search import search
from tests.search.tasks import BASELINES, plan

pytestmark = [pytest.mark.ray, pytest.mark.timeout(180)]


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    with Cluster(jobs=2, resources=Resources()) as cluster:
        yield cluster


def test_trials_over_their_limits_are_pruned_and_never_tried_again(cluster: Cluster, tmp_path: Path) -> None:
    events: list[Event] = []
    greedy = tuple(StartPoint(act, {"act": act}) for act in ("hang", "deaf"))
    chosen = plan(start_from=(*greedy, StartPoint("sound", {})), budget=Budget(trials=3), limits=Limits(seconds=3.0))
    outcome = search(
        chosen,
        folder=tmp_path,
        dataset=None,
        baselines=BASELINES,
        executor="ray",
        jobs=2,
        cluster=cluster,
        listener=events.append,
    )
    hang, deaf, sound = outcome.records
    assert sound.state == "complete"
    for record in (hang, deaf):
        assert (record.state, record.pruned_by) == ("pruned", "limit_time")
        assert record.evidence is not None
        assert 3.0 < record.evidence["seconds"] < 15
    assert sum(isinstance(event, TrialStarted) for event in events) == 3
