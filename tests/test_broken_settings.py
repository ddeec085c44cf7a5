"""The documents' broken settings fail again, in seconds, and the health rules name them by the promised epochs."""

from __future__ import annotations

import pytest

from benchmarks.broken_settings import SETTINGS, Promise, Size, course, reproduce
from core.health import RULES

SHORT = Size(epochs=4, recordings=640, batch=32)


@pytest.mark.parametrize("name", SETTINGS)
def test_a_broken_setting_fails_and_is_named(name: str) -> None:
    row = reproduce(name, size=SHORT)
    assert row.failed, str(row)
    assert row.holds, str(row)


def test_a_sound_training_is_not_named() -> None:
    found = course(size=SHORT)
    promised = {promise.rule for setting in SETTINGS.values() for promise in setting.promises}
    assert promised <= set(RULES)
    # So short a training has not learnt the rare classes yet, which class_collapse warns of.
    said = {(each.rule, each.epoch) for each in found.verdicts if each.rule in promised - {"class_collapse"}}
    assert not {rule for rule, epoch in said if epoch == SHORT.epochs}
    assert not [each for each in found.verdicts if each.level == "stop"]


def test_a_rule_that_does_not_speak_breaks_the_promise() -> None:
    found = course(size=SHORT)
    assert found.first(Promise(rule="out_of_reach", epoch=1)) is None
