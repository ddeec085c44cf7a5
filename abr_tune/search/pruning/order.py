"""Which of several trials is better: by one objective its value, by several non-domination and then room around it."""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Container, Iterator, Sequence
from itertools import islice
from typing import Final

from abr_tune.search.observation import Values
from core.tasks.task import Objective

Key = tuple[float, ...]
"""Smaller is better: the violation of the constraints first, so that infeasible trials come behind feasible ones."""
INFINITE: Final = float("inf")


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

    Efficient non-dominated sorting with binary search, Zhang et al. 2015 (IEEE TEVC 19-2); n log n for two objectives.
    """
    found = [0] * len(points)
    members: list[list[Values]] = []
    for index in sorted(range(len(points)), key=lambda i: points[i]):
        low, high = 0, len(members)
        while low < high:
            middle = (low + high) // 2
            # Sorted by the first objective: with two, the latest member has the smallest second.
            rivals = members[middle][-1:] if len(points[index]) <= 2 else members[middle]
            if any(dominates(rival, points[index]) for rival in rivals):
                low = middle + 1
            else:
                high = middle
        found[index] = low
        if low == len(members):
            members.append([])
        members[low].append(points[index])
    return found


def crowding(points: Sequence[Values]) -> list[float]:
    """The room around each point of one front: the distance of its neighbours, summed over the objectives.

    Deb et al. 2002 (NSGA-II), each objective scaled to its range; the ends of the front have infinite room.
    """
    room = [0.0] * len(points)
    for side in range(len(points[0]) if points else 0):
        order = sorted(range(len(points)), key=lambda i: points[i][side])
        span = points[order[-1]][side] - points[order[0]][side]
        room[order[0]] = room[order[-1]] = INFINITE
        for before, here, after in zip(order, order[1:], order[2:], strict=False):
            room[here] += (points[after][side] - points[before][side]) / span if span else 0.0
    return room


class Level:
    """Trials that reached the same age, from the best to the worst; equal ones in the order of their numbers.

    With one objective a trial finds its place in log n; with several the order is made anew when somebody asks.
    """

    def __init__(self, objectives: Sequence[Objective]) -> None:
        self._objectives = objectives
        self._marks: dict[int, Key] = {}
        """Trial -> violation and losses."""
        self._keys: dict[int, Key] = {}
        self._ranked: list[Key] = []
        """Key and number of each trial, sorted."""
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
        del self._marks[number]
        if len(self._objectives) == 1:
            del self._ranked[bisect_left(self._ranked, (*self._keys.pop(number), number))]
        else:
            self._stale = True

    def mark(self, number: int) -> Key:
        """Violation and losses of a trial."""
        return self._marks[number]

    def key(self, number: int) -> Key:
        """What a trial is ranked by: the smaller, the better."""
        self._refresh()
        return self._keys[number]

    def ahead(self, number: int) -> int:
        """How many trials are strictly better."""
        return bisect_left(self._ranked, self.key(number))

    def ahead_of(self, key: Key) -> int:
        """How many trials are strictly better than somebody with this key."""
        self._refresh()
        return bisect_left(self._ranked, key)

    def nth(self, place: int) -> int:
        """The trial at a place, counted from 0."""
        self._refresh()
        return int(self._ranked[place][-1])

    def order(self) -> Iterator[int]:
        """The trials, best first."""
        self._refresh()
        return (int(ranked[-1]) for ranked in self._ranked)

    def first(self, among: Container[int], places: int) -> int | None:
        """The best of `among` if it is one of the best `places` trials."""
        return next((number for number in islice(self.order(), max(0, places)) if number in among), None)

    def _refresh(self) -> None:
        """Rank anew by violation, front and room, the feasible ones and each group of equal violation by itself."""
        if not self._stale:
            return
        self._stale = False
        groups: dict[float, list[int]] = {}
        # In the order of the numbers, so that equal trials share the room alike whoever came first.
        for number, mark in sorted(self._marks.items()):
            groups.setdefault(mark[0], []).append(number)
        self._keys.clear()
        for violation, numbers in groups.items():
            front = fronts([self._marks[number][1:] for number in numbers])
            for rank in set(front):
                members = [number for number, own in zip(numbers, front, strict=True) if own == rank]
                room = crowding([self._marks[number][1:] for number in members])
                for number, space in zip(members, room, strict=True):
                    self._keys[number] = (violation, rank, -space)
        self._ranked = sorted((*key, number) for number, key in self._keys.items())
