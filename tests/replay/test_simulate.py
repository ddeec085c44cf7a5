"""Simulated time, and what methods make of six runs that are known by heart."""

import math
from collections.abc import Callable, Mapping
from dataclasses import replace

import optuna
import pytest
from optuna.trial import TrialState

from abr_tune.plan.plan import Pruner, Sampler, SamplerName
from abr_tune.plan.space import Raw
from abr_tune.replay.ground import Ground, Run
from abr_tune.replay.methods import METHODS, MethodName, Terms, play
from abr_tune.replay.nearest import Shelf, Snapped
from abr_tune.replay.peers import Asked, OptunaPlayer, RayPlayer, asha
from abr_tune.replay.replay import compare
from abr_tune.replay.score import row, score
from abr_tune.replay.simulate import BestComplete, BestLast, Played, simulate
from abr_tune.search.executor import Ruling
from abr_tune.search.observation import Curve, Exhausted, Observation, Setting
from abr_tune.search.samplers import SAMPLERS
from abr_tune.trial import Leave, TrialStep

BEST, SECOND, MIDDLE, FLAT, BROKEN, FALLING = range(6)


class Listed:
    """Trains the runs it is given in their order; `rule` decides after each epoch; what it pauses goes on at once."""

    def __init__(self, order: list[int], rule: Callable[[int, int], Ruling] = lambda _key, _epoch: "go_on") -> None:
        self.order = [Asked(key) for key in order]
        self.rule = rule
        self.heard: list[tuple[int, int]] = []
        self.finished: list[int] = []
        self.obeys = True

    def ask(self) -> Asked | None:
        return self.order.pop(0) if self.order else None

    def report(self, key: int, step: TrialStep) -> Ruling:
        self.heard.append((key, step.report.epoch))
        ruling = "stop" if step.stop and self.obeys else self.rule(key, step.report.epoch)
        if ruling == "pause":
            self.order.insert(0, Asked(key, step.report.epoch))
        return ruling

    def finish(self, key: int) -> None:
        self.finished.append(key)

    def crash(self, key: int, error: str) -> None:
        raise AssertionError(error)


def played(ground: Ground, player: Listed, budget: int, **settings: object) -> Played:
    adviser = BestComplete(ground)
    return simulate(player, lambda key: ground.runs[key], adviser, budget=budget, **settings)  # type: ignore[arg-type]


def test_every_epoch_costs_one_and_rules_end_runs(ground: Ground) -> None:
    found = played(ground, Listed([FLAT, BROKEN, BEST]), budget=100)
    assert found.spent == 5 + 3 + 10
    assert [course.ended for course in found.courses.values()] == ["rule", "rule", "complete"]
    assert found.ran_out


def test_without_rules_the_guard_still_ends_what_is_not_finite_unless_it_is_off_too(ground: Ground) -> None:
    guarded = played(ground, Listed([FLAT, BROKEN]), budget=100, rules=False)
    assert [(course.epochs, course.ended) for course in guarded.courses.values()] == [
        (10, "complete"),
        (3, "non_finite"),
    ]
    blind = Listed([FLAT, BROKEN])
    unguarded = played(ground, blind, budget=100, rules=False, guarded=False)
    assert [course.epochs for course in unguarded.courses.values()] == [10, 10]
    assert unguarded.spent == 20
    assert blind.heard[-8:] == [(BROKEN, epoch) for epoch in range(3, 11)]


def test_the_budget_ends_in_the_middle_of_a_run(ground: Ground) -> None:
    found = played(ground, Listed([BEST, SECOND]), budget=13)
    assert found.spent == 13
    assert [(course.epochs, course.ended) for course in found.courses.values()] == [(10, "complete"), (3, "open")]
    assert not found.ran_out


def test_a_paused_run_goes_on_where_it_was(ground: Ground) -> None:
    player = Listed([BEST], rule=lambda _key, epoch: "pause" if epoch == 4 else "go_on")
    found = played(ground, player, budget=100)
    assert player.heard == [(BEST, epoch) for epoch in range(1, 11)]
    assert found.spent == 10
    assert found.courses[BEST].ended == "complete"


