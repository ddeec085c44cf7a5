"""Every number of a named phase has a path; mistakes in phases are told where they stand."""

from collections.abc import Callable
from pathlib import Path

import pytest

from abr_tune.errors import Problem
from abr_tune.plan.config import load_config
from abr_tune.plan.load import load_plan
from abr_tune.plan.overrides import missing_key, option_paths, resolve, value_at
from abr_tune.plan.start import outside
from core.tasks.abr_options import AbrOptions

Small = Callable[..., Path]
Mistakes = Callable[..., tuple[Problem, ...]]

PLAN = """\
  epochs: 20
  phases:
    plan:
      heads: {terms: [class], frozen: [s4], until: {share: 0.3}}
      fade: {weights: {threshold: {from: 0, to: 1}}, until: {reached: {metric: val/class/f1_macro}, epoch: 12}}
      all: {}
"""
SEARCH = """\
search:
  phases.plan.heads.until.share: {uniform: [0.1, 0.4]}
  phases.plan.fade.weights.threshold.to: {log: [0.1, 4]}
  phases.plan.fade.until.reached.above: {uniform: [0.4, 0.8]}
  phases.plan.all.lr.s4: {log: [0.01, 1]}
  optimizer.lr_of.attention: {log: [0.1, 10]}
  balance.sampling_fractions.TOTAL: {uniform: [0.3, 1]}
"""


def said(problem: Problem) -> str:
    return f"{problem.message} | {problem.hint}" if problem.hint else problem.message


def test_paths_lead_into_mappings_with_free_keys() -> None:
    known = option_paths(AbrOptions)
    for path in (
        "phases.plan.warm",
        "phases.plan.warm.until.share",
        "phases.plan.warm.until.reached.above",
        "phases.plan.warm.weights.class",
        "phases.plan.warm.weights.class.from",
        "phases.plan.warm.gates.attention.to",
        "optimizer.lr_of.class_head",
        "balance.sampling_fractions.SNIK",
    ):
        assert path in known, path
        assert known[path].path == path
        assert path not in list(known)
    for path in (
        "phases.plan.warm.untl",
        "phases.plan.warm.weights.clas",
        "phases.plan.warm.gates.class",
        "phases.plan.",
        "optimizer.lr_of.heads",
        "optimizer.lr.warm",
        "balance.weights.NORMAL",  # may be a list: its entries have no paths
    ):
        assert path not in known, path
        with pytest.raises(KeyError):
            known[path]


def test_values_are_put_at_their_places_and_read_there() -> None:
    plan = {"a": {"until": {"share": 0.5}, "weights": {"class": 2.0}}, "b": {}}
    options = resolve(
        AbrOptions, {"phases.plan": plan, "phases.plan.a.weights.class.to": 3, "phases.plan.b.lr.s4": 0.1}
    )
    assert value_at(options, "phases.plan.a.weights.class") == {"from": 0.0, "to": 3.0}
    assert value_at(options, "phases.plan.b.lr.s4") == 0.1
    assert value_at(options, "phases.plan.a.until.share") == 0.5
    for absent in ("phases.plan.c.until.share", "phases.plan.b.until.share", "phases.plan.b.lr.s4.to"):
        assert value_at(options, absent) is None
    assert list(options.phases.plan) == ["a", "b"]


def test_a_phase_there_is_not_is_missing() -> None:
    plan = {"phases.plan": {"warm": {}, "all": {}}}
    assert missing_key(AbrOptions, plan, "phases.plan.wram.until.share") == ("phases.plan", "wram", ["warm", "all"])
    assert missing_key(AbrOptions, plan, "phases.plan.warm.until.share") is None
    assert missing_key(AbrOptions, {}, "optimizer.lr_of.s4") is None  # a number makes sense by itself


def test_numbers_of_phases_are_searched(small: Small) -> None:
    file = small(train=("  epochs: 3\n", PLAN), search=("search:\n", SEARCH))
    plan = load_plan(file)
    values = plan.space.propose(lambda side: side.at(0.5))
    options = resolve(plan.task.options, {**plan.train, **values})
    assert isinstance(options, AbrOptions)
    assert [(span.name, span.first, span.last) for span in options.phases.spans(20)] == [
        ("heads", 1, 5),
        ("fade", 6, 12),
        ("all", 13, 20),
    ]
    assert values["phases.plan.heads.until.share"] == 0.25
    assert value_at(options, "phases.plan.fade.weights.threshold.to") == pytest.approx((0.1 * 4) ** 0.5)
    assert options.optimizer.lr_of == {"attention": pytest.approx(1.0)}
    assert options.balance.sampling_fractions == {"TOTAL": pytest.approx(0.65)}


