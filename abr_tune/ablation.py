"""The way from one configuration to another, one lever at a time, and what each change brought.

Fawcett and Hoos, "Analysing differences between algorithm configurations through ablation", Journal of Heuristics 22,
2016: of the levers in which two configurations differ, the one that brings most is changed first, then of the rest the
one that then brings most, and so on. What a lever brings depends on those changed before it: that is the point.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from abr_tune.repeats import Direction, Interval

Configuration = Mapping[str, Any]
"""Path -> value, complete: the default where nothing else was chosen."""
Told = Literal["helped", "hurt", "nothing told"]
"""Whether a change brought more than runs, or the trees of an estimate, differ by."""


@dataclass(frozen=True, slots=True)
class Lever:
    """Settings that are changed together: one path, or one with those that matter only under it."""

    paths: tuple[str, ...]

    @property
    def name(self) -> str:
        """The paths in one line."""
        return " + ".join(self.paths)


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One change on the way."""

    lever: str
    was: Mapping[str, Any]
    becomes: Mapping[str, Any]
    value: float | None
    """The objective after the change: a mean over seeds, or an estimate."""
    gain: float | None
    """By how much the change improved it; negative where it made it worse."""
    interval: Interval | None
    """95 % interval of the gain between runs; of an estimate the middle nine tenths of its trees."""
    told: Told
    values: tuple[float, ...] = ()
    """The objective on each seed; empty for an estimate."""
    runs: tuple[str, ...] = ()
    """Where these trainings lie, relative to the run folder."""
    raced: Mapping[str, float] = field(default_factory=dict)
    """The levers that were tried at this step -> objective on the first seed, the chosen one among them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ablation:
    """The whole way: the content of `ablation.json`."""

    metric: str
    direction: Direction
    start: str
    """Where it begins: the name of a start point, or `defaults`."""
    end: str
    """Where it leads: the best trial."""
    value: float | None = None
    """The objective at the start."""
    values: tuple[float, ...] = ()
    """On each seed; empty for an estimate."""
    steps: tuple[Step, ...] = ()
    seeds: tuple[int, ...] = ()
    trainings: int = 0
    """Trainings it took; 0: an estimate from the trials of the search."""
    notes: tuple[str, ...] = ()
    absent: str = ""
    """Why there is none."""

    @property
    def estimated(self) -> bool:
        """Whether nothing was trained for it."""
        return self.trainings == 0

    def to_json(self) -> dict[str, Any]:
        """Plain numbers and words."""
        return asdict(self)

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Ablation:
        """What `to_json` wrote."""
        lists = {name: tuple(content[name]) for name in ("values", "seeds", "notes")}
        return cls(**{**content, **lists, "steps": tuple(_step(step) for step in content["steps"])})


def levers_between(start: Configuration, end: Configuration, above: Mapping[str, Sequence[str]]) -> tuple[Lever, ...]:
    """The levers in which two configurations differ, in the order of `end`.

    `above` names, for a path that is searched only under conditions, the paths these are about. One that changes
    together with what it depends on is one lever with it: alone it would change nothing, or something else.
    """
    changed = [path for path in end if start.get(path) != end[path]]
    groups: dict[str, list[str]] = {}
    for path in changed:
        groups.setdefault(_root(path, above, frozenset(changed)), []).append(path)
    return tuple(Lever((head, *(path for path in paths if path != head))) for head, paths in groups.items())


def with_lever(configuration: Configuration, lever: Lever, end: Configuration) -> dict[str, Any]:
    """The configuration with one lever set as at the end."""
    return {**configuration, **{path: end[path] for path in lever.paths}}


def together(levers: Sequence[Lever]) -> Lever:
    """Several levers as one."""
    return Lever(tuple(path for lever in levers for path in lever.paths))


def greedy(
    start: Configuration,
    end: Configuration,
    levers: Sequence[Lever],
    promise: Callable[[Sequence[Configuration]], Sequence[float]],
) -> tuple[Lever, ...]:
    """The levers in the order in which each, added to those before it, promises most; equal ones as they are given."""
    here, left, found = dict(start), list(levers), []
    while left:
        promises = promise([with_lever(here, lever, end) for lever in left])
        best = max(range(len(left)), key=lambda index: (promises[index], -index))
        here = with_lever(here, left[best], end)
        found.append(left.pop(best))
    return tuple(found)


def told(gain: float | None, interval: Interval | None) -> Told:
    """What an interval says of a gain; without one nothing is told."""
    if gain is None or interval is None:
        return "nothing told"
    low, high = interval
    return "helped" if low > 0 else "hurt" if high < 0 else "nothing told"


def _root(path: str, above: Mapping[str, Sequence[str]], changed: frozenset[str]) -> str:
    """The changed path highest above this one."""
    for parent in above.get(path, ()):
        if parent in changed:
            return _root(parent, above, changed)
    return path


def _step(content: Mapping[str, Any]) -> Step:
    interval = content["interval"]
    pair = None if interval is None else (interval[0], interval[1])
    return Step(**{**content, "interval": pair, "values": tuple(content["values"]), "runs": tuple(content["runs"])})
