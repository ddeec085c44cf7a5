"""The rules on what is looked at while a run trains, and a lower rate in place of a stop: when they speak, when not."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from core.health import HealthOptions, Verdict, judge
from core.report import EpochReport

DEFAULT = HealthOptions()


def epoch(number: int, health: Mapping[str, float] = {}, *, phase: str = "all", **metrics: float) -> EpochReport:
    """A report of two terms that have been trained since warm-up, epoch 1, and whose losses fall."""
    return EpochReport(
        epoch=number,
        phase=phase,
        metrics={name.replace("__", "/"): value for name, value in metrics.items()},
        health={"loss/class": 0.9**number, "loss/threshold": 0.9**number} | dict(health),
        active={"class": number - 1, "threshold": number - 1},
    )


def said(reports: list[EpochReport], rule: str, options: HealthOptions = DEFAULT) -> list[Verdict]:
    return [verdict for verdict in judge(reports, options, {}) if verdict.rule == rule]


def first(reports: list[EpochReport], rule: str, options: HealthOptions = DEFAULT) -> tuple[int, str] | None:
    """Epoch and level of the first thing the rule says when the reports arrive one by one."""
    for count in range(1, len(reports) + 1):
        if found := said(reports[:count], rule, options):
            return found[0].epoch, found[0].level
    return None


def pulls(**norms: float) -> dict[str, float]:
    return {f"grad_norm/{term}": norm for term, norm in norms.items()}


# one term dominates


@pytest.mark.parametrize(("norm", "expected"), [(9.1, (3, "warn")), (8.9, None)])
def test_one_term_over_nine_tenths_of_the_gradient(norm: float, expected: tuple[int, str] | None) -> None:
    # 9.1 of 10.1 is .901, 8.9 of 9.9 is .899. Epoch 1 is warm-up.
    reports = [epoch(number, pulls(**{"class": norm, "threshold": 1.0})) for number in range(1, 9)]
    assert first(reports, "task_dominance") == expected


def test_dominance_is_told_with_term_and_share() -> None:
    reports = [epoch(number, pulls(**{"class": 1.0, "threshold": 19.0})) for number in range(1, 5)]
    [verdict] = said(reports, "task_dominance")
    assert verdict.evidence == {"term": "threshold", "share": pytest.approx(0.95), "epochs": 3.0}
    assert verdict.why.startswith(
        "threshold makes up 95% of the gradient on the last shared layer, for 3 epochs: class"
    )


def test_a_term_alone_does_not_dominate() -> None:
    # The other is off, or was not seen.
    alone = [epoch(number, pulls(**{"class": 5.0, "signal": 0.001})) for number in range(1, 6)]
    assert first(alone, "task_dominance") is None


def test_epochs_without_a_look_are_passed_over() -> None:
    heavy = pulls(**{"class": 99.0, "threshold": 1.0})
    reports = [epoch(2, heavy), epoch(3), epoch(4, heavy)]
    assert first(reports, "task_dominance") == (4, "warn")
    assert not said([*reports, epoch(5)], "task_dominance")


def test_another_phase_is_judged_anew() -> None:
    heavy = pulls(**{"class": 99.0, "threshold": 1.0})
    assert first([epoch(2, heavy), epoch(3, heavy, phase="next")], "task_dominance") is None


# terms pull against each other


@pytest.mark.parametrize(("cosine", "expected"), [(-0.31, (4, "warn")), (-0.29, None)])
def test_gradients_that_point_apart(cosine: float, expected: tuple[int, str] | None) -> None:
    norms = pulls(**{"class": 1.0, "threshold": 1.0})
    swinging = [cosine - 0.2, cosine, cosine + 0.2]  # the mean counts
    reports = [
        epoch(number, norms | {"grad_cosine/class-threshold": value}) for number, value in enumerate(swinging, 2)
    ]
    assert first(reports, "gradient_conflict") == expected
    if expected:
        [verdict] = said(reports, "gradient_conflict")
        assert verdict.evidence == {"terms": "class-threshold", "cosine": pytest.approx(cosine)}


# nothing is learnt


@pytest.mark.parametrize(("norm", "expected"), [(0.0, (3, "warn")), (1e-7, (3, "warn")), (1e-4, None)])
def test_a_term_that_sends_no_gradient(norm: float, expected: tuple[int, str] | None) -> None:
    reports = [epoch(number, pulls(**{"class": 1.0, "threshold": norm})) for number in range(1, 5)]
    assert first(reports, "no_gradient") == expected


def test_a_part_that_gets_no_gradient() -> None:
    norms = pulls(**{"class": 1.0, "threshold": 1.0})
    reports = [epoch(number, norms | {"part_grad_norm/s4": 0.0, "part_grad_norm/head": 0.1}) for number in range(2, 5)]
    [verdict] = said(reports, "no_gradient")
    assert verdict.evidence == {"part": "s4", "epochs": 3.0}
    revived = epoch(5, norms | {"part_grad_norm/s4": 1e-9, "part_grad_norm/head": 0.1})
    assert not said([*reports, revived], "no_gradient")


# regression


def test_r2_that_stays_negative() -> None:
    # Active is epoch - 1, two of grace: judged from epoch 4 on, five in a row at 8.
    reports = [epoch(number, val__threshold__r2=-0.01) for number in range(1, 12)]
    assert first(reports, "negative_r2") == (8, "warn")
    reports[6] = epoch(7, val__threshold__r2=0.0)
    assert first(reports[:11], "negative_r2") is None


def test_r2_stops_where_that_is_asked_for() -> None:
    options = HealthOptions.model_validate({"negative_r2": {"patience": 6}})
    reports = [epoch(number, val__threshold__r2=-0.5) for number in range(1, 12)]
    found = [verdict for verdict in said(reports[:9], "negative_r2", options) if verdict.level == "stop"]
    assert found[0].evidence == {"term": "threshold", "r2": -0.5, "epochs": 6.0}
    assert not [verdict for verdict in said(reports[:8], "negative_r2", options) if verdict.level == "stop"]


@pytest.mark.parametrize(("share", "expected"), [(0.39, (1, "warn")), (0.01, (1, "warn")), (0.009, None)])
def test_labels_beyond_the_reach_of_their_head(share: float, expected: tuple[int, str] | None) -> None:
    assert first([epoch(1, {"beyond_reach/threshold": share})], "out_of_reach") == expected
    assert first([epoch(1, {"beyond_reach/peak_latency": share})], "out_of_reach") is None  # that term is off


def test_labels_beyond_reach_stop_where_that_is_asked_for() -> None:
    options = HealthOptions.model_validate({"out_of_reach": {"stop": 0.3}})
    assert first([epoch(1, {"beyond_reach/threshold": 0.3})], "out_of_reach", options) == (1, "stop")
    assert first([epoch(1, {"beyond_reach/threshold": 0.29})], "out_of_reach", options) == (1, "warn")


# attention


def attention(*entropies: float, **health: float) -> list[EpochReport]:
    return [epoch(number, {"attention_entropy": value} | health) for number, value in enumerate(entropies, 1)]


@pytest.mark.parametrize(
    ("entropies", "expected"),
    [
        ((0.11,) * 6, None),
        ((0.099,) * 6, (1, "warn")),
        ((0.8, 0.8, 0.8, 0.41), None),
        ((0.8, 0.8, 0.8, 0.39), (4, "warn")),  # half of what it was at first
        ((0.8, 0.8, 0.8, 0.6, 0.5, 0.39), (6, "warn")),  # however slowly
        ((0.8, 0.1, 0.1), None),  # what it was at first is not known yet
    ],
)
def test_attention_that_narrows(entropies: tuple[float, ...], expected: tuple[int, str] | None) -> None:
    assert first(attention(*entropies), "attention_collapse") == expected


def test_narrow_attention_stops_only_with_an_unstable_loss() -> None:
    steady = attention(*(0.04,) * 8)
    assert {verdict.level for count in range(1, 9) for verdict in said(steady[:count], "attention_collapse")} == {
        "warn"
    }
    skipping = [epoch(number, {"attention_entropy": 0.04, "non_finite": 1.0}) for number in range(1, 6)]
    assert [v.level for v in said(skipping[:2], "attention_collapse")] == ["warn"]
    assert [v.level for v in said(skipping[:3], "attention_collapse")] == ["stop"]


@pytest.mark.parametrize(("factor", "level"), [(1.12, "stop"), (1.03, "warn")])
def test_a_rising_loss_is_unstable(factor: float, level: str) -> None:
    # Each epoch against the lowest of the three before: 12 % over it, or at most 9.3 %.
    reports = [
        epoch(number, {"attention_entropy": 0.04, "loss/class": factor**number, "loss/threshold": 1.0})
        for number in range(1, 7)
    ]
    assert [verdict.level for verdict in said(reports, "attention_collapse")] == [level]


# a lower rate in place of a stop


def exploding(number: int, **health: float) -> EpochReport:
    """Calm for five epochs, then far above what was usual."""
    return epoch(number, {"grad_norm": 1.0 if number <= 5 else 500.0, "steps": 100.0, "rate_factor": 1.0} | health)


LOWER = HealthOptions.model_validate({"gradient_explosion": {"intervene": {"lower_rate": 0.5, "times": 2, "wait": 1}}})


def test_a_rule_may_lower_the_rate_instead() -> None:
    reports = [exploding(number) for number in range(1, 8)]
    assert [verdict.level for verdict in said(reports, "gradient_explosion")] == ["stop"]
    [verdict] = said(reports, "gradient_explosion", LOWER)
    assert (verdict.level, verdict.evidence["lower_rate"], verdict.evidence["intervention"]) == ("intervene", 0.5, 1.0)
    assert verdict.why.endswith("instead of a stop the learning rate is lowered to 0.5 of what was asked for (1 of 2)")


def test_twice_and_then_the_stop() -> None:
    reports = [exploding(number) for number in range(1, 8)]
    levels = []
    made, since = 1, 1
    for number in range(8, 13):
        state = {"rate_factor": 0.5**made, "interventions": float(made), "since_intervention": float(since)}
        reports.append(exploding(number, **state))
        [verdict] = said(reports, "gradient_explosion", LOWER)
        levels.append(verdict.level)
        since += 1
        if verdict.level == "intervene":
            made, since = made + 1, 1
    # One epoch to work, the second lowering, one epoch to work, the stop; nothing is lowered a third time.
    assert levels == ["warn", "intervene", "warn", "stop", "stop"]
    assert "had been lowered 2 times before" in said(reports, "gradient_explosion", LOWER)[0].why


def test_a_training_that_takes_no_interventions_is_stopped() -> None:
    reports = [exploding(number) for number in range(1, 8)]
    dumb = [
        EpochReport(
            epoch=each.epoch,
            phase=each.phase,
            active=each.active,
            health={name: value for name, value in each.health.items() if name != "rate_factor"},
        )
        for each in reports
    ]
    assert [verdict.level for verdict in said(dumb, "gradient_explosion", LOWER)] == ["stop"]


def broken(what: str, **evidence: Any) -> list[Verdict]:
    options = HealthOptions.model_validate({"non_finite": {"intervene": {"times": 1}}})
    state: dict[str, Any] = {"what": what, "streak": 3, "rate_factor": 1.0, "interventions": 0}
    report = EpochReport(epoch=4, phase="all", complete=False, evidence=state | evidence)
    return said([epoch(3), report], "non_finite", options)


@pytest.mark.parametrize(
    ("verdicts", "level"),
    [
        (broken("gradient"), "intervene"),
        (broken("gradient", interventions=1), "stop"),
        (broken("gradient", streak=1), "warn"),
        (broken("loss", back_to=3), "intervene"),
        (broken("weight", back_to=3), "intervene"),
        (broken("loss"), "stop"),  # nothing to go back to
        (broken("weight", back_to=3, interventions=1), "stop"),
    ],
)
def test_what_is_not_finite(verdicts: list[Verdict], level: str) -> None:
    assert [verdict.level for verdict in verdicts] == [level]


def test_stops_are_told_before_interventions_before_warnings() -> None:
    options = HealthOptions.model_validate(
        {"gradient_explosion": {"intervene": {}}, "literal_gradient_norm": {}, "out_of_reach": {}}
    )
    reports = [exploding(number, grad_norm_max=500.0) for number in range(1, 7)]
    reports.append(exploding(7, grad_norm_max=500.0, **{"beyond_reach/class": 0.5}))
    levels = [verdict.level for verdict in judge(reports, options, {})]
    assert levels == ["stop", "intervene", "warn"]
