"""Learned odds: how often runs that were in a state of health at an age still ended well, counted over runs.

A run is counted once in every state it was in, however many epochs it stayed there: epochs of one run are not
independent, so evidence is never multiplied over them. Counted are runs whose end is known: those that ran to their
end, and those that broke (NaN, infinity, no objective), which ended badly. A run that was stopped or that failed is
left out, because nobody knows how it would have ended.

What that censoring does: a state that is usually stopped is known mostly from runs that left it before anything could
stop them, and rankings stop the worse runs, so the odds come out too high. Stops by odds are therefore rarer, and stops
by rules held back more often, than the truth would ask for: the error costs epochs and not good runs. A state in which
a rule does stop is known only from audited runs, which are a fair sample, and from runs whose stop was held back.
"""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right, insort
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from statistics import median
from typing import Final, Literal, Self, cast

from core.health.verdict import Verdict
from core.report import EpochReport

Condition = Literal[
    "healthy",
    "narrow",
    "shaky",
    "constant",
    "one_class",
    "one_class_stalled",
    "class_collapse",
    "regression_collapse",
    "gradient_explosion",
    "class_absent",
    "negative_r2",
    "out_of_reach",
    "attention_collapse",
    "literal_one_class",
    "literal_zero_f1",
    "literal_gradient_norm",
]
"""What the rules say of a report, in a word: a warning, or the rule that stops."""

WORDS: Final[Mapping[Condition, str]] = {
    "healthy": "were healthy",
    "narrow": "never predicted some class",
    "shaky": "had leaping or skipped gradients",
    "constant": "answered nearly every recording with the same number",
    "one_class": "gave nearly every recording the same class",
    "one_class_stalled": "gave nearly every recording the same class while their loss stood still",
    "class_collapse": "met the rule class_collapse",
    "regression_collapse": "met the rule regression_collapse",
    "gradient_explosion": "met the rule gradient_explosion",
    "class_absent": "met the rule class_absent",
    "negative_r2": "met the rule negative_r2",
    "out_of_reach": "met the rule out_of_reach",
    "attention_collapse": "met the rule attention_collapse",
    "literal_one_class": "met the rule literal_one_class",
    "literal_zero_f1": "met the rule literal_zero_f1",
    "literal_gradient_norm": "met the rule literal_gradient_norm",
}
QUARTERS: Final = ("first", "second", "third", "last")

SELDOM: Final = 0.05
"""A run is stopped by odds when even the upper bound of its chance to end well lies below this."""
OFTEN: Final = 0.2
"""A rule's stop is held back when even the lower bound lies above this: one run in five is too many to lose."""
ONE_CLASS: Final = 0.98
"""Share of recordings in the largest predicted class from which a warning of `class_collapse` means one class."""
REMEMBERED: Final = 1000
"""Latest runs that are counted: what the study does now matters, and a count stays cheap."""


@dataclass(frozen=True, slots=True, order=True)
class State:
    """A run at an age, coarse enough to meet again."""

    condition: Condition
    quarter: int
    """0 to 3: of the time that the term concerned is trained in this run, which quarter this is."""

    def to_json(self) -> str:
        """`one_class@2`."""
        return f"{self.condition}@{self.quarter}"

    @classmethod
    def from_json(cls, text: str) -> Self:
        """The state that `to_json` wrote."""
        condition, quarter = text.split("@")
        return cls(cast("Condition", condition), int(quarter))

    def __str__(self) -> str:
        return f"{WORDS[self.condition]} in the {QUARTERS[self.quarter]} quarter of their training"


