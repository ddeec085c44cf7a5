"""`abr-tune report`."""

from __future__ import annotations

from pathlib import Path

import typer

from abr_tune.cli.arguments import Out, Run


def report(run: Run, out: Out = Path("results")) -> None:
    """Write the report page of a run, finished or not; it needs no network and no other file.

    Example: abr-tune report phase1
    """
    from abr_tune.report.write import write_report
    from abr_tune.runs import find_run

    typer.echo(write_report(find_run(run, out)))
