"""Which trials are drawn where there are too many to draw."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from abr_tune.front import front
from abr_tune.report.data import ReportData
from abr_tune.search.events import TrialRecord


@dataclass(frozen=True, slots=True)
class Thinned:
    """The trials that are drawn, by number."""

    records: tuple[TrialRecord, ...]
    of: int

    @property
    def said(self) -> str:
        """What the page says of it; nothing when all are drawn."""
        if len(self.records) == self.of:
            return ""
        return (
            f"{len(self.records):,} of {self.of:,} trials are drawn: the best, each that was best in its time, start "
            "points, and an even share of the rest."
        )


def thinned(data: ReportData, records: Sequence[TrialRecord], most: int) -> Thinned:
    """At most about `most` of the records: those a reader looks for, and an even share of the others.

    Those looked for are at most half of them; so many start points or leaders are thinned evenly too.
    """
    if len(records) <= most:
        return Thinned(tuple(records), len(records))
    wanted = set(_notable(data))
    notable = _even([record for record in records if record.number in wanted], most // 2)
    best = [data.best] if data.best is not None else []
    others = _even([record for record in records if record.number not in wanted], most - len(notable))
    kept = {record.number: record for record in (*notable, *others, *best)}
    return Thinned(tuple(kept[number] for number in sorted(kept)), len(records))


def _notable(data: ReportData) -> Iterator[int]:
    best = None
    sign = 1 if data.objective.direction == "maximize" else -1
    for record in data.trials:
        value = record.value if record.state == "complete" else None
        ahead = value is not None and (best is None or sign * value > sign * best)
        best = value if ahead else best
        if ahead or record.name is not None:
            yield record.number
    if len(data.objectives) > 1:
        yield from (record.number for record in front(data.trials, data.objectives))


def _even(records: Sequence[TrialRecord], most: int) -> list[TrialRecord]:
    """`most` of the records at equal distances, the first and the last among them."""
    if len(records) <= most:
        return list(records)
    if most <= 1:
        return list(records[:most])
    step = (len(records) - 1) / (most - 1)
    return [records[round(index * step)] for index in range(most)]
