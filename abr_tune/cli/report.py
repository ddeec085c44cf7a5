"""`abr-tune report`."""

from __future__ import annotations

from pathlib import Path

import typer

from abr_tune.cli.arguments import Out, Run


def report(run: Run, out: Out = Path("results")) -> None:
    """Write the report page of a run, finished or not; it needs no network and no other file.

    A run of stages has one for the whole, and one for each stage that has begun.

    Example: abr-tune report phase1
    """
    from abr_tune.borders import as_damage
    from abr_tune.report.write import write_report
    from abr_tune.runs import find_run
    from abr_tune.stages.folder import stages_in
    from abr_tune.stages.page import write_page

    folder = find_run(run, out)
    with as_damage(folder):
        stages = stages_in(folder)
        for stage in stages or ():
            if stage.plan.is_file():
                typer.echo(write_report(stage.path))
        typer.echo(write_report(folder) if stages is None else write_page(folder))
