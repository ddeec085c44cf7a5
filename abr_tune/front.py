"""Which trials no other one beats: the best by one objective, the Pareto front by several."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from abr_tune.search.events import TrialRecord
from core.tasks.task import Objective


def values_of(record: TrialRecord) -> tuple[float, ...]:
    """The objectives of a trial that ran to its end; empty for any other."""
    if record.state != "complete" or record.value is None:
        return ()
    return record.values or (record.value,)


def covers(one: Sequence[float], other: Sequence[float], objectives: Sequence[Objective]) -> bool:
    """Whether `one` is at least as good as `other` in every objective."""
    signs = (1 if objective.direction == "maximize" else -1 for objective in objectives)
    return all(sign * a >= sign * b for sign, a, b in zip(signs, one, other, strict=True))


def front(records: Iterable[TrialRecord], objectives: Sequence[Objective]) -> list[TrialRecord]:
    """The feasible complete trials that no other one covers; of equal ones the first. Two objectives: n log n.

    The leader by the first objective comes first.
    """
    signs = [1 if objective.direction == "maximize" else -1 for objective in objectives]
    able = [record for record in records if record.feasible and len(values_of(record)) == len(objectives)]
    able.sort(key=lambda record: [-sign * value for sign, value in zip(signs, values_of(record), strict=True)])
    kept: list[TrialRecord] = []
    for record in able:
        # Sorted by the first objective, so with two only the last one kept can cover the next.
        rivals = kept[-1:] if len(objectives) <= 2 else kept
        if not any(covers(values_of(rival), values_of(record), objectives) for rival in rivals):
            kept.append(record)
    return kept
