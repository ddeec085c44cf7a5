"""Which trials the default sampler's model is made from."""

import numpy as np

from abr_tune.search.observation import Observation
from abr_tune.search.samplers.fronts import front, leaders
from abr_tune.search.samplers.knowledge import END, Knowledge
from abr_tune.search.samplers.split import by_constraint, by_merit, highest_level
from core.tasks.task import Objective

UP = (Objective("score"),)


def knowledge(objectives=UP) -> Knowledge:
    return Knowledge(1, objectives, (1, 4, END))


def complete(value: float, **violations: float) -> Observation:
    curve = {age: (value - 1 / age,) for age in range(1, 7)}
    return Observation(values=(value,), curve=curve, violations=violations)


def stopped(age: int, value: float, **violations: float) -> Observation:
    return Observation(curve=dict.fromkeys(range(1, age + 1), (value,)), violations=violations)


def known(*observations: Observation | None):
    found = knowledge()
    for number, observation in enumerate(observations):
        found.begin(number, np.array([number / 10]))
        found.end(number, observation)
    return found


def which(flags) -> list[int]:
    return np.flatnonzero(flags).tolist()


def test_the_highest_level_with_enough_trials_is_modelled() -> None:
    found = known(complete(0.9), stopped(4, 0.8), stopped(5, 0.7), stopped(1, 0.6), stopped(2, 0.5), stopped(3, 0.4))
    view = found.view()
    assert [highest_level(view, enough, 1) for enough in (1, 2, 3, 4, 6, 7)] == [END, 4, 4, 1, 1, None]


def test_the_collapsed_are_judged_at_every_level_but_do_not_make_one() -> None:
    found = known(complete(0.9), complete(0.8), stopped(2, 0.1, health=0.5), stopped(2, 0.1, health=0.5))
    view = found.view()
    assert [highest_level(view, enough, 2) for enough in (2, 4, 5)] == [END, END, None]
    assert [highest_level(view, enough, 3) for enough in (2, 4, 5)] == [1, 1, None]
    assert [highest_level(view, 2, least) for least in (4, 5)] == [1, None]


def test_open_trials_count_where_they_have_been() -> None:
    found = knowledge()
    for number in range(3):
        found.begin(number, np.array([0.5]))
    found.progress(0, {1: (0.3,)})
    found.progress(1, {1: (0.3,), 2: (0.3,), 3: (0.4,), 4: (0.5,)})
    view = found.view()
    assert highest_level(view, 2, 1) == 1
    assert highest_level(view, 1, 1) == 4
    assert highest_level(view, 3, 1) is None
    # Trial 2 lies about itself: nothing is known of it, so it is bad. The others speak for themselves.
    split = by_merit(view, 4, lambda _: 1)
    assert which(split.wanted_N) == [1]
    assert which(split.unwanted_N) == [2]


def test_the_collapsed_are_bad_without_reaching_the_level() -> None:
    found = known(
        complete(0.9), complete(0.7), complete(0.8), stopped(1, 0.99), stopped(2, 0.1, health=0.5), None, complete(0.1)
    )
    split = by_merit(found.view(), END, lambda _: 2)
    assert which(split.wanted_N) == [0, 2]
    # 5 failed and is not in the view, so that 6 stands in its place. 3 was stopped, but neither 0 nor 2 was better
    # than .99 at age 1: nothing is known of it.
    assert which(split.unwanted_N) == [1, 4, 5]
    assert split.share == 0.4


def test_a_stopped_trial_is_bad_where_a_good_one_was_better_at_its_age() -> None:
    # At age 1 the complete ones stood at -.1 and -.2, at age 4 at .65 and .55.
    found = known(complete(0.9), complete(0.8), stopped(1, -0.2), stopped(1, 0.0), stopped(5, 0.6), stopped(6, 0.7))
    split = by_merit(found.view(), END, lambda _: 1)
    assert which(split.wanted_N) == [0]
    assert which(split.unwanted_N) == [1, 2, 4]  # 3 led at age 1, and 5 at age 4
    both = by_merit(found.view(), END, lambda _: 2)
    assert which(both.unwanted_N) == [2, 4]
    # At the rung of age 1 all are judged by their own values there.
    assert which(by_merit(found.view(), 1, lambda _: 1).unwanted_N) == [0, 1, 2, 3, 4]


