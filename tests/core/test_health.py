"""The health rules: when each fires, what keeps it quiet, and what it says."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, get_args

import pytest
from hypothesis import given, settings, strategies as st
from pydantic import ValidationError

from core.health import RULES, HealthOptions, Rule, Verdict, judge
from core.report import EpochReport

MAJORITY = 0.178
BASELINES = {"val/class/f1_macro": MAJORITY}
CLASSES = ("NORMAL", "NÖROPATİ", "SNİK", "TOTAL", "İTİK")
DEFAULT = HealthOptions()


def epoch(
    number: int,
    *,
    f1: float = 0.5,
    loss: float | None = None,
    active: Mapping[str, int] | None = None,
    metrics: Mapping[str, float] | None = None,
    health: Mapping[str, float] | None = None,
    phase: str = "all",
) -> EpochReport:
    """A healthy report unless told otherwise: scores above the majority's, the loss 5 % lower every epoch."""
    scores = {"val/class/f1_macro": f1, "val/class/probability_sd": 0.2, "val/class/largest_share": 0.8}
    signals = {"loss/class": 1.5 * 0.95**number if loss is None else loss}
    return EpochReport(
        epoch=number,
        phase=phase,
        metrics=scores | dict(metrics or {}),
        health=signals | dict(health or {}),
        active={"class": max(0, number - 1)} if active is None else active,
    )


def collapsed(number: int, **changes: Any) -> EpochReport:
    """Exactly the always-majority score, with a class loss that stands still."""
    return epoch(number, **{"f1": MAJORITY, "loss": 0.8} | changes)


def stops(reports: list[EpochReport], options: HealthOptions = DEFAULT) -> tuple[Verdict, ...]:
    return tuple(verdict for verdict in judge(reports, options, BASELINES) if verdict.level == "stop")


def warned(reports: list[EpochReport], rule: str, options: HealthOptions = DEFAULT) -> bool:
    return ("warn", rule) in {(verdict.level, verdict.rule) for verdict in judge(reports, options, BASELINES)}


def first_stop(reports: list[EpochReport], options: HealthOptions = DEFAULT) -> tuple[int, str] | None:
    """Epoch and rule of the first stop when the reports arrive one by one."""
    for count in range(1, len(reports) + 1):
        found = stops(reports[:count], options)
        if found:
            return found[0].epoch, found[0].rule
    return None


def test_every_rule_has_options_and_a_function() -> None:
    assert set(RULES) == set(get_args(Rule)) == set(HealthOptions.model_fields)


def test_the_documents_literal_rules_are_off_unless_asked_for() -> None:
    assert {name for name in HealthOptions.model_fields if getattr(DEFAULT, name) is None} == {
        "literal_one_class",
        "literal_zero_f1",
        "literal_gradient_norm",
    }


def test_the_contracts_example_is_understood() -> None:
    options = HealthOptions.model_validate(
        {"class_collapse": {"patience": 2}, "non_finite": {}, "gradient_explosion": {"limit": 10, "patience": 20}}
    )
    assert options.gradient_explosion is not None
    assert (options.gradient_explosion.limit, options.gradient_explosion.patience) == (10.0, 20)
    with pytest.raises(ValidationError, match="clas_collapse"):
        HealthOptions.model_validate({"clas_collapse": {}})


def test_nothing_is_said_of_an_empty_or_a_healthy_history() -> None:
    assert judge([], DEFAULT, BASELINES) == ()
    assert judge([epoch(number) for number in range(1, 21)], DEFAULT, BASELINES) == ()


# class collapse


def test_collapse_is_stopped_four_epochs_after_warm_up() -> None:
    # Warm-up is epoch 1. Active 3 is the first judged epoch (grace 2), active 4 the second in a row (patience 2).
    reports = [collapsed(number) for number in range(1, 12)]
    assert first_stop(reports) == (5, "class_collapse")
    verdict = stops(reports[:5])[0]
    assert verdict.evidence["f1_macro"] == verdict.evidence["majority_f1_macro"] == MAJORITY
    assert verdict.evidence["loss_fall"] == 0
    assert verdict.why.startswith(
        "macro-F1 0.178 has not been above the always-majority score 0.178 for 2 epochs and the class loss"
    )


