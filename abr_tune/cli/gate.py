"""`abr-tune gate`."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import typer

from abr_tune.cli.arguments import Json, Out, Run


def gate(run: Run, out: Out = Path("results"), json: Json = False) -> None:
    """Judge a run against its gate: go, investigate or no-go. Exits 1 on no-go. Of stages, all gates count.

    Where a criterion is missed it says what to try next, from the run's own trials: who came nearer and with what
    settings, which lever it goes with, whether it was met on the way and lost.

    Example: abr-tune gate phase1 && abr-tune run search_spaces/phase2.yaml
    """
    from abr_tune.borders import as_damage
    from abr_tune.errors import Exit, UserError
    from abr_tune.plain import visible
    from abr_tune.runs import RunFolder, find_run
    from abr_tune.stages.folder import stages_in

    folder = RunFolder(find_run(run, out))
    stages = stages_in(folder.path)
    judged = (folder.read_summary() or {}).get("gate")
    if judged is None:
        raise UserError(
            f"run {folder.name} has no judged gate: its space file names no `gate:`, or it has not finished"
        )
    with as_damage(folder.path):
        if json:
            from json import dumps

            typer.echo(dumps(judged, indent=2))
        else:
            way = [] if judged["verdict"] == "go" or stages is not None else _rollback(folder.path)
            for line in (*_lines(judged), *way):
                typer.echo(visible(line))
        raise typer.Exit(Exit.NOTHING_COMPLETE if judged["verdict"] == "no-go" else Exit.DONE)


def _lines(judged: Mapping[str, Any]) -> Iterator[str]:
    yield judged["verdict"]
    for row in judged["criteria"]:
        value = "absent" if row["value"] is None else f"{row['value']:.4g}"
        investigate = f", investigate {row['investigate']}" if row.get("investigate") else ""
        why = f": {row['why']}" if row.get("why") else ""
        at = f" at epoch {row['by_epoch']}" if row.get("by_epoch") else ""
        yield f"  {row['result']:12s} {row['metric']} {value}{at} (go {row['go']}{investigate}){why}"
        for step in row.get("next", ()):
            yield f"{'':15s}- {step}"


def _rollback(folder: Path) -> Iterator[str]:
    """Which single change helped and which hurt, where somebody has asked."""
    from abr_tune.report.ablation import trained_ablation

    way = trained_ablation(folder)
    if way is None:
        yield f"which single change helped, and which to take back: abr-tune explain {shlex.quote(str(folder))}"
        return
    for step in way.steps:
        if step.told != "nothing told":
            advice = "keep it" if step.told == "helped" else "take it back"
            yield f"  {step.lever} {step.told} by {abs(step.gain or 0):.4g} on the way from {way.start}: {advice}"
    idle = [step.lever for step in way.steps if step.told == "nothing told"]
    if idle:
        yield f"  {', '.join(idle)} brought nothing that seeds do not differ by anyway"
