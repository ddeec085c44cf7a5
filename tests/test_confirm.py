"""The leaders trained again: on fresh seeds, on folds, and what is said when no leader is what was asked for."""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from rich.console import Console

from abr_tune.confirm import chosen, confirm
from abr_tune.console import stderr_console
from abr_tune.errors import UserError
from abr_tune.export import write_best
from abr_tune.materials import Launch, Materials, divided
from abr_tune.plan.config import load_config
from abr_tune.plan.plan import Bound, Confirm, Constraint, Plan
from abr_tune.plan.tasks import find_task
from abr_tune.runs import RunFolder
from abr_tune.search.events import TrialRecord
from abr_tune.search.search import Training, train_all
from abr_tune.trial import HISTORY, read_history
from core.health import HealthOptions
from tests.search.tasks import BASELINES, METRIC, Rare, RareOptions, make_data, plan

ACCURACY = "val/class/accuracy"
GOOD = {"lr": 0.5, "power": 1.0}


class Divisible(Rare):
    """The small task with data that can be divided: whoever is held out, the rest is trained on."""

    def folds(self, dataset: NDArray[np.float64], *, count: int, seed: int) -> Sequence[NDArray[np.float64]]:
        order = np.random.default_rng(seed).permutation(len(dataset))
        return [dataset[np.setdiff1d(order, part)] for part in np.array_split(order, count)]

    def baselines(self, _dataset: Any) -> dict[str, float]:
        return BASELINES


def materials(folder: Path, **changes: Any) -> Materials:
    asked: Plan = plan(**{"task_name": "tests.search.tasks:Rare"} | changes)
    return Materials(
        plan=asked,
        launch=Launch(executor="inline", json=True),
        run=RunFolder(folder),
        console=stderr_console(),
        dataset=make_data(),
        fingerprint="none",
        baselines=BASELINES,
        cluster=None,
    )


def searched(given: Materials, number: int, *, epochs: int = 6, **params: Any) -> TrialRecord:
    """A trial really trained on the search's seed."""
    options = RareOptions(epochs=epochs, **params)
    training = Training(options=options, seed=given.plan.seed, folder=given.run.trial(number))
    batch = train_all([training], given.plan, dataset=given.dataset, baselines=BASELINES, executor="inline", jobs=1)
    last = batch.trained[0].reports[-1]
    return TrialRecord(
        number=number,
        name=None,
        state="complete",
        value=last.metrics[METRIC],
        params=params,
        metrics=dict(last.metrics),
        epochs=last.epoch,
    )


def test_each_leader_is_trained_once_per_fresh_seed(tmp_path: Path) -> None:
    given = materials(tmp_path, confirm=Confirm(top=2, seeds=2))
    records = [searched(given, 0, **GOOD), searched(given, 1, lr=0.05, power=1.0), searched(given, 2, lr=0.002)]
    found = confirm(given, records)
    assert (found.note, found.signal) == (None, None)
    assert {each.trial for each in found.finalists} == {0, 1}
    best, second = found.finalists
    assert best.mean is not None
    assert second.mean is not None
    assert best.mean >= second.mean
    assert best.runs == (f"confirm/{best.trial}-1", f"confirm/{best.trial}-2")
    told = [read_history(tmp_path / run / HISTORY)[-1].metrics[METRIC] for run in best.runs]
    assert list(best.values) == told
    assert best.mean == pytest.approx(sum(told) / 2)


def test_only_new_trainings_are_announced(tmp_path: Path) -> None:
    """Two seeds, then three: one of the three is new; then none is, and nothing is said."""
    said = []
    for seeds in (2, 3, 3):
        told = io.StringIO()
        given = materials(tmp_path, confirm=Confirm(top=1, seeds=seeds))
        given = replace(given, console=Console(file=told, width=200), launch=Launch(executor="inline"))
        confirm(given, [searched(given, 0, **GOOD)])
        said.append(told.getvalue())
    assert said == [
        "confirming the leaders: 2 trainings with fresh seeds\n",
        "confirming the leaders: 1 training with fresh seeds, 2 read back\n",
        "",
    ]


def test_on_folds_every_seed_is_trained_once_per_part_held_out(tmp_path: Path) -> None:
    given = materials(tmp_path, task=Divisible(), confirm=Confirm(top=1, seeds=2, folds=3))
    found = confirm(given, [searched(given, 0, **GOOD)])
    [best] = found.finalists
    assert best.runs[2:4] == ("confirm/0-1-fold3", "confirm/0-2-fold1")
    assert (len(best.values), best.folds) == (6, 3)
    # The same seed on other data is another run.
    assert len(set(best.values[:3])) > 1


