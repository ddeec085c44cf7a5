"""`report.html` of a run folder."""

from __future__ import annotations

from pathlib import Path

from abr_tune.report.data import ReportData
from abr_tune.report.page import render
from abr_tune.report.read import read_run
from abr_tune.runs import RunFolder, write_atomically


def write_report(folder: Path, data: ReportData | None = None) -> Path:
    """Write `report.html` into a run folder, finished or not, and return where it is.

    `data` is what `read_run` says of the run, where that was asked already.

    Raises:
        UserError: the folder is not that of a run.
        StorageFault: the study is kept elsewhere and cannot be reached.
    """
    target = RunFolder(folder).report
    write_atomically(target, render(data or read_run(folder), str(folder)))
    return target