@pytest.mark.parametrize(("grace", "patience", "expected"), [(2, 2, 5), (5, 2, 8), (2, 4, 7), (0, 1, 4)])
def test_grace_and_patience_of_the_collapse_rule(grace: int, patience: int, expected: int) -> None:
    # With grace 0 the loss of 3 epochs before must still have been seen: epoch 4 looks back to epoch 1.
    options = HealthOptions.model_validate({"class_collapse": {"grace": grace, "patience": patience}})
    assert first_stop([collapsed(number) for number in range(1, 12)], options) == (expected, "class_collapse")


def test_grace_starts_with_the_class_phase() -> None:
    # Off for 6 epochs, then trained: 4 epochs of training are needed however late they come.
    off = [collapsed(number, active={"signal": number}) for number in range(1, 7)]
    on = [collapsed(number, active={"signal": number, "class": number - 6}) for number in range(7, 14)]
    assert first_stop(off + on) == (11, "class_collapse")


def test_a_term_that_is_off_is_not_judged() -> None:
    assert judge([collapsed(number, active={}) for number in range(1, 12)], DEFAULT, BASELINES) == ()


def test_a_late_bloomer_is_not_stopped() -> None:
    # Eight epochs at the majority's score, but the loss creeps down by 2 % in 3 epochs; then it takes off.
    asleep = [collapsed(number, loss=0.8 * 0.993**number) for number in range(1, 9)]
    awake = [epoch(number, f1=0.178 + 0.05 * (number - 8), loss=0.7 - 0.03 * (number - 8)) for number in range(9, 15)]
    assert first_stop(asleep + awake) is None


def test_one_good_epoch_starts_the_count_again() -> None:
    reports = [collapsed(number) for number in range(1, 12)]
    reports[4] = collapsed(5, f1=0.21)
    assert first_stop(reports) == (7, "class_collapse")


def test_scores_above_the_margin_are_not_collapse() -> None:
    assert first_stop([collapsed(number, f1=MAJORITY + 0.021) for number in range(1, 12)]) is None


def test_without_a_majority_baseline_only_constant_output_counts() -> None:
    reports = [collapsed(number, metrics={"val/class/probability_sd": 0.009}) for number in range(1, 12)]
    assert not [verdict for verdict in judge(reports[:5], DEFAULT, {}) if verdict.level == "stop"]
    assert [verdict.rule for verdict in judge(reports[:6], DEFAULT, {}) if verdict.level == "stop"] == [
        "class_collapse"
    ]


def test_constant_output_stops_after_three_epochs_whatever_the_loss_does() -> None:
    # Active 3, 4, 5 are epochs 4, 5, 6.
    reports = [epoch(number, f1=MAJORITY, metrics={"val/class/probability_sd": 0.009}) for number in range(1, 12)]
    assert first_stop(reports) == (6, "class_collapse")
    assert "have not differed between recordings for 3 epochs" in stops(reports[:6])[0].why


def test_one_class_warns_after_warm_up() -> None:
    def one_class(number: int) -> EpochReport:
        return epoch(number, metrics={"val/class/largest_share": 0.98})

    assert not warned([one_class(1)], "class_collapse")
    assert warned([one_class(1), one_class(2)], "class_collapse")


def test_a_class_never_predicted_warns() -> None:
    scores = {f"val/class/f1/{name}": 0.3 for name in CLASSES} | {"val/class/predicted_classes": 4.0}
    found = judge([epoch(2, metrics=scores)], DEFAULT, BASELINES)
    assert [verdict.why for verdict in found] == ["only 4 of 5 classes are ever predicted"]


# not finite


def broken(what: str, streak: int = 1) -> EpochReport:
    evidence = {"what": what, "step": 37, "streak": streak, "term": "class", "last_finite_loss": 2.5}
    return EpochReport(epoch=2, phase="all", complete=False, evidence=evidence)


@pytest.mark.parametrize("what", ["loss", "weight"])
def test_a_loss_or_weight_that_is_not_finite_stops_at_the_step(what: str) -> None:
    (verdict,) = judge([epoch(1), broken(what)], DEFAULT, BASELINES)
    assert (verdict.level, verdict.rule, verdict.epoch) == ("stop", "non_finite", 2)
    assert verdict.why.startswith(f"epoch 2, step 37: the {what} of class is not finite; the last finite loss was 2.5")


def test_skipped_steps_stop_when_three_come_in_a_row() -> None:
    levels = [judge([epoch(1), broken("gradient", streak)], DEFAULT, {})[0].level for streak in (1, 2, 3)]
    assert levels == ["warn", "warn", "stop"]


