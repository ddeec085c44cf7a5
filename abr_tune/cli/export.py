"""`abr-tune export`."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Annotated

import typer

from abr_tune.cli.arguments import Out, Run, TrustCode


def export(
    run: Run,
    trial: Annotated[str, typer.Option("--trial", help="`best`, or the number of a trial.")] = "best",
    to: Annotated[
        Path | None,
        typer.Option(
            "--to",
            help="Where the configuration goes; default: standard output. A file .pt2 gets the trained model instead.",
        ),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Overwrite the file of --to if it is there.")] = False,
    out: Out = Path("results"),
    trust_code: TrustCode = False,
) -> None:
    """Write the configuration of a trial as a file that trains again, or its model as a program for torch.export.

    Examples: abr-tune export phase1 --trial 12 --to trial12.yaml; abr-tune export phase1 --to model.pt2
    """
    if to is not None and to.suffix == ".pt2":
        from abr_tune.program import described, export_program

        exported = export_program(run, trial, out=out, to=to, force=force, trust_code=trust_code)
        typer.echo(described(exported, to), err=True)
        return
    from abr_tune.export import export_trial

    text = export_trial(run, trial, out=out, to=to, force=force, trust_code=trust_code)
    if to is None:
        typer.echo(text, nl=False)
    else:
        trusting = " --trust-code" if trust_code else ""
        typer.echo(f"written: {to}; train it with: abr-tune train {shlex.quote(str(to))}{trusting}", err=True)
