"""Samplers: contracts that hold for every line of the table."""

import subprocess
import sys
from typing import get_args

import pytest

from abr_tune.errors import UserError
from abr_tune.plan.distributions import Choice, IntRange, Range
from abr_tune.plan.ordered import OrderedList
from abr_tune.plan.plan import Sampler, SamplerName
from abr_tune.plan.space import Condition, Parameter, Space
from abr_tune.search.observation import Exhausted, Observation, Setting
from abr_tune.search.samplers import SAMPLERS
from core.tasks.task import Objective

SPACE = Space(
    (
        Parameter("lr", Range(1e-4, 1.0, log=True), points=5),
        Parameter("layers", IntRange(1, 4)),
        Parameter("loss", Choice(("cross_entropy", "focal"))),
        Parameter("gamma", Range(0.0, 4.0), (Condition("loss", ("focal",)),), points=3),
        Parameter("boundaries", OrderedList(2, (0.1, 0.9)), points=3),
    )
)
SQUARE = Space((Parameter("a", Range(0.0, 1.0), points=5), Parameter("b", Range(0.0, 1.0), points=5)))
ONE = (Objective("score"),)
TWO = (Objective("score"), Objective("cost", "minimize"))
ALL = pytest.mark.parametrize("kind", SAMPLERS)


def proposer(kind: SamplerName, seed: int = 0, space: Space = SPACE, objectives=ONE, rungs=(), earlier=()):
    options = Sampler(kind=kind, startup_trials=4)
    return SAMPLERS[kind](
        Setting(space=space, options=options, seed=seed, objectives=objectives, rungs=rungs, earlier=earlier)
    )


def score(raw) -> float:
    return -abs(raw["lr"] - 0.01)


def run(sampler, numbers) -> list[dict]:
    found = []
    for number in numbers:
        found.append(sampler.propose(number))
        sampler.learn(number, ended(number, found[-1]))
    return found


def ended(number, raw) -> Observation | None:
    """In turn: complete, stopped by ranking at age 2, complete, failed, stopped for having collapsed."""
    curve = {age: (score(raw) - 1 / age,) for age in (1, 2, 3)}
    stopped = {age: curve[age] for age in (1, 2)}
    return {
        0: Observation(values=curve[3], curve=curve, violations={"health": 0.0}),
        1: Observation(curve=stopped),
        2: Observation(values=curve[3], curve=curve, violations={"health": 0.0}),
        3: None,
        4: Observation(curve=stopped, violations={"health": 0.7}),
    }[number % 5]


def test_every_sampler_is_in_the_table() -> None:
    assert set(SAMPLERS) == set(get_args(SamplerName))


@ALL
def test_proposals_lie_in_the_space_and_conditions_hold(kind: SamplerName) -> None:
    focal, trials = 0, 10 if kind == "gp" else 30
    for raw in run(proposer(kind, rungs=(1, 2)), range(trials)):
        values = SPACE.propose(lambda side, raw=raw: raw[side.name])
        assert ("gamma" in raw) == (values["loss"] == "focal")
        focal += "gamma" in raw
        assert 1e-4 <= values["lr"] <= 1
        assert values["layers"] in {1, 2, 3, 4}
        assert isinstance(raw["layers"], int)
        assert 0.1 <= values["boundaries"][0] <= values["boundaries"][1] <= 0.9
        assert SPACE.encode(values).keys() == raw.keys()
    assert 0 < focal < trials


@ALL
def test_a_continued_search_proposes_what_an_uninterrupted_one_does(kind: SamplerName) -> None:
    known = 60 if kind in {"cmaes", "nsga2"} else 10  # several generations of them
    whole = run(proposer(kind, rungs=(1, 2)), range(known + 2))
    continued = proposer(kind, rungs=(1, 2))
    for number, raw in enumerate(whole[:known]):
        continued.running(number, raw)
        continued.learn(number, ended(number, raw))
    assert run(continued, range(known, known + 2)) == whole[known:]


def first_proposals() -> list[str]:
    return [str(run(proposer(kind, rungs=(1, 2)), range(8))) for kind in SAMPLERS]


