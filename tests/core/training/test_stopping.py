"""Early stopping on a combined metric."""

import pytest
from pydantic import ValidationError

from core.schedules import StoppingOptions
from core.training.stopping import Standstill

OPTIONS = StoppingOptions.model_validate({"metrics": {"val/a/f1": 1, "val/b/mae": -0.1}, "patience": 2, "rise": 0.05})


def after(*scores: tuple[float, float] | None) -> Standstill:
    found = Standstill()
    for score in scores:
        metrics = {"val/a/f1": score[0], "val/b/mae": score[1]} if score else {"val/a/f1": 0.9}
        found = found.after(metrics, OPTIONS)
    return found


def test_the_sum_is_weighted() -> None:
    assert OPTIONS.score({"val/a/f1": 0.5, "val/b/mae": 2.0}) == pytest.approx(0.3)
    assert OPTIONS.score({"val/a/f1": 0.5}) is None


def test_patience_counts_epochs_without_a_rise() -> None:
    assert after((0.5, 2)) == Standstill(best=0.5 - 0.2, epochs=0)
    assert after((0.5, 2), (0.54, 2)).epochs == 1  # up by .04: no rise
    assert after((0.5, 2), (0.54, 2), (0.56, 2)).epochs == 0  # up by .06 on the best
    assert not after((0.5, 2), (0.4, 2)).verdict(OPTIONS)
    assert after((0.5, 2), (0.4, 2), (0.5, 2)).verdict(OPTIONS) == (
        "1 val/a/f1 + -0.1 val/b/mae has not risen above 0.3 for 2 epochs"
    )


def test_a_fall_of_what_should_fall_is_a_rise() -> None:
    assert after((0.5, 5), (0.5, 2)).epochs == 0


def test_an_epoch_without_one_of_the_metrics_does_not_count() -> None:
    assert after((0.5, 2), None, None, None) == after((0.5, 2))
    assert after(None, None, None).verdict(OPTIONS) == ""


def test_it_survives_json() -> None:
    assert Standstill(**after((0.5, 2), (0.1, 2)).to_json()) == after((0.5, 2), (0.1, 2))


@pytest.mark.parametrize(
    ("metrics", "message"),
    [
        ({}, "at least 1"),
        ({"test/a/f1": 1}, "test/a/f1 is no validation metric"),
        ({"val/a/f1": 0}, "val/a/f1 has weight 0 and decides nothing"),
    ],
)
def test_what_decides_nothing_is_told(metrics: dict[str, float], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        StoppingOptions.model_validate({"metrics": metrics})
