"""`abr-tune stop`."""

from __future__ import annotations

from pathlib import Path

import typer

from abr_tune.cli.arguments import Out, Run


def stop(run: Run, out: Out = Path("results")) -> None:
    """Ask the driver of a run to stop, as Ctrl-C does: it saves what is unfinished and can be continued.

    Drivers that joined it end with it.

    Example: abr-tune stop phase1
    """
    from abr_tune.runs import find_run
    from abr_tune.stop import stop_run

    for sentence in stop_run(find_run(run, out)):
        typer.echo(sentence, err=True)
