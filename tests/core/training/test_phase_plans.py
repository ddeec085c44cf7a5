"""The arithmetic of phases with names: when they begin and end, what a line is worth, from when grace counts."""

import re
from typing import Any

import pytest
from hypothesis import given, strategies as st
from pydantic import ValidationError

from core.schedules import Course, Fade, Phase, PhaseEnd, Ramp
from core.training.phases import Span, active, along, come, level, phase_at, planned, through

TERMS = ("a", "b")


def plan(phases: dict[str, dict[str, Any]], *boundaries: float, epochs: int = 20) -> tuple[Span, ...]:
    read = {name: Phase[str, str].model_validate(phase) for name, phase in phases.items()}
    return planned(read, boundaries, terms=TERMS, epochs=epochs)


def ends(spans: tuple[Span, ...]) -> list[tuple[str, int, int]]:
    return [(span.name, span.first, span.last) for span in spans]


METRIC = {"metric": "val/a/f1", "above": 0.5}
"""`val/a/f1 > 0.5`."""


def test_phases_end_at_a_share_an_epoch_or_a_boundary() -> None:
    share, epoch = {"until": {"share": 0.25}}, {"until": {"epoch": 9}}
    assert ends(plan({"x": share, "y": epoch, "z": {}})) == [("x", 1, 5), ("y", 6, 9), ("z", 10, 20)]
    assert ends(plan({"x": {}, "y": {}, "z": {}}, 0.25, 0.45)) == [("x", 1, 5), ("y", 6, 9), ("z", 10, 20)]
    assert ends(plan({"only": {}})) == [("only", 1, 20)]


def test_shares_round_half_up_and_what_rounds_to_nothing_is_left_out() -> None:
    phases = {"x": {"until": {"share": 0.24}}, "y": {"until": {"share": 0.25}}, "z": {}}
    assert ends(plan(phases, epochs=10)) == [("x", 1, 2), ("y", 3, 3), ("z", 4, 10)]  # 2.4 and 2.5
    assert ends(plan(phases, epochs=4)) == [("x", 1, 1), ("z", 2, 4)]  # .96 and 1
    assert ends(plan({"x": {"until": {"share": 0.9}}, "y": {}}, epochs=3)) == [("x", 1, 3)]  # 2.7: y does not come


def test_terms_keep_the_tasks_order_and_default_to_all() -> None:
    x, y = plan({"x": {"terms": ["b", "a"], "until": {"share": 0.5}}, "y": {"weights": {"a": 0}}})
    assert x.terms == x.on == ("a", "b")
    assert (y.terms, y.on) == (("a", "b"), ("b",))


@pytest.mark.parametrize(
    ("phases", "boundaries", "message"),
    [
        ({"x": {}, "y": {}}, (), "x needs an end; give until.share, until.epoch or boundaries"),
        (
            {"x": {"until": {"reached": METRIC}}, "y": {}},
            (),
            "x needs an end at the latest: val/a/f1 > 0.5 may never come; give until.share, until.epoch or boundaries",
        ),
        ({"x": {"until": {"share": 0.5}}, "y": {}}, (0.5,), "x is given its end twice: by boundaries and by until"),
        ({"x": {}, "y": {}}, (0.1, 0.2), "2 phases need 1 boundary, not 2"),
        ({"x": {"until": {"epoch": 20}}, "y": {}}, (), "x ends with epoch 20 of 20: what follows it would never come"),
        (
            {"x": {"until": {"epoch": 9}}, "y": {"until": {"epoch": 9}}, "z": {}},
            (),
            "y ends with epoch 9, when x has not ended: it would never come",
        ),
        (
            {"x": {"until": {"share": 0.5}}, "y": {"until": {"share": 0.4}}, "z": {}},
            (),
            "y ends with epoch 8, when x has not ended: it would never come",
        ),
        (
            {"x": {"until": {"share": 0.5}}, "y": {"until": {"epoch": 19}}},
            (),
            "y is the last phase and lasts to the end of the run: it has no until",
        ),
    ],
)
def test_what_can_never_come_is_told(
    phases: dict[str, dict[str, Any]], boundaries: tuple[float, ...], message: str
) -> None:
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        plan(phases, *boundaries)