def test_of_several_objectives_a_good_one_must_be_better_in_all() -> None:
    found = knowledge((Objective("x", "minimize"), Objective("y", "minimize")))
    found.begin(0, np.array([0.0]))
    found.end(0, Observation((1.0, 1.0), {1: (2.0, 2.0), 5: (1.0, 1.0)}))
    for number, values in enumerate(((2.0, 3.0), (1.0, 9.0), (2.0, 2.0)), start=1):
        found.begin(number, np.array([0.0]))
        found.end(number, Observation(curve={1: values}))
    split = by_merit(found.view(), END, lambda _: 1)
    assert which(split.unwanted_N) == [1]


def test_infeasible_ones_come_behind_all_feasible_ones_by_how_much_they_miss() -> None:
    found = known(complete(0.9, auc=0.2), complete(0.1, auc=0.0), complete(0.8, auc=0.1), complete(0.7, auc=0.3))
    assert which(by_merit(found.view(), END, lambda _: 1).wanted_N) == [1]
    assert which(by_merit(found.view(), END, lambda _: 2).wanted_N) == [1, 2]
    assert which(by_merit(found.view(), END, lambda _: 3).wanted_N) == [0, 1, 2]


def test_what_died_early_of_something_else_is_not_called_healthy() -> None:
    found = known(
        stopped(3, 0.1, health=0.2), stopped(5, 0.1, health=0.9), stopped(2, 0.5), stopped(4, 0.5), complete(0.5)
    )
    (split,) = by_constraint(found.view())
    assert which(split.unwanted_N) == [0, 1]
    assert which(split.wanted_N) == [3, 4]  # at 4 or more: the collapsed were stopped at 3 and 5
    assert split.share == 0.5


def test_a_constraint_is_only_modelled_once_it_was_missed_and_where_it_was_judged() -> None:
    found = known(complete(0.9, auc=0.0, health=0.0), complete(0.8, auc=0.2), complete(0.7), complete(0.6, auc=0.0))
    (split,) = by_constraint(found.view())
    assert which(split.wanted_N) == [0, 3]
    assert which(split.unwanted_N) == [1]


def test_the_order_of_hearing_does_not_matter() -> None:
    found, other = knowledge(), knowledge()
    for number in range(5):
        found.begin(number, np.array([number / 10]))
    for number in (3, 1, 0, 4, 2):
        other.begin(number, np.array([number / 10]))
    for number in (4, 2, 0):
        found.end(number, complete(number / 10))
    for number in (0, 2, 4):
        other.end(number, complete(number / 10))
    one, two = found.view(), other.view()
    assert np.array_equal(one.rows_ND, two.rows_ND)
    assert np.array_equal(one.losses[END], two.losses[END], equal_nan=True)
    assert np.array_equal(one.ages_N, two.ages_N, equal_nan=True)


def test_fronts_by_hand() -> None:
    losses = np.array([[1.0, 5.0], [2.0, 2.0], [5.0, 1.0], [3.0, 3.0], [2.0, 2.0], [6.0, 6.0], [1.0, 6.0]])
    assert which(front(losses)) == [0, 1, 2, 4]
    assert set(leaders(losses, 4)) == {0, 1, 2, 4}
    assert set(leaders(losses, 2)) == {0, 2}  # the ends have the most room
    assert set(leaders(losses, 6)) == {0, 1, 2, 3, 4, 6}
    assert leaders(losses[:, :1], 3).tolist() == [0, 6, 1]


def test_fronts_agree_with_the_definition() -> None:
    losses = np.random.default_rng(0).integers(0, 12, (200, 3)).astype(float)
    dominated = [any((other <= one).all() and (other < one).any() for other in losses) for one in losses]
    assert which(front(losses)) == which(~np.array(dominated))