def state_of(report: EpochReport, verdicts: Sequence[Verdict], length: int | None) -> State:
    """The state of a run at its last report, of which the rules say `verdicts`; `length` is the epochs it will train.

    The age is that of the term concerned (the classes' where none is), which a later phase may have begun late. A run
    of unknown length is always in its first quarter: it then shares one state with all ages.
    """
    condition, term = _condition(verdicts)
    age = max(1, report.active.get(term, report.epoch))
    whole = age + max(0, length - report.epoch) if length is not None else 4 * age
    return State(condition, min(3, 4 * (age - 1) // whole))


def _condition(verdicts: Sequence[Verdict]) -> tuple[Condition, str]:
    """The worst of what the rules say, with the term it is about."""
    stop = next((verdict for verdict in verdicts if verdict.level != "warn"), None)
    if stop is not None and stop.rule in WORDS:
        return cast("Condition", stop.rule), str(stop.evidence.get("term", "class"))
    warned = {verdict.rule: verdict for verdict in verdicts if verdict.level != "stop"}
    collapse, constant = warned.get("class_collapse"), warned.get("regression_collapse")
    if collapse is not None and float(collapse.evidence.get("largest_share", 0.0)) >= ONE_CLASS:
        stalled = any(each.rule == "term_not_falling" and each.evidence.get("term") == "class" for each in verdicts)
        return ("one_class_stalled" if stalled else "one_class"), "class"
    if constant is not None:
        return "constant", str(constant.evidence["term"])
    if {"gradient_explosion", "non_finite"} & warned.keys():
        return "shaky", "class"
    return ("narrow" if collapse is not None or "class_absent" in warned else "healthy"), "class"


@dataclass(frozen=True, slots=True)
class Chance:
    """Of `runs` in a state, `good` ended well."""

    good: int
    runs: int

    @property
    def interval(self) -> tuple[float, float]:
        """95 % interval of the share that ends well."""
        return share_interval(self.good, self.runs)

    def __str__(self) -> str:
        low, high = self.interval
        return f"{self.good} of {self.runs} (95 % interval {low:.0%} to {high:.0%})"


@lru_cache(maxsize=4096)
def share_interval(hits: int, total: int) -> tuple[float, float]:
    """95 % interval of a share of which `hits` of `total` were seen: Jeffreys, the posterior Beta(1/2, 1/2) + counts.

    Its ends are 0 and 1 where no, and every, run was a hit (Brown, Cai and DasGupta 2001); without any, it is (0, 1).
    """
    from scipy.special import betaincinv

    low = float(betaincinv(hits + 0.5, total - hits + 0.5, 0.025)) if hits else 0.0
    return low, float(betaincinv(hits + 0.5, total - hits + 0.5, 0.975)) if hits < total else 1.0


class Odds:
    """The runs of a study whose end is known, and what they say about a run in a state.

    A run ended well when its objective lies at least half way from the trivial `baseline` to the best of the runs known
    here, or, where no baseline is known, is at least as good as their median. Both move as the study goes on, and the
    counts with them.
    """

    def __init__(self, direction: Literal["maximize", "minimize"], baseline: float | None = None) -> None:
        self._sign = 1 if direction == "maximize" else -1
        self._baseline = None if baseline is None else self._sign * baseline
        self._ended: deque[tuple[float, frozenset[State]]] = deque()
        """Latest runs: objective, larger being better, minus infinity where it broke; states."""
        self._all: list[float] = []
        """Their objectives, ascending."""
        self._by_state: dict[State, list[float]] = {}
        """The same, of the runs that were in a state: counting is then a search in it, whatever is good by now."""
        self._bar = math.inf
        """What a run must reach to have ended well, larger being better; infinity while none did."""

    def learn(self, value: float | None, states: Iterable[State]) -> None:
        """A run has ended with this objective, None for one that broke; `states` are those it was in on its way."""
        seen, reached = frozenset(states), -math.inf if value is None else self._sign * value
        self._ended.append((reached, seen))
        for values in self._lists(seen):
            insort(values, reached)
        if len(self._ended) > REMEMBERED:
            oldest, before = self._ended.popleft()
            for values in self._lists(before):
                del values[bisect_left(values, oldest)]
        self._bar = self._reached_by_good()

    def chance(self, state: State) -> Chance:
        """Of the runs that were in this state, how many ended well."""
        values = self._by_state.get(state, [])
        return Chance(len(values) - bisect_left(values, self._bar), len(values))

    def held(self) -> frozenset[State]:
        """States in which a rule's stop is held back, because runs in it often end well."""
        return frozenset(state for state in self._by_state if self.chance(state).interval[0] > OFTEN)

    def hopeless(self, state: State, epoch: int) -> Verdict | None:
        """A stop by odds alone, once they are sharp; a run without any warning is left to the ranking."""
        if state.condition == "healthy" or (chance := self.chance(state)).interval[1] >= SELDOM:
            return None
        why = f"of the runs that {state}, {chance} ended well"
        evidence: dict[str, float | str] = {"state": state.to_json(), "good": chance.good, "runs": chance.runs}
        evidence |= {"odds": chance.good / chance.runs, "upper": chance.interval[1]}
        return Verdict(level="stop", rule="learned_odds", why=why, epoch=epoch, evidence=evidence)

    def _lists(self, states: frozenset[State]) -> list[list[float]]:
        return [self._all, *(self._by_state.setdefault(state, []) for state in states)]

    def _reached_by_good(self) -> float:
        whole = self._all[bisect_right(self._all, -math.inf) :]
        if not whole:
            return math.inf
        if self._baseline is None:
            return median(whole)
        return (self._baseline + whole[-1]) / 2 if whole[-1] > self._baseline else math.inf
