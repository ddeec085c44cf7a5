"""`abr-tune predict`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from abr_tune.cli.arguments import Out, TrustCode


def predict(
    run: Annotated[str, typer.Argument(metavar="RUN|DIR", help="A run, or a folder with model.safetensors.")],
    file: Annotated[
        Path, typer.Argument(metavar="FILE", help="Recordings: a .npz or .parquet file; see `abr-tune data import`.")
    ],
    to: Annotated[Path, typer.Option("--to", help="Where the predictions go: .parquet or .csv.")] = Path(
        "predictions.parquet"
    ),
    out: Out = Path("results"),
    trust_code: TrustCode = False,
) -> None:
    """Predict class probabilities, threshold and wave V with their uncertainty, and the denoised signal.

    Example: abr-tune predict phase1 clinic.npz --to predictions.csv
    """
    from abr_tune.weights import find_trained, predict_file

    rows = predict_file(find_trained(run, out, trust_code=trust_code), file, to)
    typer.echo(f"{rows} recordings predicted: {to}", err=True)