def test_every_seed_has_a_division_of_its_own_and_all_runs_have_the_same_ones(tmp_path: Path) -> None:
    given = materials(tmp_path, task=Divisible(), confirm=Confirm(seeds=2, folds=3))
    first, second = ([part.tobytes() for part in divided(given.plan, given.dataset, index)] for index in range(2))
    assert not set(first) & set(second)
    other = divided(replace(given.plan, seed=given.plan.seed + 5), given.dataset)
    assert [part.tobytes() for part in other] == first


def test_a_task_that_cannot_divide_its_data_is_refused() -> None:
    name = "tests.search.tasks:Rare"
    asked = plan(confirm=Confirm(folds=3), task=find_task(name, trust_code=True), task_name=name)
    with pytest.raises(UserError, match=f"confirm.folds: task {name} cannot divide its data into folds"):
        divided(asked, None)


def test_without_a_feasible_trial_the_least_infeasible_leads_and_it_is_said(tmp_path: Path) -> None:
    limit = (Constraint(ACCURACY, Bound(">", 0.99)),)
    given = materials(tmp_path, confirm=Confirm(top=1, seeds=2), constraints=limit)
    records = [
        TrialRecord(number=number, name=None, state="complete", value=0.5, params=GOOD, violations={ACCURACY: by})
        for number, by in enumerate((0.3, 0.2))
    ]
    found = confirm(given, records)
    assert found.note == f"no trial meets the constraints; trial 1, which misses least, misses {ACCURACY} by 0.2"
    [best] = found.finalists
    # Judged anew on what the fresh runs give.
    assert best.violations[ACCURACY] == pytest.approx(0.99 - best.metrics[ACCURACY])
    assert not best.feasible


def test_after_a_deadline_the_furthest_is_trained_to_its_end_and_that_is_what_is_claimed(tmp_path: Path) -> None:
    """Two trials were left at epochs 2 and 4; the best file claims a fresh run, not what nobody finished."""
    given = materials(tmp_path / "run", confirm=Confirm(top=1, seeds=2))
    for number, epochs in enumerate((2, 4)):
        searched(given, number, epochs=epochs, **GOOD)
    records = [TrialRecord(number=number, name=None, state="waiting", value=None, params=GOOD) for number in range(2)]
    found = confirm(given, records)
    assert found.note is not None
    assert found.note.startswith("no trial was trained to its end; the furthest leads: trial 1, stopped at epoch 4")
    [best] = found.finalists
    assert (best.trial, best.unfinished) == (1, 4)
    # A task without weights files; what is claimed trains again to the same.
    assert write_best(given, records[1], found.finalists) is None
    content = json.loads((tmp_path / "run" / "confirm" / "1-1" / "config.yaml").read_text())
    config = load_config(given.run.best_config, trust_code=True)
    assert (config.seed, content["train"]["epochs"]) == (1, 6)
    assert config.claims[METRIC] == best.values[0]
    assert config.provenance["confirmed"]["optimism"] == best.score.optimism
    assert config.provenance["finalists"][0]["trial"] == 1


def test_without_confirmation_an_unfinished_trial_claims_nothing(tmp_path: Path) -> None:
    given = materials(tmp_path / "run", confirm=Confirm(top=0))
    searched(given, 0, epochs=2, **GOOD)
    records = [TrialRecord(number=0, name=None, state="waiting", value=None, params=GOOD)]
    found = confirm(given, records)
    assert found.note is not None
    assert found.note.endswith("nothing is claimed of it")
    write_best(given, records[0], found.finalists)
    assert load_config(given.run.best_config, trust_code=True).claims == {}


def test_a_run_of_nothing_but_collapse_has_no_leaders(tmp_path: Path) -> None:
    given = materials(tmp_path)
    collapsed = TrialRecord(number=0, name=None, state="pruned", value=None, params={}, pruned_by="class_collapse")
    assert chosen(given, [collapsed]) == ([], None)


def test_what_was_spared_in_the_search_is_spared_again(tmp_path: Path) -> None:
    """Frozen at the majority's score it is collapsed by rule, yet it ran to its end: so do its fresh runs."""
    frozen = {"lr": 1e-6, "power": 0.0}
    lax = HealthOptions(class_collapse=None)
    given = materials(tmp_path, confirm=Confirm(top=2, seeds=2))
    spared = searched(replace(given, plan=replace(given.plan, health=lax)), 0, **frozen)
    found = confirm(given, [spared, searched(given, 1, **GOOD)])
    lengths = [len(read_history(tmp_path / run / HISTORY)) for each in found.finalists for run in each.runs]
    assert lengths == [6, 6, 6, 6]
    write_best(given, spared, [each for each in found.finalists if each.trial == 0])
    assert load_config(given.run.best_config, trust_code=True).health.class_collapse is None
    # Under the rule it would have been stopped.
    batch = train_all(
        [Training(options=RareOptions(epochs=6, **frozen), seed=1, folder=tmp_path / "strict")],
        given.plan,
        dataset=given.dataset,
        baselines=BASELINES,
        executor="inline",
        jobs=1,
    )
    assert batch.trained[0].stopped is not None
