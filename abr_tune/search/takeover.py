"""Going on where an earlier process stopped: what the study holds, put back in its place."""

from __future__ import annotations

from collections.abc import Callable, Set

from abr_tune.runs import RunFolder
from abr_tune.search.ending import OpenTrial, observation
from abr_tune.search.ledger import StoredTrial
from abr_tune.search.proposals import Proposals
from abr_tune.search.pruning import Field
from abr_tune.search.spending import Spending
from abr_tune.trial import HISTORY, read_history


def take_over(
    stored: StoredTrial,
    *,
    folder: RunFolder,
    length: Callable[[StoredTrial], int | None],
    levels: Set[int],
    field: Field,
    proposals: Proposals,
    spending: Spending,
) -> OpenTrial | None:
    """Learn from a trial that has ended; return one that has not, as it stands.

    A paused trial waits again where it waited. One that was being trained goes on from its checkpoint. What the
    sampler hears of an open trial is what it had heard before: its curve up to the last of `levels`.
    """
    record = stored.record
    spending.epochs += record.epochs
    proposals.known(stored)
    field.enter(record.number, length(stored), stored.points)
    if record.state in {"running", "waiting"}:
        proposals.progress(record.number, field.curve(record.number, levels))
        return _reopened(stored, folder, length(stored), field)
    spending.ended(record.state, before=True)
    curve = field.curve(record.number)
    field.leave(record.number, complete=record.state == "complete")
    proposals.learn(record.number, observation(record.state, record.values, record.violations, curve))
    return None


def _reopened(stored: StoredTrial, folder: RunFolder, length: int | None, field: Field) -> OpenTrial:
    record = stored.record
    history = read_history(folder.trial(record.number) / HISTORY)
    trial = OpenTrial(
        record.number,
        record.name,
        record.params,
        length=length,
        epoch=record.epochs,
        # A driver that was killed may have died between a report and its ruling; one that was interrupted did not.
        cleared=record.epochs if record.state == "waiting" or stored.parked else 0,
        seconds={report.epoch: report.seconds for report in history},
        audited=record.audited,
    )
    known = [report for report in history if report.complete and report.epoch == record.epochs]
    trial.last = known[-1] if known else None
    if stored.parked:
        trial.stage = "paused"
        field.wait(record.number)
    return trial
