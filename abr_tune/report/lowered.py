"""What was done instead of stopping: trainings whose learning rate a health rule had lowered."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True, slots=True)
class Lowered:
    """One rule that had learning rates lowered."""

    rule: str
    trials: int
    times: int
    example: int
    """The first trial it happened in ..."""
    epoch: int
    """... after which epoch ..."""
    why: str
    """... and why."""


def lowered_rates(events: Path) -> tuple[Lowered, ...]:
    """By rule, as a run's `events.jsonl` tells it, the most frequent first; a damaged line ends what is told.

    A trial that goes on after a kill has its last report judged again: what was said of an epoch counts once.
    """
    said: dict[tuple[str, int, int], str] = {}
    for event in _interventions(events):
        said.setdefault((event["rule"], event["number"], event["epoch"]), event["why"])
    rows = []
    for rule in dict.fromkeys(rule for rule, _, _ in said):
        own = [(number, epoch, why) for (name, number, epoch), why in said.items() if name == rule]
        rows.append(Lowered(rule, len({number for number, _, _ in own}), len(own), *own[0]))
    return tuple(sorted(rows, key=lambda row: -row.times))


def _interventions(events: Path) -> Iterator[dict[str, Any]]:
    if not events.is_file():
        return
    for line in events.read_text(encoding="utf-8", errors="replace").splitlines():
        try:
            event = json.loads(line)
        except ValueError:
            return
        if isinstance(event, dict) and event.get("level") == "intervene" and _is_whole(event):
            yield event


def _is_whole(event: dict[str, Any]) -> bool:
    """Whether it is what the journal writes of a verdict; the file may come from anybody."""
    numbers, texts = (event.get("number"), event.get("epoch")), (event.get("rule"), event.get("why"))
    return all(type(each) is int for each in numbers) and all(isinstance(each, str) for each in texts)
