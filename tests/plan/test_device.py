"""Where trials compute: `device: auto` under what they are given, and devices nobody gives them."""

from collections.abc import Callable
from pathlib import Path

import pytest

from abr_tune.plan.describe import describe_plan
from abr_tune.plan.load import load_plan

Small = Callable[..., Path]
Mistakes = Callable[..., list]


@pytest.mark.parametrize(("gpus", "device"), [(0, "cpu"), (1, "cuda"), (0.5, "cuda")])
def test_auto_is_decided_by_what_a_trial_is_given(small: Small, gpus: float, device: str) -> None:
    plan = load_plan(small(f"resources: {{gpus: {gpus}}}\n"))
    assert plan.train["device"] == device
    # Whoever trains the best again trains it there: the plan says where.
    assert describe_plan(plan)["train"]["device"] == device


def test_what_is_said_stays(small: Small) -> None:
    assert load_plan(small(), overrides=["train.device=cpu"]).train["device"] == "cpu"


def test_a_card_for_trials_that_are_given_none_is_a_mistake(small: Small, mistakes: Mistakes) -> None:
    [problem] = mistakes(small(train=("  epochs: 3\n", "  epochs: 3\n  device: cuda\n")))
    assert problem.message == "the trials are to compute on a graphics card, but are given none"
    assert "resources: {gpus: 1}" in problem.hint


def test_a_card_that_would_stand_idle_is_a_warning(small: Small) -> None:
    plan = load_plan(small("resources: {gpus: 1}\n"), overrides=["train.device=cpu"])
    assert [one.message for one in plan.warnings if "idle" in one.message] == [
        "task abr is told to train on the CPU: a GPU would stand idle"
    ]
    assert not [one for one in load_plan(small("resources: {gpus: 1}\n")).warnings if "idle" in one.message]
