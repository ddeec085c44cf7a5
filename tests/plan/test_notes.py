"""What `validate` and `--dry-run` say of a plan that is no mistake."""

from collections.abc import Callable
from pathlib import Path

import pytest

from abr_tune.plan.load import load_plan
from abr_tune.plan.notes import notes

Small = Callable[..., Path]

SPACE = """\
  optimizer.lr: {log: [1e-5, 3e-3], points: 3, guess: 1e-4}
  model.dropout: {uniform: [0, 0.5], points: 2}
  loss.class_loss: {choice: [cross_entropy, focal]}
  loss.focal.gamma: {uniform: [0, 4], points: 2, when: {loss.class_loss: focal}}
"""
WRITTEN = "  optimizer.lr: {log: [1e-5, 3e-3]}\n  loss.class_loss: {choice: [cross_entropy, focal]}\n"
# 3 rates x 2 dropouts x (cross_entropy, or focal with 2 gammas) = 18.


@pytest.mark.parametrize(
    ("sampler", "trials", "expected"),
    [
        ("tpe", 40, []),
        ("tpe", 10, ["all 10 trials are drawn at random: tpe begins after startup_trials, 10"]),
        ("{tpe: {startup_trials: 9}}", 10, []),
        ("random", 40, ["random does not use guesses: optimizer.lr"]),
        (
            "grid",
            17,
            [
                "the grid has 18 combinations; the budget tries 17 of them, spread over the whole grid",
                "grid does not use guesses: optimizer.lr",
            ],
        ),
        (
            "grid",
            18,
            [
                "the grid has 18 combinations; the budget tries all of them",
                "grid does not use guesses: optimizer.lr",
            ],
        ),
        (
            "gp",
            40,
            [
                "gp draws paths with a condition at random: loss.focal.gamma",
                "gp does not use guesses: optimizer.lr",
            ],
        ),
        (
            "cmaes",
            40,
            [
                "cmaes draws paths with a condition at random: loss.focal.gamma",
                "cmaes draws choices at random: loss.class_loss",
                "cmaes does not use guesses: optimizer.lr",
            ],
        ),
        (
            "nsga2",
            50,
            [
                "all 50 trials are drawn at random: nsga2 begins after its first generation of 50",
                "nsga2 does not use guesses: optimizer.lr",
            ],
        ),
        ("nsga2", 51, ["nsga2 does not use guesses: optimizer.lr"]),
    ],
)
def test_what_a_sampler_will_not_do_is_said(small: Small, sampler: str, trials: int, expected: list[str]) -> None:
    plan = load_plan(small(f"sampler: {sampler}\n", search=(WRITTEN, SPACE)), trials=trials)
    assert notes(plan) == expected


def test_constraints_that_a_sampler_does_not_learn_from(small: Small) -> None:
    more = "constraints: {val/class/ece: '< 0.2'}\nsampler: cmaes\n"
    assert notes(load_plan(small(more, search=(WRITTEN, SPACE)), trials=40))[-1] == (
        "cmaes does not learn from constraints; they still decide which trial can be the best"
    )


TWICE = (
    "balance.sampling balanced and balance.scheme balanced, sqrt or effective together count twice how rare a class "
    "is{}; balance.scheme none or dynamic goes with balanced sampling"
)


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("balance.sampling: balanced", None),
        ("balance.scheme: {choice: [sqrt, balanced]}", None),
        ("balance.sampling: balanced\n  balance.scheme: dynamic", None),
        ("balance.sampling: balanced\n  balance.scheme: sqrt", ""),
        ("balance: {sampling: balanced, scheme: effective}", ""),
        ("balance.sampling: {choice: [natural, balanced]}\n  balance.scheme: effective", ", as 102 of 200"),
        # Searched only where sampling is natural: never both.
        (
            "balance.sampling: {choice: [natural, balanced]}\n"
            "  balance.scheme: {choice: [sqrt, balanced], when: {balance.sampling: natural}}",
            None,
        ),
    ],
)
def test_counting_the_frequency_twice_is_told(small: Small, written: str, expected: str | None) -> None:
    lines = [line.strip() for line in written.split("\n")]
    fixed = [line for line in lines if "choice" not in line]
    searched = "".join(f"  {line}\n" for line in lines if "choice" in line)
    train = "".join(f"  {line}\n" for line in fixed)
    file = small(train=("  epochs: 3\n", f"  epochs: 3\n{train}"), search=(WRITTEN, WRITTEN + searched))
    plan = load_plan(file, trials=40)
    often = f"{expected} random configurations do" if expected else expected
    assert notes(plan) == ([] if often is None else [TWICE.format(often)])
