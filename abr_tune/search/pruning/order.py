"""Which of several trials is better: by one objective its value, by several non-domination and then room around it."""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from abr_tune.search.observation import Values
from core.tasks.task import Objective

Key = tuple[float, ...]
"""Smaller is better: the violation of the constraints first, so that infeasible trials come behind feasible ones."""
Floats = NDArray[np.float64]
Integers = NDArray[np.int_]


def losses(values: Values, objectives: Sequence[Objective]) -> Values:
    """The objectives turned so that smaller is better."""
    return tuple(
        -value if objective.direction == "maximize" else value
        for value, objective in zip(values, objectives, strict=True)
    )


def dominates(one: Values, other: Values) -> bool:
    """Whether `one` is nowhere worse and somewhere better; both as losses."""
    return one != other and all(a <= b for a, b in zip(one, other, strict=True))


def fronts(points: Sequence[Values]) -> list[int]:
    """For each point (losses) the front it lies in: 0 for those no other dominates, 1 without these, and so on.

    Two objectives: each front is peeled off in one pass. More: efficient non-dominated sorting with binary search over
    the fronts, Zhang et al. 2015 (IEEE TEVC 19-2).
    """
    if not points:
        return []
    # Sorted by the first objective, then by the next; equal points share a front.
    unique, place = np.unique(np.array(points, dtype=float), axis=0, return_inverse=True)
    ranks = _peeled(unique[:, -1]) if unique.shape[1] <= 2 else _searched(unique)
    found: list[int] = ranks[place.ravel()].tolist()
    return found


def _peeled(last: Floats) -> Integers:
    """The fronts of different points of two objectives: their last objective, in the order of the first."""
    ranks = np.empty(len(last), dtype=int)
    left, rank = np.arange(len(last)), 0
    while len(left):
        best = np.minimum.accumulate(last[left])
        free = np.r_[True, last[left][1:] < best[:-1]]
        ranks[left[free]] = rank
        left, rank = left[~free], rank + 1
    return ranks


def _searched(points: Floats) -> Integers:
    """The fronts of different points in the order of their first objective."""
    ranks = np.empty(len(points), dtype=int)
    members: list[list[int]] = []
    for index, point in enumerate(points):
        low, high = 0, len(members)
        while low < high:
            middle = (low + high) // 2
            if (points[members[middle]] <= point).all(axis=1).any():
                low = middle + 1
            else:
                high = middle
        if low == len(members):
            members.append([])
        members[low].append(index)
        ranks[index] = low
    return ranks


def crowding(points: Sequence[Values]) -> list[float]:
    """The room around each point of one front: the distance of its neighbours, summed over the objectives.

    Deb et al. 2002 (NSGA-II), each objective scaled to its range; the ends of the front have infinite room.
    """
    room = np.zeros(len(points))
    for side in np.array(points, dtype=float).T if len(points) else ():
        order = np.argsort(side, kind="stable")
        sorted_, span = side[order], side[order[-1]] - side[order[0]]
        if span:
            room[order[1:-1]] += (sorted_[2:] - sorted_[:-2]) / span
        room[order[[0, -1]]] = np.inf
    found: list[float] = room.tolist()
    return found


class Level:
    """Trials that reached the same age, from the best to the worst; equal ones in the order of their numbers.

    Some of them wait there. With one objective a trial finds its place in log n; with several the order is made anew
    when somebody asks after a change.
    """

    def __init__(self, objectives: Sequence[Objective]) -> None:
        self._objectives = objectives
        self._marks: dict[int, Key] = {}
        """Trial -> violation and losses."""
        self._keys: dict[int, Key] = {}
        self._ranked: list[Key] = []
        """Key and number of each trial, sorted."""
        self._waiting: list[Key] = []
        """The same of those that wait."""
        self.waiting: set[int] = set()
        """Trials that wait here; changed by `wait` and `go_on` alone."""
        self._stale = False

    def __len__(self) -> int:
        return len(self._marks)

    def __contains__(self, number: int) -> bool:
        return number in self._marks

    def put(self, number: int, values: Values, violation: float) -> None:
        """Let a trial in; its violation and finite objectives at this age."""
        self.drop(number)
        mark = self._marks[number] = (violation, *losses(values, self._objectives))
        if len(self._objectives) == 1:
            self._keys[number] = mark
            insort(self._ranked, (*mark, number))
        else:
            self._stale = True

    def drop(self, number: int) -> None:
        """Forget a trial, if it is here."""
        if number not in self._marks:
            return
        self.go_on(number)
        del self._marks[number]
        if len(self._objectives) == 1:
            _remove(self._ranked, (*self._keys.pop(number), number))
        else:
            self._stale = True

    def wait(self, number: int) -> None:
        """A trial that is here waits from now on."""
        if number not in self.waiting:
            self.waiting.add(number)
            if not self._stale:
                insort(self._waiting, (*self._keys[number], number))

    def go_on(self, number: int) -> None:
        """A trial waits no longer, if it did."""
        if number in self.waiting:
            self.waiting.discard(number)
            if not self._stale:
                _remove(self._waiting, (*self._keys[number], number))

    def mark(self, number: int) -> Key:
        """Violation and losses of a trial."""
        return self._marks[number]

    def key(self, number: int) -> Key:
        """What a trial is ranked by: the smaller, the better."""
        self._refresh()
        return self._keys[number]

    def ahead(self, number: int) -> int:
        """How many trials are strictly better."""
        own = self.key(number)
        return bisect_left(self._ranked, own)

    def nth(self, place: int) -> int:
        """The trial at a place, counted from 0."""
        self._refresh()
        return int(self._ranked[place][-1])

    def order(self) -> Iterator[int]:
        """The trials, best first."""
        self._refresh()
        return (int(ranked[-1]) for ranked in self._ranked)

    def first(self, places: int | None = None) -> int | None:
        """The best of those that wait, if it is one of the best `places` trials (None: wherever it stands)."""
        self._refresh()
        if not self._waiting or (places is not None and bisect_left(self._ranked, self._waiting[0]) >= places):
            return None
        return int(self._waiting[0][-1])

    def _refresh(self) -> None:
        """Rank anew by violation, front and room, the feasible ones and each group of equal violation by itself."""
        if not self._stale:
            return
        self._stale = False
        groups: dict[float, list[int]] = {}
        # In the order of the numbers, so that equal trials share the room alike whoever came first.
        for number, mark in sorted(self._marks.items()):
            groups.setdefault(mark[0], []).append(number)
        self._keys = {}
        for violation, numbers in groups.items():
            members: dict[int, list[int]] = {}
            for number, rank in zip(numbers, fronts([self._marks[each][1:] for each in numbers]), strict=True):
                members.setdefault(rank, []).append(number)
            for rank, front in members.items():
                room = crowding([self._marks[number][1:] for number in front])
                self._keys |= {number: (violation, rank, -space) for number, space in zip(front, room, strict=True)}
        self._ranked = sorted((*key, number) for number, key in self._keys.items())
        self._waiting = sorted((*self._keys[number], number) for number in self.waiting)


def _remove(ranked: list[Key], key: Key) -> None:
    del ranked[bisect_left(ranked, key)]
