"""Suggestions for misspelt names."""

import pytest

from abr_tune.plan.explain import suggest

KNOWN = ("optimizer.lr", "optimizer.floor", "loss.focal.gamma", "go", "low", "high", "balance.clamp.low", "epochs")


@pytest.mark.parametrize(
    ("word", "meant"),
    [
        ("optimizer.Ir", "optimizer.lr"),
        ("OPTIMIZER.LR", "optimizer.lr"),
        ("optimiser.lr", "optimizer.lr"),
        ("gamma", "loss.focal.gamma"),
        ("gp", "go"),
        ("og", "go"),
        ("hihg", "high"),
        ("epoch", "epochs"),
        ("learning_rate", None),
        ("x", None),
        ("", None),
    ],
)
def test_the_nearest_name_is_suggested_if_any_is_near(word: str, meant: str | None) -> None:
    assert suggest(word, KNOWN) == (f"did you mean {meant}?" if meant else None)
