"""Two results side by side: differences by hand, and whether they are more than chance."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from abr_tune.cli.compare import WIDEST, _confusion
from abr_tune.compare import MetricRow, compare
from abr_tune.errors import UserError
from abr_tune.sides import Side, read_side, settings_of

F1, MAE, SHARE = "val/class/f1_macro", "val/threshold/mae_db", "val/class/largest_share"


def row(a: Side, b: Side, metric: str) -> MetricRow:
    return next(each for each in compare(a, b).metrics if each.metric == metric)


def seeds(name: str, *values: float, metric: str = F1, folds: int = 0, fingerprint: str = "x") -> Side:
    return Side(
        name=name,
        settings={},
        runs=tuple({metric: value} for value in values),
        folds=folds,
        fingerprint=fingerprint,
    )


def test_the_difference_in_numbers() -> None:
    a = Side(name="a", settings={}, once={F1: 0.4, MAE: 10.0}, baselines={F1: 0.2})
    b = Side(name="b", settings={}, once={F1: 0.5, MAE: 8.0, SHARE: 0.9}, baselines={F1: 0.25})
    f1, mae, share = row(a, b, F1), row(a, b, MAE), row(a, b, SHARE)
    assert (f1.delta, f1.relative_percent) == (pytest.approx(0.1), pytest.approx(25.0))
    assert (mae.delta, mae.relative_percent) == (pytest.approx(-2.0), pytest.approx(-20.0))
    assert (f1.baseline_a, f1.baseline_b) == (0.2, 0.25)
    # More F1 is better and less error is; nobody says so of the largest share.
    assert (f1.better, mae.better, share.better) == ("b", "b", None)
    assert (share.a, share.b, share.delta, share.told) == (None, 0.9, None, "one side only")
    assert f1.told == "one run each"


def test_a_change_from_zero_has_no_percentage_and_from_below_zero_the_right_sign() -> None:
    nothing, something = (Side(name="", settings={}, once={F1: value}) for value in (0.0, 0.5))
    assert row(nothing, something, F1).relative_percent is None
    below = Side(name="", settings={}, once={F1: -0.5})
    assert row(below, something, F1).relative_percent == pytest.approx(200.0)
    assert row(something, below, F1).relative_percent == pytest.approx(-200.0)


def test_what_seeds_differ_by_anyway_is_no_difference() -> None:
    noisy = row(seeds("a", 0.3, 0.5, 0.4), seeds("b", 0.4, 0.6, 0.5), F1)
    # Means 0.4 and 0.5, both sd 0.1: 0.1 +- t(0.975, 4) 0.1 sqrt(2/3) = 0.1 +- 2.776445 * 0.0816497.
    assert noisy.interval == pytest.approx((0.1 - 0.226696, 0.1 + 0.226696), abs=1e-5)
    assert noisy.told == "within the spread"
    assert (noisy.sd_a, noisy.runs_a) == (pytest.approx(0.1), 3)
    assert row(seeds("a", 0.3, 0.31, 0.29), seeds("b", 0.5, 0.51, 0.49), F1).told == "beyond the spread"


def test_the_same_folds_are_compared_pair_by_pair() -> None:
    """Folds differ by far more than the sides; pair by pair the difference is 0.02 each time."""
    hard = (0.2, 0.5, 0.8)
    a, b = seeds("a", *hard, folds=3), seeds("b", *(value + 0.02 for value in hard), folds=3)
    assert row(a, b, F1).told == "beyond the spread"
    assert any("paired by fold" in note for note in compare(a, b).notes)
    other_data = seeds("b", *(value + 0.02 for value in hard), folds=3, fingerprint="y")
    assert row(a, other_data, F1).told == "within the spread"
    assert "the data differ" in compare(a, other_data).notes[0]


def test_settings_are_taken_apart_and_only_different_ones_are_listed() -> None:
    one = settings_of({"task": "abr", "train": {"loss": {"weights": {"class": 1.0}}, "epochs": 20}, "claims": {F1: 1}})
    assert one == {"task": "abr", "train.loss.weights.class": 1.0, "train.epochs": 20}
    other = {**one, "train.loss.weights.class": 3.0, "train.lr": 0.1}
    found = compare(Side(name="a", settings=one), Side(name="b", settings=other))
    assert found.settings == {"train.loss.weights.class": (1.0, 3.0), "train.lr": (None, 0.1)}


def test_a_search_winner_beside_fresh_runs_is_said_to_be_flattered() -> None:
    single = Side(name="single", settings={}, once={F1: 0.6})
    assert any(
        "single a single training" in note and "flattered" in note
        for note in compare(seeds("fresh", 0.5, 0.5), single).notes
    )


def test_what_is_not_there_cannot_be_compared(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no run 'phase9'"):
        read_side("phase9", tmp_path)
    (tmp_path / "phase1").mkdir()
    (tmp_path / "phase1" / "space.yaml").write_text("name: phase1\n")
    with pytest.raises(UserError, match="run phase1 has no best configuration to compare yet"):
        read_side("phase1", tmp_path)


def test_a_matrix_of_many_classes_is_left_to_json_and_the_report() -> None:
    def printed(classes: int) -> list[str]:
        return list(_confusion("a", {"classes": range(classes), "counts": np.eye(classes, dtype=int).tolist()}))

    assert len(printed(WIDEST)) == WIDEST + 1
    assert printed(WIDEST + 1) == ["a  13 classes: --json has the matrix, `abr-tune report` draws it"]
