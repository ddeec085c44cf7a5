"""`abr-tune gate`."""

from __future__ import annotations

from pathlib import Path

import typer

from abr_tune.cli.arguments import Json, Out, Run


def gate(run: Run, out: Out = Path("results"), json: Json = False) -> None:
    """Judge a run against its gate: go, investigate or no-go. Exits 1 on no-go.

    Example: abr-tune gate phase1 && abr-tune run search_spaces/phase2.yaml
    """
    from abr_tune.errors import Exit, UserError
    from abr_tune.runs import RunFolder, find_run

    folder = RunFolder(find_run(run, out))
    judged = (folder.read_summary() or {}).get("gate")
    if judged is None:
        raise UserError(
            f"run {folder.name} has no judged gate: its space file names no `gate:`, or it has not finished"
        )
    if json:
        from json import dumps

        typer.echo(dumps(judged, indent=2))
    else:
        typer.echo(judged["verdict"])
        for row in judged["criteria"]:
            value = "absent" if row["value"] is None else f"{row['value']:.4g}"
            investigate = f", investigate {row['investigate']}" if row.get("investigate") else ""
            typer.echo(f"  {row['result']:12s} {row['metric']} {value} (go {row['go']}{investigate})")
    raise typer.Exit(Exit.NOTHING_COMPLETE if judged["verdict"] == "no-go" else Exit.DONE)
