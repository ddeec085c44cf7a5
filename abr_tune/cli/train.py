"""`abr-tune train`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from abr_tune.cli.again import typed_again
from abr_tune.cli.arguments import Json, Out, Overrides, TrustCode


def train(
    context: typer.Context,
    config: Annotated[
        Path, typer.Argument(metavar="CONFIG.yaml", help="A training configuration, such as a run's best.yaml.")
    ],
    overrides: Overrides = None,
    seeds: Annotated[
        int, typer.Option("--seeds", min=1, help="Train this many times: with the file's seed, then fresh ones.")
    ] = 1,
    epochs: Annotated[
        int | None, typer.Option("--epochs", min=1, help="Train only this many epochs, to try things out.")
    ] = None,
    out: Out = Path("results"),
    trust_code: TrustCode = False,
    json: Json = False,
) -> None:
    """Train one configuration, without any search, and compare with what the file claims.

    The health rules watch here too. An interrupted training goes on where it stopped.

    Examples:

      abr-tune train results/phase1/best.yaml

      abr-tune train results/phase1/best.yaml --seeds 3

      abr-tune train best.yaml --epochs 1 --set train.optimizer.lr=1e-4
    """
    from abr_tune.single import train_config

    raise typer.Exit(
        train_config(
            config,
            overrides=overrides or (),
            seeds=seeds,
            epochs=epochs,
            out=out,
            trust_code=trust_code,
            as_json=json,
            command=typed_again(context),
        )
    )
