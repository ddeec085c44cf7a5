"""Several objectives: which trials no other one beats."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

from abr_tune.front import front, values_of
from abr_tune.report.data import ReportData
from abr_tune.report.wording import number

Standing = Literal["front", "dominated", "infeasible"]
STANDINGS: Final[dict[Standing, str]] = {
    "front": "on the front",
    "dominated": "another is as good or better in every objective",
    "infeasible": "misses a constraint",
}


@dataclass(frozen=True, slots=True)
class ParetoRow:
    """A complete trial among several objectives."""

    trial: int
    name: str
    values: tuple[float, ...]
    standing: Standing
    missed: tuple[str, ...]
    """Constraints it misses, and by how much."""


def pareto_rows(data: ReportData) -> tuple[ParetoRow, ...]:
    """Complete trials, those on the front first, by their first objective; none where there is one objective."""
    if len(data.objectives) < 2:
        return ()
    able = [record for record in data.trials if len(values_of(record)) == len(data.objectives)]
    leading = {record.number: place for place, record in enumerate(front(able, data.objectives))}
    rows = [
        ParetoRow(
            record.number,
            record.name or "",
            values_of(record),
            "front" if record.number in leading else "dominated" if record.feasible else "infeasible",
            tuple(f"{name} by {number(by)}" for name, by in record.violations.items() if by > 0),
        )
        for record in able
    ]
    return tuple(sorted(rows, key=lambda row: (leading.get(row.trial, len(rows)), row.trial)))
