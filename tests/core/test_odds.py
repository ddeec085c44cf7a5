"""Learned odds: states of runs, counting, the guard of late bloomers and the stop of the hopeless."""

from __future__ import annotations

from collections.abc import Iterator
from typing import get_args

import pytest
from scipy.stats import beta

from core.health import RULES, HealthOptions, Verdict, judge
from core.health.odds import OFTEN, REMEMBERED, SELDOM, WORDS, Condition, Odds, State, share_interval, state_of
from core.report import EpochReport

MAJORITY = 0.178
BASELINES = {"val/class/f1_macro": MAJORITY}
LENGTH = 20
STUCK = State("class_collapse", 1)


def on_plateau(epoch: int) -> EpochReport:
    """Everything in one class, and a loss that stands still."""
    return report(epoch, f1=MAJORITY, share=1.0, loss=0.8)


def report(epoch: int, f1: float = 0.5, share: float = 0.5, loss: float | None = None) -> EpochReport:
    return EpochReport(
        epoch=epoch,
        phase="all",
        metrics={"val/class/f1_macro": f1, "val/class/largest_share": share, "val/class/probability_sd": 0.1},
        health={"loss/class": 0.8 * 0.9**epoch if loss is None else loss},
        active={"class": epoch},
    )


def late_bloomer() -> list[EpochReport]:
    """Leaves the plateau after epoch 8 of 20 and ends far above the majority."""
    return [on_plateau(epoch) if epoch <= 8 else report(epoch, f1=0.6) for epoch in range(1, LENGTH + 1)]


def judged(history: list[EpochReport]) -> Iterator[tuple[State, Verdict | None]]:
    """State and stop of every epoch, the run being let on."""
    for epochs in range(1, len(history) + 1):
        verdicts = judge(history[:epochs], HealthOptions(), BASELINES)
        stop = next((verdict for verdict in verdicts if verdict.level == "stop"), None)
        yield state_of(history[epochs - 1], verdicts, LENGTH), stop


def taught(*endings: float | None, state: State = STUCK, baseline: float | None = MAJORITY) -> Odds:
    odds = Odds("maximize", baseline)
    for value in endings:
        odds.learn(value, [state])
    return odds


def test_states_of_a_late_bloomer_on_its_way() -> None:
    states = [state.to_json() for state, _ in judged(late_bloomer())]
    # Grace of two epochs, a loss compared over three, two in a row: the rule stops from epoch 5 on, to the end of the
    # plateau at epoch 8.
    assert (
        states
        == ["one_class@0"] * 4
        + ["class_collapse@0"]
        + ["class_collapse@1"] * 3
        + ["healthy@1"] * 2
        + ["healthy@2"] * 5
        + ["healthy@3"] * 5
    )


def test_the_guard_saves_a_late_bloomer_once_others_have_bloomed() -> None:
    odds = Odds("maximize", MAJORITY)
    first_stop = next(state for state, stop in judged(late_bloomer()) if stop)
    assert first_stop not in odds.held()  # nothing is known yet: the rule decides
    for _ in range(3):  # audited runs, which nobody stopped
        odds.learn(0.6, {state for state, _ in judged(late_bloomer())})
    held = odds.held()
    assert all(state in held for state, stop in judged(late_bloomer()) if stop)


def test_nothing_saves_a_run_that_broke() -> None:
    nan = EpochReport(epoch=5, phase="all", complete=False, evidence={"what": "loss", "step": 3})
    history = [*(on_plateau(epoch) for epoch in range(1, 5)), nan]
    (stop,) = judge(history, HealthOptions(), BASELINES)
    assert stop.rule == "non_finite"
    odds = taught(*[0.6] * 50, state=state_of(nan, [stop], LENGTH))
    assert stop.rule not in {state.condition for state in odds.held()}
    assert "non_finite" not in get_args(Condition)


def test_a_broken_run_counts_as_one_that_ended_badly() -> None:
    chance = taught(0.6, None, None).chance(STUCK)
    assert (chance.good, chance.runs) == (1, 3)


def test_good_is_half_way_from_the_baseline_to_the_best_and_moves_with_it() -> None:
    odds = taught(0.4, 0.31, 0.28, baseline=0.2)  # the bar is 0.3
    assert odds.chance(STUCK).good == 2
    odds.learn(0.8, [])  # now it is 0.5
    assert odds.chance(STUCK).good == 0


def test_without_a_baseline_good_is_the_better_half_and_below_it_nothing_is() -> None:
    assert taught(0.1, 0.2, 0.3, baseline=None).chance(STUCK).good == 2
    assert taught(0.1, 0.15, baseline=0.2).chance(STUCK).good == 0


def test_a_loss_is_better_when_smaller() -> None:
    odds = Odds("minimize", 10.0)
    for value in (2.0, 5.0, 7.0):  # half way from 10 to 2 is 6
        odds.learn(value, [STUCK])
    assert odds.chance(STUCK).good == 2