def test_another_process_proposes_the_same() -> None:
    """Whatever that process's hash seed is."""
    script = (
        f"import importlib.util as u; s = u.spec_from_file_location('there', {__file__!r}); t = u.module_from_spec(s);"
        " s.loader.exec_module(t); print(*t.first_proposals(), sep='\\n')"
    )
    there = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert there.stdout.splitlines() == first_proposals()


@ALL
def test_seeds_and_numbers_differ(kind: SamplerName) -> None:
    first, second = run(proposer(kind, seed=0), range(4)), run(proposer(kind, seed=1), range(4))
    configurations = {str(sorted(raw.items())) for raw in (*first, *second)}
    assert len(configurations) == 8


@ALL
def test_an_empty_space_is_proposed_as_it_is(kind: SamplerName) -> None:
    assert proposer(kind, space=Space()).propose(0) == {}


@ALL
def test_what_a_sampler_was_not_told_of_does_not_disturb_it(kind: SamplerName) -> None:
    sampler, other = proposer(kind), proposer(kind)
    sampler.progress(7, {1: (0.5,)})
    sampler.learn(7, Observation(values=(1.0,)))
    assert sampler.propose(0) == other.propose(0)


@ALL
def test_two_objectives(kind: SamplerName) -> None:
    sampler = proposer(kind, space=SQUARE, objectives=TWO)
    for number in range(8 if kind == "gp" else 16):
        raw = sampler.propose(number)
        values = (raw["a"], raw["b"])
        violations = {"val/auc": 0.2} if number % 4 == 0 else {"val/auc": 0.0}
        curve = {1: values, 2: values}
        sampler.learn(number, Observation(None if number % 3 == 2 else values, curve, violations))
        assert all(0 <= value <= 1 for value in raw.values())


@pytest.mark.parametrize(
    ("kind", "trials"), [("tpe", 40), ("optuna_tpe", 40), ("gp", 14), ("cmaes", 40), ("nsga2", 120)]
)
def test_what_learns_proposes_more_of_the_good(kind: SamplerName, trials: int) -> None:
    sampler, near = proposer(kind, space=SQUARE), []
    for number in range(trials):
        raw = sampler.propose(number)
        distance = (raw["a"] - 0.3) ** 2 + (raw["b"] - 0.6) ** 2
        sampler.learn(number, Observation(values=(-distance,)))
        near.append(distance < 0.0625)
    late = near[max(trials // 2, trials - 20) :]
    assert sum(late) >= 0.45 * len(late)  # a circle that holds 20 % of the square


def test_sobol_points_fill_the_box_evenly() -> None:
    sampler = proposer("qmc", space=SQUARE)
    points = [sampler.propose(number) for number in range(8)]
    for side in ("a", "b"):
        assert sorted(int(point[side] * 8) for point in points) == list(range(8))


def test_a_grid_has_every_combination_once_and_then_ends() -> None:
    loss = Choice(("cross_entropy", "focal"))
    gamma = Parameter("gamma", Range(0.0, 4.0), (Condition("loss", ("focal",)),), points=3)
    space = Space((Parameter("loss", loss), gamma, Parameter("layers", IntRange(1, 2))))
    sampler = proposer("grid", space=space)
    found = [sampler.propose(number) for number in range(8)]
    expected = [{"loss": "cross_entropy", "layers": n} for n in (1, 2)]
    expected += [{"loss": "focal", "gamma": g, "layers": n} for g in (0.0, 2.0, 4.0) for n in (1, 2)]
    assert sorted(map(sorted_items, found)) == sorted(map(sorted_items, expected))
    with pytest.raises(Exhausted):
        sampler.propose(8)


def sorted_items(raw) -> str:
    return str(sorted(raw.items()))


def test_a_grid_skips_what_a_start_point_has_tried() -> None:
    space = Space((Parameter("layers", IntRange(1, 2)),))
    sampler = proposer("grid", space=space)
    sampler.running(0, {"layers": 2})
    assert sampler.propose(1) == {"layers": 1}
    with pytest.raises(Exhausted):
        sampler.propose(2)


def test_a_grid_nobody_could_train_is_refused() -> None:
    wide = Space(tuple(Parameter(f"x{i}", Range(0.0, 1.0), points=10) for i in range(6)))
    with pytest.raises(UserError, match="more than 100,000 combinations"):
        proposer("grid", space=wide)
