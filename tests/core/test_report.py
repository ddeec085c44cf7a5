"""A report holds finite numbers only and survives its line of JSON."""

import json
import math

import pytest
from hypothesis import given, strategies as st

from core.report import EpochReport

NAMES = st.sampled_from(["val/class/f1_macro", "val/class/f1/NÖROPATİ", "loss/class", "grad_norm"])
FINITE = st.dictionaries(NAMES, st.floats(allow_nan=False, allow_infinity=False))


@given(
    st.integers(0, 10_000),
    FINITE,
    FINITE,
    st.dictionaries(NAMES, st.integers(0, 99)),
    st.dictionaries(NAMES, st.text()),
    st.floats(0, 1e6),
    st.booleans(),
    st.dictionaries(st.sampled_from(["step", "what"]), st.floats(allow_nan=False) | st.text()),
)
def test_a_report_survives_its_line(epoch, metrics, health, active, absent, seconds, complete, evidence) -> None:  # type: ignore[no-untyped-def]
    report = EpochReport(
        epoch=epoch,
        phase="class",
        metrics=metrics,
        health=health,
        active=active,
        absent=absent,
        seconds=seconds,
        complete=complete,
        evidence=evidence,
    )
    assert EpochReport.from_json(json.loads(json.dumps(report.to_json()))) == report


def test_the_line_is_that_of_the_contract() -> None:
    report = EpochReport(epoch=3, phase="class", seconds=1.7)
    assert report.to_json() == {"epoch": 3, "phase": "class", "metrics": {}, "health": {}, "seconds": 1.7}
    assert EpochReport(epoch=3, phase="class", complete=False).to_json()["complete"] is False


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("group", ["metrics", "health"])
def test_numbers_that_are_not_finite_are_refused(group: str, value: float) -> None:
    with pytest.raises(ValueError, match=f"x is {value} in the report of epoch 2; report it as absent"):
        EpochReport(epoch=2, phase="class", **{group: {"x": value}})  # type: ignore[arg-type]
