"""`events.jsonl`: everything that happened in a run, one JSON object a line."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from abr_tune.search.events import (
    AlarmRaised,
    EpochDone,
    Event,
    Listener,
    TrialFinished,
    TrialPaused,
    TrialStarted,
    VerdictGiven,
    Warned,
)
from abr_tune.trial import plain

NAMES: Final[Mapping[type[Event], str]] = {
    TrialStarted: "trial_started",
    Warned: "warning",
    TrialPaused: "trial_paused",
    AlarmRaised: "alarm",
}
"""What events are called whose entry is all they hold."""


def entry(event: Event) -> dict[str, Any]:
    """One event as the journal writes it, without its time."""
    match event:
        case TrialStarted() | Warned() | TrialPaused() | AlarmRaised():
            return {"event": NAMES[type(event)]} | asdict(event)
        case EpochDone(number, report, value):
            return {"event": "epoch", "number": number, "epoch": report.epoch, "phase": report.phase, "value": value}
        case VerdictGiven(number, verdict):
            said = asdict(verdict) | {"evidence": plain(verdict.evidence)}
            return {"event": "verdict", "number": number} | said
        case TrialFinished(record):
            kept = {name: value for name, value in asdict(record).items() if name not in {"metrics", "params"}}
            return {"event": "trial_finished"} | kept


def cut_torn_line(path: Path) -> None:
    """Shorten a file of lines to those that are whole."""
    if not path.exists():
        return
    with path.open("r+b") as file:
        content = file.read()
        whole = content.rfind(b"\n") + 1
        if whole < len(content):
            file.truncate(whole)


@contextmanager
def journal(path: Path) -> Iterator[Listener]:
    """A listener that appends events to `path`, each line whole on disk before the next event.

    A last line that a full disk or a kill has torn is cut off first.
    """
    cut_torn_line(path)
    with path.open("a", encoding="utf-8", buffering=1) as file:

        def write(event: Event) -> None:
            stamped = {"time": datetime.now(UTC).isoformat(timespec="milliseconds")} | entry(event)
            file.write(json.dumps(stamped, ensure_ascii=False, default=str) + "\n")

        yield write
