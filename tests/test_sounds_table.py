"""The table of benchmarks/sounds.py: what it says of predictions that are known."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from abr_tune.plan.load import load_plan
from abr_tune.plan.overrides import resolve
from benchmarks import sounds
from core.data.labelled import Labelled
from core.data.listing import Listed, table_of
from core.metrics.resampled import Interval
from core.tasks.audio_options import AudioOptions

CLASSES = ("a", "b", "c")


def ten_of_each() -> Labelled:
    files = [
        Listed(Path(f"{name}{take}"), f"{name}{take}", name, f"{name}{take}") for name in CLASSES for take in range(10)
    ]
    return table_of(files, np.zeros((30, 1), np.float32), CLASSES)


def trained(said: list[int]) -> sounds.Trained:
    return sounds.Trained(dict.fromkeys(sounds.METRICS, 0.5), {}, np.array(said))


def test_the_best_is_ahead_by_what_it_is_ahead() -> None:
    """All right, against all a: accuracy 1 - 1/3; macro-F1 1 - (2 * 10 / 40) / 3; F1 of c alone 1 - 0."""
    test = ten_of_each()
    right, always = trained(test.class_index.tolist()), trained([0] * 30)
    ahead = sounds._ahead([right] * 3, [always], test, rare=[2])
    macro, rare, accuracy = (ahead[metric] for metric in sounds.METRICS)
    assert macro.value == pytest.approx(1 - 0.5 / 3)
    assert accuracy.value == pytest.approx(2 / 3)
    assert rare == (1.0, 1.0, 1.0)
    assert 0 < macro.low < macro.value < macro.high < 1


def test_more_seeds_of_the_same_recordings_are_no_more_recordings() -> None:
    """Three seeds that say the same leave the interval as it is with one."""
    test = ten_of_each()
    random = np.random.default_rng(1)
    good = trained(np.where(random.random(30) < 0.8, test.class_index, 0).tolist())
    bad = trained(np.where(random.random(30) < 0.4, test.class_index, 0).tolist())
    once, thrice = (sounds._ahead([good] * times, [bad] * times, test, rare=[2]) for times in (1, 3))
    for metric in sounds.METRICS:
        assert thrice[metric] == pytest.approx(once[metric])


@pytest.mark.parametrize(
    ("mean", "low", "expected"),
    [(0.60, 0.05, True), (0.60, -0.01, False), (0.53, 0.01, False)],
    ids=["clearly", "interval holds 0", "seeds overlap"],
)
def test_ahead_by_chance_is_not_ahead(mean: float, low: float, expected: bool) -> None:
    """0.53 - 0.02 does not exceed 0.50 + 0.02."""
    metric = sounds.METRICS[0]
    lines = [
        sounds.Line("baseline", {metric: (0.50, 0.02)}, {metric: Interval(mean - 0.5, low, 0.2)}),
        sounds.Line(sounds.BEST, {metric: (mean, 0.02)}, {}),
    ]
    assert sounds.beats(lines, "baseline") is expected


def test_the_table_names_everything() -> None:
    test = ten_of_each()
    lines = [
        sounds._line(name, [trained([0] * 30)], [trained([0] * 30)], test, [2]) for name in ("remedy", sounds.BEST)
    ]
    rows = sounds.printed(lines).splitlines()
    assert rows[0].split() == ["f1_macro", "f1_rare", "accuracy"]
    assert rows[1].split() == ["remedy", *(["0.500", "±", "0.000"] * 3)]
    assert rows[3].split() == ["ahead", "of", "remedy", *(["+0.000", "to", "+0.000"] * 3)]
    assert len(rows) == 4


def test_the_start_points_are_the_documents() -> None:
    """Document 003: rate 1e-3, batches of 64, 50 epochs; balanced weights and its own numbers are the remedy."""
    plan = load_plan(sounds.SPACE)
    starts = {start.name: start.values for start in plan.start_from}
    found = [resolve(plan.task.options, {**plan.train, **starts[name]}) for name in sounds.COMPARED]
    chosen = [AudioOptions.model_validate(each) for each in found]
    for options in chosen:
        assert (options.epochs, options.batch_size, options.optimizer.lr) == (50, 64, 1e-3)
        assert (options.model.kind, options.balance.sampling) == ("cnn", "natural")
    said = [(each.model.normalise, each.balance.scheme) for each in chosen]
    assert said == [("none", "none"), ("document", "balanced")]
