"""What the measurement of collapse as knowledge compares, and how it says what came of it."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from abr_tune.plan.space import Raw
from abr_tune.search.observation import Curve, Observation
from benchmarks.collapse import Plain, Shares, show


class Listening:
    """A sampler that remembers what it heard."""

    def __init__(self) -> None:
        self.heard: list[Observation | None] = []

    def running(self, number: int, raw: Mapping[str, Raw]) -> None: ...

    def progress(self, number: int, curve: Curve) -> None: ...

    def learn(self, number: int, observation: Observation | None) -> None:
        self.heard.append(observation)

    def propose(self, number: int) -> dict[str, Raw]:
        return {"lr": 0.1}


def test_plain_hears_the_curve_and_not_how_bad_it_was() -> None:
    listening = Listening()
    plain = Plain(listening)
    plain.learn(0, Observation(curve={3: (0.2,)}, violations={"health": 0.5}))
    plain.learn(1, None)
    assert listening.heard == [Observation(curve={3: (0.2,)}), None]
    assert plain.propose(2) == {"lr": 0.1}


def test_the_difference_is_by_seeds_in_pairs() -> None:
    shares = Shares(bank="b", pruner="none", share_in_bank=0.5, told=(0.2, 0.4), plain=(0.4, 0.5))
    assert shares.difference == pytest.approx(-0.15)
    low, high = shares.interval or (0.0, 0.0)
    # Differences -0.2 and -0.1: mean -0.15, t(0.975, 1) = 12.706 times 0.0707 / sqrt(2) = 0.05.
    assert (low, high) == pytest.approx((-0.15 - 0.6353, -0.15 + 0.6353), abs=1e-4)
    lines = show(shares)
    assert lines[0] == "b, pruner none, 2 seeds: 50.0% of its configurations collapse, diverge or break"
    assert lines[3].startswith("  difference      -15.0% (95 % interval -78.5% to +48.5%")
