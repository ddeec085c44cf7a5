"""`abr-tune dashboard`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from abr_tune.cli.arguments import Out, Run


def dashboard(
    run: Run,
    port: Annotated[
        int, typer.Option("--port", min=0, max=65535, help="Port on 127.0.0.1; 0 takes a free one.")
    ] = 8080,
    allow_edit: Annotated[
        bool, typer.Option("--allow-edit", help="Let the dashboard's own pages change the study: notes, deletion.")
    ] = False,
    out: Out = Path("results"),
) -> None:
    """Look into a run, also while it runs, with Optuna's dashboard: on this machine only, read-only by default.

    Example: abr-tune dashboard phase1 --port 8081
    """
    from abr_tune.annotate import annotate
    from abr_tune.borders import as_damage
    from abr_tune.dashboard import open_server
    from abr_tune.errors import Exit, StorageFault
    from abr_tune.runs import find_run
    from abr_tune.stages.folder import one_search

    folder = one_search(find_run(run, out))
    with as_damage(folder):
        server, address = open_server(folder, port=port, allow_edit=allow_edit)
    try:
        with as_damage(folder):
            annotate(folder)
    except StorageFault as fault:
        typer.echo(f"notes and plots are as they were, the study cannot be written to: {fault}", err=True)
    with server:
        typer.echo(address)
        typer.echo("editing is allowed; Ctrl-C ends it" if allow_edit else "read-only; Ctrl-C ends it", err=True)
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            typer.echo("dashboard ended", err=True)
            raise typer.Exit(Exit.INTERRUPTED) from None
