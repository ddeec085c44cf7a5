"""`abr-tune report`."""

from __future__ import annotations

from pathlib import Path

import typer

from abr_tune.cli.arguments import Out, Run


def report(run: Run, out: Out = Path("results")) -> None:
    """Write the report page of a run, finished or not; it needs no network and no other file.

    Example: abr-tune report phase1
    """
    from abr_tune.borders import as_damage
    from abr_tune.report.write import write_report
    from abr_tune.runs import find_run

    folder = find_run(run, out)
    with as_damage(folder):
        typer.echo(write_report(folder))
