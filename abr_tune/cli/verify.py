"""`abr-tune verify`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from abr_tune.cli.again import typed_again
from abr_tune.cli.arguments import Json, Out, TrustCode


def verify(
    context: typer.Context,
    config: Annotated[
        Path, typer.Argument(metavar="BEST.yaml", help="A configuration with claims, such as a run's best.yaml.")
    ],
    seeds: Annotated[
        int,
        typer.Option(
            "--seeds", min=0, help="Train with this many seeds that nobody has used, not with the file's own."
        ),
    ] = 0,
    out: Out = Path("results"),
    trust_code: TrustCode = False,
    json: Json = False,
) -> None:
    """Train a configuration again and compare with what its file claims. Exits 1 when it does not hold.

    Before it trains, it says which versions, machine or data differ from those the claims were made with. With the
    file's own seed every metric must come back within the tolerance the file states (exactly, on a CPU). With --seeds
    the objective must lie where, by the spread that confirmation saw, that many further runs all lie in 19 of 20 cases.

    Examples:

      abr-tune verify results/phase1/best.yaml

      abr-tune verify results/phase1/best.yaml --seeds 3 --json
    """
    from abr_tune.verify import verify as train_and_compare

    raise typer.Exit(
        train_and_compare(
            config, seeds=seeds, out=out, trust_code=trust_code, as_json=json, command=typed_again(context)
        )
    )
