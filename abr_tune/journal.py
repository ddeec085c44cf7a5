"""`events.jsonl`: everything that happened in a run, one JSON object a line."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from abr_tune.search.events import (
    AlarmRaised,
    EpochDone,
    Event,
    Listener,
    TrialFinished,
    TrialPaused,
    TrialStarted,
    VerdictGiven,
)
from abr_tune.trial import plain


def entry(event: Event) -> dict[str, Any]:
    """One event as the journal writes it, without its time."""
    match event:
        case TrialStarted():
            return {"event": "trial_started"} | asdict(event)
        case EpochDone(number, report, value):
            return {"event": "epoch", "number": number, "epoch": report.epoch, "phase": report.phase, "value": value}
        case VerdictGiven(number, verdict):
            said = asdict(verdict) | {"evidence": plain(verdict.evidence)}
            return {"event": "verdict", "number": number} | said
        case TrialPaused():
            return {"event": "trial_paused"} | asdict(event)
        case AlarmRaised():
            return {"event": "alarm"} | asdict(event)
        case TrialFinished(record):
            kept = {name: value for name, value in asdict(record).items() if name not in {"metrics", "params"}}
            return {"event": "trial_finished"} | kept


@contextmanager
def journal(path: Path) -> Iterator[Listener]:
    """A listener that appends events to `path`, each line whole on disk before the next event."""
    with path.open("a", encoding="utf-8", buffering=1) as file:

        def write(event: Event) -> None:
            stamped = {"time": datetime.now(UTC).isoformat(timespec="milliseconds")} | entry(event)
            file.write(json.dumps(stamped, ensure_ascii=False, default=str) + "\n")

        yield write