def test_a_run_counts_once_however_long_it_stayed() -> None:
    odds = Odds("maximize", MAJORITY)
    odds.learn(0.6, [state for state, _ in judged(late_bloomer())])  # three epochs in the second quarter
    assert odds.chance(STUCK).runs == 1


@pytest.mark.parametrize(("hits", "total"), [(1, 1), (2, 2), (3, 10), (5, 20), (79, 160)])
def test_the_interval_is_that_of_the_posterior(hits: int, total: int) -> None:
    posterior = beta(hits + 0.5, total - hits + 0.5)
    low, high = share_interval(hits, total)
    assert low == pytest.approx(posterior.ppf(0.025))
    assert high == pytest.approx(1.0 if hits == total else posterior.ppf(0.975))


def test_the_interval_knows_nothing_without_runs() -> None:
    assert share_interval(0, 0) == (0.0, 1.0)
    assert share_interval(0, 10)[0] == 0.0


def test_stops_by_odds_alone_wait_until_they_are_sharp() -> None:
    state = State("one_class", 2)
    runs = next(count for count in range(1, 100) if share_interval(0, count)[1] < SELDOM)
    assert 40 < runs < 60  # about -ln(0.025) / 0.05 less what the prior adds
    early, sharp = taught(*[0.2] * (runs - 1), state=state), taught(*[0.2] * runs, state=state)
    for odds in (early, sharp):
        odds.learn(0.9, [])
    assert early.hopeless(state, 12) is None
    verdict = sharp.hopeless(state, 12)
    assert verdict is not None
    assert (verdict.rule, verdict.level, verdict.epoch) == ("learned_odds", "stop", 12)
    assert f"0 of {runs} (95 % interval 0% to 5%)" in verdict.why
    assert "the same class in the third quarter" in verdict.why
    assert verdict.evidence["runs"] == runs


def test_a_healthy_run_is_never_stopped_by_odds() -> None:
    healthy = State("healthy", 3)
    odds = taught(*[0.2] * 200, state=healthy)
    odds.learn(0.9, [])
    assert odds.chance(healthy).interval[1] < SELDOM
    assert odds.hopeless(healthy, 20) is None


def test_often_is_a_lower_bound_and_not_a_mean() -> None:
    assert STUCK not in taught(0.6).held()  # one of one: the interval begins at 0.15
    assert STUCK in taught(0.6, 0.6).held()
    assert STUCK not in taught(*[0.6] * 3, *[0.2] * 7).held()  # three of ten: 0.09
    assert share_interval(3, 10)[0] < OFTEN < 0.3


def test_a_term_switched_on_late_is_as_old_as_its_training() -> None:
    late = EpochReport(epoch=12, phase="class", active={"signal": 12, "class": 2})
    assert state_of(late, [], LENGTH).quarter == 0  # its second epoch of ten
    assert state_of(EpochReport(epoch=12, phase="all", active={"class": 12}), [], LENGTH).quarter == 2
    assert state_of(report(500), [], None).quarter == 0


def test_old_runs_are_forgotten_with_their_values() -> None:
    odds = taught(*[0.6] * (REMEMBERED + 5))
    assert odds.chance(STUCK).runs == REMEMBERED
    odds = taught(0.9, *[0.5] * (REMEMBERED - 1), baseline=0.2)  # the bar is 0.55
    assert odds.chance(STUCK).good == 1
    odds.learn(0.5, [])  # the 0.9 goes, and the bar is 0.35
    assert (odds.chance(STUCK).good, odds.chance(STUCK).runs) == (REMEMBERED - 1, REMEMBERED - 1)


def test_every_condition_has_its_words_and_every_rule_that_lasts_is_one() -> None:
    assert set(WORDS) == set(get_args(Condition))
    only_warn = {"term_not_falling", "task_dominance", "gradient_conflict", "no_gradient"}
    assert set(RULES) - set(WORDS) == {"non_finite"} | only_warn


@pytest.mark.parametrize(
    ("verdicts", "condition"),
    [
        ([], "healthy"),
        ([("warn", "class_collapse", {"largest_share": 0.9})], "narrow"),
        ([("warn", "class_absent", {})], "narrow"),
        ([("warn", "class_collapse", {"largest_share": 0.99})], "one_class"),
        (
            [("warn", "class_collapse", {"largest_share": 0.99}), ("warn", "term_not_falling", {"term": "class"})],
            "one_class_stalled",
        ),
        (
            [("warn", "class_collapse", {"largest_share": 0.99}), ("warn", "term_not_falling", {"term": "signal"})],
            "one_class",
        ),
        ([("warn", "regression_collapse", {"term": "threshold"})], "constant"),
        ([("warn", "non_finite", {})], "shaky"),
        ([("stop", "regression_collapse", {"term": "threshold"}), ("warn", "class_absent", {})], "regression_collapse"),
    ],
)
def test_the_worst_finding_names_the_condition(verdicts: list[tuple], condition: str) -> None:
    found = [Verdict(level=level, rule=rule, why="", epoch=3, evidence=seen) for level, rule, seen in verdicts]
    state = state_of(report(3), found, LENGTH)
    assert state.condition == condition
    assert State.from_json(state.to_json()) == state
