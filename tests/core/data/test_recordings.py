import pickle
from dataclasses import replace

import numpy as np
import pytest

from core.data.check import SHOWN, DataMistakes, DataProblem, check, find_problems
from core.data.header import OPTIONAL
from core.data.recordings import Recordings


@pytest.fixture
def six(bump_recordings) -> Recordings:
    return replace(bump_recordings(6), **{name: np.ones(6, np.float32) for name in OPTIONAL})


def changed(recordings: Recordings, column: str, where, value) -> Recordings:
    cells = recordings.columns()[column].copy()
    cells[where] = value
    return replace(recordings, **{column: cells})


def test_fingerprint_is_the_same_for_the_same_numbers(six):
    wide = np.array(six.patient, dtype="U99")
    other_nan = np.array([0x7FC00001], np.uint32).view(np.float32)[0]
    assert np.isnan(other_nan)
    bits = np.where(np.isnan(six.static), other_nan, six.static)
    assert bits.tobytes() != six.static.tobytes(), "the fixture has no missing static parameter"
    same = replace(six, patient=wide, static=bits, origin="elsewhere", notes=("words",), facts={"a": 1.0})
    assert same.fingerprint() == six.fingerprint()


@pytest.mark.parametrize(
    ("column", "where", "value"),
    [
        ("signal", (3, 7), 0.5),
        ("patient", 2, "someone else"),
        ("static", (0, 1), 77),
        ("hearing_class", 4, -1),
        ("threshold_db", 1, np.nan),
        ("peak_exist", 0, np.nan),
        ("peak_latency_ms", 0, 5.5),
        ("peak_amplitude_uv", 0, 0.9),
        ("clean", (5, 0), 0.25),
        ("sweeps", 5, 2000),
        ("weight", 5, 2),
    ],
)
def test_fingerprint_changes_with_any_number(six, column, where, value):
    assert changed(six, column, where, value).fingerprint() != six.fingerprint()


def test_fingerprint_changes_with_unit_rate_and_names(six):
    others = [replace(six, unit="z"), replace(six, sampling_rate_hz=20_000.0), replace(six, class_names=tuple("ABCDE"))]
    assert len({recordings.fingerprint() for recordings in (six, *others)}) == 4


def test_patients_do_not_run_together_in_the_fingerprint(six):
    one = replace(six, patient=np.array(["a", "bc", *"defg"]))
    other = replace(six, patient=np.array(["ab", "c", *"defg"]))
    assert one.fingerprint() != other.fingerprint()


def test_take_keeps_every_column_and_the_order_asked_for(six):
    two = replace(six, notes=("kept",)).take(np.array([4, 1]))
    assert two.notes == ("kept",)
    assert set(two.columns()) == set(six.columns())
    for name, values in two.columns().items():
        np.testing.assert_array_equal(values, six.columns()[name][[4, 1]])


@pytest.mark.parametrize(
    ("column", "shape"),
    [("static", (6, 3)), ("threshold_db", (5,)), ("clean", (6, 100)), ("patient", (7,)), ("weight", (6, 1))],
)
def test_wrong_shapes_are_refused_on_construction(six, column, shape):
    with pytest.raises(ValueError, match=f"{column} has the shape"):
        replace(six, **{column: np.zeros(shape, six.columns()[column].dtype)})


def test_time_starts_at_the_stimulus(six):
    assert six.time_ms[0] == 0
    assert six.time_ms[15] == pytest.approx(1.0)  # 15 kHz
    assert six.duration_ms == pytest.approx(200 / 15)


def test_sound_recordings_have_no_problem(six):
    assert find_problems(six) == ()
    assert check(six) is six


@pytest.mark.parametrize(
    ("column", "where", "value", "message"),
    [
        ("signal", (2, 9), np.nan, "sample 9 is nan"),
        ("signal", 2, 0.3, "every sample is the same"),
        ("signal", (2, 9), 5000, "is no averaged response"),
        ("clean", (2, 9), np.inf, "sample 9 is inf"),
        ("patient", 2, "", "the patient is missing"),
        ("hearing_class", 2, 5, "class 5 is not one of the 5 classes"),
        ("hearing_class", 2, -2, "class -2"),
        ("threshold_db", 2, 400, "400 is outside -20 to 140"),
        ("threshold_db", 2, np.inf, "inf is outside"),
        ("peak_exist", 2, 0.5, "0.5 is neither 0 nor 1"),
        ("peak_latency_ms", 2, 117, "117 ms is outside the sweep, which ends 31.13 ms after"),
        ("peak_latency_ms", 2, -1, "-1 ms is outside"),
        ("peak_latency_ms", 3, 5, "labelled although peak_exist does not say 1"),
        ("peak_amplitude_uv", 2, 1e5, "100000 is outside"),
        ("sweeps", 2, 0, "0 is outside"),
        ("signal", (2, 9), -np.inf, "sample 9 is -inf"),
        ("patient", 2, "\x07", r"'\x07' is no name of a patient"),
        ("peak_latency_ms", 2, 3000, "3000 ms is outside"),
        ("frequency_khz", 2, 4000, "4000 is outside 0.01 to 200"),
        ("weight", 2, 0, "0 is outside"),
        ("weight", 2, -1, "-1 is outside"),
        ("weight", 2, np.nan, "a weight is missing"),
    ],
)
def test_a_wrong_cell_is_named_with_row_and_column(six, column, where, value, message):
    row = where[0] if isinstance(where, tuple) else where
    found = [p for p in find_problems(changed(six, column, where, value)) if message in p.message]
    assert [(problem.row, problem.column) for problem in found] == [(row, column)]


