"""Phase boundaries become epochs, and grace counts from the right one."""

import itertools

import pytest
from hypothesis import given, strategies as st

from core.tasks.abr_options import TERMS, PhaseOptions
from core.training.phases import active, phase_at, spans

ORDER = PhaseOptions().order


def test_documents_boundaries_of_a_hundred_epochs() -> None:
    # Document 000: classification in epochs 1-20, then signal, then peaks, then threshold.
    found = spans(ORDER, (0.2, 0.4, 0.6), 100)
    assert [(span.name, span.first) for span in found] == [
        ("class", 1),
        ("signal", 21),
        ("peak", 41),
        ("threshold", 61),
    ]
    assert found[1].terms == ("class", "signal")
    assert set(found[-1].terms) == set(TERMS)


def test_without_boundaries_everything_is_on() -> None:
    (only,) = spans(ORDER, (), 7)
    assert (only.name, only.first, set(only.terms)) == ("all", 1, set(TERMS))


def test_phases_rounded_to_nothing_join_the_next() -> None:
    # Of 10 epochs: .04 rounds to 0, .55 and .551 both to 6 (5.5 up, 5.51 up).
    found = spans(ORDER, (0.04, 0.55, 0.551), 10)
    assert [(span.name, span.first) for span in found] == [("signal", 1), ("threshold", 7)]
    assert found[0].terms == ("class", "signal")


def test_a_phase_after_the_last_epoch_does_not_come() -> None:
    found = spans(ORDER, (0.5, 1.0, 1.0), 4)
    assert [(span.name, span.first) for span in found] == [("class", 1), ("signal", 3)]


def test_names_join_what_a_phase_adds() -> None:
    order = (("peak_exist", "class"), ("peak_latency", "peak_amplitude", "signal", "threshold"))
    assert [span.name for span in spans(order, (0.5,), 2)] == ["peak+class", "peak+signal+threshold"]


def test_active_counts_from_the_later_of_warm_up_and_phase() -> None:
    phases = spans((("class",), ("signal",)), (0.5,), 8)  # signal from epoch 5
    counts = [
        active(phases, epoch, warmup_epochs=1.5, trained=("signal", "class"), terms=("signal", "class"))
        for epoch in range(1, 8)
    ]
    assert [each["class"] for each in counts] == [0, 0, 1, 2, 3, 4, 5]
    assert [each["signal"] for each in counts] == [0, 0, 0, 0, 1, 2, 3]
    assert active(phases, 6, warmup_epochs=6, trained=("signal",), terms=("signal", "class")) == {"signal": 0}


def test_a_term_whose_phase_never_comes_stays_at_0() -> None:
    phases = spans((("class",), ("signal",)), (1.0,), 3)
    assert active(phases, 3, warmup_epochs=0, trained=("signal", "class"), terms=("class", "signal")) == {
        "class": 3,
        "signal": 0,
    }


@given(
    st.lists(st.floats(0, 1), min_size=3, max_size=3).map(sorted),
    st.integers(1, 200),
)
def test_every_epoch_has_one_phase_and_terms_only_join(boundaries: list[float], epochs: int) -> None:
    found = spans(ORDER, boundaries, epochs)
    assert found[0].first == 1
    assert [span.first for span in found] == sorted({span.first for span in found})
    for before, after in itertools.pairwise(found):
        assert set(before.terms) < set(after.terms)
    assert phase_at(found, 1) == found[0]
    assert phase_at(found, epochs) == found[-1]


@pytest.mark.parametrize("epoch", [1, 2, 3])
def test_phase_at_the_border(epoch: int) -> None:
    found = spans((("class",), ("signal",)), (2 / 3,), 3)
    assert phase_at(found, epoch).name == ("class" if epoch < 3 else "signal")