def test_a_skipped_step_within_a_finished_epoch_warns() -> None:
    assert warned([epoch(1, health={"non_finite": 1.0})], "non_finite")
    assert not warned([epoch(1, health={"non_finite": 0.0})], "non_finite")


def test_a_skipped_step_does_not_interrupt_the_count_of_epochs() -> None:
    skipped = EpochReport(epoch=5, phase="all", complete=False, evidence={"what": "gradient", "streak": 1})
    reports = [collapsed(number) for number in range(1, 6)]
    assert stops([*reports[:4], skipped, reports[4]])
    # Sent late, it must not replace the complete report of its epoch either.
    assert stops([*reports, skipped, collapsed(6)])[0].evidence["epochs"] == 3


def test_a_run_may_break_off_in_its_first_epoch() -> None:
    first = EpochReport(epoch=1, phase="all", complete=False, evidence={"what": "loss", "step": 1})
    assert [verdict.level for verdict in judge([first], DEFAULT, {})] == ["stop"]


# gradients


def norms(*typical: float, steps: float = 24, phase: str = "all", start: int = 1) -> list[EpochReport]:
    return [
        epoch(number, health={"grad_norm": norm, "grad_norm_max": norm, "steps": steps}, phase=phase)
        for number, norm in enumerate(typical, start)
    ]


def test_two_epochs_of_exploding_steps_stop() -> None:
    # Usual 1.5; 16 is over 10 and over 15 in more than half of 24 steps: 12 + 12 steps reach the patience of 20.
    reports = norms(1, 1.5, 2, 16, 17, 18)
    assert first_stop(reports) == (5, "gradient_explosion")
    assert warned(reports[:4], "gradient_explosion")
    assert stops(reports[:5])[0].evidence["usual"] == 1.5


def test_two_explosions_with_a_calm_epoch_between_are_not_a_streak() -> None:
    assert first_stop(norms(1, 1, 50, 1, 50, 1, 50)) is None


def test_patience_counts_steps() -> None:
    # 10 steps an epoch: more than half of 2 epochs are 10 steps, of 4 epochs 20.
    assert first_stop(norms(1, 1, 1, 50, 50, 50, 50, 50, steps=10)) == (7, "gradient_explosion")


def test_a_long_explosion_does_not_become_usual() -> None:
    assert stops(norms(1, 1, *[50] * 10))


def test_large_gradients_that_were_always_large_are_usual() -> None:
    assert first_stop(norms(90, 100, 110, 120, 130)) is None


def test_gradients_are_compared_within_a_phase() -> None:
    assert first_stop(norms(1, 1, 1, phase="class") + norms(40, 40, 40, 40, phase="all", start=4)) is None


def test_one_far_step_warns() -> None:
    reports = [*norms(1, 1), epoch(3, health={"grad_norm": 1.0, "grad_norm_max": 12.0, "steps": 24})]
    assert warned(reports, "gradient_explosion")
    assert not stops(reports)


# regression


def flat_threshold(number: int, *, ratio: float = 0.04, loss: float = 0.5, active: int | None = None) -> EpochReport:
    return epoch(
        number,
        metrics={"val/threshold/spread_ratio": ratio},
        health={"loss/threshold": loss},
        active={"class": number, "threshold": number - 1 if active is None else active},
    )


def test_a_constant_threshold_is_stopped() -> None:
    # Epochs 4, 5, 6 are the first three judged: active 3, 4, 5.
    reports = [flat_threshold(number) for number in range(1, 10)]
    assert first_stop(reports) == (6, "regression_collapse")
    assert warned(reports[:2], "regression_collapse")
    assert stops(reports[:6])[0].evidence == {"term": "threshold", "spread_ratio": 0.04, "epochs": 3.0, "loss": 0.5}


@pytest.mark.parametrize("changes", [{"ratio": 0.06}, {"active": 0}])
def test_a_threshold_that_varies_or_is_in_grace_is_not_stopped(changes: dict[str, Any]) -> None:
    assert first_stop([flat_threshold(number, **changes) for number in range(1, 10)]) is None


def test_a_threshold_still_learning_is_not_stopped() -> None:
    assert first_stop([flat_threshold(number, loss=0.5 * 0.99**number) for number in range(1, 10)]) is None


# terms that do not fall, classes that are absent


