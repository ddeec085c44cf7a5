"""What a bank says before anything is replayed on it: places, fates, regrets, and the rules by themselves."""

from pathlib import Path

import pytest

from abr_tune.bank.folder import read_bank
from abr_tune.errors import UserError
from abr_tune.plan.distributions import Categorical, Choice, Coordinate, Float, Int, Range
from abr_tune.plan.space import Condition, Parameter, Space
from abr_tune.replay.ground import Ground, Run, load_ground
from abr_tune.replay.nearest import Shelf, share
from abr_tune.replay.rules import rules_report
from abr_tune.search.observation import Exhausted
from abr_tune.trial import run_trial


def test_fates_and_regrets(ground: Ground) -> None:
    fates = [run.fate for run in ground.runs]
    assert fates == ["good", "good", "good", "collapsed", "non_finite", "diverged"]
    assert (ground.best, ground.median, ground.length) == (pytest.approx(0.7), pytest.approx(0.4), 10)
    regrets = [ground.regret(ground.runs[i]) for i in (0, 1, 2, 3, 5)]
    assert regrets == pytest.approx([0, 1 / 3, 1, 5 / 3, 1.5])
    assert ground.regret(None) == 1
    assert ground.regret(ground.runs[4]) == pytest.approx(5 / 3), "a run without an end is worth the worst"


def test_how_much_early_values_say(ground: Ground) -> None:
    # ends rank best, second, middle, falling, flat; after one epoch falling leads: ranks 2 3 4 1 5 against 1 2 3 4 5,
    # 1 - 6 (1 + 1 + 1 + 9) / (5 * 24) = 0.4; after eight, 0.6 0.52 0.36 0.33 0.2 as at the end
    assert ground.foresight == pytest.approx({1: 0.4, 2: 0.4, 4: 0.4, 8: 1.0})


def test_the_rules_by_themselves(ground: Ground) -> None:
    report = rules_report(ground)
    assert report.fates == {"good": 3, "collapsed": 1, "non_finite": 1, "diverged": 1}
    assert report.stopped == {"collapsed": 1, "non_finite": 1}
    assert report.by_rule == {"class_collapse": 1, "non_finite": 1}
    # flat is stopped at 5 of 10, broken at 3 of 10, falling not at all: 12 of the 30 epochs of bad runs, of 60 in all
    assert report.saved_of_bad == pytest.approx(12 / 30)
    assert report.saved_of_all == pytest.approx(12 / 60)
    assert report.delay == 2, "grace ends with epoch 3"
    assert report.best_unchanged


def test_the_wobble_of_a_line_is_its_climb(ground: Ground) -> None:
    # the variance of 0, 1, 2, 3 is 5/3; slopes 0.05, 0.04 and 0.02: 5/3 (0.0025 + 0.0016 + 0.0004) / 3 = 0.0025
    assert ground.wobble == pytest.approx(0.05)


def test_recorded_reports_get_the_verdicts_of_the_originals(six: Path, ground: Ground, tmp_path: Path) -> None:
    bank, plan = read_bank(six), ground.plan
    params = {trial.number: trial.params for trial in bank.trials()}
    for run in ground.runs:
        live = run_trial(
            plan.task,
            plan.task.options(**plan.train, **params[run.number]),
            seed=plan.seed,
            folder=tmp_path / str(run.number),
            data=None,
            health=plan.health,
            baselines=bank.facts["baselines"],
        )
        steps = list(live)
        assert [step.verdicts for step in steps] == [step.verdicts for step in run.steps[: len(steps)]]
        assert [step.report for step in steps] == [step.report for step in run.steps[: len(steps)]]
        assert len(steps) == (run.stop.epoch if run.stop is not None else run.length)


def test_other_rules_by_an_override(six: Path) -> None:
    strict = load_ground(six, overrides=("health.literal_one_class=on", "health.class_collapse=off"), trust_code=True)
    assert rules_report(strict).by_rule == {"non_finite": 1}


def test_a_bank_that_cannot_tell_methods_apart_is_refused(six: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="cannot tell methods apart: 0 of its trials end with val/class/accuracy"):
        load_ground(six, overrides=("objective={maximize: val/class/accuracy}",), trust_code=True)


@pytest.mark.parametrize(
    "domain",
    [Float(2, 10), Float(1e-4, 1, log=True), Int(3, 9), Int(1, 100, log=True), Categorical(("a", True, 1, None))],
)
def test_a_share_is_where_its_value_came_from(domain: Float | Int | Categorical) -> None:
    side = Coordinate("x", domain)
    for part in (0.0, 0.17, 0.5, 0.83, 1.0):
        value = side.at(part)
        place = share(side, value)
        if isinstance(domain, Categorical):
            assert domain.choices[int(place)] is value
        else:
            assert side.at(place) == pytest.approx(value)
            assert abs(place - part) <= (0.5 if isinstance(domain, Int) else 1e-9)


SPACE = Space(
    (
        Parameter("kind", Choice(("a", "b"))),
        Parameter("x", Range(0.0, 1.0)),
        Parameter("deep", Range(0.0, 10.0), when=(Condition("kind", ("b",)),)),
    )
)


def run(number: int, **raw: object) -> Run:
    return Run(number=number, raw=raw, length=1, steps=(), curve={}, final=None, fate="good", grace=None)  # type: ignore[arg-type]


def test_the_nearest_configuration_left_is_taken_once() -> None:
    runs = [run(0, kind="a", x=0.9), run(1, kind="b", x=0.4, deep=0.0), run(2, kind="b", x=0.4, deep=10.0)]
    shelf = Shelf(SPACE, runs)
    # from (b, 0.4, 6): squares 1 + 0.25, 0.36, 0.16
    assert shelf.take({"kind": "b", "x": 0.4, "deep": 6.0}).number == 2
    assert shelf.take({"kind": "b", "x": 0.4, "deep": 6.0}).number == 1
    assert shelf.take({"kind": "b", "x": 0.4, "deep": 6.0}).number == 0
    with pytest.raises(Exhausted):
        shelf.take({"kind": "a", "x": 0.0})


def test_what_is_inactive_in_either_does_not_count_but_the_other_category_does() -> None:
    # from (a, 0.4): 1 to the first whatever its depth, 1.21 to the second, 0.81 to the third
    runs = [run(0, kind="b", x=0.4, deep=10.0), run(1, kind="a", x=1.5), run(2, kind="a", x=1.3)]
    shelf = Shelf(SPACE, runs)
    assert [shelf.take({"kind": "a", "x": 0.4}).number for _ in runs] == [2, 0, 1]
    # from (b, 0.4, 6): 1 to the first, 1.21 to the second
    shelf = Shelf(SPACE, [run(0, kind="a", x=0.4), run(1, kind="b", x=1.5, deep=6.0)])
    assert shelf.take({"kind": "b", "x": 0.4, "deep": 6.0}).number == 0