def test_a_phases_number_is_fixed_from_the_command_line_and_in_a_start_point(small: Small) -> None:
    points = "".join(
        f"  - {{name: {name}, phases.plan.heads.until.share: {share}}}\n"
        for name, share in (("late", 0.9), ("early", 0.1))
    )
    start = f"start_from:\n{points}"
    file = small(start, train=("  epochs: 3\n", PLAN), search=("search:\n", SEARCH))
    plan = load_plan(file, overrides=["phases.plan.fade.until.epoch=19"])
    assert [point.values["phases.plan.heads.until.share"] for point in plan.start_from] == [0.9, 0.1]
    assert any("phases.plan.heads.until.share" in reason for reason in outside(plan)["late"])
    fixed = load_plan(file, overrides=["train.phases.plan.heads.until.share=0.2"])
    assert "phases.plan.heads.until.share" not in fixed.space.paths
    options = resolve(AbrOptions, fixed.train)
    assert value_at(options, "phases.plan.heads.until.share") == 0.2
    assert value_at(options, "phases.plan.heads.frozen") == ["s4"]


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        (
            "phases.plan.haeds.until.share: {uniform: [0.1, 0.4]}",
            "phases.plan has no haeds under train | did you mean heads?",
        ),
        (
            "phases.plan.heads.untl.share: {uniform: [0.1, 0.4]}",
            "phases.plan.heads.untl.share is not a training option | did you mean phases.plan.heads.until.share?",
        ),
        (
            "phases.plan.all.weights.clas: {log: [0.1, 4]}",
            "phases.plan.all.weights.clas is not a training option | did you mean phases.plan.all.weights.class?",
        ),
        (
            "phases.plan.heads.until.share: {uniform: [0.1, 1.4]}",
            "phases.plan.heads.until.share must be below 1, not 1.4",
        ),
        (
            "phases.plan.all.lr.s4: {uniform: [-1, 1]}",
            "phases.plan.all.lr.s4 must be at least 0, not -1",
        ),
        ("phases.plan.heads: {choice: [3]}", "phases.plan.heads must be a mapping, not 3"),
    ],
)
def test_mistakes_in_searched_phases(small: Small, mistakes: Mistakes, entry: str, message: str) -> None:
    file = small(train=("  epochs: 3\n", PLAN), search=("search:\n", f"search:\n  {entry}\n"))
    assert [said(problem) for problem in mistakes(file)] == [message]


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        (
            "phases.plan: {x: {terms: [clas], until: {share: 0.5}}, y: {}}",
            "phases.plan.x.terms[1] must be signal, peak_exist, peak_latency, peak_amplitude, class or threshold, "
            "not clas | did you mean class?",
        ),
        (
            "phases.plan: {x: {frozen: [s5], until: {share: 0.5}}, y: {}}",
            "phases.plan.x.frozen[1] must be condition, convolution, s4, attention, extractors, class_head, "
            "threshold_head, peak_heads or signal_head, not s5 | did you mean s4?",
        ),
        (
            "phases.plan: {x: {until: {reached: {metric: val/class/f1_macr}, share: 0.5}}, y: {}}",
            "val/class/f1_macr is not a metric of this task | did you mean val/class/f1_macro?",
        ),
        (
            "stopping.metrics: {val/class/f1_macro: 1, val/threshold/mae_d: -0.1}",
            "val/threshold/mae_d is not a metric of this task | did you mean val/threshold/mae_db?",
        ),
        (
            "augment.mixup.after: {metric: val/class/f1_marco}",
            "val/class/f1_marco is not a metric of this task | did you mean val/class/f1_macro?",
        ),
    ],
)
def test_mistakes_in_fixed_phases(small: Small, mistakes: Mistakes, entry: str, message: str) -> None:
    [problem] = mistakes(small(train=("  epochs: 3\n", f"  {entry}\n")))
    assert said(problem) == message
    assert problem.line == 6


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (
            ["phases.plan: {x: {until: {epoch: 3}}, y: {}}"],
            "phases: x ends with epoch 3 of 3: what follows it would never come",
        ),
        (["phases: {preset: class_first, plan: {x: {}}}"], "phases: there is a plan and preset class_first"),
        (["phases: {preset: heads_first, boundaries: [0.2, 0.4]}"], "phases: 2 phases need 1 boundary, not 2"),
        (
            ["phases.plan: {x: {terms: [signal], until: {epoch: 1}}, y: {}}", "loss.weights.signal: 0"],
            "phases: nothing to train in x: signal have weight 0",
        ),
        (
            ["phases.plan: {x: {terms: [class], weights: {class: {from: 1, to: 0}}, until: {epoch: 1}}, y: {}}"],
            "phases: nothing to train in x: class have weight 0",
        ),
        (
            ["phases.plan: {x: {sampling: balanced, until: {epoch: 1}}, y: {}}", "loss.logit_adjustment: 1"],
            "phases: loss.logit_adjustment counts on balance.sampling, and x draws otherwise",
        ),
    ],
)
def test_phases_that_can_never_come_or_train_nothing(
    small: Small, mistakes: Mistakes, lines: list[str], message: str
) -> None:
    text = "".join(f"  {line}\n" for line in ["epochs: 3", *lines])
    assert any(message in said(problem) for problem in mistakes(small(train=("  epochs: 3\n", text))))


def test_a_configuration_of_one_training_is_checked_alike(tmp_path: Path) -> None:
    from abr_tune.errors import FileMistakes

    file = tmp_path / "one.yaml"
    file.write_text("task: abr\ndata: {source: simulated}\ntrain:\n  stopping: {metrics: {val/class/f1: 1}}\n")
    with pytest.raises(FileMistakes, match="val/class/f1 is not a metric of this task"):
        load_config(file)
