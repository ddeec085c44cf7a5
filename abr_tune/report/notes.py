"""What Optuna's dashboard says of a run and of its trials: Markdown in which no text of the run is markup."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from typing import Final

from abr_tune.console import audit_of
from abr_tune.plain import visible
from abr_tune.report import overview
from abr_tune.report.data import ReportData
from abr_tune.report.tables import stop_rows
from abr_tune.report.wording import counted, number
from abr_tune.search.events import TrialRecord

MARKUP: Final = re.compile(r"([!-/:-@\[-`{-~])")
"""ASCII punctuation: Markdown lets each be escaped, and links, images, HTML and formulas all begin with one."""


def plain(text: str) -> str:
    """`text` on one line, none of it markup, links by their looks included."""
    return MARKUP.sub(r"\\\1", visible(text))


def code(text: str) -> str:
    """`text` as code; it cannot end the code it stands in."""
    return f"`{visible(text).replace('`', chr(39))}`"


def study_note(data: ReportData, folder: str, study: int) -> str:
    """The overview of a run; `study` is Optuna's number of it, for links within the dashboard."""
    return "\n".join(_study_note(data, folder, study))


def _study_note(data: ReportData, folder: str, study: int) -> Iterator[str]:
    yield f"## {plain(data.name)}\n"
    yield f"{plain(overview.data_line(data))}\n"
    yield from (f"{plain(sentence)}\n" for sentence in overview.headline(data))
    shown = [("the best trial", data.best), ("a collapsed one", data.collapsed)]
    links = [
        f"[{word} ({record.number})](/dashboard/studies/{study}/trials?numbers={record.number})"
        for word, record in shown
        if record is not None
    ]
    if links:
        yield f"See {', '.join(links)}.\n"
    rows = stop_rows(data)
    if rows:
        yield "| stopped by | trials | epochs spent | epochs saved |\n|---|---|---|---|"
        yield from (
            f"| {plain(row.rule)} | {row.trials} | {row.epochs} | {'–' if row.saved is None else row.saved} |"
            for row in rows
        )
    quoted = shlex.quote(folder)
    yield f"\nThe whole story: {code(f'{quoted}/report.html')}. The best: {code(f'{quoted}/best.yaml')}."


def trial_note(data: ReportData, record: TrialRecord) -> str:
    """Why a trial ended as it did, and where its files lie."""
    return "\n".join(_trial_note(data, record))


def _trial_note(data: ReportData, record: TrialRecord) -> Iterator[str]:
    head = f"**{plain(record.name)}** (start point), " if record.name else ""
    value = data.value_of(record)
    scored = "" if value is None else f": {plain(data.objective.metric)} {plain(number(value))}"
    yield f"{head}{plain(_ended(record))} after {counted(record.epochs, 'epoch')}{scored}\n"
    if data.best is not None and record.number == data.best.number:
        yield "This is the **best** configuration.\n"
    if record.why or record.error:
        yield f"> {plain(record.why or record.error or '')}\n"
    if record.audited is not None:
        yield f"{plain(audit_of(record))}\n"
    missed = [f"{plain(name)} by {plain(number(by))}" for name, by in record.violations.items() if by > 0]
    if missed:
        yield f"Misses {', '.join(missed)}.\n"
    files = [f"trials/{record.number}/{name}" for name in ("config.yaml", "history.jsonl", "checkpoint/")]
    files += [f"trials/{record.number}/traceback.txt"] if record.state == "failed" else []
    yield f"Files in the run folder: {', '.join(code(file) for file in files)}"


def _ended(record: TrialRecord) -> str:
    if record.state == "pruned":
        return f"stopped by {record.pruned_by}"
    return {"complete": "ran to its end", "failed": "failed"}.get(record.state, "not finished")
