"""`abr-tune evaluate`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from abr_tune.cli.arguments import Json, Out, Run, TrustCode


def evaluate(
    run: Run,
    split: Annotated[
        Literal["val", "test"], typer.Option("--split", help="Which held-out part of the run's data.")
    ] = "val",
    out: Out = Path("results"),
    trust_code: TrustCode = False,
    json: Json = False,
) -> None:
    """Score the best weights of a run on a held-out part of its data, each score beside its trivial baseline.

    Scoring on `test` more than once makes it a validation set: the run itself has scored it already, see its summary.

    Example: abr-tune evaluate phase1
    """
    from abr_tune.plain import visible
    from abr_tune.weights import evaluate_on, find_trained

    scores = evaluate_on(find_trained(run, out, trust_code=trust_code), split)
    if json:
        from json import dumps

        typer.echo(
            dumps(
                {"metrics": dict(scores.metrics), "baselines": dict(scores.baselines), "absent": dict(scores.absent)},
                indent=2,
            )
        )
        return
    for name, value in scores.metrics.items():
        if not name.endswith(":skill"):
            baseline = scores.baselines.get(name)
            beside = f"   trivial {baseline:10.4f}" if baseline is not None else ""
            typer.echo(visible(f"{name:36s} {value:10.4f}{beside}"))
    for name, reason in scores.absent.items():
        typer.echo(visible(f"{name:36s}     absent   {reason}"))