def test_a_run_with_leave_goes_on_past_its_rules_but_not_past_nan(ground: Ground) -> None:
    player = Listed([])
    player.order = [Asked(key, leave=Leave(audited=True)) for key in (FLAT, BROKEN)]
    found = played(ground, player, budget=100)
    assert [(course.epochs, course.ended) for course in found.courses.values()] == [(10, "complete"), (3, "rule")]


def test_a_worker_that_obeyed_a_rule_is_sent_back_where_the_method_knows_better(ground: Ground) -> None:
    player = Listed([FLAT, BEST])
    player.obeys = False
    found = played(ground, player, budget=8)
    assert player.heard == [(FLAT, epoch) for epoch in range(1, 6)] + [(BEST, epoch) for epoch in range(1, 4)]
    assert player.finished == [FLAT]
    assert found.courses[FLAT].ended == "open"


def test_workers_train_side_by_side(ground: Ground) -> None:
    player = Listed([BEST, SECOND, MIDDLE])
    found = played(ground, player, budget=100, workers=2)
    assert player.heard[:4] == [(BEST, 1), (SECOND, 1), (BEST, 2), (SECOND, 2)]
    assert (found.spent, found.elapsed) == (30, 20)


def test_the_furthest_leads_until_something_is_complete(ground: Ground) -> None:
    # falling starts at 0.61 and is complete at 0.25; the best passes 0.25 after an epoch but leads only at its end
    found = played(ground, Listed([FALLING, BEST]), budget=100)
    assert [(at, run.number) for at, run in found.choices if run is not None] == [(1, FALLING), (20, BEST)]
    assert found.choice_at(0) is None
    assert [found.choice_at(at).number for at in (1, 19, 20, 99)] == [FALLING, FALLING, BEST, BEST]  # type: ignore[union-attr]


@pytest.mark.parametrize("kind", ["tpe", "optuna_tpe", "nsga2", "qmc", "random"])
def test_every_sampler_is_told_what_is_trained_instead(ground: Ground, kind: SamplerName) -> None:
    setting = Setting(space=ground.plan.space, options=Sampler(kind=kind), seed=1, objectives=ground.plan.objectives)
    snapped = Snapped(SAMPLERS[kind](setting), Shelf(ground.plan.space, ground.runs))
    for number in range(6):
        assert snapped.propose(number) == snapped.taken[number].raw
        snapped.progress(number, {1: (0.1,)})
        snapped.learn(number, Observation(values=(0.1 * number,), curve={1: (0.1,), 10: (0.1 * number,)}))
    assert sorted(run.number for run in snapped.taken.values()) == list(range(6))
    with pytest.raises(Exhausted):
        snapped.propose(6)


class Hearing:
    """A sampler that always wants the same and writes down what it hears."""

    def __init__(self) -> None:
        self.heard: list[tuple[object, ...]] = []

    def running(self, number: int, raw: Mapping[str, Raw]) -> None:
        self.heard.append(("running", number, dict(raw)))

    def progress(self, number: int, curve: Curve) -> None:
        self.heard.append(("progress", number))

    def learn(self, number: int, observation: Observation | None) -> None:
        self.heard.append(("learn", number, observation))

    def propose(self, number: int) -> dict[str, Raw]:
        return {"slope": 0.049, "start": 0.2}


def test_a_proposal_is_withdrawn_and_what_is_had_instead_runs(ground: Ground) -> None:
    inner = Hearing()
    Snapped(inner, Shelf(ground.plan.space, ground.runs)).propose(7)
    had = {"slope": 0.05, "start": 0.2}
    assert inner.heard == [("learn", 7, None), ("running", 7, had)]


def test_only_what_ran_to_its_end_counts_as_complete(ground: Ground) -> None:
    adviser = BestComplete(ground)
    adviser.hear(ground.runs[MIDDLE], 10, 0.4, "complete")
    adviser.hear(ground.runs[FALLING], 10, 0.61, "rule")
    assert adviser.choice is ground.runs[MIDDLE]


def test_rays_best_is_the_best_last_value_however_short(ground: Ground) -> None:
    adviser = BestLast(ground)
    adviser.hear(ground.runs[MIDDLE], 10, 0.4, "complete")
    adviser.hear(ground.runs[FALLING], 1, 0.61, "ranking")
    assert adviser.choice is ground.runs[FALLING]
    adviser.hear(ground.runs[FALLING], 2, None, "open")
    assert adviser.choice is ground.runs[MIDDLE]