@pytest.mark.parametrize(
    ("index", "value", "column"),
    [(0, 300, "age_years"), (1, 1000, "intensity_db_nhl"), (2, 0, "rate_per_s"), (3, -1, "fmp")],
)
def test_an_absurd_static_parameter_is_named(six, index, value, column):
    (problem,) = find_problems(changed(six, "static", (4, index), value))
    assert (problem.row, problem.column) == (4, column)


@pytest.mark.parametrize(("factor", "hint"), [(1e-6, "volts"), (1e-3, "volts"), (1e3, "nanovolts")])
def test_other_units_than_microvolts_are_recognised(six, factor, hint):
    (problem,) = find_problems(replace(six, signal=six.signal * np.float32(factor)))
    assert problem.column == "signal"
    assert hint in str(problem)


def test_amplitudes_in_volts_are_recognised(six):
    (problem,) = find_problems(replace(six, peak_amplitude_uv=six.peak_amplitude_uv * np.float32(1e-6)))
    assert problem.column == "peak_amplitude_uv"


def test_amplitudes_in_nanovolts_and_latencies_in_seconds_are_recognised(six):
    (problem,) = find_problems(replace(six, peak_amplitude_uv=six.peak_amplitude_uv * np.float32(1e3)))
    assert (problem.column, "nanovolts" in str(problem)) == ("peak_amplitude_uv", True)
    (problem,) = find_problems(replace(six, peak_latency_ms=six.peak_latency_ms / np.float32(1e3)))
    assert (problem.column, "in seconds?" in str(problem)) == ("peak_latency_ms", True)


@pytest.mark.parametrize("name", ["", "  ", "a\nb", "a\x00", "\u202eabc", "x" * 201])
def test_classes_without_a_name_that_can_be_shown(six, name):
    (problem,) = find_problems(replace(six, class_names=(*six.class_names[:4], name)))
    assert (problem.column, "is no name" in problem.message) == ("class_names", True)


def test_one_wild_recording_among_standardised_ones(six):
    z = (six.signal - six.signal.mean(1, keepdims=True)) / six.signal.std(1, keepdims=True)
    assert find_problems(replace(six, unit="z", signal=z)) == ()
    (problem,) = find_problems(changed(replace(six, unit="z", signal=z), "signal", (3, 7), -1e30))
    assert (problem.row, problem.column) == (3, "signal")


def test_recordings_said_to_be_standardised_must_be(six):
    (problem,) = find_problems(replace(six, unit="z", signal=six.signal * np.float32(1e-3)))
    assert "standard deviation near 1" in problem.message


def test_an_empty_table_is_a_problem(six):
    assert [problem.message for problem in find_problems(six.take(np.array([], int)))] == ["there are no recordings"]


@pytest.mark.parametrize("rate", [-15_000.0, 0.0, np.nan, np.inf, 15.0])
def test_an_absurd_sampling_rate_is_a_problem(six, rate):
    problems = find_problems(replace(six, sampling_rate_hz=rate))
    assert "sampling_rate_hz" in [problem.column for problem in problems]


def test_an_unknown_unit_is_a_problem(six):
    assert "unit" in [problem.column for problem in find_problems(replace(six, unit="mV"))]


def test_every_mistake_is_collected(six):
    bad = changed(changed(changed(six, "threshold_db", 1, 999), "static", (5, 0), -70), "patient", 0, "")
    with pytest.raises(DataMistakes) as caught:
        check(bad, "bad.npz")
    assert {(problem.row, problem.column) for problem in caught.value.problems} == {
        (1, "threshold_db"),
        (5, "age_years"),
        (0, "patient"),
    }
    assert "bad.npz: recording 5, age_years: -70 is outside -1 to 120" in str(caught.value)


def test_many_equal_mistakes_are_counted_not_listed(bump_recordings):
    problems = find_problems(changed(bump_recordings(20), "threshold_db", slice(None), 999))
    assert [problem.row for problem in problems] == [*range(SHOWN), None]
    assert problems[-1].message == f"the same in {20 - SHOWN} more recordings"


def test_mistakes_survive_the_way_back_from_a_worker():
    mistakes = DataMistakes("x.csv", [DataProblem("no", row=1, column="fmp", hint="mend it", line=3)])
    back = pickle.loads(pickle.dumps(mistakes))
    assert type(back) is DataMistakes
    assert (back.source, back.problems, str(back)) == (mistakes.source, mistakes.problems, str(mistakes))
    assert str(back) == "x.csv: line 3: fmp: no; mend it"
