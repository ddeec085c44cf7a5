"""Samplers: contracts that hold for each, and what TPE is allowed to learn."""

from typing import get_args

import pytest
from optuna.trial import TrialState

from abr_tune.plan.distributions import Choice, IntRange, Range
from abr_tune.plan.ordered import OrderedList
from abr_tune.plan.plan import Sampler
from abr_tune.plan.space import Condition, Parameter, Space
from abr_tune.search.samplers import SAMPLERS, Observation, SamplerName, Tpe

SPACE = Space(
    (
        Parameter("lr", Range(1e-4, 1.0, log=True)),
        Parameter("layers", IntRange(1, 4)),
        Parameter("loss", Choice(("cross_entropy", "focal"))),
        Parameter("gamma", Range(0.0, 4.0), (Condition("loss", ("focal",)),)),
        Parameter("boundaries", OrderedList(2, (0.1, 0.9))),
    )
)
ALL = pytest.mark.parametrize("kind", SAMPLERS)


def proposer(kind: SamplerName, seed: int = 0, space: Space = SPACE):
    return SAMPLERS[kind](space, Sampler(kind=kind, startup_trials=4), seed, "maximize")


def score(raw) -> float:
    return -abs(raw["lr"] - 0.01)


def run(sampler, numbers) -> list[dict]:
    found = []
    for number in numbers:
        found.append(sampler.propose(number))
        sampler.learn(number, Observation(value=score(found[-1])))
    return found


def test_every_sampler_is_in_the_table() -> None:
    assert set(SAMPLERS) == set(get_args(SamplerName))


@ALL
def test_proposals_lie_in_the_space_and_conditions_hold(kind: SamplerName) -> None:
    for raw in run(proposer(kind), range(30)):
        values = SPACE.propose(lambda side, raw=raw: raw[side.name])
        assert ("gamma" in raw) == (values["loss"] == "focal")
        assert 1e-4 <= values["lr"] <= 1
        assert values["layers"] in {1, 2, 3, 4}
        assert 0.1 <= values["boundaries"][0] <= values["boundaries"][1] <= 0.9
        assert SPACE.encode(values).keys() == raw.keys()


@ALL
def test_a_continued_search_proposes_what_an_uninterrupted_one_does(kind: SamplerName) -> None:
    whole = run(proposer(kind), range(16))
    continued = proposer(kind)
    for number, raw in enumerate(whole[:10]):
        continued.running(number, raw)
        continued.learn(number, Observation(value=score(raw)))
    assert run(continued, range(10, 16)) == whole[10:]


@ALL
def test_seeds_and_numbers_differ(kind: SamplerName) -> None:
    first, second = run(proposer(kind, seed=0), range(4)), run(proposer(kind, seed=1), range(4))
    lrs = [raw["lr"] for raw in (*first, *second)]
    assert len(set(lrs)) == 8


@ALL
def test_an_empty_space_is_proposed_as_it_is(kind: SamplerName) -> None:
    assert proposer(kind, space=Space()).propose(0) == {}


def test_sobol_points_fill_the_box_evenly() -> None:
    space = Space((Parameter("a", Range(0.0, 1.0)), Parameter("b", Range(0.0, 1.0))))
    sampler = proposer("qmc", space=space)
    points = [sampler.propose(number) for number in range(8)]
    for side in ("a", "b"):
        assert sorted(int(point[side] * 8) for point in points) == list(range(8))


def test_tpe_learns_where_the_good_ones_are() -> None:
    late = run(proposer("tpe"), range(60))[40:]
    near = sum(1e-3 < raw["lr"] < 1e-1 for raw in late)
    assert near >= 16  # half of the logarithmic range: 10 by chance


def test_a_stopped_trial_counts_at_its_epoch_and_a_failed_one_not_at_all() -> None:
    sampler = proposer("tpe")
    assert isinstance(sampler, Tpe)
    for number in range(5):
        sampler.propose(number)
    sampler.learn(0, Observation(value=0.3))
    sampler.learn(1, Observation(curve={1: 0.9, 2: 0.95}))
    sampler.learn(2, Observation())
    sampler.learn(3, None)
    seen = sampler._study.get_trials()
    assert [trial.state for trial in seen] == [
        TrialState.COMPLETE,
        TrialState.PRUNED,
        TrialState.PRUNED,
        TrialState.FAIL,
        TrialState.RUNNING,
    ]
    assert seen[1].intermediate_values == {1: 0.9, 2: 0.95}
    assert sampler._study.best_value == 0.3  # 0.95 at epoch 2 is not a final value


def test_tpe_never_hears_of_trials_outside_the_space() -> None:
    sampler = proposer("tpe")
    sampler.learn(0, Observation(value=1.0))
    sampler.propose(1)
    assert len(sampler._study.get_trials()) == 1