def test_a_term_that_does_not_fall_warns_and_never_stops() -> None:
    def report(number: int, loss: float) -> EpochReport:
        return epoch(number, health={"loss/signal": loss}, active={"signal": number})

    still = [report(number, 0.7) for number in range(1, 30)]
    assert not warned(still[:5], "term_not_falling")
    assert warned(still[:6], "term_not_falling")
    assert first_stop(still) is None
    # A likelihood loss below zero that falls is falling.
    assert not warned([report(number, -0.1 * number) for number in range(1, 7)], "term_not_falling")


def absent(number: int, count: float | None) -> EpochReport:
    scores = {"val/class/f1/NORMAL": 0.9, "val/class/f1/NÖROPATİ": 0.0}
    return epoch(number, metrics=scores | ({} if count is None else {"val/class/count/NÖROPATİ": count}))


@pytest.mark.parametrize(("count", "expected"), [(10, (6, "class_absent")), (9, None), (None, None)])
def test_an_absent_class_stops_only_when_asked_and_with_enough_samples(
    count: float | None, expected: tuple[int, str] | None
) -> None:
    reports = [absent(number, count) for number in range(1, 10)]
    asked = HealthOptions.model_validate({"class_absent": {"patience": 3}})
    assert first_stop(reports, asked) == expected
    assert first_stop(reports) is None
    assert warned(reports[:2], "class_absent")
    assert not warned(reports[:1], "class_absent")


def test_literal_rules_fire_to_the_letter() -> None:
    one_class = epoch(1, metrics={"val/class/predicted_classes": 1.0})
    assert first_stop([one_class], HealthOptions.model_validate({"literal_one_class": {}})) == (1, "literal_one_class")

    zero = [absent(number, None) for number in range(1, 8)]
    assert first_stop(zero, HealthOptions.model_validate({"literal_zero_f1": {}})) == (6, "literal_zero_f1")
    few = [absent(number, 9) for number in range(1, 8)]
    asked = {"literal_zero_f1": {"at": 5, "min_samples": 9}}
    assert first_stop(few, HealthOptions.model_validate(asked)) == (5, "literal_zero_f1")
    asked["literal_zero_f1"]["min_samples"] = 10
    assert first_stop(few, HealthOptions.model_validate(asked)) is None

    bare = HealthOptions.model_validate({"literal_gradient_norm": {"limit": 10}})
    assert first_stop(norms(9, 11), bare) == (2, "literal_gradient_norm")


def test_literal_rules_leave_a_term_alone_that_is_off() -> None:
    options = HealthOptions.model_validate({"literal_one_class": {}})
    assert not stops([epoch(1, metrics={"val/class/predicted_classes": 1.0}, active={})], options)


def test_a_rule_set_to_null_is_silent() -> None:
    reports = [collapsed(number) for number in range(1, 9)]
    assert first_stop(reports, HealthOptions(class_collapse=None)) is None


# what holds for all rules


def test_stops_come_before_warnings() -> None:
    options = HealthOptions.model_validate({"literal_gradient_norm": {}})
    reports = [absent(number, None) for number in range(1, 3)]
    reports.append(epoch(3, metrics=absent(3, None).metrics, health={"grad_norm_max": 11.0}))
    assert [verdict.level for verdict in judge(reports, options, BASELINES)] == ["stop", "warn"]


def test_a_report_repeated_after_a_restart_counts_once() -> None:
    reports = [collapsed(number) for number in range(1, 5)]
    assert not stops([*reports, reports[-1]])
    assert stops([*reports, reports[-1], collapsed(5)])


def test_judging_changes_nothing_and_repeats_itself() -> None:
    reports = [collapsed(number) for number in range(1, 9)]
    before = [report.to_json() for report in reports]
    assert judge(reports, DEFAULT, BASELINES) == judge(tuple(reports), DEFAULT, dict(BASELINES))
    assert [report.to_json() for report in reports] == before


@st.composite
def improving(draw: st.DrawFn) -> list[EpochReport]:
    """A run that learns: each epoch a lower class loss and a higher score, outputs that differ, steady gradients."""
    reports, loss, score, start = [], draw(st.floats(0.5, 5)), draw(st.floats(0.0, 0.3)), draw(st.integers(0, 5))
    for number in range(1, draw(st.integers(1, 25)) + 1):
        loss *= draw(st.floats(0.5, 0.99))
        score += draw(st.floats(0.0, 0.03))
        spread = draw(st.floats(0.01, 0.4))
        metrics = {"val/class/probability_sd": spread, "val/class/largest_share": draw(st.floats(0.2, 1.0))}
        health = {"grad_norm": draw(st.floats(0.5, 4.9)), "grad_norm_max": draw(st.floats(5, 500)), "steps": 24.0}
        health["loss/threshold"] = draw(st.floats(0.1, 2))
        metrics["val/threshold/spread_ratio"] = draw(st.floats(0.05, 1.2))
        active = {"class": max(0, number - start), "threshold": max(0, number - start)}
        reports.append(epoch(number, f1=min(score, 1.0), loss=loss, metrics=metrics, health=health, active=active))
    return reports