@pytest.mark.parametrize(
    ("phase", "message"),
    [
        ({"terms": []}, "terms names none: leave it out for all of them"),
        ({"terms": ["a", "a"]}, "terms names a twice"),
        ({"frozen": ["p", "p"]}, "frozen names p twice"),
        ({"terms": ["a"], "weights": {"b": 1}}, "weights names b, which is not among the terms of this phase"),
        ({"frozen": ["p"], "lr": {"p": 1}}, "p is frozen: a learning rate moves nothing"),
        ({"until": {}}, "give share, epoch or reached"),
        ({"until": {"share": 0.5, "epoch": 3}}, "give share or epoch, one of the two"),
    ],
)
def test_a_phase_that_contradicts_itself_is_told(phase: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        Phase[str, str].model_validate(phase)


def test_a_metric_ends_its_phase_and_the_next_lasts_as_long_as_it_would() -> None:
    phases = {"x": {"until": {"reached": METRIC, "epoch": 8}}, "y": {"until": {"epoch": 12}}, "z": {}}
    found = plan(phases)
    assert ends(come(found, {})) == ends(found)
    assert [(span.name, span.first) for span in come(found, {"val/a/f1 > 0.5": 3})] == [("x", 1), ("y", 4), ("z", 13)]
    assert [(span.name, span.first) for span in come(found, {"val/a/f1 > 0.5": 10})] == [("x", 1), ("y", 9), ("z", 13)]


def test_what_is_reached_before_its_phase_leaves_that_out() -> None:
    phases = {"x": {"until": {"epoch": 4}}, "y": {"until": {"reached": METRIC, "epoch": 8}}, "z": {}}
    assert [(s.name, s.first) for s in come(plan(phases), {"val/a/f1 > 0.5": 4})] == [("x", 1), ("z", 5)]
    assert [(s.name, s.first) for s in come(plan(phases), {"val/a/f1 > 0.5": 5})] == [("x", 1), ("y", 5), ("z", 6)]


@given(st.lists(st.integers(1, 12), min_size=12, max_size=12), st.integers(1, 12), st.integers(1, 12))
def test_what_is_reached_later_never_changes_what_has_been(dice: list[int], first: int, second: int) -> None:
    """So that a resumed run finds itself in the phase it was in."""
    one, other = {"metric": "val/a", "above": 1}, {"metric": "val/b", "above": 1}
    phases = {
        "x": {"until": {"reached": one, "epoch": 1 + dice[0] % 6}},
        "y": {"until": {"reached": other, "epoch": 7 + dice[1] % 4}},
        "z": {},
    }
    found = plan(phases, epochs=12)
    met = {"val/a > 1": first, "val/b > 1": second}
    for epoch in range(1, 13):
        known = {condition: when for condition, when in met.items() if when < epoch}
        assert phase_at(come(found, known), epoch).name == phase_at(come(found, met), epoch).name


def test_lines_by_hand() -> None:
    span = Span("x", 3, TERMS, 6)  # four epochs of five steps
    assert [through(span, 3, 1, 5), through(span, 4, 5, 5), through(span, 6, 5, 5)] == [0.05, 0.5, 1.0]
    assert [level(Ramp(from_=1, to=3), share) for share in (0.05, 0.5, 1.0)] == [1.1, 2.0, 3.0]
    assert level(Fade(from_=1, to=0), 0.75) == 0.25
    assert level(0.3, 0.5) == 0.3


@given(st.floats(0, 1e6), st.floats(0, 1e6))
def test_a_line_ends_exactly_where_it_says(start: float, end: float) -> None:
    assert level(Ramp(from_=start, to=end), 1.0) == end


def test_a_line_to_0_is_on_but_does_not_last() -> None:
    (span,) = plan({"x": {"weights": {"a": {"from": 1, "to": 0}, "b": {"from": 0, "to": 1}}}})
    assert (span.on, span.lasting) == (TERMS, ("b",))


def test_a_course_by_hand() -> None:
    course = Course(start=0.1, middle=0.2, end=0.15, at=0.25)
    assert [along(course, share) for share in (0.125, 0.25, 0.625, 1.0)] == pytest.approx([0.15, 0.2, 0.175, 0.15])


def ages(spans: tuple[Span, ...], warmup: float = 0, trained: tuple[str, ...] = TERMS) -> dict[str, list[int]]:
    found = [active(spans, epoch, warmup_epochs=warmup, trained=trained, terms=TERMS) for epoch in range(1, 11)]
    return {term: [each[term] for each in found] for term in trained}


def test_grace_counts_from_unfreezing_and_not_while_it_lies_ahead() -> None:
    spans = plan({"x": {"frozen": ["p"], "until": {"epoch": 4}}, "y": {}}, epochs=10)
    assert ages(spans) == {term: [0, 0, 0, 0, 1, 2, 3, 4, 5, 6] for term in TERMS}
    assert ages(spans, warmup=6)["a"] == [0] * 6 + [1, 2, 3, 4]


def test_what_is_frozen_for_good_and_what_is_frozen_later_wait_for_nothing() -> None:
    spans = plan({"x": {"until": {"epoch": 4}}, "y": {"frozen": ["p"]}}, epochs=10)
    assert ages(spans)["a"] == list(range(1, 11))
    phases = {"x": {"until": {"epoch": 2}}, "y": {"frozen": ["p"], "until": {"epoch": 4}}, "z": {}}
    assert ages(plan(phases, epochs=10))["a"] == [1, 2, 0, 0, 1, 2, 3, 4, 5, 6]


def test_a_term_that_leaves_and_returns_begins_again() -> None:
    phases = {"x": {"until": {"epoch": 2}}, "y": {"weights": {"b": 0}, "until": {"epoch": 5}}, "z": {}}
    assert ages(plan(phases, epochs=10)) == {"a": list(range(1, 11)), "b": [1, 2, 0, 0, 0, 1, 2, 3, 4, 5]}
    assert ages(plan(phases, epochs=10), trained=("a",)) == {"a": list(range(1, 11))}


def test_an_end_is_read_from_what_stands_in_a_file() -> None:
    end = PhaseEnd.model_validate({"reached": {"metric": "val/a/mae", "below": 3}, "share": 0.5})
    assert str(end.reached) == "val/a/mae < 3"
    assert Ramp.model_validate({"from": 0.5}) == Ramp(from_=0.5, to=1.0)
