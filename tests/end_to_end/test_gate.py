"""`abr-tune gate` says what to try next, from the run itself."""

from __future__ import annotations

from collections.abc import Callable

from tests.end_to_end.commands import Made

GATE = {
    "confirm: {top: 1, seeds: 2}": "confirm: {top: 1, seeds: 2}\n"
    'gate: {val/class/accuracy: {go: "> 0.999", investigate: "> 0.1"}, val/class/f1_macro: {go: "> 0.1"}}',
    "  - {name: by hand}\n": "  - {name: frozen, lr: 1e-6, power: 0.0}\n",
}


def test_a_missed_criterion_comes_with_steps(quick: Callable[..., Made]) -> None:
    made = quick(changes=GATE)
    told = made.ask("gate", "--json")
    assert told.code == 0
    accuracy, f1 = told.json["criteria"]
    assert told.json["verdict"] == "investigate"
    assert f1["next"] == []
    assert isinstance(accuracy["next"], list)
    plain = made.ask("gate")
    assert all(step in plain.out for step in accuracy["next"])
    assert f"which single change helped, and which to take back: abr-tune explain {made.folder}" in plain.out


def test_after_an_explanation_it_says_what_to_take_back(quick: Callable[..., Made]) -> None:
    made = quick(changes=GATE)
    assert made.ask("explain", "--executor", "inline", "--trust-code").code == 0
    told = made.ask("gate").out
    assert "abr-tune explain" not in told
    assert "on the way from frozen: keep it" in told or "brought nothing that seeds do not differ by" in told