def result(ground: Ground, name: MethodName, budget: int = 60):
    return score(play(name, ground, Terms(seed=0, budget=budget)), ground, seed=0, budget=budget)


def test_random_search_trains_everything_to_its_end(ground: Ground) -> None:
    found = result(ground, "random")
    assert (found.spent, found.trials) == (60, 6)
    assert found.regret[-1] == 0
    assert (found.saved_by_rules, found.saved_by_ranking) == (0, 0)
    assert found.collapsing == 0.5
    assert found.missed == 1


def test_ours_saves_what_its_rules_save(ground: Ground) -> None:
    found = result(ground, "ours")
    assert found.spent == 48
    assert found.saved_by_rules == pytest.approx(12 / 60)
    assert found.delays == (2,)
    assert found.false_stops == 1, "flat is among the ten best of six"
    without = result(ground, "ours_without_rules")
    assert without.spent == 53
    assert without.saved_by_rules == pytest.approx(7 / 60), "what breaks off ends without any rule"


def test_ranking_is_told_from_rules(ground: Ground) -> None:
    halving = replace(ground, plan=replace(ground.plan, pruner=Pruner(promote=False, reduction=2)))
    found = result(halving, "asha")
    assert found.saved_by_ranking > 0
    assert found.saved_by_rules == 0


@pytest.mark.parametrize("name", [name for name in METHODS if name != "ray"])
def test_equal_seeds_give_equal_searches(ground: Ground, name: MethodName) -> None:
    assert result(ground, name, budget=33) == result(ground, name, budget=33)


def test_processes_make_no_difference(ground: Ground) -> None:
    one, two = (compare(ground, methods=("random", "optuna_tpe"), seeds=2, budget=30, jobs=jobs) for jobs in (1, 2))
    assert one == two
    assert one.scores == two.scores


def test_rows_are_means_and_medians_over_seeds(ground: Ground) -> None:
    one = result(ground, "random")
    scores = [
        replace(one, seed=seed, regret=(1, 1, 1, seed / 2), reached=(at, None))
        for seed, at in ((0, 10), (1, None), (2, 30))
    ]
    made = row("random", "random", scores)
    assert made.regret == (1, 1, 1, 0.5)
    assert made.regret_sd[-1] == pytest.approx(0.5)
    assert made.reached == (30, None)
    assert made.reached_share == (pytest.approx(2 / 3), 0)


def test_optuna_is_told_of_the_recorded_configuration_and_of_nan_as_a_failure(ground: Ground) -> None:
    shelf = Shelf(ground.plan.space, ground.runs)
    player = OptunaPlayer(ground, shelf, optuna.samplers.TPESampler(seed=0), optuna.pruners.NopPruner(), seed=0)
    simulate(player, player.run_of, BestComplete(ground), budget=60, rules=False, guarded=False)
    trials = {player.run_of(trial.number).number: trial for trial in player.study.trials}
    assert trials[BEST].params == pytest.approx({"slope": 0.05, "start": 0.2})
    assert trials[BEST].value == pytest.approx(0.7)
    assert trials[BROKEN].state is TrialState.FAIL
    assert math.isnan(trials[BROKEN].intermediate_values[3])


@pytest.mark.slow
def test_ray_records_a_stopped_trial_as_complete_and_leaves_nan_running(ground: Ground) -> None:
    halving = replace(ground, plan=replace(ground.plan, pruner=Pruner(reduction=2, min_epochs=2)))
    shelf = Shelf(ground.plan.space, ground.runs)
    player = RayPlayer(halving, shelf, optuna.samplers.TPESampler(seed=0), asha(halving), seed=0)
    found = simulate(player, player.run_of, BestLast(ground), budget=60, rules=False, guarded=False)
    trials = {player.run_of(trial.number).number: trial for trial in player.study.trials}
    stopped: list[Run] = [course.run for course in found.courses.values() if course.ended == "ranking"]
    assert stopped
    for run in stopped:
        assert trials[run.number].state is TrialState.COMPLETE
        assert trials[run.number].value == pytest.approx(run.curve[max(trials[run.number].intermediate_values)])
    assert trials[BROKEN].state is TrialState.RUNNING
    assert result(halving, "ray", budget=40) == result(halving, "ray", budget=40)
