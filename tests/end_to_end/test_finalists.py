"""Finalists of a search with several objectives and a constraint, from the file to the summary and best.yaml."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import yaml

from tests.end_to_end.commands import Made

F1, ACCURACY = "val/class/f1_macro", "val/class/accuracy"
SEVERAL = {
    f"objective: {{maximize: {F1}}}": f"objective: [{{maximize: {F1}}}, {{maximize: {ACCURACY}}}]\n"
    f'constraints: {{{F1}: "> 0.5"}}',
    "{trials: 3}": "{trials: 6}",
    "{top: 1, seeds: 2}": "{top: 2, seeds: 2}",
    "  - {name: by hand}\n": "  - {name: frozen, lr: 1e-3, power: 0.0}\n",
}


def test_leaders_come_from_the_feasible_front_and_are_judged_on_fresh_means(quick: Callable[..., Made]) -> None:
    made = quick("--set", "health.class_collapse=off", changes=SEVERAL)
    assert made.answer.code == 0, made.answer.err
    summary = made.summary
    finalists = summary["finalists"]
    assert len(finalists) == 2
    for each in finalists:
        # Trial 0 is the frozen start: complete, but it misses the constraint.
        assert each["trial"] != 0
        assert each["feasible"] == (each["metrics"][F1] > 0.5)
        assert each["others"][ACCURACY]["mean"] == pytest.approx(each["metrics"][ACCURACY])
        assert each["optimism"] == pytest.approx(each["searched"] - each["mean"])
    best = yaml.safe_load((made.folder / "best.yaml").read_text(encoding="utf-8"))
    assert [one["trial"] for one in best["provenance"]["finalists"]] == [each["trial"] for each in finalists]
    assert best["provenance"]["confirmed"] == summary["best"]["confirmed"]
    assert len(best["objective"]) == 2
