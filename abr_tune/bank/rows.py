"""Epoch reports as rows of one long table, and back without a loss.

| row | what it is |
|---|---|
| `val/class/f1_macro` | a metric of the report, under its own name |
| `health/loss/class` | a health signal |
| `active/class` | epochs for which the term has been trained |
| `phase/all` | the name of the phase; the value is 1 |
| `absent/val/x: why` | a metric that could not be computed, and the reason; the value is 1 |
| `seconds` | wall time of the epoch |

Reports from within an epoch that broke off have no scores: they stand in `bank.json`, not here.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final

import pyarrow as pa

from core.report import EpochReport

HEALTH: Final = "health/"
ACTIVE: Final = "active/"
PHASE: Final = "phase/"
ABSENT: Final = "absent/"
SECONDS: Final = "seconds"
RESERVED: Final = (HEALTH, ACTIVE, PHASE, ABSENT)

SCHEMA: Final = pa.schema(
    [
        ("trial", pa.int32()),
        ("seed", pa.int64()),
        ("epoch", pa.int32()),
        ("metric", pa.dictionary(pa.int32(), pa.string())),
        ("value", pa.float64()),
    ]
)


def table_of(trial: int, seed: int, reports: Sequence[EpochReport]) -> pa.Table:
    """The whole epochs of one trial.

    Raises `ValueError` for a metric whose name would be taken for something else.
    """
    rows = [(report.epoch, name, value) for report in reports if report.complete for name, value in _rows(report)]
    return pa.table(
        {
            "trial": [trial] * len(rows),
            "seed": [seed] * len(rows),
            "epoch": [epoch for epoch, _, _ in rows],
            "metric": pa.array([name for _, name, _ in rows], pa.string()).dictionary_encode(),
            "value": [float(value) for _, _, value in rows],
        },
        schema=SCHEMA,
    )


def reports_of(table: pa.Table) -> dict[int, list[EpochReport]]:
    """Trial -> its whole epochs in order. Raises `ValueError` for a row that is none of ours."""
    found: dict[int, dict[int, dict[str, Any]]] = {}
    columns = (table.column(name).to_pylist() for name in ("trial", "epoch", "metric", "value"))
    for trial, epoch, name, value in zip(*columns, strict=True):
        parts = found.setdefault(trial, {}).setdefault(epoch, {"metrics": {}, "health": {}, "active": {}, "absent": {}})
        _put(parts, name, value)
    return {
        trial: [_report(trial, epoch, parts) for epoch, parts in sorted(epochs.items())]
        for trial, epochs in sorted(found.items())
    }


def _rows(report: EpochReport) -> Iterator[tuple[str, float]]:
    for name, value in report.metrics.items():
        if name.startswith(RESERVED) or name == SECONDS:
            raise ValueError(f"a bank cannot hold a metric called {name}: the name stands for something else there")
        yield name, value
    yield from ((HEALTH + name, value) for name, value in report.health.items())
    yield from ((ACTIVE + term, float(epochs)) for term, epochs in report.active.items())
    yield from ((f"{ABSENT}{name}: {why}", 1.0) for name, why in report.absent.items())
    yield PHASE + report.phase, 1.0
    yield SECONDS, report.seconds


def _put(parts: dict[str, Any], name: str, value: float) -> None:
    if name.startswith(HEALTH):
        parts["health"][name.removeprefix(HEALTH)] = value
    elif name.startswith(ACTIVE):
        parts["active"][name.removeprefix(ACTIVE)] = int(value)
    elif name.startswith(ABSENT):
        metric, _, why = name.removeprefix(ABSENT).partition(": ")
        parts["absent"][metric] = why
    elif name.startswith(PHASE):
        parts["phase"] = name.removeprefix(PHASE)
    elif name == SECONDS:
        parts["seconds"] = value
    else:
        parts["metrics"][name] = value


def _report(trial: int, epoch: int, parts: dict[str, Any]) -> EpochReport:
    if "phase" not in parts:
        raise ValueError(f"epoch {epoch} of trial {trial} has no phase")
    return EpochReport(epoch=epoch, **parts)