@settings(deadline=None)
@given(improving())
def test_a_run_that_keeps_improving_is_never_stopped(reports: list[EpochReport]) -> None:
    assert first_stop(reports) is None


def test_the_skill_beside_a_class_score_is_no_class() -> None:
    """`val/class/f1/A:skill` is 0 for the majority class too; only A itself is named."""
    metrics = {"val/class/f1/A": 0.9, "val/class/f1/A:skill": 0.0, "val/class/f1/B": 0.0, "val/class/f1/B:skill": 0.0}
    report = EpochReport(epoch=1, phase="all", metrics=metrics, active={"class": 1})
    warned = [verdict for verdict in judge([report], HealthOptions(), {}) if verdict.rule == "class_absent"]
    assert [verdict.evidence["classes"] for verdict in warned] == ["B"]


# how slow is too slow


def first_stop_of(length: int | None, fall: float) -> int | None:
    """Epoch of the first stop of a run at the majority whose loss falls by `fall` of its first value each epoch."""
    reports = [collapsed(number, loss=1.0 - fall * (number - 1)) for number in range(1, 13)]
    judged = ((count, judge(reports[:count], DEFAULT, BASELINES, length)) for count in range(1, 13))
    return next((count for count, found in judged if any(verdict.level == "stop" for verdict in found)), None)


def test_a_slow_loss_is_judged_by_where_it_leads() -> None:
    # Three epochs' fall at epoch 5 of 20: 3 x 0.01 / 0.99 = 3 %, in the 15 epochs left 15 %: under 20 %, a standstill.
    assert first_stop_of(20, 0.01) == 5
    # The same pace in a run of 100 epochs leads to 96 % less: nobody is stopped.
    assert first_stop_of(100, 0.01) is None
    # Nobody says how long the run is: only a loss that hardly falls at all stands still.
    assert first_stop_of(None, 0.01) is None
    assert first_stop_of(None, 0.001) == 5
    # 3 x 0.03 = 9 % in three epochs is not slow, however little is left.
    assert first_stop_of(12, 0.03) is None


@pytest.mark.parametrize(("rise", "stop"), [(0.0, 5), (0.006, 5), (0.007, None)])
def test_a_slow_run_whose_score_rises_is_left_alone(rise: float, stop: int | None) -> None:
    """Below the majority's score all the way; three epochs' rise of 0.021 is more than the margin, 0.018 is not."""
    reports = [epoch(number, f1=0.02 + rise * number, loss=1.0 - 0.01 * (number - 1)) for number in range(1, 9)]
    found = [
        number
        for number in range(1, 9)
        if any(each.level == "stop" for each in judge(reports[:number], DEFAULT, BASELINES, 20))
    ]
    assert found[:1] == ([] if stop is None else [stop])


def test_the_sentence_of_a_slow_loss_says_where_it_leads() -> None:
    reports = [collapsed(number, loss=1.0 - 0.01 * (number - 1)) for number in range(1, 6)]
    (verdict,) = (found for found in judge(reports, DEFAULT, BASELINES, 20) if found.level == "stop")
    assert "the class loss would fall by 15.2% in the 15 epochs that are left" in verdict.why
    assert verdict.evidence["loss_fall_ahead"] == pytest.approx(0.03 / 0.99 / 3 * 15)


def test_nearly_equal_probabilities_that_rank_right_are_no_constant_output() -> None:
    # A linear model at a low rate: probabilities differ in the fourth digit, and the right class still leads.
    tiny = {"val/class/probability_sd": 0.0004}
    assert first_stop([epoch(number, f1=0.78, loss=2.3, metrics=tiny) for number in range(1, 9)]) is None
    assert first_stop([epoch(number, f1=MAJORITY, loss=2.3 - number, metrics=tiny) for number in range(1, 9)]) == (
        6,
        "class_collapse",
    )
