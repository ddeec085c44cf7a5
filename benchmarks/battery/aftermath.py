"""What a run left behind, and how it differs from the same run that nobody disturbed."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from abr_tune.plan import yaml
from abr_tune.runs import RunFolder
from abr_tune.search.archive import read_records, storage_of, stored_trials
from abr_tune.search.events import TrialRecord
from benchmarks.battery.lives import Lives, left_running

SAID: Final = ("number", "name", "state", "value", "values", "pruned_by", "why", "epochs", "violations")
"""Of what an event says of a finished trial: it must be in the study for ever."""


@dataclass(frozen=True, kw_only=True)
class Story:
    """A run that has ended."""

    run: Path
    code: int
    """Of its last command."""
    records: tuple[TrialRecord, ...]
    histories: Mapping[str, str]
    """Folder below the run's -> its history, of trials and confirmations."""
    summary: Mapping[str, Any]
    claims: Mapping[str, Any]
    """What `best.yaml` says, except when and where it was made."""
    begins: float = 0.0
    """Seconds from the command to its first event."""
    ends: float = 0.0
    """Seconds from the last event of the search to the command's end."""

    @classmethod
    def of(cls, lives: Lives) -> Story:
        """Let a run live to its end and read what came of it."""
        began = time.time()
        code = lives.live()
        over = time.time()
        run = RunFolder(lives.run)
        times = [_seconds(said["time"]) for said in lives.events()]
        return cls(
            run=run.path,
            code=code,
            records=tuple(read_records(run.path)),
            histories={
                str(path.parent.relative_to(run.path)): path.read_text(encoding="utf-8")
                for kind in ("trials", "confirm")
                for path in sorted((run.path / kind).glob("*/history.jsonl"))
            },
            summary=run.read_summary() or {},
            claims=_claims(run.best_config),
            begins=max(0.0, times[0] - began) if times else 0.0,
            ends=max(0.0, over - times[-1]) if times else 0.0,
        )


def _claims(file: Path) -> Mapping[str, Any]:
    """What a `best.yaml` says, except where and when it was made; nothing where there is none."""
    if not file.is_file():
        return {}
    best: dict[str, Any] = dict(yaml.read(file).data)
    kept = ("trial", "epochs", "confirmed", "finalists")
    best["provenance"] = {key: best["provenance"].get(key) for key in kept}
    return {key: value for key, value in best.items() if key != "code"}


@dataclass(frozen=True, kw_only=True)
class Counts:
    """How often each promise was broken in one run that was killed again and again."""

    zombies: int
    """Trials that nobody will end."""
    processes: int
    """That outlived the last command."""
    temporary: int
    """Folders that were left lying."""
    twice: int
    """Numbers that two trials have, that none has, or that ended twice."""
    lost: int
    """Of the trials whose end was said before a kill: not in the study as it was said."""
    holes: int
    """Histories or curves that miss an epoch or have one twice."""
    budget: int
    """Trials and epochs more or fewer than in peace."""
    otherwise: int
    """Trials, confirmations or results that came out otherwise than in peace."""
    acknowledged: int
    """Trials whose end was said."""

    @property
    def faultless(self) -> bool:
        """Whether every promise was kept."""
        return not any(getattr(self, each.name) for each in fields(self) if each.name != "acknowledged")


def held_against(lives: Lives, whole: Story, *, alike: bool) -> Counts:
    """Let a killed run live to its end, and hold it against one left in peace.

    `alike`: nothing at all may differ; otherwise only the counts must be the same, as with several workers.
    """
    last = Story.of(lives)
    said = [event for event in lives.events() if event["event"] == "trial_finished"]
    running = left_running(lives)
    return Counts(
        zombies=sum(record.state in {"running", "waiting"} for record in last.records),
        processes=len(running),
        temporary=len(lives.left_lying()),
        twice=_twice(last.records, said),
        lost=sum(_lost(event, last.records) for event in said),
        holes=_holes(last),
        budget=_over_budget(last, whole, alike=alike),
        otherwise=_otherwise(last, whole) if alike else int(last.code != whole.code),
        acknowledged=len(said),
    )


def happened(counts: Sequence[Counts]) -> str:
    """The counts of several runs together, in words."""

    def total(name: str) -> int:
        return sum(getattr(each, name) for each in counts)

    zombies = total("zombies") + total("processes") + total("temporary")
    return (
        f"{zombies} zombies ({total('processes')} processes, {total('temporary')} temporary folders), "
        f"{total('twice')} numbers twice, {total('lost')} of {total('acknowledged')} acknowledged lost, "
        f"budget off by {total('budget')}, {total('holes')} holes, {total('otherwise')} things otherwise"
    )


def _twice(records: Sequence[TrialRecord], said: Iterable[Mapping[str, Any]]) -> int:
    numbers = Counter(record.number for record in records)
    ended = Counter(event["number"] for event in said)
    wanted = set(range(len(records)))
    again = sum(count - 1 for counts in (numbers, ended) for count in counts.values())
    return again + len(wanted - set(numbers))


def _lost(event: Mapping[str, Any], records: Sequence[TrialRecord]) -> bool:
    known = {record.number: record for record in records}.get(event["number"])
    if known is None:
        return True
    kept = json.loads(json.dumps(asdict(known)))
    return any(kept[name] != event[name] for name in SAID)


def _holes(story: Story) -> int:
    found = 0
    for record in story.records:
        history = story.histories.get(f"trials/{record.number}", "")
        epochs = [json.loads(line)["epoch"] for line in history.splitlines()]
        found += epochs != list(range(1, len(epochs) + 1)) or len(epochs) < record.epochs
    for trial in stored_trials(storage_of(story.run) or "", story.run.name):
        found += list(trial.intermediate_values) != list(range(1, len(trial.intermediate_values) + 1))
    return found


def _over_budget(story: Story, whole: Story, *, alike: bool) -> int:
    """By how many trials that count, and where order is no chance epochs too, it differs, also from its summary."""

    def counted(of: Story) -> int:
        return sum(record.state != "failed" for record in of.records)

    def epochs(of: Story) -> int:
        return sum(record.epochs for record in of.records)

    told = int(story.summary.get("epochs", {}).get("spent", 0))
    off = abs(counted(story) - counted(whole)) + abs(epochs(story) - told)
    return off + (abs(epochs(story) - epochs(whole)) if alike else 0)


def _otherwise(story: Story, whole: Story) -> int:
    """Everything that one worker must find again."""
    found = int(story.code != whole.code) + int(story.claims != whole.claims)
    found += sum(one != other for one, other in zip(story.records, whole.records, strict=False))
    names = {*story.histories, *whole.histories}
    found += sum(story.histories.get(name) != whole.histories.get(name) for name in names)
    keys = [key for key in {*story.summary, *whole.summary} if key != "seconds"]
    return found + sum(int(story.summary.get(key) != whole.summary.get(key)) for key in keys)


def _seconds(stamp: str) -> float:
    return datetime.fromisoformat(stamp).timestamp()
