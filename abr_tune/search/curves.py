"""What trials report on their way to the storage: kept here until it is written, about once a second."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from sqlalchemy.orm import Session

from abr_tune.search.fidelity import Point
from abr_tune.search.rows import write_points


@dataclass(slots=True)
class _Unwritten:
    """Values of one trial that are not yet in the storage."""

    rewind: int | None = None
    """Values from this epoch on belong to an earlier attempt and are deleted first."""
    points: dict[int, Point] = field(default_factory=dict)


class Curves:
    """The curves of the trials that have not ended, by trial; each whole, and what of it is not yet written."""

    def __init__(self) -> None:
        self._whole: dict[int, dict[int, Point]] = {}
        """Trial -> epoch -> point."""
        self._unwritten: dict[int, _Unwritten] = {}

    @property
    def unwritten(self) -> list[int]:
        """Trials of which something is to be written."""
        return list(self._unwritten)

    def known(self, number: int, points: Iterable[Point]) -> None:
        """What the storage has of a trial."""
        self._whole[number] = {point.epoch: point for point in points}

    def add(self, number: int, point: Point) -> None:
        """A trial has reported."""
        self._unwritten.setdefault(number, _Unwritten()).points[point.epoch] = point
        self._whole.setdefault(number, {})[point.epoch] = point

    def rewind(self, number: int, epoch: int) -> None:
        """What a trial had from `epoch` on is deleted."""
        unwritten = self._unwritten.setdefault(number, _Unwritten())
        unwritten.rewind = epoch if unwritten.rewind is None else min(epoch, unwritten.rewind)
        unwritten.points = {known: point for known, point in unwritten.points.items() if known < epoch}
        whole = self._whole.get(number, {})
        self._whole[number] = {known: point for known, point in whole.items() if known < epoch}

    def write(self, session: Session, number: int, trial_id: int, *, again: bool) -> None:
        """Write what is new of a trial, whose id in Optuna is `trial_id`; `again` as for `write_points`."""
        if (new := self._unwritten.get(number)) is not None:
            whole = self._whole.get(number, {})
            write_points(session, trial_id, new.points, rewind=new.rewind, curve=whole, again=again)

    def written(self, numbers: Iterable[int]) -> None:
        """The transaction that wrote these trials has been committed."""
        for number in numbers:
            self._unwritten.pop(number, None)

    def ended(self, numbers: Iterable[int]) -> None:
        """The same, and nothing more will come of them."""
        for number in numbers:
            self._unwritten.pop(number, None)
            self._whole.pop(number, None)
